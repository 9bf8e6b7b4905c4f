"""Say in one line that the base image's nvcc cannot build for an architecture that is asked for, and exit with 1.

    base_image_cuda.py FILE ARCH_LIST

FILE has what the image's nvcc says of itself: `nvcc --version`, and each architecture that it builds for (sm_90a);
where it says nothing there is no nvcc, and nothing is said here. ARCH_LIST is as torch takes it ("8.6;9.0a+PTX").
Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REMEDY = "choose others by --arch-list, or a base image of another CUDA: scenario_base_image"


def refusal(said: str, arch_list: str) -> str:
    """Return why the image will not do, and the remedy; '' where nothing is known to be wrong."""
    known = re.findall(r"^sm_(\d+)(\d)([af]?)$", said, re.MULTILINE)
    wanted = re.findall(r"(?<![\d.])(\d+)\.(\d)([af]?)(?:\+PTX)?(?=[;\s]|$)", arch_list)
    beyond = [each for each in dict.fromkeys(wanted) if each not in known]
    if not known or not beyond:
        return ""
    release = re.search(r"release (\d+\.\d+)", said)
    cuda = f" of CUDA {release[1]}" if release else ""
    able = shown(sorted(set(known), key=lambda each: (int(each[0] + each[1]), each[2])))
    return f"the base image's nvcc{cuda} cannot build for {shown(beyond)}, it builds for {able}; {REMEDY}"


def shown(architectures: list[tuple[str, str, str]]) -> str:
    """Return architectures as torch writes them."""
    return ", ".join(f"{major}.{minor}{suffix}" for major, minor, suffix in architectures)


def main(file: str, arch_list: str) -> None:
    """Print the refusal and exit, where there is one."""
    sys.exit(refusal(Path(file).read_text(encoding="utf-8", errors="replace"), arch_list) or None)


if __name__ == "__main__":
    main(*sys.argv[1:])
