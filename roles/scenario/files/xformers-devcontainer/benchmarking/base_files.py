"""Print what is in an image, for the evidence: JSON, one object.

    base_files.py IMAGE [LABEL]

No program of the image is run, and nothing in it is believed but what other files there agree with: the engine gives
its files as an archive, and this host's Python reads and sums them. A container is created for that, with the label,
and never started. Packages are those of dpkg's database in the image, wheels those whose RECORD is there.
Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import posixpath
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator

# A library of this size is of no compiler; summing them all would take most of the time.
LARGEST = 100 * 1024**2
# So many paths of a kind are told, which is enough to judge by.
MOST = 100
# Folders in which CUDA's toolkit lies, however it came there.
TOOLKIT = re.compile(r"usr/local/cuda[^/]*(?=/)")
# Files that are read as they stand.
READ = re.compile(
    r"var/lib/dpkg/(?:info/[^/]+\.(?:list|md5sums)|diversions|status)|.*\.dist-info/RECORD|"
    r"etc/(?:apt/apt\.conf(?:\.d/[^/]+)?|dpkg/dpkg\.cfg(?:\.d/[^/]+)?)"
)
# What runs when any Python starts, and what tells pip where to look.
STARTS = re.compile(r".*/(?:[^/]+\.pth|(?:site|user)customize(?:\.py|\.pyc|/__init__\.py))")
PIP_CONFIG = re.compile(r"(?:.*/)?pip\.conf|.*\.pip/[^/]+|(?:.*/)?(?:\.pydistutils|setup)\.cfg|.*/uv\.toml")
# What Scenario A makes or fetches: nobody's package makes these right before the run.
READY = re.compile(
    r"(?:.*/)?(?:torch|torchvision|torchaudio|triton|xformers)(?:-[^/]*\.(?:dist|egg)-info(?:/.*)?|/.*)|.*xformers.*|"
    r"(?:.*/)?lib(?:torch|triton|c10)[^/]*\.so[^/]*"
)
OBJECT = re.compile(r".*\.(?:o|obj|cubin|fatbin|ptx|whl|ninja_log)")
# Settings that every shell or Python reads; dpkg keeps their sums apart from those of other files.
SETTINGS = re.compile(r"etc/(?:profile|bash\.bashrc|environment|python3[^/]*/sitecustomize\.py)")
# Where what is of no package is what a system writes for itself, and what the engine puts into containers.
WRITTEN = re.compile(
    r"(?:dev|proc|sys|run|tmp|var)/.*|\.dockerenv|etc/(?!profile\.d/).*|root/\.(?:bashrc|profile)|"
    r"usr/share/(?:info/dir|mime/.*|fonts/.*|icons/.*)|usr/lib/locale/locale-archive|.*/__pycache__/[^/]+\.pyc|"
    r"usr/lib/[^/]+/(?:gconv/gconv-modules\.cache|gio/modules/giomodule\.cache)"
)
# What apt and dpkg run when they install something.
HOOK = re.compile(
    r"(?:-Invoke(?:-Success)?|Install-Pkgs)\b[^\"{;]*(\{[^}]*\}|\"[^\"]*\")|^\s*((?:pre|post|status)-[a-z]+=.*)$",
    re.MULTILINE,
)


class Files:
    """The files of a tree as it is read: their sums, where links lead, and the text of those that are read."""

    def __init__(self) -> None:
        self.md5: dict[str, str] = {}
        self.sha256: dict[str, str] = {}
        self.objects: set[str] = set()
        self.links: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def read(self, archive: tarfile.TarFile) -> None:
        """Read the whole archive, once, from its beginning to its end."""
        for member in archive:
            path = member.name.removeprefix("./").rstrip("/")
            if member.issym():
                self.links[path] = member.linkname
            elif member.islnk():
                self._same(path, member.linkname.removeprefix("./"))
            elif member.isfile():
                self._sum(path, archive.extractfile(member), member.size)

    def _same(self, path: str, other: str) -> None:
        for sums in (self.md5, self.sha256):
            if other in sums:
                sums[path] = sums[other]
        if other in self.objects:
            self.objects.add(path)

    def _sum(self, path: str, file: object, size: int) -> None:
        if size > LARGEST:
            self.md5[path] = self.sha256[path] = ""
            return
        md5, sha256, kept, start = hashlib.md5(usedforsecurity=False), hashlib.sha256(), [], b""  # md5: dpkg's own
        for piece in iter(lambda: file.read(1 << 20), b""):
            start = start or piece[:20]
            md5.update(piece)
            sha256.update(piece)
            if READ.fullmatch(path):
                kept.append(piece)
        self.md5[path], self.sha256[path] = md5.hexdigest(), sha256.hexdigest()
        if start[:4] == b"\x7fELF" and start[16:18] in {b"\x01\x00", b"\x00\x01"}:  # relocatable: an object
            self.objects.add(path)
        if kept:
            self.texts[path] = b"".join(kept).decode("utf-8", errors="replace")

    def real(self, path: str) -> str:
        """Return where a path leads, through the links of its folders: /bin is /usr/bin."""
        path = posixpath.normpath(path.lstrip("/"))
        for _unused in range(40):
            parts = path.split("/")
            folders = ("/".join(parts[:end]) for end in range(1, len(parts)))
            link = next((folder for folder in folders if folder in self.links), None)
            if link is None:
                break
            there = posixpath.join("/", posixpath.dirname(link), self.links[link])
            path = posixpath.normpath(there + path[len(link) :]).lstrip("/")
        return path


def packages(files: Files) -> tuple[set[str], list[str], int]:
    """Return what dpkg's packages have, which of that is not as they have it, and how many there are."""
    owned: set[str] = set()
    altered: list[str] = []
    lines = files.texts.get("var/lib/dpkg/diversions", "").splitlines()
    diverted = {files.real(was): (files.real(now), owner) for was, now, owner in zip(*[iter(lines)] * 3)}  # noqa: B905
    lists = {name: text for name, text in files.texts.items() if name.endswith(".list")}
    for name, text in lists.items():
        package = posixpath.basename(name)[: -len(".list")].partition(":")[0]
        sums = files.texts.get(f"{name[: -len('.list')]}.md5sums", "").splitlines()
        wanted = {files.real(path): sum_ for sum_, _unused, path in (line.partition("  ") for line in sums)}
        for path in map(files.real, text.splitlines()):
            place, by = diverted.get(path, (path, package))
            place = path if by == package else place
            owned.add(place)
            if path in wanted and files.md5.get(place, "") not in {"", wanted[path]}:
                altered.append(place)
    status = files.texts.get("var/lib/dpkg/status", "")
    for path, wanted_sum in re.findall(r"^ /(\S+) ([0-9a-f]{32})$", status, re.MULTILINE):
        if SETTINGS.fullmatch(path) and files.md5.get(path, wanted_sum) != wanted_sum:
            altered.append(path)
    return owned, altered, len(lists)


