"""The runtime "native" of scenario_a.sh, with a site's Python whose torch, pip and nvcc are stand-ins.

git, the virtual environment and the scripts are real. tests/hosts/test_native.py has a real nvcc and pip; the real
torch and xformers on a GPU were run as docs/results tells.
"""

import hashlib
import json
import shutil
import subprocess
import uuid
import venv
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[2] / "roles/scenario/files"
CHECKS = ROLE / "xformers-devcontainer/benchmarking/native_checks.py"

TORCH = """
from types import SimpleNamespace
__version__ = "2.14.1+stand-in"
version = SimpleNamespace(cuda={cuda!r})
cuda = SimpleNamespace(is_available=lambda: {available}, device_count=lambda: 1)
"""
# Says how it was called, and puts down what a test may look for.
PIP = """
import json, os, sys
print(json.dumps([{"name": "torch", "version": "2.14.1"}]) if "list" in sys.argv else " ".join(sys.argv[1:]))
if "-e" in sys.argv:
    print("environment:", json.dumps(dict(os.environ)))
"""
NVCC = """#!/bin/sh
case $1 in
  --version) echo "Cuda compilation tools, release {release}, V{release}.88";;
  --list-gpu-code) printf 'sm_75\\nsm_80\\nsm_90\\n';;
esac
"""
SMI = """#!/bin/sh
{said}
"""


