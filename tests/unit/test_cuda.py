"""Whether architectures, GPUs, driver, the image's CUDA and torch's go together, by names and a table."""

import json
from pathlib import Path

import ansible_forked
import pytest
import yaml

from ansible_collections.provisioner.gpu_hosts.plugins.lookup import cuda_misfit
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import cuda, nvidia

ROOT = Path(__file__).parents[2]
SEED = "nvidia/cuda:12.8.0-devel-ubuntu22.04"
CU128 = [
    ["--upgrade", "pip"],
    ["torch", "torchvision", "torchaudio", "--index-url", "https://download.pytorch.org/whl/cu128", "triton"],
    ["setuptools==80.9.0", "wheel==0.48.0"],
]


@pytest.mark.parametrize(
    ("image", "version"),
    [
        (SEED, "12.8"),
        ("nvidia/cuda:12.8.0-devel-ubuntu22.04@sha256:" + "0" * 64, "12.8"),
        ("nvidia/cuda:13.0.1-cudnn-devel-ubuntu24.04", "13.0"),
        ("nvcr.io/nvidia/cuda:11.8.0-devel-ubi8", "11.8"),
        ("docker.io/nvidia/cuda:12.4.1-devel-rockylinux9", "12.4"),
        ("registry.site:5000/mirror/nvidia/cuda:12.6.3-devel-ubuntu22.04", "12.6"),
        ("provisioner/cuda:13.0-devel", "13.0"),
        ("", ""),
        ("nvidia/cuda", ""),
        ("nvidia/cuda:latest", ""),
        ("nvidia/cuda@sha256:" + "12" * 32, ""),
        ("registry.site:12.8/x/cuda", ""),
        ("someone/cuda:12.8", ""),
        ("notnvidia/cuda:12.8", ""),
        ("nvcr.io/nvidia/pytorch:25.01-py3", ""),
        ("ubuntu:22.04", ""),
        ("provisioner/short:1", ""),
    ],
)
def test_the_cuda_of_an_image_is_what_its_name_says_and_never_a_guess(image, version):
    assert cuda.of_image(image) == version


@pytest.mark.parametrize(
    ("calls", "version"),
    [
        (CU128, "12.8"),
        ([["torch", "-i", "https://mirror.site/pytorch/whl/cu118/"]], "11.8"),
        ([["torch==2.14.1", "--index-url=https://download.pytorch.org/whl/nightly/cu130"]], "13.0"),
        ([["torch==2.11.0+cu128"]], "12.8"),
        ([["torch==2.11.0+cu126", "--extra-index-url", "https://download.pytorch.org/whl/cu126"]], "12.6"),
        ([["torch @ https://mirror.site/torch-2.11.0%2Bcu128-cp310-cp310-linux_x86_64.whl"]], "12.8"),
        ([["torch==2.14.1", "torchvision==0.29.1", "triton"]], ""),  # PyPI's
        ([["torch", "--extra-index-url", "https://download.pytorch.org/whl/cu128"]], ""),
        ([["torch", "--index-url", "https://download.pytorch.org/whl/cpu"]], ""),
        ([["torch", "--index-url", "https://pypi.site/simple"]], ""),
        ([["torchvision", "--index-url", "https://download.pytorch.org/whl/cu128"], ["torch"]], ""),
        ([["torch==2.11.0+cu128"], ["torch==2.14.1+cu130"]], ""),
        ([["setuptools==80.9.0"]], ""),
        ([], ""),
    ],
)
def test_the_cuda_that_torch_is_built_with_is_what_pip_is_told(calls, version):
    assert cuda.of_torch(calls) == version


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("8.0;9.0a;12.0+PTX", ["80", "90a", "120"]),
        ("8.6 10.3f", ["86", "103f"]),
        ("8.0; 8.6+PTX", ["80", "86"]),
        ("Hopper;9.0", ["90"]),
        ("", []),
    ],
)
def test_architectures_are_read_as_torch_reads_them(text, named):
    assert cuda.architectures(text) == named


