"""A lab with stand-ins for the outside world, for the profile that takes everything from there."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from lab_hosts import engine, lab_name, passing_labs
from outside_world import SHORT, WORKLOAD, World

from provisioner.lab import outside

__all__ = ["engine", "lab_name"]  # fixtures


# On one host: refused while it is bare, then brought to its record, and after that whatever a prepared host can meet.
ORDER = ("test_refused_sources", "test_seed", "test_seed_faults", "test_forks", "test_installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [index for index, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ordered = sorted((items[index] for index in here), key=lambda item: ORDER.index(item.path.stem))
    for index, item in zip(here, ordered, strict=True):
        items[index] = item
        item.add_marker(pytest.mark.seed)


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient, provisioner: Callable[..., object]) -> None:
    """Have on this machine what the stand-in for NVIDIA's image is made from; the main job needs the same."""
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.get(outside.BASE)
        return
    done = provisioner("prepare", "--profile", "registries")
    assert done.code == 0, done  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def make_world(
    base_image: None, engine: docker.DockerClient, lab_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., World]]:
    """Make a lab with stand-ins: `make_world("purpose", count=1, debian=12)`; it is gone after the session's tests."""
    with passing_labs(lab_name, tmp_path_factory.mktemp("state")) as make:

        def world(purpose: str, count: int = 1, debian: int = 12) -> World:
            return World(make(purpose, count, debian, stand_ins=True), engine)

        yield world


@pytest.fixture(scope="session")
def world(make_world: Callable[..., World]) -> World:
    """The lab that most tests share: one host of Debian 12, bare at first."""
    return make_world("seed")


@pytest.fixture(scope="session")
def short_run(
    world: World, provisioner: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Run the short workload on the shared lab: `short_run(name=value)`, with further variables; always anew."""
    world.publish("short/xformers", WORKLOAD)
    state = tmp_path_factory.mktemp("short")

    def run(**variables: object) -> Any:
        file = state / "variables.json"
        file.write_text(json.dumps({**SHORT, **variables}), encoding="utf-8")
        return provisioner(
            *("run", "--fresh", "-i", world.lab.inventory, "--state-dir", state / "state", "-e", f"@{file}", "--json")
        )

    return run
