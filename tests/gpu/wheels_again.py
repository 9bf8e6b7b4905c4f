#!/usr/bin/env python3
"""Makes wheels again of what is installed, each with what it depends on, and an index of them for pip.

    wheels_again.py FOLDER PACKAGE...

Run it by the Python that has the packages. FOLDER/wheels gets the wheels, uncompressed, and FOLDER/simple the index
(PEP 503). Each wheel has the very files that the package's RECORD names, with their sums; scripts that pip makes itself
are left out, and so is what was compiled or noted when it was installed.
"""

import argparse
import csv
import io
import os
import re
import sysconfig
import zipfile
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import Distribution, distribution
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement

NOTED = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "uv_cache.json"}


def normal(name: str) -> str:
    """Return a package's name as an index has it."""
    return re.sub("[-_.]+", "-", name).lower()


def closure(names: list[str]) -> dict[str, Distribution]:
    """Return the packages and all that they depend on here, by their normal names."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name) for name in names]
    done = set()
    while waiting:
        wanted = waiting.pop()
        key = (normal(wanted.name), frozenset(wanted.extras))
        if key in done:
            continue
        done.add(key)
        package = found.setdefault(key[0], distribution(wanted.name))
        for text in package.requires or []:
            needed = Requirement(text)
            if any(not needed.marker or needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                waiting.append(needed)
    return found


def wheel_name(package: Distribution) -> str:
    """Return the file name of a package's wheel, by the tags that it was installed from."""
    lines = re.findall(r"^Tag: (\S+)$", package.read_text("WHEEL") or "", re.MULTILINE)
    parts = [".".join(dict.fromkeys(tag.split("-")[place] for tag in lines)) for place in range(3)]
    assert {"-".join(each) for each in product(*(part.split(".") for part in parts))} >= set(lines)
    return "-".join([_stem(package), *parts]) + ".whl"


def _stem(package: Distribution) -> str:
    return f"{re.sub('[-_.]+', '_', package.metadata['Name'])}-{package.version}"


def make(name: str, folder: Path) -> Path:
    """Write a package's wheel into a folder; return its path."""
    package = distribution(name)
    generated = {point.name for point in package.entry_points if point.group in ("console_scripts", "gui_scripts")}
    scripts, data = Path(sysconfig.get_path("scripts")), Path(sysconfig.get_path("data"))
    (info,) = {row[0].split("/")[0] for row in _record(package) if re.fullmatch(r"[^/]+\.dist-info/RECORD", row[0])}
    rows, path = [], folder / wheel_name(package)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for place, digest, size in _record(package):
            file = Path(os.path.normpath(str(package.locate_file(place))))
            noted = file.parent.name == info and file.name in NOTED
            if noted or file.suffix == ".pyc" or (file.parent == scripts and file.name in generated):
                continue
            inside = place
            if place.startswith("../"):
                kind, base = ("scripts", scripts) if file.parent == scripts else ("data", data)
                inside = f"{_stem(package)}.data/{kind}/{file.relative_to(base)}"
            wheel.write(file, inside)
            rows.append((inside, digest, size))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
        wheel.writestr(f"{info}/RECORD", text.getvalue())
    return path


def _record(package: Distribution) -> list[list[str]]:
    return [row for row in csv.reader((package.read_text("RECORD") or "").splitlines()) if len(row) == 3]


def index(folder: Path, wheels: list[Path]) -> None:
    """Write the index of wheels that lie below `folder`."""
    by_name: dict[str, list[Path]] = {}
    for wheel in wheels:
        by_name.setdefault(normal(wheel.name.split("-")[0]), []).append(wheel)
    for name, paths in by_name.items():
        page = folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        links = [f'<a href="/{path.relative_to(folder)}">{path.name}</a><br>' for path in sorted(paths)]
        page.write_text("<!DOCTYPE html><html><body>\n" + "\n".join(links) + "\n</body></html>\n")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Make wheels again of what is installed.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("packages", nargs="+")
    options = parser.parse_args()
    wheels = options.folder / "wheels"
    wheels.mkdir(parents=True)
    names = sorted(closure(options.packages))
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(make, names, [wheels] * len(names)))
    index(options.folder, made)
    print(f"{len(made)} wheels, {sum(path.stat().st_size for path in made) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