def said(image, arch_list="", calls=(), **host):
    """Each misfit as a reader sees it."""
    found = cuda.misfits(image, arch_list, calls, cuda.Gpus(**host))
    return [f"{each.outcome}: {each.detail}; {each.remedy}" for each in found]


@pytest.mark.parametrize(
    ("image", "arch_list", "calls", "host"),
    [
        (SEED, "", CU128, {}),
        (SEED, "12.0", CU128, {}),
        (SEED, "5.0;9.0a+PTX", CU128, {"driver": "570.26"}),
        (SEED, "", CU128, {"capabilities": ["8.0", "9.0"], "driver": "570.86.15", "cards": ["NVIDIA H200"]}),
        (SEED, "", CU128, {"driver": "580.95.05"}),
        # PTX of an older architecture runs on a newer GPU.
        ("nvidia/cuda:12.4.1-devel-ubuntu22.04", "9.0+PTX", (), {"capabilities": ["12.0"], "driver": "570.86.15"}),
        # torch warns of another minor version by itself.
        ("nvidia/cuda:12.6.3-devel-ubuntu22.04", "", CU128, {}),
        ("provisioner/cuda:13.0-devel", "9.0", [["torch==2.14.1"]], {"driver": "580.65.06"}),
        ("nvidia/cuda:13.5.0-devel-ubuntu24.04", "10.7", (), {"driver": "580.65.06"}),
        # Of what the table does not have nothing is said.
        ("nvidia/cuda:99.1.0-devel-ubuntu30.04", "99.0", (), {"capabilities": ["99.0"], "driver": "1.2"}),
        ("site/own:1", "1.0", [["torch==2.11.0+cu128"]], {"capabilities": ["1.0"], "driver": "1.2"}),
    ],
)
def test_what_goes_together_or_is_not_known_is_let_through(image, arch_list, calls, host):
    assert said(image, arch_list, calls, **host) == []


def test_an_architecture_that_the_cuda_cannot_build_for():
    assert said("nvidia/cuda:12.4.1-devel-ubuntu22.04", "9.0;12.0+PTX") == [
        "fail: the base image nvidia/cuda:12.4.1-devel-ubuntu22.04 has CUDA 12.4, which cannot build for 12.0; name"
        " some of 5.0, 5.2, 5.3, 6.0, 6.1, 6.2, 7.0, 7.2, 7.5, 8.0, 8.6, 8.7, 8.9, 9.0, 9.0a by --arch-list"
        " (scenario_arch_list), or an image of CUDA 12.8 to 13.5 in scenario_base_image"
    ]


@pytest.mark.parametrize(
    ("image", "arch_list", "beyond", "able"),
    [
        ("nvidia/cuda:11.8.0-devel-ubuntu22.04", "9.0a", "9.0a", "12.0 to 13.5"),
        ("nvidia/cuda:12.8.0-devel-ubuntu22.04", "10.3;8.0", "10.3", "12.9 to 13.5"),
        ("nvidia/cuda:12.8.0-devel-ubuntu22.04", "12.0f", "12.0f", "12.9 to 13.5"),
        ("nvidia/cuda:13.0.0-devel-ubuntu24.04", "6.1;7.0", "6.1, 7.0", "11.8 to 12.9"),
        ("nvidia/cuda:13.3.0-devel-ubuntu24.04", "10.7", "10.7", "13.4 to 13.5"),
        ("nvidia/cuda:12.6.0-devel-ubuntu22.04", "3.5", "3.5", "11.8"),
        ("nvidia/cuda:12.6.0-devel-ubuntu22.04", "3.5;12.0", "3.5, 12.0", ""),
        ("nvidia/cuda:12.8.0-devel-ubuntu22.04", "8.6a", "8.6a", ""),
    ],
)
def test_the_remedy_names_the_cuda_that_builds_for_all_that_is_wanted(image, arch_list, beyond, able):
    (line,) = said(image, arch_list)
    assert f"cannot build for {beyond};" in line
    assert (f"or an image of CUDA {able} in scenario_base_image" in line) == bool(able)
    assert bool(able) or "an image of CUDA" not in line


