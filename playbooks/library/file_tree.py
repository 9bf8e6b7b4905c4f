#!/usr/bin/python
"""Ansible module: many small files, written in one call. The action of this name reads them on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Many small text files in one round trip
description:
  - Each file appears whole or not at all, and belongs to who runs this. Other files in the folder are left alone.
  - Where the task has C(diff) false, nothing of what the files hold comes back.
options:
  dest:
    description: The folder on the host; it is made where it is missing.
    type: path
    required: true
  folders:
    description: Path, below O(dest), and mode of folders; they are made first.
    type: dict
    default: {}
  src:
    description: A folder among the role's files, which is laid down whole.
    type: str
  texts:
    description:
      - Path, below O(dest), and content of further files; they are written before those of O(src).
      - Instead of its content a file may have a dictionary of C(content), or C(src), a file on the controller; and
        C(mode), which is "0644" where it is not given.
    type: dict
  copies:
    description: Path, below O(dest), and a file on the host that it is to be like.
    type: dict
    default: {}
  links:
    description: Path, below O(dest), and what a symbolic link there leads to. What is no link is left, and an error.
    type: dict
    default: {}
  absent:
    description: Paths below O(dest) that are removed.
    type: list
    elements: str
    default: []
  files:
    description: What the action makes of O(src) and O(texts), with each byte as a character. Not for playbooks.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Lay down the scenario
  file_tree:
    src: xformers-devcontainer
    dest: /var/lib/provisioner/scenario_a/xformers-devcontainer
    texts: {benchmarking/scenario_a.env: "MAX_JOBS=8\n"}

- name: Have a command that people's shells find
  file_tree:
    dest: /
    folders: {/opt/tool/bin: "0755"}
    texts: {/opt/tool/bin/tool: {content: "#!/bin/sh\n", mode: "0755"}}
    links: {/usr/local/bin/tool: /opt/tool/bin/tool}
"""

RETURN = r"""
changed_files:
  description: Paths, as they were given, that were made, written or removed.
  type: list
  returned: always
"""

import os
import stat
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def state(path: Path) -> tuple[bytes | None, str | None]:
    """Content and mode ("0644") of the file at `path`; (None, None) where it is none, or not of who runs this."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not is_own(status):
            return None, None
        return path.read_bytes(), mode_of(status)
    except OSError:
        return None, None


def mode_of(status: os.stat_result) -> str:
    """The mode that `status` has, as it is written in playbooks: "0644"."""
    return f"{stat.S_IMODE(status.st_mode):04o}"


def is_own(status: os.stat_result) -> bool:
    """Whether what `status` is of belongs to who runs this, and to their group."""
    return (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def write(path: Path, content: bytes, mode: str) -> None:
    """Put the file there at once; raises OSError and leaves what was there."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), int(mode, 8))
            os.fchown(file.fileno(), os.geteuid(), os.getegid())  # a folder may give its files its own group
        Path(part).replace(path)
    except OSError:
        Path(part).unlink()
        raise


class Tree:
    """What is to be in the folder `dest`. Each method has one thing as it is wanted; `path` is the last of them."""

    def __init__(self, dest: Path, *, check: bool):
        self.dest, self.check, self.path = dest, check, dest
        self.changes: list[str] = []
        self.diff: list[dict[str, str]] = []

    def folder(self, name: str, mode: str) -> None:
        """A folder, or a link to one, of mode `mode`."""
        self.path = self.dest / name
        there = self.path.is_dir()
        status = self.path.stat() if there else None
        actual = mode_of(status) if status else "absent"
        if status and is_own(status) and actual == mode:
            return
        self._note(name, (f"{self.path}/ ({actual})", f"{self.path}/ ({mode})"))
        if self.check:
            return
        if not there:
            self.path.mkdir(mode=0o755, parents=True)
        os.chown(self.path, os.geteuid(), os.getegid())
        self.path.chmod(int(mode, 8))

    def file(self, name: str, content: bytes, mode: str) -> None:
        """A file that holds `content`."""
        self.path = self.dest / name
        before, actual = state(self.path)
        if (before, actual) == (content, mode):
            return
        self._note(name, (f"{self.path} ({actual or 'absent'})", f"{self.path} ({mode})"), before or b"", content)
        if not self.check:
            write(self.path, content, mode)

    def copy(self, name: str, source: str) -> None:
        """A file like another one of the host's."""
        self.path = Path(source)
        if self.check and not self.path.exists():  # what would have made it was only checked, too
            self.changes.append(name)
        else:
            self.file(name, self.path.read_bytes(), "0644")

    def link(self, name: str, target: str) -> None:
        """A symbolic link to `target`."""
        self.path = self.dest / name
        before = str(self.path.readlink()) if self.path.is_symlink() else ""
        if before == target:
            return
        self._note(name, (f"{self.path} -> {before or 'absent'}", f"{self.path} -> {target}"))
        if self.check:
            return
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if before:
            self.path.unlink()
        self.path.symlink_to(target)

    def absent(self, name: str) -> None:
        """No file and no link."""
        self.path = self.dest / name
        if not os.path.lexists(self.path):
            return
        self._note(name, (str(self.path), "absent"))
        if not self.check:
            self.path.unlink()

    def _note(self, name: str, headers: tuple[str, str], before: bytes = b"", after: bytes = b"") -> None:
        """Remember a change, and the two texts to show of it."""
        self.changes.append(name)
        shown = [text.decode(errors="replace") for text in (before, after)]
        self.diff.append(
            {"before_header": headers[0], "after_header": headers[1], "before": shown[0], "after": shown[1]}
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "folders": {"type": "dict", "default": {}},
            "files": {"type": "list", "elements": "dict", "default": []},
            "copies": {"type": "dict", "default": {}},
            "links": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    tree = Tree(Path(given["dest"]), check=module.check_mode)
    os.umask(0o022)
    try:
        for name, mode in given["folders"].items():
            tree.folder(name, mode)
        for file in given["files"]:
            tree.file(file["path"], file["content"].encode("latin-1"), file["mode"])
        for name, source in given["copies"].items():
            tree.copy(name, source)
        for name, target in given["links"].items():
            tree.link(name, target)
        for name in given["absent"]:
            tree.absent(name)
    except OSError as error:
        message = f"{error.filename or tree.path}: {error.strerror}; mend that on the host and run this again"
        module.fail_json(msg=message, changed_files=tree.changes)
    shown = {"diff": tree.diff} if module._diff else {}
    module.exit_json(changed=bool(tree.changes), changed_files=tree.changes, **shown)


if __name__ == "__main__":
    main()