def wheels(files: Files) -> tuple[set[str], list[str]]:
    """Return what Python's wheels have, as their RECORD says, and which of that is not as it says."""
    recorded: set[str] = set()
    altered: list[str] = []
    for name, text in files.texts.items():
        if not name.endswith("RECORD"):
            continue
        folder = posixpath.dirname(posixpath.dirname(name))
        for row in csv.reader(text.splitlines()):
            path = files.real(posixpath.join(folder, row[0])) if row else ""
            if len(row) > 1 and row[1].startswith("sha256="):
                digest = files.sha256.get(path)
                same = digest == "" or (digest and in_record(digest) == row[1])
                (recorded.add if same else altered.append)(path)
            elif path in files.md5 and posixpath.dirname(path) == posixpath.dirname(name):
                recorded.add(path)  # RECORD itself, and what pip writes beside it
    return recorded, [path for path in altered if path in files.md5]


def in_record(digest: str) -> str:
    """Return a SHA-256, given in hex, as a wheel's RECORD has it."""
    return f"sha256={base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip('=')}"


def toolkits(files: Files) -> dict[str, dict]:
    """Return each toolkit's number of files and the SHA-256 of their sums, as sha256sum prints them, in order."""
    trees: dict[str, dict[str, str]] = {}
    for path, digest in files.sha256.items():
        found = TOOLKIT.match(path)
        if found:
            trees.setdefault(found[0], {})[path[found.end() + 1 :]] = digest
    return {f"/{root}": {"files": len(tree), "sha256": tree_sum(tree)} for root, tree in sorted(trees.items())}


