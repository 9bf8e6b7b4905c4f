"""What all tests share: the checkout, and the command as a person runs it."""

import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What is started in the background ignores Ctrl-C, and hands that down to whatever it starts: tests that interrupt
# would test nothing.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Their tests get along beside each other; those of the other folders share one machine's Docker engine.
PARALLEL = (ROOT / "tests/unit", ROOT / "tests/programs", ROOT / "tests/static")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run whole folders of quick tests on all cores; for a file or two, starting workers takes longer than it saves.

    What the command line says of it, as `-n 0`, holds.
    """
    if hasattr(config, "workerinput") or config.option.numprocesses is not None or config.option.capture == "no":
        return
    paths = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    quick = all(any(path.is_relative_to(folder) for folder in PARALLEL) for path in paths)
    if quick and any(path.is_dir() for path in paths):
        config.option.numprocesses, config.option.dist = "auto", "worksteal"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, the main job last: what is wrong is known as soon as it can be."""
    slow = ("browser", "hosts", "dresses", "seed", "main_job")
    items.sort(key=lambda item: max((slow.index(name) + 1 for name in slow if name in item.keywords), default=0))


class Done:
    """A command that has ended."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code, self.stdout, self.stderr = process.returncode, process.stdout, process.stderr

    @property
    def json(self):
        """What it printed on stdout, which must be JSON and nothing else."""
        return json.loads(self.stdout)

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@pytest.fixture(scope="session")
def provisioner() -> Callable[..., Done]:
    """Run `bin/provisioner` with these arguments, as a person does; `within` is a command that runs it."""

    def run(*arguments: object, timeout: float = 3600, within: Sequence[str] = (), **environment: str) -> Done:
        command = [*within, str(ROOT / "bin/provisioner"), *map(str, arguments)]
        print("+", *command)
        done = Done(
            subprocess.run(
                command,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        )
        print(done.stderr)
        return done

    return run


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """Give the folder of a run's evidence, unpacked: `unpacked(state, run_id)`."""

    def unpack(state: Path, run_id: str) -> Path:
        (packed,) = state.glob(f"**/{run_id}/evidence.tar.xz")
        folder = tmp_path_factory.mktemp("evidence")
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")
        return folder / run_id

    return unpack
