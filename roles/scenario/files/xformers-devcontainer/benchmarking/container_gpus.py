"""Say in one line that a container does not get the host's GPUs, or cannot use them, and exit with 1.

    container_gpus.py SAID HOST IMAGE

SAID has what `docker run --gpus all` of the base image said: the container's device files, its `nvidia-smi` and
`nvidia-smi -L`, and last `exit code N` of docker. HOST has the host's `nvidia-smi` and `nvidia-smi -L`, IMAGE the
image's `nvcc --version`, empty without one. Nothing is said where nothing is known to be wrong.
Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# By which failure_cause.py finds the line in the log.
MARK = "GPUs in containers: "
RESTART = "when its containers may stop"
# What docker says of a container that it cannot give GPUs: the cause, and the remedy; the surest first.
REFUSALS = (
    (
        r"could not select device driver",
        "the Docker engine cannot give a container GPUs (could not select device driver)",
        f"have `provisioner prepare` install NVIDIA's container toolkit, and restart the engine {RESTART}",
    ),
    (
        r"unsatisfied condition: (?P<what>cuda[^,\n]*)",
        "the driver is too old for the base image's CUDA, which asks for {what}",
        "upgrade the driver, or take a base image of an older CUDA: scenario_base_image",
    ),
    (
        r"(?P<what>[^:\n]*(?:driver not loaded|driver/library version mismatch|libnvidia-ml\.so[^:\n]*|nvml error"
        r"|driver rpc error|no such device|no cuda-capable device)[^\n]*)",
        "NVIDIA's container toolkit finds no driver ({what})",
        "have `nvidia-smi` work on the host, see what `nvidia-container-cli info` says there, and run again",
    ),
    (
        r"(?P<what>unresolvable CDI devices[^\n]*)",
        "the engine's description of the GPUs is not there or not of this driver ({what})",
        "`provisioner prepare` makes it anew (`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`)",
    ),
)
BY_HAND = "see what `docker run --rm --gpus all IMAGE nvidia-smi` says on the host, mend that, and run again"


def refusal(said: str, host: str, image: str) -> str:
    """Return why a container of the image cannot use the host's GPUs, and the remedy; '' where it seems to."""
    if not re.search(r"^exit code 0$", said, re.MULTILINE):
        return _of_docker(said)
    there, inside = _cards(host), _cards(said)
    if inside is not None and there is not None and inside < there:
        return (
            f"a container with --gpus all sees {inside} of the host's {there} GPUs; see what limits the engine "
            f"(NVIDIA_VISIBLE_DEVICES, the CDI specification, its runtime), and run again"
        )
    built, able = _cuda(r"release (\d+)\.(\d+)", image), _driver_cuda(said) or _driver_cuda(host)
    if built and able and built[0] > able[0]:
        return (
            f"the driver is too old for the base image's CUDA {_shown(built)}: it goes up to {_shown(able)}; upgrade "
            "the driver, or take a base image of an older CUDA: scenario_base_image"
        )
    return ""


def _of_docker(said: str) -> str:
    """Return what docker's words mean, where it started no container, or not to its end."""
    for pattern, why, remedy in REFUSALS:
        found = re.search(pattern, said, re.IGNORECASE)
        if found:
            return f"{' '.join(why.format(**found.groupdict()).split())}; {remedy}"
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("exit code ")]
    return f"a container cannot be started with --gpus all: {lines[-1] if lines else 'docker says nothing'}; {BY_HAND}"


def _cards(said: str) -> int | None:
    """Return how many GPUs are seen; None where that cannot be told, as under WSL without nvidia-smi."""
    listed = len(re.findall(r"^GPU \d+:", said, re.MULTILINE))
    if listed or "/dev/dxg" in said:
        return listed or None
    return len(re.findall(r"^/dev/nvidia\d+$", said, re.MULTILINE))


def _driver_cuda(said: str) -> tuple[int, int] | None:
    """Return the newest CUDA that a driver goes up to, as nvidia-smi has it; None where it does not tell."""
    return _cuda(r"CUDA (?:UMD )?Version:\s*(\d+)\.(\d+)", said)


def _cuda(pattern: str, text: str) -> tuple[int, int] | None:
    found = re.search(pattern, text)
    return (int(found[1]), int(found[2])) if found else None


def _shown(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def main(*files: str) -> None:
    """Print the refusal and exit, where there is one."""
    why = refusal(*(_text(Path(file)) for file in files))
    sys.exit(f"{MARK}{why}" if why else None)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


if __name__ == "__main__":
    main(*sys.argv[1:])
