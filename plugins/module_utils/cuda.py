"""Whether architectures, GPUs, driver, the base image's CUDA and torch's go together, before anything is there.

CUDA's version is taken from names, and what that means from a table. What is not known is not guessed: then nothing is
said. Once the image is there each run asks it itself (benchmarking/base_image_cuda.py). Used on hosts and on the
controller: standard library and Python 3.9 only, and nothing of Ansible's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Misfit(NamedTuple):
    """Something that does not go together, and what mends it."""

    outcome: str
    """`fail`, or `warn` where it may go well."""
    detail: str
    remedy: str


class Gpus(NamedTuple):
    """What is known of a host's GPUs; each empty where it is not."""

    capabilities: Sequence[str] = ()
    """Their compute capabilities, "9.0": what is compiled for where nothing else is asked for."""
    driver: str = ""
    """The version of the driver that a run will find."""
    cards: Sequence[str] = ()
    """Their names."""


UNKNOWN = Gpus()


class Toolkit(NamedTuple):
    """A version of CUDA."""

    architectures: str
    """What its nvcc builds for, as in sm_90a, without the `sm_`."""
    driver: str
    """The driver that its first release came with; '' where that is not known."""


# Architectures: what ptxas, the assembler of nvcc, says by `ptxas --help` in the wheels that NVIDIA publishes of each
# version's first release (of 11.8 there is one only). In those from 13.0 on there is nvcc as well, and what it says by
# `nvcc --list-gpu-code` is the same. There is no CUDA 12.7.
#   https://pypi.org/project/nvidia-cuda-nvcc-cu11/ 11.8.89
#   https://pypi.org/project/nvidia-cuda-nvcc-cu12/ 12.0.76 12.1.66 12.2.91 12.3.52 12.4.99 12.5.40 12.6.20 12.8.61
#                                                   12.9.41
#   https://pypi.org/project/nvidia-cuda-nvcc/      13.0.48 13.1.80 13.2.51 13.3.33 13.4.59 13.5.37
_11_8 = "35 37 50 52 53 60 61 62 70 72 75 80 86 87 89 90"
_12_0 = "50 52 53 60 61 62 70 72 75 80 86 87 89 90 90a"
_12_8 = f"{_12_0} 100 100a 101 101a 120 120a"
_12_9 = f"{_12_8} 100f 101f 103 103a 103f 120f 121 121a 121f"
_13_0 = "75 80 86 87 88 89 90 90a 100 100a 100f 103 103a 103f 110 110a 110f 120 120a 120f 121 121a 121f"
_13_4 = f"{_13_0} 107 107a 107f"
# Drivers: "CUDA Toolkit and Corresponding Driver Versions" in the release notes, the rows GA for Linux x86_64. For 13.4
# and 13.5 none was found.
#   https://docs.nvidia.com/cuda/archive/13.2.1/cuda-toolkit-release-notes/index.html (up to 13.2)
#   https://docs.nvidia.com/cuda/archive/13.3.0/cuda-toolkit-release-notes/index.html (13.3)
TOOLKITS = {
    "11.8": Toolkit(_11_8, "520.61.05"),
    "12.0": Toolkit(_12_0, "525.60.13"),
    "12.1": Toolkit(_12_0, "530.30.02"),
    "12.2": Toolkit(_12_0, "535.54.03"),
    "12.3": Toolkit(_12_0, "545.23.06"),
    "12.4": Toolkit(_12_0, "550.54.14"),
    "12.5": Toolkit(_12_0, "555.42.02"),
    "12.6": Toolkit(_12_0, "560.28.03"),
    "12.8": Toolkit(_12_8, "570.26"),
    "12.9": Toolkit(_12_9, "575.51.03"),
    "13.0": Toolkit(_13_0, "580.65.06"),
    "13.1": Toolkit(_13_0, "590.44.01"),
    "13.2": Toolkit(_13_0, "595.45.04"),
    "13.3": Toolkit(_13_0, "610.43.02"),
    "13.4": Toolkit(_13_4, ""),
    "13.5": Toolkit(_13_4, ""),
}
LEAST_DRIVER = {"11": "450.80.02", "12": "525.60.13", "13": "580"}
"""By CUDA's major version, the oldest driver for what is built with any of its minor versions.

https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html has 450.80.02, 525 and 580; 525.60.13
is in https://docs.nvidia.com/cuda/archive/12.1.0/cuda-toolkit-release-notes/index.html, and is CUDA 12.0's own.
"""
FORWARD = {"12.8": (470, 535, 550, 560, 565), "13.0": (535, 550, 565, 570, 575)}
"""Driver branches with which NVIDIA's image starts though they are older: NVIDIA_REQUIRE_CUDA in the image's settings.

It has CUDA's forward compatibility in it, for data-centre cards and some workstation cards:
https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html. Of other versions the list is not known.
"""
CONSUMER = re.compile(r"\b(GeForce|TITAN)\b", re.IGNORECASE)
"""Cards of brands that NVIDIA_REQUIRE_CUDA does not name: with these the image wants a driver that knows its CUDA."""

