#!/usr/bin/python
"""Ansible module: many small files, written in one call. The action of this name reads them on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Many small text files in one round trip
author: The provisioner authors (!UNKNOWN)
description:
  - Each file appears whole or not at all, and belongs to who runs this. Other files in the folder are left alone.
    Modes are as they are given, whatever the umask is; ACLs and other extended attributes of a file stay.
  - Links are followed, and stay. What a link out of its folder leads to is not changed. Where something else is in the
    way, it stays, and that is an error.
  - Where the task has C(diff) false, nothing of what the files hold comes back or is logged.
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
    description:
      - Path, below O(dest), and what a symbolic link there leads to; a convenience. Where something else is there, or
        nothing can be made there, that stays as it is and is a warning.
    type: dict
    default: {}
  absent:
    description: Files, as paths below O(dest), that are removed. What is no file is not ours, and is left.
    type: list
    elements: str
    default: []
  readable:
    description: Folders, as paths below O(dest), all of which everybody may read then.
    type: list
    elements: str
    default: []
  files:
    description: What the action makes of O(src) and O(texts). Not for playbooks.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: "Where it is, below O(dest).", type: str, required: true}
      content: {description: "What it holds, each byte as a character.", type: str, required: true}
      secret: {description: The same where nobody is to see it., type: str}
      mode: {description: Its mode., type: str, required: true}
"""

EXAMPLES = r"""
- name: Lay down the scenario
  provisioner.gpu_hosts.file_tree:
    src: xformers-devcontainer
    dest: /var/lib/provisioner/scenario_a/xformers-devcontainer
    texts: {benchmarking/scenario.env: "MAX_JOBS=8\n"}

- name: Have a command that people's shells find
  provisioner.gpu_hosts.file_tree:
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
import shutil
import stat
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import (
    LARGEST_OF_ALL,
    due_mode,
    is_foreign,
    locked,
    not_ours,
    obstacle,
    open_to_all,
    trouble,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import (
    content as read,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import RefusalError, refuse_if

FILE = {
    "path": {"type": "str", "required": True},
    "content": {"type": "str", "required": True},
    "secret": {"type": "str", "no_log": True},  # a content that nothing shows
    "mode": {"type": "str", "required": True},
}
OURS = 0o022
"""The umask here; a site may have given root another."""


def mode_of(status: os.stat_result) -> str:
    """Return the mode that `status` has, as it is written in playbooks: "0644"."""
    return f"{stat.S_IMODE(status.st_mode):04o}"


def is_own(status: os.stat_result) -> bool:
    """Return whether what `status` is of belongs to who runs this, and to their group."""
    return (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def write(path: Path, content: bytes, mode: int) -> None:
    """Put the file there at once; raise OSError and leave what was there."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
        if path.exists():
            shutil.copystat(path, part)  # ACL and label too
            os.utime(part)
        os.chown(part, os.geteuid(), os.getegid())  # a folder may give its files its own group
        Path(part).chmod(mode)
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
        self.left: list[str] = []

    def folder(self, name: str, mode: str) -> None:
        """Make a folder of mode `mode`, or keep a link to one."""
        self.path = self.dest / name
        refuse_if(obstacle(self.path, "directory"))
        there, due = self.path.exists(), int(mode, 8)
        if there:
            status, foreign = self.path.stat(), is_foreign(self.path)
            due = due_mode(self.path, status, due)
            if stat.S_IMODE(status.st_mode) == due and (is_own(status) or foreign):
                return
            refuse_if(not_ours(self.path) if foreign else "")
        actual = mode_of(self.path.stat()) if there else "absent"
        self._note(name, (f"{self.path}/ ({actual})", f"{self.path}/ ({due:04o})"))
        if self.check:
            return
        if not there:
            self.path.mkdir(mode=0o755, parents=True)
        os.chown(self.path, os.geteuid(), os.getegid())
        self.path.chmod(due)

    def file(self, name: str, content: bytes, mode: str) -> None:
        """Write a file that holds `content`, or keep a link to one."""
        self.path = self.dest / name
        refuse_if(obstacle(self.path, "file"))
        before, actual, due = None, "absent", int(mode, 8)
        if self.path.exists():
            status, foreign = self.path.stat(), is_foreign(self.path)
            before, actual, due = read(self.path, LARGEST_OF_ALL), mode_of(status), due_mode(self.path, status, due)
            if before == content and stat.S_IMODE(status.st_mode) == due and (is_own(status) or foreign):
                return
            refuse_if(not_ours(self.path) if foreign else "")
        self._note(name, (f"{self.path} ({actual})", f"{self.path} ({due:04o})"), before or b"", content)
        if not self.check:
            write(self.path.resolve(), content, due)

    def copy(self, name: str, source: str) -> None:
        """Write a file like another one of the host's."""
        self.path = Path(source)
        if self.check and not self.path.exists():  # what would have made it was only checked, too
            self.changes.append(name)
        else:
            self.file(name, read(self.path, LARGEST_OF_ALL), "0644")

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link to `target`, where one can be made."""
        self.path = self.dest / name
        if self.path.is_symlink() and str(self.path.readlink()) == target:
            return
        why = f"{self.path} is not ours, and stays" if os.path.lexists(self.path) else obstacle(self.path, "file")
        why = why or locked(self.path)
        if why:
            self.left.append(why)
            return
        self._note(name, (f"{self.path} -> absent", f"{self.path} -> {target}"))
        if self.check:
            return
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.path.symlink_to(target)
        except OSError as error:
            self.changes.pop()
            self.left.append(f"{self.path} cannot be made: {error.strerror}")

    def absent(self, name: str) -> None:
        """Remove a file; what is not a file stays."""
        self.path = self.dest / name
        if self.path.is_symlink() or not self.path.is_file():
            return
        self._note(name, (str(self.path), "absent"))
        if not self.check:
            self.path.unlink()

    def readable(self, name: str) -> None:
        """Have everybody read all of a folder."""
        self.path = self.dest / name
        if open_to_all(self.path, check=self.check):
            self._note(name, (f"{self.path}/ (closed to other users)", f"{self.path}/ (open to them)"))

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
            "src": {"type": "str"},  # these two are the action's
            "texts": {"type": "dict"},
            "folders": {"type": "dict", "default": {}},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
            "copies": {"type": "dict", "default": {}},
            "links": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
            "readable": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    tree = Tree(Path(given["dest"]), check=module.check_mode)
    os.umask(OURS)
    try:
        for name, mode in given["folders"].items():
            tree.folder(name, mode)
        for file in given["files"]:
            content = (file["secret"] or file["content"]).encode("latin-1")
            tree.file(file["path"], content, file["mode"])
        for name, source in given["copies"].items():
            tree.copy(name, source)
        for name, target in given["links"].items():
            tree.link(name, target)
        for name in given["absent"]:
            tree.absent(name)
        for name in given["readable"]:
            tree.readable(name)
    except RefusalError as error:
        module.fail_json(msg=str(error), changed_files=tree.changes)
    except OSError as error:
        module.fail_json(msg=trouble(tree.path, error), changed_files=tree.changes)
    for why in tree.left:
        module.warn(why)
    shown = {"diff": tree.diff} if module._diff else {}
    module.exit_json(changed=bool(tree.changes), changed_files=tree.changes, **shown)


if __name__ == "__main__":
    main()
