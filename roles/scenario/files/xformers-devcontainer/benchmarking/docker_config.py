"""Make a Docker client's configuration that gives containers and builds the proxies of this environment.

    docker_config.py FOLDER    makes FOLDER, for DOCKER_CONFIG; the rest is as the user's own configuration has it

Docker's client then hands them to the engine itself. As options of its commands they would be in the list of processes,
which every user of the host can read, and a proxy's URL may hold a password.
https://docs.docker.com/engine/cli/proxy/

Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# What Docker calls them.
PROXIES = {"httpProxy": "http_proxy", "httpsProxy": "https_proxy", "noProxy": "no_proxy"}


def proxies(environment: dict[str, str]) -> dict[str, str]:
    """Return the proxies that are set, by Docker's names for them."""
    found = {theirs: environment.get(name) or environment.get(name.upper()) for theirs, name in PROXIES.items()}
    return {name: value for name, value in found.items() if value}


def make(folder: Path, own: Path, given: dict[str, str]) -> None:
    """Make `folder` like `own`, the user's configuration, with the proxies `given`.

    Raise OSError, ValueError or AttributeError where that is not there, or not as Docker writes it.
    """
    folder.mkdir(mode=0o700)
    kept = own / "config.json"
    config = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    theirs = config.get("proxies") or {}
    config["proxies"] = {**theirs, "default": {**theirs.get("default", {}), **given}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for entry in own.iterdir() if own.is_dir() else ():
        if entry.name != "config.json":
            (folder / entry.name).symlink_to(entry.absolute())


def main() -> int:
    """Make the folder that the one argument names."""
    own = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    try:
        make(Path(sys.argv[1]), own, proxies(dict(os.environ)))
    except (OSError, ValueError, AttributeError) as error:
        print(f"{own / 'config.json'} cannot be used: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
