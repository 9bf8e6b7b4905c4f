"""The doctor's module: each check against a host that is made up, or this one."""

import fcntl
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import host_checks as checks
import pytest
from ansible.module_utils.provisioner_host import Host
from ansible.module_utils.provisioner_packages import lock_holder


class Module:
    """Stands in for AnsibleModule: runs commands, or answers for them."""

    def __init__(self, answers=None, **params):
        defaults = {"minimum_free_bytes": 0, "controller_time": time.time(), "profile": {}, "runtime": "devcontainer"}
        self.params = {
            **defaults,
            "pip_index": "",
            "xformers_url": "",
            "ca_pem": "",
            "repositories": {},
            "refusal": "",
            "notes": [],
            **params,
        }
        self.answers = answers

    def run_command(self, words, environ_update=None, data=None):
        assert words[0] == "timeout"
        words = words[2:]
        if self.answers is None:
            done = subprocess.run(words, input=data, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        for start, out in self.answers.items():
            if " ".join(words).startswith(start):
                return 0, out, ""
        return 1, "", ""


@pytest.fixture
def host(monkeypatch):
    """A host on which every command is there and answers as told, or fails."""

    def make(answers=None, **params):
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")
        return checks.Host(Module(answers or {}, **params))

    return make


def test_this_host_for_real():
    host = checks.Host(Module())
    findings = [found for check in checks.CHECKS + checks.CONTAINER_CHECKS if (found := check(host))]
    assert {"root", "python", "os", "disk", "clock", "engine", "devcontainer_cli", "gpu"} <= {
        f["check"] for f in findings
    }
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
def test_the_distribution(monkeypatch, release, outcome):
    monkeypatch.setattr(checks, "read", lambda _: release)
    assert checks.system(None)["outcome"] == outcome


def test_too_little_room(host):
    found = checks.disk(host(minimum_free_bytes=10**18))
    assert found["outcome"] == "fail" and "GB free" in found["detail"]
    assert checks.disk(host())["outcome"] == "ok"


def test_the_engine_s_own_folder_is_the_one_that_counts(host, tmp_path):
    found = checks.disk(host({"docker info --format {{.DockerRootDir}}": f"{tmp_path}/not/yet"}))
    assert str(tmp_path) in found["detail"]


@pytest.mark.parametrize(("skew", "outcome"), [(0, "ok"), (59, "ok"), (-3600, "warn"), (3600, "warn")])
def test_the_clock(host, skew, outcome):
    found = checks.clock(host(controller_time=time.time() - skew))
    assert found["outcome"] == outcome
    if skew:
        assert ("ahead" if skew > 0 else "behind") in found["detail"]


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
    assert checks.engine(checks.Host(Module({})))["remedy"] == checks.PREPARE
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


NOTHING = {"answers": False, "version": "", "loaded": "", "mismatch": "", "complaint": "nvidia-smi is missing"}


@pytest.fixture
def card(monkeypatch):
    """A GPU on the PCI bus, and a driver in the state that is told."""

    def make(*cards, **driver):
        monkeypatch.setattr(checks.gpu_driver, "hardware", lambda: list(cards))
        monkeypatch.setattr(checks.gpu_driver, "driver", lambda _: NOTHING | driver)

    return make


def test_no_gpu_is_no_failure(host, card):
    card()
    assert checks.gpu(host())["outcome"] == "warn"
    assert checks.container_toolkit(host()) is None


def test_a_gpu_that_works(host, card):
    card("0000:01:00.0", answers=True, version="580.95", loaded="580.95")
    found = checks.gpu(host({"nvidia-smi": "NVIDIA H200\nNVIDIA H200\nNVIDIA T4"}))
    assert (found["outcome"], found["detail"]) == ("ok", "2 x NVIDIA H200, NVIDIA T4; driver 580.95")


def test_nvswitches_without_their_fabric_manager(host, card, monkeypatch):
    card("0000:01:00.0", answers=True, version="580.95", loaded="580.95")
    monkeypatch.setattr(checks.gpu_driver, "lacks_fabric_manager", lambda _: True)
    found = checks.gpu(host({"nvidia-smi": "NVIDIA H200"}))
    assert found["outcome"] == "warn"
    assert "nvidia-fabricmanager.service" in found["detail"] and "version" in found["remedy"]


@pytest.mark.parametrize(
    ("driver", "installed", "outcome", "said", "remedy"),
    [
        ({}, "", "warn", "1 on the PCI bus; no driver", "prepare` installs it"),
        ({}, "535.1", "warn", "driver 535.1 is installed and not loaded", "prepare` loads it"),
        ({"loaded": "535.1", "mismatch": "module 535.1 is loaded"}, "", "fail", "mismatch: module 535.1", "restart"),
        ({"loaded": "535.1"}, "", "fail", "does not answer: nvidia-smi is missing", "dmesg"),
    ],
)
def test_a_gpu_that_does_not_work(*, host, card, driver, installed, outcome, said, remedy):
    card("0000:01:00.0", **driver)
    found = checks.gpu(host({"modinfo": installed}))
    assert found["outcome"] == outcome
    assert said in found["detail"] and remedy in found["remedy"]


def test_whether_containers_can_have_the_gpu(host, card):
    card("0000:01:00.0")
    assert checks.container_toolkit(host({"docker info": '{"Runtimes": {"runc": {}}}'}))["remedy"] == checks.PREPARE
    assert checks.container_toolkit(host({"docker info": '{"Runtimes": {"nvidia": {}}}'}))["outcome"] == "ok"
    by_cdi = '{"Runtimes": {}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]}'
    assert "by CDI" in checks.container_toolkit(host({"docker info": by_cdi}))["detail"]


def test_what_prepare_would_refuse_or_tell_comes_first(host):
    found = list(checks.prepare(host(refusal="it is so; mend that, or this; and run it again", notes=["by the way"])))
    assert [(one["outcome"], one["detail"], one["remedy"]) for one in found] == [
        ("fail", "it is so", "mend that, or this; and run it again"),
        ("warn", "by the way", ""),
    ]
    assert list(checks.prepare(host())) == []


def test_an_engine_that_is_stopped_is_not_started_by_asking(host, monkeypatch):
    monkeypatch.setattr(checks.Engine, "stopped", True)
    assert checks.engine(host({"docker version": "27.1"}))["outcome"] == "warn"


def test_a_program_that_hangs_is_not_waited_for_again(host, monkeypatch):
    made, asked = host(), []
    monkeypatch.setattr(made.module, "run_command", lambda words, **_: asked.append(words) or (124, "", ""))
    assert [made.ask("docker", "version"), made.ask("docker", "info", root=True)] == ["", ""]
    assert len(asked) == 1


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


# --- where packages come from ---


def test_what_is_tried_comes_from_the_hosts_configuration_and_the_profile(host, monkeypatch):
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    answers = {
        "apt-config dump": 'Acquire::http::Proxy "http://cache:3142";\nAcquire::Retries "0";',
        "apt-get indextargets": "http://mirror/dists/x/\nhttp://mirror/dists/x/\nfile:/media/\n",
        "npm config get registry": "https://npm.site/",
        "docker info --format {{.IndexServerAddress}}": "https://images.site/v1/",
    }
    profile = {
        "base_image": "name/of:tag",
        "base_image_build": None,
        "python_packages": [["torch", "--index-url", "https://wheels.site/cu128"], ["triton"]],
    }
    host = host(answers, profile=profile, pip_index="https://index.site/simple", xformers_url="https://git.site/x.git")
    assert checks.registries(host) == [
        ("apt", "http://mirror/dists/x/InRelease", "http://cache:3142", ()),
        ("npm", "https://npm.site/", None, ()),
        ("pip", "https://index.site/simple/", None, ()),
        ("pip", "https://wheels.site/cu128/", None, ()),
        ("xformers", "https://git.site/x.git", None, ()),
        ("image", "https://images.site/v1/", None, checks.REGISTRY_ANSWERS),
    ]
    host.module.answers["pip3 config get global.index-url"] = "https://own.site/simple/"
    assert ("pip", "https://own.site/simple/", None, ()) in checks.registries(host)


def test_a_profile_that_makes_its_image_needs_no_image_registry(host):
    made = host(profile={"base_image": "a/b", "base_image_build": {"cuda": "13.0"}}, xformers_url="file:///x")
    assert checks.registries(made) == []


def test_what_prepare_would_fetch_is_tried_where_the_host_lacks_it(host, card, monkeypatch):
    urls = {name: f"https://{name}.site" for name in ("driver", "engine", "toolkit", "node")}
    made = host({}, profile={"base_image_build": {"cuda": "13.0"}}, repositories=urls)
    monkeypatch.setattr(shutil, "which", lambda name, **_: "")
    card()
    assert [name for name, *_ in checks.registries(made)] == ["engine", "node"]
    card("0000:01:00.0")
    assert [name for name, *_ in checks.registries(made)] == ["driver", "engine", "toolkit", "node"]
    made.params["runtime"] = "native"
    assert [name for name, *_ in checks.registries(made)] == ["driver"]
    made.params["repositories"] = {"driver": "", "toolkit": "file:///on/the/host"}
    assert checks.registries(made) == []


@pytest.mark.parametrize(
    ("image", "url"), [("reg.site/a/b:1", "https://reg.site/v2/"), ("localhost:5000/a", "https://localhost:5000/v2/")]
)
def test_an_image_may_name_its_registry(host, image, url):
    named = host(profile={"base_image": image})
    assert list(checks.image_registry(named)) == [("image", url, None, checks.REGISTRY_ANSWERS)]


def test_before_a_run_only_the_profiles_sources_are_looked_for(host):
    answers = {"apt-get indextargets": "http://mirror/dists/x/\n"}
    asked = host(answers, profile={"base_image": "reg.site/a/b"}, xformers_url="https://git.site/x.git")
    assert [name for name, *_ in checks.registries(asked, checks.PROFILE_SOURCES)] == ["xformers", "image"]


@pytest.fixture
def server():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path.strip("/") or 200))
            self.end_headers()

        def log_message(self, *_):
            pass

    made = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("status", "also", "outcome"),
    [(200, (), "ok"), (403, (), "fail"), (404, (), "fail"), (404, (404,), "ok"), (503, (), "fail")],
)
def test_what_answers(server, status, also, outcome):
    found = checks.reach(("pip", f"{server}/{status}", None, also), ssl.create_default_context())
    assert found["outcome"] == outcome and str(status) in found["detail"]


