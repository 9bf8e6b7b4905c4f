"""ansible-playbook, as `provisioner` starts it: Ansible's own program, quicker at its start and at its end.

A job that changes nothing would spend more than a tenth of its time on what is left out here: Python's search for
garbage while Ansible is imported and reads what it needs, its taking to pieces, object by object, of what the end of
the process frees at once, Ansible's parsing of large files that never change, and plugins that no host needs. And it
may be started early (`provisioner.early`), before it is known what it is to do.
"""

import atexit
import gc
import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["BEFOREHAND", "main"]

BEFOREHAND = (
    "ansible.module_utils.basic",
    "ansible.module_utils._internal._json._profiles._tagless",
    "ansible.parsing.utils.addresses",
    "ansible.utils.collection_loader",
    "cryptography.fernet",
    "importlib.metadata",
    "jinja2.nativetypes",
    "multiprocessing.queues",
    "yaml",
)
"""What takes longest of all that Ansible imports and neither reads Ansible's settings nor needs them."""

MEASURED = "site.yml"
"""The playbook that waits for a run."""
PAUSE = 0.005
"""Seconds between two looks of Ansible at its workers while nothing is measured."""


def main() -> None:
    """Run ansible-playbook with the process's own arguments; ends the process with its exit code."""
    code = 1  # that of an exception which nobody catches

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # before whatever Ansible registers, and so called after it
    gc.disable()
    if sys.argv[1:2] == ["--early"]:
        _wait_to_be_told(int(sys.argv[2]))
    os.register_at_fork(before=_collect_from_now_on)
    with suppress(RuntimeError):  # there is no home
        _keep_parsed(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provisioner")
    from ansible.cli import playbook  # noqa: PLC0415 - see above

    _load_what_is_used()
    if MEASURED not in map(os.path.basename, sys.argv):
        _look_sooner()
    sys.argv[0] = "ansible-playbook"
    try:
        playbook.main()
    except SystemExit as end:
        code = int(end.code or 0)
        raise


def _wait_to_be_told(pipe: int) -> None:
    """Import what can be; then take arguments, environment and folder from `pipe`, or end where none come."""
    for name in BEFOREHAND:
        importlib.import_module(name)
    with os.fdopen(pipe, encoding="utf-8") as tells:
        told = json.loads(tells.read() or "null")
    if told is None:
        sys.exit()
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    sys.argv[1:] = told["arguments"]
    path = told["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [folder for folder in path if folder and folder not in sys.path]


def _keep_parsed(folder: Path) -> None:
    """Have Ansible keep in `folder` what it parsed of two files of its own, which it else parses each time, 0.15 s.

    One says where its modules went, 376 kB of YAML; its function for that says that others may take its place and keep
    what they read. The other, 91 kB, says which settings there are.
    """
    from ansible.config import manager  # noqa: PLC0415 - as in main
    from ansible.utils.collection_loader import _collection_finder  # noqa: PLC0415

    parse, load = _collection_finder._meta_yml_to_dict, manager.yaml_load

    def routing(raw: bytes, content_id: tuple[str, str]) -> dict[str, Any]:
        if content_id[0] != "ansible.builtin":
            return dict(parse(raw, content_id))
        return _kept(folder / "routing.json", raw, lambda: dict(parse(raw, content_id)))

    def settings(file: BinaryIO) -> dict[str, Any]:
        raw = file.read()
        return _kept(folder / "settings.json", raw, lambda: load(raw))

    _collection_finder._meta_yml_to_dict, manager.yaml_load = routing, settings


def _kept(path: Path, raw: bytes, parse: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Give what is parsed of `raw`: from `path` where it was kept there, else by `parse`, and then keep it."""
    digest = hashlib.sha256(raw).hexdigest()
    with suppress(OSError, ValueError, LookupError, TypeError):
        found = json.loads(path.read_bytes())
        if found["of"] == digest:
            return dict(found["parsed"])
    parsed = parse()
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        try:
            part.write_text(json.dumps({"of": digest, "parsed": parsed}), encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)  # a full disk is not filled with halves of it
    return parsed


class _Few:
    """Stands for `loader` of Ansible's plugins where all are asked for, and gives those of `names`."""

    def __init__(self, loader: Any, names: tuple[str, ...]) -> None:
        self._loader, self._names = loader, names

    def all(self, **options: Any) -> list[Any]:
        """Give the plugins, or what else of them `options` say."""
        return [self._loader.get(name, **options) for name in self._names]


def _load_what_is_used() -> None:
    """Have Ansible load beforehand, for all its workers, only those plugins that nearly all hosts are reached by.

    It loads all that there are, with their documentation, 0.04 s. A worker whose host needs another loads that then.
    """
    from ansible.executor import playbook_executor  # noqa: PLC0415 - as in main

    used = {"connection_loader": ("local", "ssh"), "shell_loader": ("sh",), "become_loader": ("sudo",)}
    for loader, names in used.items():
        setattr(playbook_executor, loader, _Few(getattr(playbook_executor, loader), names))


def _look_sooner() -> None:
    """Have Ansible see sooner that a task is done: ansible.cfg spares the controller for a run that is measured."""
    from ansible import constants  # noqa: PLC0415 - as in main

    constants.DEFAULT_INTERNAL_POLL_INTERVAL = min(constants.DEFAULT_INTERNAL_POLL_INTERVAL, PAUSE)


def _collect_from_now_on() -> None:
    """Before the first worker: what is there stays. To search it would make each worker a copy of it."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    main()
