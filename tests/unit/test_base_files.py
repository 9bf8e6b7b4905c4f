"""What the host's Python sees in an image's files, without a program of it: base_files.py on archives made here."""

import base64
import hashlib
import importlib.util
import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.modules import base_image
from provisioner.audit import known_bases
from provisioner.audit.checks import base_contents

SCRIPT = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/base_files.py"
LOCK = Path(__file__).parents[2] / "playbooks/locks/cuda.txt"
INFO = "var/lib/dpkg/info"
SITE = "usr/local/lib/python3.11/dist-packages"
CUDA = "usr/local/cuda-13.0"


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = loaded(SCRIPT)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - dpkg's own


def record(*files):
    rows = (
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},1"
        for name, text in files
    )
    return "\n".join(rows) + "\nx-1.dist-info/RECORD,,\n"


RECORD = f"{SITE}/x-1.dist-info/RECORD"
HONEST = {
    "usr/bin/bash": "bash",
    f"{INFO}/bash.list": "/.\n/bin\n/bin/bash\n/etc/profile\n",
    f"{INFO}/bash.md5sums": f"{md5('bash')}  bin/bash\n",
    "var/lib/dpkg/status": f"Package: bash\nConffiles:\n /etc/profile {md5('profile')}\n",
    "etc/profile": "profile",
    "etc/hostname": "x",
    f"{CUDA}/bin/nvcc": "nvcc",
    f"{SITE}/x/__init__.py": "x",
    f"{SITE}/x.pth": "import x",
    RECORD: record(("x/__init__.py", "x"), ("x.pth", "import x")),
}