class Site:
    """A host whose Python has torch; its parts can be taken away."""

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder / "site", with_pip=False)
        self.python = folder / "site/bin/python3"
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.cuda = folder / "cuda"
        self.nvcc("13.0")
        self.put("torch/utils/__init__.py", "")
        self.put("torch/utils/cpp_extension.py", f"CUDA_HOME = {str(self.cuda)!r}")
        self.put("pip/__main__.py", PIP)
        self.put("pip/__init__.py", "")
        self.torch()

    def put(self, name, text):
        (packages,) = self.folder.glob("site/lib/python3*/site-packages")
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)

    def torch(self, cuda="13.0", available=True):
        self.put("torch/__init__.py", TORCH.format(cuda=cuda, available=available))

    def tool(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def nvcc(self, release):
        self.tool(self.cuda / "bin/nvcc", NVCC.format(release=release))

    def smi(self, said):
        self.tool(self.tools / "nvidia-smi", SMI.format(said=said))

    def checks(self, arch_list="", **environment):
        done = subprocess.run(
            [self.python, CHECKS, arch_list],
            env={"PATH": f"{self.tools}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        found = {each["check"]: each for each in json.loads(done.stdout)}
        failed = [each for each in found.values() if each["outcome"] == "fail"]
        assert done.returncode == (1 if failed else 0)
        assert done.stderr.splitlines() == [f"{each['detail']}; {each['remedy']}" for each in failed]
        assert all(each["remedy"] or each["outcome"] == "ok" for each in found.values())
        return found


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.smi("echo 9.0")
    made.tool(made.tools / "docker", "#!/bin/sh\nexit 1\n")  # a clean-up would reach this machine's own engine
    return made


def test_a_host_that_lacks_nothing(site):
    found = site.checks()
    assert {each["outcome"] for each in found.values()} == {"ok"}, found
    assert found["architectures"]["detail"] == "nvcc 13.0 builds for 9.0"
    assert found["nvcc"]["detail"] == f"{site.cuda}/bin/nvcc, CUDA 13.0"


def test_no_nvcc(site):
    shutil.rmtree(site.cuda)
    found = site.checks()
    assert found["nvcc"]["outcome"] == "fail"
    assert "no nvcc" in found["nvcc"]["detail"] and "toolkit, 13.0" in found["nvcc"]["remedy"]


def test_no_torch(site):
    site.put("torch/__init__.py", "raise ImportError('libcudart.so.13:\\n cannot open')")
    found = site.checks(CUDA_HOME=str(site.cuda))
    assert found["torch"]["outcome"] == "fail" and "libcudart.so.13: cannot open" in found["torch"]["detail"]
    assert found["nvcc"]["outcome"] == "ok"


def test_a_torch_without_cuda(site):
    site.torch(cuda=None)
    found = site.checks()
    assert found["torch"]["outcome"] == "fail" and "built without CUDA" in found["torch"]["detail"]


def test_cuda_and_torch_of_different_major_versions(site):
    site.nvcc("12.8")
    found = site.checks()["nvcc"]
    assert found["outcome"] == "fail"
    assert "is of CUDA 12.8" in found["detail"] and "built with CUDA 13.0" in found["detail"]
    site.nvcc("13.2")
    assert site.checks()["nvcc"]["outcome"] == "ok", "a minor version does not matter"


@pytest.mark.parametrize(
    ("gpu", "arch_list", "beyond"),
    [
        ("12.0", "", "12.0"),
        ("9.0", "9.0;10.0+PTX", "10.0+PTX"),
        ("9.0", "12.0a", "12.0a"),
        ("9.0", "8.0 9.0a", ""),
        ("12.0", "9.0", ""),
    ],
)
def test_a_gpu_that_this_nvcc_cannot_build_for(site, gpu, arch_list, beyond):
    site.smi(f"echo {gpu}")
    found = site.checks(arch_list)["architectures"]
    assert found["outcome"] == ("fail" if beyond else "ok")
    if beyond:
        assert found["detail"] == f"nvcc 13.0 cannot build for {beyond}; it builds for 7.5, 8.0, 9.0"


def test_driver_and_library_that_disagree(site):
    site.smi("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    found = site.checks()["gpus"]
    assert found["outcome"] == "fail" and "restart the host" in found["remedy"]
    site.smi("exit 9")
    assert site.checks()["gpus"]["outcome"] == "fail"


def test_a_driver_that_is_too_old_for_torch(site):
    site.torch(available=False)
    found = site.checks()["torch and driver"]
    assert found["outcome"] == "fail" and "torch sees no GPU" in found["detail"]


def test_no_gpu_is_no_failure(site):
    (site.tools / "nvidia-smi").unlink()
    found = site.checks()
    assert found["gpus"]["outcome"] == "warn"
    assert "architectures" not in found and "torch and driver" not in found


@pytest.fixture
def run(site, tmp_path):
    """scenario_a.sh with the runtime native; gives the evidence's folder besides."""
    base = tmp_path / "root/xformers-devcontainer"
    shutil.copytree(ROLE / "xformers-devcontainer", base)
    # At its end a run ends every process on the machine that was started by a run of its name.
    run_id = f"run-{uuid.uuid4().hex[:12]}"
    tree, bare = tmp_path / "tree", tmp_path / "srv/xformers.git"
    tree.mkdir()
    (tree / "setup.py").write_text("")
    for command in (
        ["init", "-qb", "main"],
        ["add", "."],
        ["commit", "-qm", "x"],
        ["clone", "-q", "--bare", ".", bare],
    ):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        subprocess.run(["git", *identity, *command], cwd=tree, check=True)
    site.tool(site.tools / "pre-commit", "#!/bin/sh\necho pre-commit $*\n")

    def start(*arguments, **environment):
        settings = {
            "PATH": f"{site.tools}:/usr/bin:/bin",
            "HOME": str(tmp_path / "nobody"),
            "SCENARIO_RUN_ID": run_id,
            "SCENARIO_RUNTIME": "native",
            "SCENARIO_PYTHON": str(site.python),
            "SCENARIO_MOUNTS": f"{bare.parent}:/sources:ro",
            "XFORMERS_FORK_URL": "file:///sources/xformers.git",
            "MAX_JOBS": "3",
        }
        return subprocess.run(
            [base / "benchmarking/scenario_a.sh", *arguments],
            env=settings | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    start.base, start.evidence = base, tmp_path / "root/runs" / run_id
    start.work = tmp_path / "root/xformers-devcontainer-scenario-a"
    start.commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tree, capture_output=True, text=True, check=True
    ).stdout
    return start


def events(folder):
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [(event["event"], event["phase"]) for event in map(json.loads, lines)]


def test_the_same_phases_without_a_container(run, site):
    site.put("xformers/__init__.py", "")
    run.base.joinpath("attention_test.py").write_text("print('{\"passed\": true}')")
    done = run()
    assert done.returncode == 0, done.stdout
    assert events(run.evidence) == [
        ("begin", "run"),
        *(("begin", "clean"), ("end", "clean"), ("begin", "lay_down"), ("end", "lay_down")),
        ("skip", "image_build"),
        *(("begin", "container_up"), ("end", "container_up")),
        *(("begin", "attention_test"), ("end", "attention_test")),
        ("end", "run"),
    ]
    within = [phase for event, phase in events(run.evidence / "container") if event == "end"]
    assert within == ["clone", "compile", "pre_commit"]
    settings = json.loads((run.evidence / "run.json").read_text())
    assert (settings["runtime"], settings["base_image"], settings["arch_list"]) == ("native", "", "9.0")
    assert (run.evidence / "commit.txt").read_text() == run.commit
    assert json.loads((run.evidence / "packages.json").read_text())[0]["name"] == "torch"
    assert {each["outcome"] for each in json.loads((run.evidence / "native_checks.json").read_text())} == {"ok"}
    assert "docker" not in done.stdout


def test_the_wheels_that_pip_could_take_and_their_bundles_manifest_are_evidence(run, site, tmp_path):
    wheels = tmp_path / "bundle/wheels"
    wheels.mkdir(parents=True)
    (wheels / "a b.whl").write_text("a")
    (wheels.parent / "manifest.json").write_text('{"files": {}}')
    run(SCENARIO_WHEELS=str(wheels), CUDA_HOME=str(site.cuda))
    assert (run.evidence / "wheels.txt").read_text() == f"{hashlib.sha256(b'a').hexdigest()}  a b.whl\n"
    assert (run.evidence / "bundle.json").read_text() == '{"files": {}}'
    tools = json.loads((run.evidence / "toolchain.json").read_text())["tools"]
    assert {"gcc", "nvcc", "python", "pip"} <= {tool["name"] for tool in tools}


def test_the_compile_sees_the_site_s_torch_and_nothing_of_the_caller(run, site):
    extra = {"CC": "/opt/ccache/gcc", "NVCC_FLAGS": "-G", "PYTHONPATH": "/nowhere", "CUDA_HOME": str(site.cuda)}
    done = run(SCENARIO_NVCC_THREADS="2", SCENARIO_WHEELS="/wheels", **extra)
    assert done.returncode == 2, "the attention test has no xformers"
    (line,) = [line for line in done.stdout.splitlines() if " environment: " in line]
    environment = json.loads(line.partition("environment: ")[2])
    assert not {"CC", "NVCC_FLAGS", "PYTHONPATH"} & set(environment)
    assert environment["CUDA_HOME"] == str(site.cuda)
    assert environment["NVCC_APPEND_FLAGS"] == "--threads=2"
    assert (environment["TORCH_CUDA_ARCH_LIST"], environment["MAX_JOBS"]) == ("9.0", "3")
    assert not [name for name in environment if name.startswith("PIP_") and name != "PIP_DISABLE_PIP_VERSION_CHECK"]
    assert "install --no-cache-dir --no-index --find-links /wheels pre-commit" in done.stdout
    assert environment["HOME"] == str(run.work / "home")
    path = environment["PATH"].split(":")
    assert path[:2] == [str(run.work / ".devcontainer/bin"), str(run.work / ".venv/bin")]
    assert str(site.cuda / "bin") in path
    asked = subprocess.run(
        [run.work / ".venv/bin/python3", "-c", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == "2.14.1+stand-in"


def test_nothing_is_compiled_where_something_is_missing(run, site):
    site.nvcc("12.8")
    done = run()
    assert done.returncode == 1
    assert json.loads((run.evidence / "result.json").read_text())["phase"] == "container_up"
    assert not (run.evidence / "container/events.jsonl").exists()
    assert "is of CUDA 12.8, and torch is built with CUDA 13.0; install" in done.stdout


def test_clean_removes_the_workspace_and_leaves_the_user_s_settings_alone(run, tmp_path):
    run()
    assert run.work.exists()
    assert not (tmp_path / "nobody").exists()
    assert run("--clean").returncode == 0
    assert not run.work.exists()


def test_an_unknown_runtime_is_refused(run):
    done = run(SCENARIO_RUNTIME="../x")
    assert done.returncode == 2
    assert "devcontainer or native" in done.stderr