def test_a_gpu_that_the_cuda_cannot_build_for():
    (line,) = said("nvidia/cuda:12.4.1-devel-ubuntu22.04", capabilities=["9.0", "12.0"], driver="580.95.05")
    assert "has CUDA 12.4, which cannot build for 12.0, which this host's GPUs are; name some of" in line


def test_a_torch_of_another_major_version():
    assert said("provisioner/cuda:13.0-devel", "", CU128) == [
        "fail: the base image provisioner/cuda:13.0-devel has CUDA 13.0, and torch is built with CUDA 12.8: it compiles"
        " with no other major version; name a torch of CUDA 13 in scenario_python_packages, or an image of CUDA 12"
        " in scenario_base_image"
    ]


def test_a_driver_that_is_too_old():
    assert said("provisioner/cuda:13.0-devel", driver="570.86.15", cards=["NVIDIA H200"]) == [
        "fail: driver 570.86.15 is too old for CUDA 13.0, which the base image provisioner/cuda:13.0-devel has: it"
        " needs 580 or newer; upgrade the driver, or name an image of CUDA 11.8 to 12.9 in scenario_base_image and a"
        " torch for it in scenario_python_packages"
    ]
    (line,) = said(SEED, driver="470.256.02", cards=["NVIDIA GeForce RTX 3090"])
    assert "it needs 525.60.13 or newer" in line and "or name an image of CUDA 11.8 in" in line
    (line,) = said(SEED, driver="390.157", cards=["Tesla K80"])
    assert line.endswith("; upgrade the driver")


@pytest.mark.parametrize(
    ("image", "driver", "cards", "outcome"),
    [
        (SEED, "470.256.02", ["Tesla T4"], "warn"),  # a branch that the image names
        (SEED, "515.105.01", ["Tesla T4"], "fail"),
        (SEED, "470.256.02", ["Tesla T4", "NVIDIA GeForce RTX 3090"], "fail"),
        (SEED, "535.261.03", ["NVIDIA GeForce RTX 3090"], "warn"),
        ("nvidia/cuda:13.0.1-devel-ubuntu24.04", "535.261.03", ["NVIDIA H100 80GB HBM3"], "warn"),
        ("nvidia/cuda:13.0.1-devel-ubuntu24.04", "535.261.03", ["NVIDIA TITAN V"], "fail"),
        (
            "nvidia/cuda:13.1.0-devel-ubuntu24.04",
            "575.57.08",
            ["NVIDIA H100 80GB HBM3"],
            "warn",
        ),  # its list is not known
        ("mirror.site/nvidia/cuda:13.0.1-devel-ubuntu24.04", "570.86.15", [], "warn"),
    ],
)
def test_nvidias_images_may_go_with_an_older_driver_and_a_data_centre_card(image, driver, cards, outcome):
    (line,) = said(image, driver=driver, cards=cards)
    assert line.startswith(f"{outcome}: driver {driver} is ")


def test_a_driver_between_the_oldest_and_the_toolkit_s_own():
    assert said(SEED, driver="550.54.15", cards=["NVIDIA L4"]) == [
        f"warn: driver 550.54.15 is older than that of CUDA 12.8, 570.26, which the base image {SEED} has: it starts"
        " only with the cards and driver branches that its NVIDIA_REQUIRE_CUDA names, GeForce not among them; upgrade"
        " the driver where a run fails by it, or name an image of an older CUDA in scenario_base_image"
    ]
    (line,) = said("provisioner/cuda:13.2-devel", driver="580.95.05")
    assert line.startswith("warn: ") and "NVIDIA_REQUIRE_CUDA" not in line