def tree_sum(tree: dict[str, str]) -> str:
    """Return the one sum of a tree's files, of their sums by path; of the largest files only the path counts."""
    lines = (f"{digest or '-'}  {path}\n" for path, digest in sorted(tree.items()))
    return hashlib.sha256("".join(lines).encode("utf-8", errors="surrogateescape")).hexdigest()


def hooks(files: Files, owned: set[str]) -> list[str]:
    """Return what apt and dpkg are told to run by settings that no package brings."""
    texts = (text for path, text in files.texts.items() if path.startswith("etc/") and path not in owned)
    blocks = (block or line for text in texts for block, line in HOOK.findall(text))
    commands = (command for block in blocks for command in re.findall(r'"([^"]*)"', block) or [block])
    return sorted(set(commands))[:MOST]


def told(paths: Iterable[str]) -> list[str]:
    """Return paths as the evidence has them, the first of them."""
    return [f"/{path}" for path in sorted(set(paths))[:MOST]]


def facts(files: Files) -> dict:
    """Return what the audit asks of a base."""
    owned, altered, count = packages(files)
    recorded, altered_wheels = wheels(files)
    vouched = owned | recorded
    loose = [path for path in files.md5 if files.real(path) not in vouched and not WRITTEN.fullmatch(path)]
    return {
        "files": len(files.md5),
        "sha256": tree_sum(files.sha256),
        "packages": count,
        "altered": told([*altered, *(path for path in altered_wheels if path not in owned)]),
        "loose": told(path for path in loose if not TOOLKIT.match(path)),
        **meddling(files, loose, vouched),
        "hooks": hooks(files, owned),
        "toolkits": toolkits(files),
        "tools": {f"/{path}": files.sha256[path] for path in sorted(tools(files))},
    }


def meddling(files: Files, loose: list[str], vouched: set[str]) -> dict[str, list[str]]:
    """Return what is ready, and what would meddle with programs; `loose` files are of no package and no wheel."""
    places = [*files.md5, *files.links]
    return {
        "ready": told(
            [path for path in places if READY.fullmatch(path)]
            + [path for path in loose if OBJECT.fullmatch(path)]
            + [path for path in files.objects if files.real(path) not in vouched]
        ),
        "starts": told(path for path in places if STARTS.fullmatch(path) and leads_to(files, path) not in vouched),
        "pip_config": told(path for path in places if PIP_CONFIG.fullmatch(path) and files.real(path) not in vouched),
        "preloaded": told(path for path in places if path == "etc/ld.so.preload"),
    }


def leads_to(files: Files, path: str) -> str:
    """Return the file that a path is, through the link that it may be itself."""
    path = files.real(path)
    return files.real(posixpath.join("/", posixpath.dirname(path), files.links[path])) if path in files.links else path


def tools(files: Files) -> Iterator[str]:
    """Yield the toolkits' programs, each of which has a sum of its own."""
    for path in files.sha256:
        if TOOLKIT.match(path) and posixpath.basename(posixpath.dirname(path)) == "bin":
            yield path


def output(*command: str) -> str:
    """Return what a command prints, stripped. Raise CalledProcessError where it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(image: str, label: str = "") -> int:
    """Print the facts of the image."""
    options = ["--label", label] if label else []
    container = output("docker", "container", "create", "--network", "none", *options, image, "true")
    files = Files()
    try:
        with subprocess.Popen(["docker", "container", "export", container], stdout=subprocess.PIPE) as export:
            with tarfile.open(fileobj=export.stdout, mode="r|", errors="surrogateescape") as archive:
                files.read(archive)
            export.stdout.read()
        if export.returncode:
            raise subprocess.CalledProcessError(export.returncode, "docker container export")
    finally:
        output("docker", "container", "rm", "--force", "--volumes", container)
    made = {"image": output("docker", "image", "inspect", "--format", "{{.Id}}", image)}
    print(json.dumps(made | facts(files), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
