"""devcontainer.json files as people have them, and what the Dev Container CLI makes of those that are accepted.

The files are our own, each after real ones that its first comment names. For the unit tests, read.json keeps what the
real CLI read of each; `tests/main_job` asks it again. Anew, as root with Docker and the CLI:

    python tests/devcontainers.py
"""

import importlib.util
import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "roles/scenario/files/xformers-devcontainer/benchmarking/devcontainer_json.py"
FILES = Path(__file__).parent / "unit/data/devcontainers"
READ = FILES / "read.json"
ACCEPTED = {path.stem: path for path in sorted((FILES / "accepted").glob("*.json"))}
REFUSED = {path.stem: path for path in sorted((FILES / "refused").glob("*.json"))}
CLI = "/opt/provisioner/bin/devcontainer"
IMAGE = "provisioner-test/empty:1"
# What ${localEnv:...} gets; all else is not set.
HOST = {"HOME": "/home/somebody", "USER": "somebody", "LANG": "de_DE.UTF-8", "HTTP_PROXY": "http://proxy:3128"}


def script() -> ModuleType:
    """Return devcontainer_json.py as a module."""
    spec = importlib.util.spec_from_file_location("devcontainer_json", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_of(path: Path, **given: Any) -> tuple[dict[str, Any], list[str]]:
    """Return what Scenario A makes of a file, on a host with a GPU unless told otherwise, and what it takes out."""
    module = script()
    settings = {"gpus": True, "env": {"MAX_JOBS": "2"}, "mounts": ["type=bind,source=/a,target=/b"]} | given
    made, out = module.transform(module.parse(path.read_text(encoding="utf-8")), **settings)
    return made, out


def read_by_cli(configuration: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the real CLI reads of a configuration, as the evidence of a run has it.

    `folder` is one of its own, which need not be there.
    """
    workspace = folder / "workspace"
    (workspace / ".devcontainer").mkdir(parents=True)
    (workspace / ".devcontainer/devcontainer.json").write_text(json.dumps(configuration))
    (workspace / ".devcontainer/Dockerfile.scenario-a").write_text(f"FROM {IMAGE}\n")
    command = [CLI, "read-configuration", "--workspace-folder", str(workspace), "--include-merged-configuration"]
    environment = HOST | {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.replace(str(workspace), "/srv/workspace"))
    read = {name: answer[name] for name in ("configuration", "mergedConfiguration")}
    for part in read.values():
        del part["configFilePath"]
    return read


def make_image() -> None:
    """Make the image that the CLI asks for its metadata: an empty one."""
    with subprocess.Popen(["tar", "-c", "-T", "/dev/null"], stdout=subprocess.PIPE) as packed:
        subprocess.run(["docker", "import", "-", IMAGE], stdin=packed.stdout, check=True, capture_output=True)


def remove_image() -> None:
    """Remove that image."""
    subprocess.run(["docker", "image", "rm", IMAGE], check=True, capture_output=True)


def main() -> None:
    """Write read.json anew."""
    make_image()
    try:
        with tempfile.TemporaryDirectory() as folder:
            read = {name: read_by_cli(made_of(path)[0], Path(folder) / name) for name, path in ACCEPTED.items()}
    finally:
        remove_image()
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in read.items())
    READ.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