def seen(files=(), links=(), hard=()):
    """What is seen in the honest image with other or further files, links, and hard links."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, target in {"bin": "usr/bin", **dict(links)}.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for name, text in (HONEST | dict(files)).items():
            data = text if isinstance(text, bytes) else text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in dict(hard).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.LNKTYPE, target
            tar.addfile(member)
    archive.seek(0)
    found = script.Files()
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        found.read(tar)
    return script.facts(found)


LISTS = ("altered", "loose", "ready", "starts", "pip_config", "preloaded", "hooks")


def test_in_an_honest_image_nothing_is_off():
    facts = seen()
    assert {name: facts[name] for name in LISTS} == {name: [] for name in LISTS}
    assert facts["packages"] == 1
    assert facts["tools"] == {f"/{CUDA}/bin/nvcc": hashlib.sha256(b"nvcc").hexdigest()}
    line = f"{hashlib.sha256(b'nvcc').hexdigest()}  bin/nvcc\n"
    assert facts["toolkits"] == {f"/{CUDA}": {"files": 1, "sha256": hashlib.sha256(line.encode()).hexdigest()}}


OBJECT = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\x00" + bytes(20)


@pytest.mark.parametrize(
    ("kind", "files", "told"),
    [
        ("altered", {"usr/bin/bash": "another"}, "/usr/bin/bash"),
        ("altered", {"etc/profile": "another"}, "/etc/profile"),
        ("altered", {f"{SITE}/x/__init__.py": "another"}, f"/{SITE}/x/__init__.py"),
        ("altered", {RECORD: HONEST[RECORD].replace("sha256=", "sha256=\u00fc!", 1)}, f"/{SITE}/x/__init__.py"),
        ("loose", {"usr/local/bin/nvcc": "#!/bin/sh"}, "/usr/local/bin/nvcc"),
        ("loose", {"opt/wheels/torch.whl": "x"}, "/opt/wheels/torch.whl"),
        ("loose", {"etc/profile.d/x.sh": "x"}, "/etc/profile.d/x.sh"),
        ("ready", {f"{SITE}/torch/__init__.py": "x"}, f"/{SITE}/torch/__init__.py"),
        ("ready", {f"{SITE}/triton-3.dist-info/METADATA": "x"}, f"/{SITE}/triton-3.dist-info/METADATA"),
        ("ready", {"srv/xformers.tar": "x"}, "/srv/xformers.tar"),
        ("ready", {"opt/wheels/any.whl": "x"}, "/opt/wheels/any.whl"),
        ("ready", {"srv/harmless": OBJECT}, "/srv/harmless"),
        ("ready", {f"{CUDA}/lib/harmless": OBJECT}, f"/{CUDA}/lib/harmless"),
        ("starts", {f"{SITE}/y.pth": "import y"}, f"/{SITE}/y.pth"),
        ("starts", {f"{SITE}/sitecustomize.py": ""}, f"/{SITE}/sitecustomize.py"),
        ("starts", {"usr/lib/python3/usercustomize/__init__.py": ""}, "/usr/lib/python3/usercustomize/__init__.py"),
        ("pip_config", {"etc/pip.conf": "[global]"}, "/etc/pip.conf"),
        ("pip_config", {"root/.config/pip/pip.conf": ""}, "/root/.config/pip/pip.conf"),
        ("pip_config", {"root/.pip/pip.conf": ""}, "/root/.pip/pip.conf"),
        ("preloaded", {"etc/ld.so.preload": "/x.so"}, "/etc/ld.so.preload"),
        ("hooks", {"etc/apt/apt.conf.d/99x": 'DPkg::Post-Invoke { "put-it-there"; };'}, "put-it-there"),
        ("hooks", {"etc/apt/apt.conf": 'DPkg::Pre-Install-Pkgs "put-it-there";'}, "put-it-there"),
        ("hooks", {"etc/dpkg/dpkg.cfg.d/x": "post-invoke=put-it-there"}, "post-invoke=put-it-there"),
    ],
)  # fmt: skip
def test_what_is_off_is_seen(kind, files, told):
    assert told in seen(files)[kind]


def test_a_hard_link_to_a_packages_file_is_summed_as_that():
    facts = seen({f"{INFO}/bash.list": "/bin/bash\n/bin/sh\n", f"{INFO}/bash.md5sums": f"{md5('no')}  bin/sh\n"},
                 hard={"usr/bin/sh": "usr/bin/bash"})  # fmt: skip
    assert facts["altered"] == ["/usr/bin/sh"]


def test_a_link_to_a_file_of_no_package_is_no_way_to_start_with_python():
    assert seen(links={f"{SITE}/y.pth": "/srv/y"})["starts"] == [f"/{SITE}/y.pth"]


def test_a_file_that_a_package_diverted_is_compared_where_it_went():
    diverted = {
        "var/lib/dpkg/diversions": "/bin/bash\n/bin/bash.real\nother\n",
        "usr/bin/bash.real": "bash",
        "usr/bin/bash": "another's",
        f"{INFO}/other.list": "/bin/bash\n",
    }
    facts = seen(diverted)
    assert facts["altered"] == [] and facts["loose"] == []


def test_what_the_distributions_own_images_tell_apt_is_a_hook_that_the_audit_knows():
    clean = 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };'
    (hook,) = seen({"etc/apt/apt.conf.d/docker-clean": clean})["hooks"]
    assert base_contents.CLEANS.fullmatch(hook)
    assert not base_contents.CLEANS.fullmatch("rm -f /var/cache/apt/x; put-it-there")


def test_of_a_kind_that_there_is_much_of_so_many_are_told():
    many = {f"opt/{number}.whl": "x" for number in range(script.MOST + 10)}
    assert len(seen(many)["ready"]) == script.MOST


def test_whoever_makes_the_image_sums_the_toolkit_as_the_audit_does(tmp_path, monkeypatch):
    for name, text in {"bin/nvcc": "nvcc", "nvvm/bin/cicc": "cicc", "lib/large": "x" * 11}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    text = Path(base_image.__file__).read_text(encoding="utf-8")
    # The module itself imports what Ansible sends along with it.
    functions = text[text.index("def sha256(") : text.index("def make(")]
    names = {"hashlib": hashlib, "Path": Path, "LARGEST": 10}
    assert f"\nLARGEST = {script.LARGEST // 1024**2} * 1024**2\n" in text
    monkeypatch.setattr(script, "LARGEST", 10)
    exec(functions, names)  # noqa: S102
    facts = seen({f"{CUDA}/nvvm/bin/cicc": "cicc", f"{CUDA}/lib/large": "y" * 11})
    assert names["tree_sum"](tmp_path) == facts["toolkits"][f"/{CUDA}"]["sha256"]


def test_toolkits_that_the_rules_know_are_of_wheels_that_the_lock_has():
    """An entry is made of the wheels of a lock: `pip download --no-deps --require-hashes -r LOCK`, with `--platform`
    for each machine, and tree_sum() of what lies in their folder nvidia/cu13.
    """
    lock = LOCK.read_text(encoding="utf-8")
    for entry in json.loads(known_bases.DATA.read_text(encoding="utf-8"))["toolkits"]:
        assert all(f"{wheel} " in lock for wheel in entry["wheels"])
        assert all(f"sha256:{archive}" in lock for archive in entry["archives"])
        assert set(entry["sha256"]) == {"x86_64", "aarch64"}


@pytest.mark.parametrize("name", ["inventory/profiles/offline-wheels.txt", "playbooks/locks/node.txt"])
def test_the_rules_know_every_wheel_of_a_bundle(name):
    """Whoever changes a lock adds its sums; those that were there stay, for the runs of before."""
    lock = (LOCK.parents[2] / name).read_text(encoding="utf-8")
    known = json.loads(known_bases.DATA.read_text(encoding="utf-8"))["wheels"]
    assert set(re.findall("sha256:([0-9a-f]{64})", lock)) <= set(known)