NAMED = {
    "Kepler+Tesla": "3.7",
    "Kepler": "3.5+PTX",
    "Maxwell+Tegra": "5.3",
    "Maxwell": "5.0;5.2+PTX",
    "Pascal": "6.0;6.1+PTX",
    "Volta+Tegra": "7.2",
    "Volta": "7.0+PTX",
    "Turing": "7.5+PTX",
    "Ampere+Tegra": "8.7",
    "Ampere": "8.0;8.6+PTX",
    "Ada": "8.9+PTX",
    "Hopper": "9.0+PTX",
    "Blackwell+Tegra": "11.0",
    "Blackwell": "10.0;10.3;12.0;12.1+PTX",
}
"""What torch takes by name: https://github.com/pytorch/pytorch/blob/main/torch/utils/cpp_extension.py, named_arches."""
RENAMED = {"101": "11.0"}
"""Architectures of CUDA 12 that no GPU has: they were given another number (Thor's, by CUDA 13.0)."""

IMAGE = re.compile(r"(?:^|/)(?P<owner>nvidia|provisioner)/cuda:(?P<cuda>\d+\.\d+)(?![\d])")
"""Images whose tag is CUDA's version: NVIDIA's, wherever they are mirrored, and those that role local_sources makes."""
BUILT_WITH = re.compile(r"cu(\d+)(\d)")
"""How torch's packages and indexes name the CUDA that they are built with: cu128."""
ARCHITECTURE = re.compile(r"(\d+)\.(\d)([af]?)(?:\+PTX)?")

IN_IMAGE, IN_TORCH = "in scenario_base_image", "in scenario_python_packages"


# --- what is known ---


def of_image(name: str) -> str:
    """Return the version of CUDA that an image has by its name, "12.8"; '' where the name does not say."""
    found = IMAGE.search(name)
    return found["cuda"] if found else ""


def of_torch(pip_calls: Iterable[Sequence[str]]) -> str:
    """Return the version of CUDA that torch is built with, by the arguments of calls of pip; '' where they do not say.

    They say so in the version (`torch==2.11.0+cu128`), or by an only index for that (`--index-url .../whl/cu128`).
    """
    found = {_of_call([str(word) for word in call]) for call in pip_calls} - {None}
    return (found.pop() or "") if len(found) == 1 else ""


def _of_call(words: list[str]) -> str | None:
    """Return the same for one call; None where it does not name torch."""
    torch = next((word for word in words if re.match(r"torch(?![\w.-])", word)), None)
    if torch is None:
        return None
    text = " ".join(words)
    index = re.search(r"(?:^| )(?:--index-url|-i)[= ](\S+)", text)
    only = index[1].rstrip("/") if index and "--extra-index-url" not in text else ""
    found = re.search(rf"(?:\+|%2B){BUILT_WITH.pattern}(?!\d)", torch) or re.search(rf"/{BUILT_WITH.pattern}$", only)
    return f"{found[1]}.{found[2]}" if found else ""


def architectures(text: str) -> list[str]:
    """Return the architectures in a list as torch takes it, "8.0;9.0a+PTX", each as nvcc calls it: 80, 90a."""
    return ["".join(found.groups()) for found in map(ARCHITECTURE.fullmatch, re.split(r"[;\s]+", text)) if found]


def numbers(text: str) -> str:
    """Return a list of architectures with torch's names for some as numbers: "Hopper;8.0" is 9.0+PTX;8.0."""
    return ";".join(NAMED.get(word, word) for word in re.split(r"[;\s]+", text) if word)


# --- what does not go together ---


def misfits(image: str, arch_list: str, pip_calls: Iterable[Sequence[str]], gpus: Gpus = UNKNOWN) -> list[Misfit]:
    """Return what does not go together, the surest first; empty where nothing is known to be wrong."""
    wanted = numbers(arch_list)
    cuda = of_image(image)
    if not cuda:
        return list(_of_no_gpu(wanted))
    found = [
        *_of_no_gpu(wanted),
        *_torch(image, cuda, of_torch(pip_calls)),
        *_architectures(image, cuda, wanted, gpus.capabilities),
        *_driver(image, cuda, gpus),
    ]
    return sorted(found, key=lambda each: each.outcome != "fail")