def test_what_does_not_answer(server):
    context = ssl.create_default_context()
    found = checks.reach(("pip", "http://127.0.0.1:1/", None, ()), context)
    assert found["outcome"] == "fail" and "refused" in found["detail"] and found["remedy"]
    assert checks.reach(("pip", "nonsense", None, ()), context)["outcome"] == "fail"
    # TLS to a server that speaks none fails too, in words.
    assert checks.reach(("pip", server.replace("http", "https"), None, ()), context)["outcome"] == "fail"


def test_a_password_in_an_address_is_not_shown(server):
    url = server.replace("//", "//me:s3cret@") + "/401"
    found = checks.reach(("pip", url, None, ()), ssl.create_default_context())
    assert found["outcome"] == "ok" and "s3cret" not in str(found)


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
    host = checks.Host(Module(runtime="native", python=python, native_checks=program, arch_list=""))
    (found,) = checks.native(host)
    assert found["outcome"] == "fail" and said in found["detail"] and found["remedy"]


def test_the_program_that_a_run_begins_with_is_what_looks():
    program = (
        Path(__file__).parents[2] / "roles/scenario_a/files/xformers-devcontainer/benchmarking/native_checks.py"
    ).read_text()
    options = {"runtime": "native", "python": sys.executable, "native_checks": program, "arch_list": "9.0"}
    found = {each["check"]: each for each in checks.native(checks.Host(Module(**options)))}
    assert {"tools", "site python", "torch", "nvcc", "gpus"} <= set(found)
    assert sys.executable in found["torch"]["detail"]


def test_a_container_needs_nothing_of_the_site_s_python(host):
    assert checks.native(host()) == []


def test_a_profile_without_a_network_asks_no_registry(host):
    answers = {"apt-get indextargets": "http://deb.site/debian/dists/bookworm/\n"}
    assert checks.registries(host(answers, profile={"network": False, "base_image": ""}, runtime="native")) == []
