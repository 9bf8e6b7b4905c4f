"""`provisioner bundle`: makes the one archive that hosts without a network are provisioned from."""

import platform
from argparse import Namespace
from hashlib import sha256
from pathlib import Path

from provisioner import bundle
from provisioner.commands.common import print_json, say
from provisioner.paths import ensure_state_dir, state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Make the bundle and say where it is."""
    given = Path(options.output).expanduser().absolute() if options.output else None
    out = given or bundle.default_path(ensure_state_dir(state_dir(options.state_dir)))
    python = options.python or ".".join(platform.python_version_tuple()[:2])
    manifest = bundle.make(out, python, options.platform, say)
    data = out.read_bytes()
    if options.json:
        print_json({"bundle": str(out), "sha256": sha256(data).hexdigest(), **manifest})
    else:
        say(f"{out}: {len(manifest['files'])} files, {len(data) / 1e6:.1f} MB")
        if given:
            say(f"take it with -e local_sources_bundle={out}")
    return 0
