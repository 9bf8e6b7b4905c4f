"""What a host lacks to compile xformers without a container, as JSON: one finding for each check.

    PYTHON native_checks.py [--output FILE] [ARCH_LIST]

PYTHON is the one whose torch is compiled for; ARCH_LIST is as torch writes it ("8.6;9.0+PTX"), empty for that of the
GPUs. What fails is told on stderr, too, with exit code 1. `provisioner doctor` runs this file on its hosts, and each
run does before it compiles. Standard library only, besides that torch.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path

OK, WARN, FAIL = "ok", "warn", "fail"
TOOLS = {"git": "git", "c++": "g++", "flock": "util-linux"}


def finding(check: str, outcome: str, detail: str, remedy: str = "") -> dict[str, str]:
    """One thing that was looked at, and how to mend it."""
    return {"check": check, "outcome": outcome, "detail": detail, "remedy": remedy}


def said(*command: str) -> tuple[int, str]:
    """Exit code and output of a command; 127 where it is not there, 124 where it hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return 124, ""
    except OSError as error:
        return 127, str(error)
    return done.returncode, (done.stdout + done.stderr).strip()


def tools() -> dict[str, str]:
    """Whether the programs are there that the clone and the compile call."""
    missing = [package for command, package in TOOLS.items() if not shutil.which(command)]
    if missing:
        return finding("tools", FAIL, f"missing: {', '.join(missing)}", f"install the packages {' '.join(missing)}")
    return finding("tools", OK, f"{', '.join(TOOLS)} are there")


def python() -> dict[str, str]:
    """Whether this Python can make an environment, and has what compiles an extension: its headers, and pip."""
    missing = [name for name in ("venv", "pip") if not importlib.util.find_spec(name)]
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append("Python.h")
    version = ".".join(map(str, sys.version_info[:3]))
    if missing:
        remedy = "install this Python's venv, pip and development files (python3-venv, python3-pip, python3-dev)"
        return finding("site python", FAIL, f"{sys.executable} {version} lacks {', '.join(missing)}", remedy)
    return finding("site python", OK, f"{sys.executable} {version}")


def torch_of_site() -> tuple[object | None, dict[str, str]]:
    """The site's torch, None where there is none that is built with CUDA; and what is to be said of it."""
    another = "install a CUDA build of torch for it, or name another Python by scenario_python"
    try:
        import torch
        import torch.utils.cpp_extension  # what finds the CUDA toolkit
    except Exception as error:  # a broken installation raises anything
        words = " ".join(str(error).split())
        return None, finding("torch", FAIL, f"{sys.executable} has no torch that works: {words}", another)
    if not torch.version.cuda:
        return None, finding("torch", FAIL, f"torch {torch.__version__} is built without CUDA", another)
    return torch, finding("torch", OK, f"torch {torch.__version__}, built with CUDA {torch.version.cuda}")


def nvcc_of(torch: object | None) -> tuple[str, str]:
    """The nvcc that the compile will call, as torch finds it, and its release ("13.0"); empty where there is none."""
    home = torch.utils.cpp_extension.CUDA_HOME if torch else os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    path = shutil.which("nvcc", path=f"{home}/bin") if home else None
    path = path or (None if torch else shutil.which("nvcc"))
    found = re.search(r"release (\d+\.\d+)", said(path, "--version")[1]) if path else None
    return (path, found[1]) if path and found else ("", "")


def toolkit(torch: object | None, nvcc: str, release: str) -> dict[str, str]:
    """Whether there is an nvcc, of the CUDA that torch was built with."""
    wanted = torch.version.cuda if torch else ""
    if not nvcc:
        version = wanted or "torch's version"
        remedy = f"install the CUDA toolkit, {version}, and name its folder by CUDA_HOME or /usr/local/cuda"
        return finding("nvcc", FAIL, "no nvcc", remedy)
    if wanted and wanted.partition(".")[0] != release.partition(".")[0]:
        detail = f"{nvcc} is of CUDA {release}, and torch is built with CUDA {wanted}"
        return finding("nvcc", FAIL, detail, f"install the CUDA toolkit {wanted}, or a torch built with CUDA {release}")
    return finding("nvcc", OK, f"{nvcc}, CUDA {release}")


def gpus() -> tuple[list[str], dict[str, str]]:
    """The GPUs' compute capabilities by the driver, and what is to be said of it."""
    code, answer = said("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
    found = re.findall(r"^\d+\.\d+$", answer, re.MULTILINE)
    if found:
        return found, finding("gpus", OK, f"compute capability {', '.join(sorted(set(found)))}")
    if "version mismatch" in answer.lower():
        detail = " ".join(answer.split())
        return [], finding("gpus", FAIL, detail, "driver and library are of different versions: restart the host")
    if code == 127:
        return [], finding("gpus", WARN, "no nvidia-smi", "without a GPU the attention test is skipped")
    detail = " ".join(answer.split()) or f"nvidia-smi ended with {code}"
    return [], finding("gpus", FAIL, detail, "mend the driver: `nvidia-smi` must answer")


def torch_sees(torch: object, capabilities: list[str]) -> dict[str, str] | None:
    """Whether torch can use the GPUs that the driver has; None where there are none to use."""
    if not capabilities:
        return None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        return finding("torch and driver", OK, f"torch sees {torch.cuda.device_count()} of {len(capabilities)} GPUs")
    why = " ".join(str(told[-1].message).split()) if told else "torch.cuda.is_available() is false"
    remedy = f"install a driver for CUDA {torch.version.cuda}, or a torch that is built for this driver's CUDA"
    return finding("torch and driver", FAIL, f"torch sees no GPU: {why}", remedy)


def architectures(nvcc: str, release: str, wanted: list[str]) -> dict[str, str]:
    """Whether this nvcc can build for each architecture, as nvcc lists them ("sm_90")."""
    known = re.findall(r"\bsm_(\d+)[af]?\b", said(nvcc, "--list-gpu-code")[1])
    beyond = [name for name in wanted if re.sub(r"[^\d]", "", name.partition("+")[0]) not in known]
    if beyond:
        builds = ", ".join(f"{name[:-1]}.{name[-1]}" for name in known) or "none that it lists"
        detail = f"nvcc {release} cannot build for {', '.join(beyond)}; it builds for {builds}"
        remedy = "install a CUDA toolkit that can, or name others by --arch-list"
        return finding("architectures", FAIL, detail, remedy)
    return finding("architectures", OK, f"nvcc {release} builds for {', '.join(wanted)}")


def findings(arch_list: str) -> list[dict[str, str]]:
    """Look at everything."""
    torch, of_torch = torch_of_site()
    nvcc, release = nvcc_of(torch)
    capabilities, of_gpus = gpus()
    found = [tools(), python(), of_torch, toolkit(torch, nvcc, release), of_gpus]
    if torch:
        found.append(torch_sees(torch, capabilities))
    wanted = arch_list.replace(";", " ").split() or sorted(set(capabilities))
    if nvcc and wanted:
        found.append(architectures(nvcc, release, wanted))
    return [each for each in found if each]


def main() -> int:
    """Print what was found; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arch_list", nargs="?", default="")
    parser.add_argument("--output", type=argparse.FileType("w", encoding="utf-8"), default=sys.stdout)
    options = parser.parse_args()
    found = findings(options.arch_list)
    print(json.dumps(found, indent=2), file=options.output, flush=True)
    failed = [each for each in found if each["outcome"] == FAIL]
    for each in failed:
        print(f"{each['detail']}; {each['remedy']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
