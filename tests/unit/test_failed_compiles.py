"""Compiles that failed: the first error, and why with what mends it, not the last lines of pip's trailer.

The logs in data/failed_compiles are pip's own, of xformers 0.0.35 and of the short workload with torch 2.14.1 and CUDA
13.0: each was made to fail in the way that its name says, once for real. Lines are cut at 240 characters, and where a
log is long, its middle is out.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from provisioner.runs import first_error

DATA = Path(__file__).parent / "data/failed_compiles"
FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/failure_cause.py"
spec = importlib.util.spec_from_file_location("failure_cause", FILE)
failure_cause = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(failure_cause)

LOGS = {
    "code-error": ("attention.cpp:25:23: error: ", "attention.cpp:25; mend the fork"),
    "cuda-mismatch": ("RuntimeError: ('The detected CUDA version", "has CUDA 12.8, and torch is built with another"),
    "killed-cc1plus": ("Killed signal terminated program cc1plus", "killed a compiler (cc1plus) for lack of memory"),
    "killed-cicc": ("add2.o: Killed", "for lack of memory: lower --max-jobs (it was 8)"),
    "killed-nvcc": ("nvcc_info.o: Killed", "for lack of memory: lower --max-jobs (it was 8)"),
    "no-cuda-home": ("No such file or directory: 'nvcc'", "no nvcc in the image; take a base image with CUDA's"),
    "no-cutlass": ("RuntimeError: CUTLASS submodule not found", "has no third_party/cutlass; name one"),
    "no-header": ("gemm.cu:1:10: fatal error: cublas_v9.h", "a header is missing: cublas_v9.h; add the package"),
    "no-library": ("cannot find -lcudart2", "the linker finds no library cudart2; add the package"),
    "no-ninja": ("No such file or directory: 'ninja'", "no ninja in the image; add its package"),
    "no-torch": ("No module named 'torch'", "no module torch; add what brings it to scenario_python_packages"),
    "old-setuptools": ("missing the 'build_editable' hook", "setuptools in the image is too old"),
    "unknown-arch": ("nvcc fatal   : Unsupported gpu architecture", "cannot build for architecture 35; choose another"),
}


def cause(text, oom_kills=0):
    seen = failure_cause.Seen(
        text=text, exit_code=1, max_jobs="8", oom_kills=oom_kills, engine_lost=False, engine_answers=True, full=()
    )
    return failure_cause.cause(seen)


def test_each_log_is_one_of_these():
    assert {path.stem for path in DATA.iterdir()} == set(LOGS)


@pytest.mark.parametrize("name", LOGS)
def test_the_first_error_and_its_remedy(name):
    error, why = LOGS[name]
    text = (DATA / f"{name}.log").read_text()
    assert error in first_error.of_lines(text.splitlines())
    assert why in cause(text, oom_kills=name.startswith("killed"))


@pytest.mark.parametrize(
    ("said", "who"),
    [
        # As older compilers say it, in public reports.
        ("g++: internal compiler error: Killed (program cc1plus)", "a compiler (cc1plus)"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "a compiler (cc1plus)"),
        ("nvcc error   : 'cudafe++' died due to signal 9 (Kill signal)", "a compiler (cudafe++)"),
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "a compiler (cicc)"),
        ("nvcc error   : 'ptxas' died due to signal 9 (Kill signal)", "a compiler (ptxas)"),
        ("clang++: error: unable to execute command: Killed", "a compiler (clang++)"),
        ("subprocess.CalledProcessError: Command '['ninja']' died with <Signals.SIGKILL: 9>.", "a process"),
    ],
)
def test_what_was_killed_is_named_whatever_is_said_after_it(said, who):
    trailer = "  [7/13] nvcc -c x.cu -o x.o\n" * 20000 + "ninja: build stopped\nerror: subprocess-exited-with-error\n"
    assert cause(f"  FAILED: x.o\n  {said}\n{trailer}", oom_kills=1).startswith(
        f"the kernel killed {who} for lack of memory"
    )
    assert first_error.of_lines([said, *trailer.splitlines()]) == said


def test_times_commands_and_what_follows_are_no_first_error():
    lines = [
        "2026-11-29T18:40:04.070Z [2026-11-29T18:40:04.066Z] + git clone --recurse-submodules -- https://x/error: y",
        "[1/2] nvcc -Werror -c a.cu : error: no",
        "RuntimeError:",
        "   it is the first",
        "error: subprocess-exited-with-error",
    ]
    assert first_error.of_lines(lines) == "RuntimeError: it is the first"
    assert first_error.of_lines(["all is well"]) is None