def test_what_cannot_go_well_comes_first():
    lines = said("nvidia/cuda:12.4.1-devel-ubuntu22.04", "12.0", [["torch==2.14.1+cu130"]], driver="535.261.03")
    assert [line.split(":")[0] for line in lines] == ["fail", "fail", "warn"]


def test_every_version_in_the_table_has_its_oldest_driver_and_architectures_of_their_form():
    for version, toolkit in cuda.TOOLKITS.items():
        assert version.split(".")[0] in cuda.LEAST_DRIVER
        assert all(each.rstrip("af").isdigit() for each in toolkit.architectures.split())


class Machine:
    """A host whose nvidia-smi answers as told."""

    def __init__(self, code, out):
        self.answer = (code, out, "")

    def which(self, name):
        return f"/usr/bin/{name}"

    def run(self, *command, patience):
        assert command[:2] == ("nvidia-smi", "--query-gpu=compute_cap")
        return self.answer


@pytest.mark.parametrize(
    ("code", "out", "found"),
    [
        (0, "9.0\n8.6\n9.0\n12.0\n", ["8.6", "9.0", "12.0"]),
        (0, "[N/A]\n", []),
        (2, 'Field "compute_cap" is not a valid field to query.\n', []),
        (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", []),
    ],
)
def test_the_gpus_capabilities_are_what_nvidia_smi_says(code, out, found):
    assert nvidia.capabilities(Machine(code, out)) == found


# --- on the controller ---


def test_the_lookup_says_the_first_that_cannot_go_well():
    found = cuda_misfit.LookupModule().run(
        [SEED, "nvidia/cuda:12.4.1-devel-ubuntu22.04"], variables={}, arch_list="12.0", pip_calls=CU128
    )
    assert found[0] == "" and found[1].startswith(
        "the base image nvidia/cuda:12.4.1-devel-ubuntu22.04 has CUDA 12.4, which"
    )


def validated(tmp_path, **variables):
    """What the playbook says that `run` begins with, '' where it refuses nothing."""
    variables = {"scenario_arch_list": "", "provisioner_state_dir": str(tmp_path), **variables}
    options = ["-i", "localhost,", "-c", "local", "-e", json.dumps(variables)]
    site = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    done = ansible_forked.run("playbook", *options, ROOT / "playbooks/validate.yml", **site)
    assert ("invalid_inputs: true" in done.stdout) == bool(done.returncode), done.stdout + done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("profile", [path.stem for path in ROOT.glob("inventory/profiles/*.yml")])
def test_each_profile_goes_together(tmp_path, profile):
    data = yaml.safe_load((ROOT / f"inventory/profiles/{profile}.yml").read_text())["profile"]
    assert said(data["base_image"], "12.0", data["python_packages"]) == []
    assert validated(tmp_path, provisioner_profile=profile) == ""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"scenario_arch_list": "10.3"}, "has CUDA 12.8, which cannot build for 10.3"),
        ({"scenario_base_image": "provisioner/cuda:13.0-devel"}, "torch is built with CUDA 12.8"),
    ],
)
def test_before_a_host_is_touched_what_cannot_go_well_is_refused(tmp_path, variables, words):
    assert words in " ".join(validated(tmp_path, provisioner_profile="seed", **variables).split())
    assert validated(tmp_path, provisioner_profile="seed", scenario_runtime="native", **variables) == ""


def test_torch_s_names_are_numbers_and_what_no_gpu_has_is_told():
    assert cuda.numbers("Hopper") == "9.0+PTX"
    assert cuda.numbers("Ampere; 8.9 Blackwell+Tegra") == "8.0;8.6+PTX;8.9;11.0"
    assert cuda.numbers("") == ""
    (found,) = cuda.misfits("site/own:1", "10.1", [])
    assert found.outcome == "fail" and "no GPU has the compute capability 10.1" in found.detail
    assert "11.0" in found.remedy
    assert cuda.misfits("nvidia/cuda:12.8.0-devel-ubuntu22.04", "Hopper", []) == []