def _torch(image: str, cuda: str, built_with: str) -> Iterator[Misfit]:
    """Yield where torch's CUDA has another major version: it builds no extensions then. Of a minor one it warns itself.

    https://github.com/pytorch/pytorch/blob/main/torch/utils/cpp_extension.py, _check_cuda_version
    """
    if built_with and _major(built_with) != _major(cuda):
        yield Misfit(
            "fail",
            f"the base image {image} has CUDA {cuda}, and torch is built with CUDA {built_with}: it compiles with no "
            "other major version",
            f"name a torch of CUDA {_major(cuda)} {IN_TORCH}, or an image of CUDA {_major(built_with)} {IN_IMAGE}",
        )


def _of_no_gpu(arch_list: str) -> Iterator[Misfit]:
    for each in dict.fromkeys(re.sub(r"[af]$", "", found) for found in architectures(arch_list)):
        if each in RENAMED:
            yield Misfit(
                "fail",
                f"no GPU has the compute capability {_shown([each])}",
                f"name {RENAMED[each]} by --arch-list (scenario_arch_list), which it is called now",
            )


def _architectures(image: str, cuda: str, arch_list: str, capabilities: Sequence[str]) -> Iterator[Misfit]:
    known = _built_by(cuda)
    wanted = architectures(arch_list or " ".join(capabilities))
    beyond = [each for each in dict.fromkeys(wanted) if known and each not in known]
    if beyond:
        able = [version for version in TOOLKITS if set(wanted) <= set(_built_by(version))]
        others = f", or an image of CUDA {_span(able)} {IN_IMAGE}" if able else ""
        whose = "" if arch_list else ", which this host's GPUs are"
        yield Misfit(
            "fail",
            f"the base image {image} has CUDA {cuda}, which cannot build for {_shown(beyond)}{whose}",
            f"name some of {_shown(known)} by --arch-list (scenario_arch_list){others}",
        )


def _driver(image: str, cuda: str, gpus: Gpus) -> Iterator[Misfit]:
    driver, least, own = (
        gpus.driver,
        LEAST_DRIVER.get(_major(cuda), ""),
        TOOLKITS[cuda].driver if cuda in TOOLKITS else "",
    )
    if not least or not re.match(r"\d+\.\d", driver):
        return
    nvidias = (IMAGE.search(image) or {"owner": ""})["owner"] == "nvidia"
    if _older(driver, least) and not (nvidias and _goes_forward(cuda, gpus)):
        able = [version for version in TOOLKITS if not _older(driver, LEAST_DRIVER[_major(version)])]
        others = f", or name an image of CUDA {_span(able)} {IN_IMAGE} and a torch for it {IN_TORCH}" if able else ""
        yield Misfit(
            "fail",
            f"driver {driver} is too old for CUDA {cuda}, which the base image {image} has: it needs {least} or newer",
            f"upgrade the driver{others}",
        )
    elif _older(driver, own or least):
        named = "cards and driver branches that its NVIDIA_REQUIRE_CUDA names, GeForce not among them"
        yield Misfit(
            "warn",
            f"driver {driver} is older than that of CUDA {cuda}, {own or least}, which the base image {image} has: "
            + (f"it starts only with the {named}" if nvidias else "not all that this CUDA can do works with it"),
            f"upgrade the driver where a run fails by it, or name an image of an older CUDA {IN_IMAGE}",
        )


def _goes_forward(cuda: str, gpus: Gpus) -> bool:
    """Return whether NVIDIA's image may start with a driver of an older major version, for all that is known."""
    branches = FORWARD.get(cuda)
    listed = branches is None or _major(gpus.driver) in map(str, branches)
    return listed and not any(map(CONSUMER.search, gpus.cards))


# --- words ---


def _major(version: str) -> str:
    return version.partition(".")[0]


def _older(version: str, than: str) -> bool:
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _built_by(cuda: str) -> list[str]:
    return TOOLKITS[cuda].architectures.split() if cuda in TOOLKITS else []


def _shown(found: Iterable[str]) -> str:
    """Return architectures as torch writes them: 9.0a."""
    return ", ".join(re.sub(r"(\d)([af]?)$", r".\1\2", each) for each in found)


def _span(versions: list[str]) -> str:
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
