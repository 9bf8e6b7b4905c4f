"""What a log tells of what was measured, and on what; what it does not tell is unknown."""

from provisioner.runs.record import Inputs, Machine
from provisioner.upstream.log import Log

__all__ = ["inputs", "machine"]


def inputs(log: Log) -> Inputs:
    """Return the base image, torch, and what of xformers was compiled for what."""
    base = log.find(r"^#(\d+) \[.*\] FROM (?:docker\.io/)?([\w./-]+)(:[\w.-]+)?@(sha256:[0-9a-f]{64})")
    repository, tag, digest = (base[1][2], base[1][3] or "", base[1][4]) if base else ("", "", "")
    # The layers of an image that was there already are not unpacked.
    unpacked = log.find(rf"^(?:\[\S+\] )?#{base[1][1]} extracting ") if base else None
    return Inputs(
        base_image=f"{repository}{tag}" if base else None,
        base_image_digest=f"{repository}@{digest}" if base else None,
        base_image_present=False if unpacked else None,
        # With b and c it came with its image.
        torch=_text(log, r"^(?>.*?Successfully installed ).*\btorch-([\w.+]+)")
        or _text(log, r"^(?>.*?Requirement already satisfied: torch(?![\w-])\S* in ).*\(([\w.+]+)\)$"),
        xformers_url=_text(
            log, r"^(?>.*?\(time git clone ).*?(?<![^\s\"'])(https?://[^\s\"']+/xformers(?:\.git)?)(?=[\s\"')])"
        ),
        # Of what is installed from its sources: b and c install a wheel before, made from others.
        xformers_commit=_text(log, r"\bxformers==[\d.]+\+([0-9a-f]{7,40})\b\S* from file:"),
        arch_list=_text(
            log,
            r"^(?>.*?\(time )(?>.*?\bTORCH_CUDA_ARCH_LIST=[\"']?)([\w.;+ ]{1,200}?)[\"']? python3? .*pip3? install",
        ),
        max_jobs=None,
    )


def machine(log: Log) -> Machine:
    """Return the kernel, which is all that the log tells of the machine."""
    return Machine(kernel=_text(log, r"@devcontainers/cli \S+ Node\.js \S+ linux (\S+) "))


def _text(log: Log, pattern: str) -> str | None:
    found = log.find(pattern)
    return found[1][1] if found else None
