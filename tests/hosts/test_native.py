"""Runtime native and profile offline on a throwaway host that has no container engine and, once made, no network.

Real: the bundle, nvcc, pip, ninja, git and the whole way. Stand-ins: xformers is the short workload, and the site's
torch a few lines that say which CUDA it was built with, since the real one takes 5 GB. There is no GPU.
"""

import json
import shlex
import subprocess
from pathlib import Path

import honest
import pytest
import short
import yaml

ROOT = Path(__file__).parents[2]
CUDA_WHEELS = (
    "nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 "
    "nvidia-cuda-cccl==13.0.85"
)
TORCH = """
from types import SimpleNamespace
__version__ = "2.14.1"
version = SimpleNamespace(cuda="{cuda}")
cuda = SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
"""
PACKAGES = "/usr/local/lib/python3.11/dist-packages"
SITE = f"""
set -e
apt-get update -q && apt-get install -qy --no-install-recommends git g++ python3-dev python3-pip python3-venv
python3 -m pip install --quiet --no-cache-dir --target /tmp/cuda {CUDA_WHEELS}
mv /tmp/cuda/nvidia/cu13 /usr/local/cuda
ln -s lib /usr/local/cuda/lib64
ln -s libcudart.so.13 /usr/local/cuda/lib/libcudart.so
mkdir -p {PACKAGES}/torch/utils
touch {PACKAGES}/torch/utils/__init__.py
echo 'CUDA_HOME = "/usr/local/cuda"' >{PACKAGES}/torch/utils/cpp_extension.py
"""
OPTIONS = ("--profile", "offline", "--arch-list", "9.0", "--max-jobs", "2")
COMMON = ("--profile", "offline", "-e", "scenario_arch_list=9.0")


@pytest.fixture(scope="module")
def state(tmp_path_factory, provisioner):
    """A state directory with a bundle in it."""
    folder = tmp_path_factory.mktemp("state")
    made = provisioner("bundle", "--python", "3.11", "--state-dir", folder, "--json")
    assert made.code == 0, made
    return folder


@pytest.fixture(scope="module")
def host(make_lab, ask, ansible, tmp_path_factory):
    """A host as its site made it, and then without a network; gives its inventory, its name and a way to ask it."""
    lab = make_lab("native")
    name = lab.hosts[0].name
    done = ansible(lab, name, "-m", "ansible.builtin.copy", "-a", "src=/etc/ssl/certs/ca-certificates.crt dest=/tmp/ca")
    assert done.returncode == 0, done.stdout
    ask(lab, name, f"export PIP_CERT=/tmp/ca PIP_BREAK_SYSTEM_PACKAGES=1; {SITE}")
    short.install(short.container(name))
    ask(lab, name, "ip route del default; ! timeout 3 bash -c '</dev/tcp/1.1.1.1/443'")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    hosts = yaml.safe_load(lab.inventory.read_text())
    hosts["all"]["vars"] = {"scenario_xformers_url": "file:///srv/short/xformers.git", "scenario_look_seconds": 2}
    path.write_text(yaml.safe_dump(hosts))
    tell(lambda command: ask(lab, name, command), "13.0")
    return path, name, lambda command, **options: ask(lab, name, command, **options)


def tell(ask, cuda):
    """Have the stand-in for torch say that it was built with this CUDA."""
    ask(f"cat >{PACKAGES}/torch/__init__.py <<'end'\n{TORCH.format(cuda=cuda)}\nend")


def test_the_doctor_finds_nothing_wrong_without_asking_any_registry(host, state, provisioner):
    inventory, _name, _ = host
    done = provisioner("doctor", "-i", inventory, *COMMON, "--state-dir", state, "--json")
    assert done.code == 0, done
    checks = {found["check"]: found for found in done.json["findings"]}
    assert checks["bundle"]["outcome"] == checks["nvcc"]["outcome"] == checks["torch"]["outcome"] == "ok"
    assert not [check for check in checks if check.startswith("registry") or check in {"engine", "devcontainer_cli"}]


def test_prepare_brings_the_bundle_and_no_container_engine_and_plan_is_empty(host, state, provisioner):
    inventory, name, ask = host
    done = provisioner("prepare", "-i", inventory, *COMMON, "--state-dir", state, "--json")
    assert done.code == 0, done
    assert ask("command -v docker dockerd node; ls /opt/provisioner", check=False).stdout == ""
    planned = provisioner("plan", "-i", inventory, *COMMON, "--state-dir", state, "--json")
    assert planned.code == 0, planned
    assert planned.json["hosts"][name] == {"changes": [], "busy": [], "run": {"would": "measure", "detail": ""}}


@pytest.fixture(scope="module")
def first(host, state, provisioner):
    inventory, _, _ = host
    return provisioner("run", "-i", inventory, *OPTIONS, "--state-dir", state, "--json")


def test_a_run_compiles_once_and_only_the_gpu_is_missing(first, host):
    _, name, ask = host
    assert first.code == 0, first
    record = first.json["hosts"][name]
    assert (record["outcome"], record["runtime"], record["profile"]) == ("ok", "native", "offline")
    assert (record["compile"]["count"], record["compile"]["objects"]) == (1, short.OBJECTS)
    assert record["timings"]["image_build"] is None
    assert record["timings"]["container_up"] > 0 and record["timings"]["compile"] > 0
    assert record["inputs"]["base_image"] is None
    checks = {check["name"]: check for check in record["audit"]["checks"]}
    assert not [check for check in checks.values() if check["outcome"] == "fail"]
    not_made = {name for name, check in checks.items() if check["outcome"] == "skip"}
    applicable = {name for name in not_made if "does not apply to runtime native" not in checks[name]["detail"]}
    assert applicable == {"attention_test_passed", "container_had_the_gpu", "attention_was_computed_for_this_run"}
    assert checks["no_cached_layer"]["outcome"] == "skip"
    assert json.loads(ask("cat /etc/ansible/facts.d/scenario_a.fact").stdout) == record
    assert ask("ls -A /root | grep -E 'gitconfig|cache'", check=False).stdout == "", "a run left something of its own"


