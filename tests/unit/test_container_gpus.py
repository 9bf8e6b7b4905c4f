"""What is said of a container that does not get the host's GPUs, by the words that docker and NVIDIA's tools have."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/container_gpus.py"
SPEC = importlib.util.spec_from_file_location("container_gpus", FILE)
container_gpus = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(container_gpus)

HEADER = "| NVIDIA-SMI 580.159.04   Driver Version: 580.159.04   CUDA Version: {cuda}     |\n"
NVCC = "Cuda compilation tools, release {cuda}, V{cuda}.88\n"
DOCKER = "docker: Error response from daemon: "
HOOK = "failed to create task for container: OCI runtime create failed: nvidia-container-cli: "


def smi(cards, cuda="13.0"):
    listed = "".join(f"GPU {number}: NVIDIA H200 (UUID: GPU-{number})\n" for number in range(cards))
    return HEADER.format(cuda=cuda) + listed


def inside(cards, cuda="13.0"):
    devices = "".join(f"/dev/nvidia{number}\n" for number in range(cards))
    return f"{devices}{smi(cards, cuda)}exit code 0\n"


@pytest.mark.parametrize(
    ("said", "host", "image"),
    [
        (inside(4), smi(4), NVCC.format(cuda="13.0")),
        (inside(1), smi(1), ""),
        # Minor versions of one CUDA go together; and compatibility packages in the image bring a newer one.
        (inside(1, "12.2"), smi(1, "12.2"), NVCC.format(cuda="12.8")),
        (inside(1, "13.0"), smi(1, "12.8"), NVCC.format(cuda="13.0")),
        # No nvidia-smi in the image: its devices tell. Under WSL there are none.
        ("/dev/nvidia0\n/dev/nvidia1\nsh: 1: nvidia-smi: not found\nexit code 0\n", smi(2), ""),
        ("/dev/dxg\nsh: 1: nvidia-smi: not found\nexit code 0\n", smi(1), ""),
    ],
)
def test_a_container_that_gets_them_is_no_trouble(said, host, image):
    assert container_gpus.refusal(said, host, image) == ""


@pytest.mark.parametrize(
    ("said", "why", "remedy"),
    [
        (
            f'{DOCKER}could not select device driver "" with capabilities: [[gpu]].',
            "the Docker engine cannot give a container GPUs (could not select device driver)",
            "have `provisioner prepare` install",
        ),
        (
            f"{DOCKER}{HOOK}initialization error: nvml error: driver not loaded: unknown.",
            "NVIDIA's container toolkit finds no driver (",
            "have `nvidia-smi` work on the host",
        ),
        (
            f"{DOCKER}{HOOK}initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object",
            "NVIDIA's container toolkit finds no driver (",
            "have `nvidia-smi` work",
        ),
        (
            f"{DOCKER}{HOOK}requirement error: unsatisfied condition: cuda>=13.0, please update your driver",
            "the driver is too old for the base image's CUDA, which asks for cuda>=13.0",
            "upgrade the driver, or take",
        ),
        (
            f"{DOCKER}CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all",
            "the engine's description of the GPUs is not there",
            "`provisioner prepare` makes it anew",
        ),
        (f"{DOCKER}it is Tuesday.", f"a container cannot be started with --gpus all: {DOCKER}it is Tuesday.", "see"),
        ("", "a container cannot be started with --gpus all: docker says nothing", "see what"),
    ],
)
def test_what_docker_says_is_told_with_what_mends_it(said, why, remedy):
    told = container_gpus.refusal(f"{said}\nexit code 125\n", smi(1), "")
    assert "\n" not in told
    assert told.startswith(why) and told.partition("; ")[2].startswith(remedy), told


@pytest.mark.parametrize("said", [inside(3), "/dev/nvidia0\nexit code 0\n", "exit code 0\n"])
def test_a_container_that_sees_fewer_than_the_host_is_told(said):
    told = container_gpus.refusal(said, smi(4), "")
    assert told.startswith("a container with --gpus all sees ") and " of the host's 4 GPUs; see what limits" in told


def test_a_driver_too_old_for_the_image_s_cuda_is_told():
    told = container_gpus.refusal(inside(1, "12.8"), smi(1, "12.8"), NVCC.format(cuda="13.0"))
    assert told == (
        "the driver is too old for the base image's CUDA 13.0: it goes up to 12.8; upgrade the driver, or take a base "
        "image of an older CUDA: scenario_base_image"
    )


def test_the_program_says_it_in_one_line_with_the_mark_by_which_the_cause_is_found(tmp_path):
    for name, text in {"said": "exit code 1\n", "host": smi(1), "image": ""}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as ended:
        container_gpus.main(*(str(tmp_path / name) for name in ("said", "host", "image")))
    assert str(ended.value.code).startswith("GPUs in containers: a container cannot be started")
    (tmp_path / "said").write_text(inside(1))
    with pytest.raises(SystemExit) as ended:
        container_gpus.main(*(str(tmp_path / name) for name in ("said", "host", "none")))
    assert ended.value.code is None
