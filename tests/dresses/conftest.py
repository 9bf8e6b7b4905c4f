"""Which dresses are tested, and what happened to the hosts that wore them.

DRESSES chooses: a list with commas, or `all`; without it a sample that changes with the date (UTC).
DRESSES_DEBIAN chooses the release, for dresses that fit it; without it that changes with the date, too.
"""

import functools
import os
from pathlib import Path

import docker
import pytest
from lab_hosts import engine, lab_name
from sample import TODAY, chosen
from wardrobe import TOOK, Wardrobe, Worn

from provisioner.lab import dress

__all__ = ["engine", "lab_name"]  # fixtures

SAMPLE = 5  # dresses in CI, which has eight minutes for them on two cores


@functools.cache
def _chosen() -> list[str]:
    try:
        return chosen(os.environ.get("DRESSES", ""), dress.names(), TODAY, SAMPLE)
    except ValueError as error:
        raise pytest.UsageError(f"DRESSES: {error}") from error


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    all_of_them = len(dress.names())
    terminalreporter.write_line(f"dresses of {TODAY}: {' '.join(_chosen())}; DRESSES=all takes all {all_of_them}")
    if TOOK:
        terminalreporter.write_line(", ".join(f"{what}: {seconds:.0f} s" for what, seconds in TOOK.items()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "worn" in metafunc.fixturenames:
        metafunc.parametrize("worn", _chosen(), indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.dresses)


@pytest.fixture(scope="session")
def wardrobe(
    request: pytest.FixtureRequest,
    engine: docker.DockerClient,
    lab_name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Wardrobe:
    """All dresses of the tests that are going to run."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    names = [call.params["worn"] for call in calls if call and "worn" in call.params]
    return Wardrobe(list(dict.fromkeys(names)), lab_name, tmp_path_factory.mktemp("dresses"))


@pytest.fixture(scope="session")
def worn(request: pytest.FixtureRequest, wardrobe: Wardrobe) -> Worn:
    """A dress, and all that happened to the host that wore it."""
    one = wardrobe[request.param]
    if one.trouble:
        pytest.fail(f"{one}\n{one.trouble}", pytrace=False)
    if hung := [step for step in one.steps if step.trouble]:
        pytest.fail(f"{one}\n{hung[0].trouble}", pytrace=False)
    return one