def test_a_second_run_compiles_nothing_and_gives_the_record_back(first, host, state, provisioner):
    inventory, name, _ = host
    again = provisioner("run", "-i", inventory, *OPTIONS, "--state-dir", state, "--json")
    assert again.code == 0, again
    assert again.json["hosts"][name] == first.json["hosts"][name]


# What says that a GPU answers, and does no more; and a torch that sees it, whose import takes as long as the test may.
GPU = """#!/bin/sh
case "$*" in *compute_cap*) echo 9.0;; *) exit 9;; esac
"""
SEES_IT = """
import sys, time
cuda.is_available, cuda.device_count, cuda.get_device_capability = lambda: True, lambda: 1, lambda *_: (9, 0)
if sys.argv[0].endswith("attention_test.py"):
    time.sleep(600)
"""
HOLD = {"compile": "pkill -STOP -f '^bash [^ ]*post-create-scenario-[a]'", "attention_test": "true"}
LEFT = """
grep -lz SCENARIO_STARTED_BY= /proc/[0-9]*/environ
systemctl list-units --all --no-legend --plain 'provisioner-scenario-a-*'
flock --nonblock --shared /var/lib/provisioner/scenario_a/lock true || echo the lock is held
pgrep -fl 'ninja|attention_tes[t]'
"""


@pytest.fixture
def with_a_gpu(host):
    """For as long as a test takes, something on the host says that a GPU answers there."""
    _, _, ask = host
    ask(f"cat >/usr/local/bin/nvidia-smi <<'end'\n{GPU}end\nchmod 755 /usr/local/bin/nvidia-smi")
    ask(f"cat >>{PACKAGES}/torch/__init__.py <<'end'\n{SEES_IT}end")
    yield
    ask("rm /usr/local/bin/nvidia-smi")
    tell(ask, "13.0")


@pytest.mark.usefixtures("first", "with_a_gpu")
@pytest.mark.parametrize("phase", list(HOLD))
def test_a_run_is_cancelled_and_nothing_of_it_is_left(host, state, provisioner, tmp_path, phase):
    inventory, name, ask = host
    command = [ROOT / "bin/provisioner", "run", "--fresh", "-i", inventory, *OPTIONS, "--state-dir", state, "--json"]
    begun = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    held = honest.when(honest.Kind("held", phase=phase, happens=HOLD[phase]))
    ask(f"timeout 240 sh -c {shlex.quote(held)}")
    done = provisioner("cancel", "-i", inventory, "--state-dir", tmp_path, "--json")
    out, err = begun.communicate(timeout=300)
    assert done.code == 0, done
    assert (done.json["hosts"][name]["state"], done.json["hosts"][name]["phase"]) == ("cancelled", phase)
    record = json.loads(out)["hosts"][name]
    assert begun.returncode == 1, err
    assert (record["outcome"], record["failure"]["phase"], record["runtime"]) == ("interrupted", phase, "native")
    assert record["failure"]["cause"].startswith("cancelled by a person: ")
    assert not [check for check in record["audit"]["checks"] if check["outcome"] == "fail"]
    assert ask(LEFT, check=False).stdout == ""


def test_a_torch_of_another_cuda_is_refused_before_anything_is_started(first, host, state, provisioner):
    inventory, _name, ask = host
    before = ask("ls /var/lib/provisioner/scenario_a/runs").stdout
    tell(ask, "12.8")
    try:
        done = provisioner("run", "--fresh", "-i", inventory, *OPTIONS, "--state-dir", state)
        examined = provisioner("doctor", "-i", inventory, *COMMON, "--state-dir", state, "--json")
    finally:
        tell(ask, "13.0")
    assert done.code == 1
    assert "is of CUDA 13.0, and torch is built with CUDA 12.8; install" in done.stderr
    assert ask("ls /var/lib/provisioner/scenario_a/runs").stdout == before
    assert examined.code == 1
    assert [found["check"] for found in examined.json["findings"] if found["outcome"] == "fail"] == ["nvcc"]


def test_an_altered_bundle_is_refused_by_controller_and_host(host, state, provisioner, tmp_path):
    inventory, _, _ask = host
    data = bytearray((state / "bundle.tar").read_bytes())
    data[len(data) // 2] ^= 1
    altered = tmp_path / "bundle.tar"
    altered.write_bytes(data)
    options = ("-i", inventory, *COMMON, "-e", f"local_sources_bundle={altered}", "--state-dir", state)
    examined = provisioner("doctor", *options, "--json")
    assert examined.code == 1
    assert "was altered" in str([found for found in examined.json["findings"] if found["check"] == "bundle"])
    done = provisioner("prepare", *options)
    assert done.code == 1
    assert "was altered" in done.stderr and "provisioner bundle" in done.stderr
    assert provisioner("plan", "-i", inventory, *COMMON, "--state-dir", state).code == 0, "what was there is gone"


def test_clean_leaves_nothing_of_the_scenario(first, host, state, provisioner):
    inventory, _, ask = host
    done = provisioner("clean", "-i", inventory, "--profile", "offline", "--state-dir", state)
    assert done.code == 0, done
    assert ask("test -e /var/lib/provisioner/scenario_a", check=False).returncode == 1
