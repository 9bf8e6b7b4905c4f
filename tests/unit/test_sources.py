"""What each kind of source is asked, and what its answers mean: real sockets to a stand-in on a loopback address."""

import os
import subprocess

import pytest
from stand_in import Authority, git_server, serving

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources import asking
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources import image as image_source
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources import questions as sources
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.asking import Asker
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.image import (
    Engine,
    Image,
    Pull,
    engine_of,
    logins_in,
    named,
)

GOOD = (200, {}, b"")
GONE = (404, {}, b"")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """No pause before the second try, and no settings of this machine's."""
    monkeypatch.setattr(asking, "PAUSE_SECONDS", 0)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("PIP_"):
            monkeypatch.delenv(name)


def ask(*questions, **options):
    return sources.answered(Asker(**options), list(questions))


def outcome(*questions):
    (found,) = ask(*questions)
    assert bool(found["remedy"]) == (found["outcome"] != "ok")
    return found["outcome"], f"{found['detail']}; {found['remedy']}"


# --- repositories of packages ---


class Machine:
    """A host of a distribution, for what is asked of it here."""

    os_release = {"VERSION_CODENAME": "bookworm", "VERSION_ID": "9.4"}  # noqa: RUF012

    def file_changes(self, path, **_):
        return [{"what": path}]


def repository(url, **changes):
    deb = {"name": "x", "kind": "deb", "url": url, "suites": "{codename}", "key_url": f"{url}/key"}
    return {**deb, "fingerprints": ["AB" * 20], "keyring": "/nowhere/key", **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["/dists/bookworm/InRelease", "/dists/bookworm/Release"]),
        ({"suites": "nodistro"}, ["/dists/nodistro/InRelease", "/dists/nodistro/Release"]),
        ({"suites": "/"}, ["/InRelease", "/Release"]),
        ({"kind": "rpm"}, ["/repodata/repomd.xml"]),
    ],
)
def test_where_a_repository_s_lists_are(changes, expected):
    assert sources.lists_of(Machine(), repository("u", **changes)) == tuple(f"u{path}" for path in expected)


def test_the_variables_of_apt_and_dnf_in_an_address(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: type("U", (), {"machine": "x86_64"}))
    assert sources.lists_of(Machine(), repository("u/$(ARCH)", suites="/"))[0] == "u/amd64/InRelease"
    rpm = repository("u/$releasever/$basearch/stable", kind="rpm")
    assert sources.lists_of(Machine(), rpm) == ("u/9/x86_64/stable/repodata/repomd.xml",)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"/dists/bookworm/InRelease", "/key"}, ["ok", "ok"]),
        ({"/dists/bookworm/Release", "/key"}, ["ok", "ok"]),
        ({"/dists/bookworm/InRelease"}, ["ok", "fail"]),
        ({"/key"}, ["fail", "ok"]),
    ],
)
def test_both_a_repository_s_lists_and_its_key_must_be_there(key, there, expected):
    fingerprint, text, _ = key
    with serving(lambda asked: (200, {}, text) if asked.path in there else GONE) as server:
        found = ask(*sources.repository(Machine(), "engine", repository(server.url, fingerprints=[fingerprint])))
    assert [one["outcome"] for one in found] == expected
    settings = ["docker_engine_repository_url", "docker_engine_repository_key_url"]
    for one, setting in zip(found, settings, strict=True):
        assert one["outcome"] == "ok" or one["remedy"] == f"mend the address: set {setting}"


def test_another_key_than_the_pinned_one_is_told_beforehand(key):
    with serving(lambda asked: (200, {}, key[1])) as server:
        _, found = ask(*sources.repository(Machine(), "node", repository(server.url)))
    assert found["outcome"] == "fail" and key[0] in found["detail"]
    assert "find out why the key is another one" in found["remedy"]


def test_a_key_that_is_on_the_host_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(sources.signed, "look_at_key", lambda host, one: [])
    assert len(list(sources.repository(Machine(), "node", repository("http://u")))) == 1


def test_what_is_no_key_is_told_beforehand():
    with serving(lambda asked: (200, {}, b"<html>Sign in</html>")) as server:
        lists, key = ask(*sources.repository(Machine(), "toolkit", repository(server.url)))
    assert (lists["outcome"], key["outcome"]) == ("ok", "fail")
    assert "it is not an OpenPGP key" in key["detail"]
    assert "set nvidia_container_toolkit_key_url" in key["remedy"]


# --- pip and npm ---


def pages(arguments, pip=sources.IN_IMAGE):
    return [question.urls[0] for question in sources.pip_call(arguments, pip)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["torch", "torchvision", "--index-url", "https://w.site/cu128", "triton"], ["https://w.site/cu128/torch/"]),
        (["--index-url=https://w.site/cu128/", "Foo.Bar_baz[x]>=1"], ["https://w.site/cu128/foo-bar-baz/"]),
        (["-i", "https://w.site", "torch==2.11.0"], ["https://w.site/torch/"]),
        (["--upgrade", "pip"], ["https://pypi.org/simple/pip/"]),
        (["--only-binary", "numpy", "./here", "torch"], ["https://pypi.org/simple/torch/"]),
        (["https://w.site/a.whl"], ["https://w.site/a.whl"]),
        (["--index-url", "file:///on/the/host", "torch"], []),
        (["-r", "wanted.txt"], []),
    ],
)
def test_each_call_of_pip_asks_for_its_first_package_s_page(arguments, expected):
    assert pages(arguments) == expected


def test_an_index_without_the_package_is_told_and_its_front_page_not_asked_for():
    with serving(lambda asked: GOOD if asked.path == "/simple/torch/" else GONE) as server:
        index = ["--index-url", f"{server.url}/simple"]
        assert outcome(*sources.pip_call(["torch", *index], sources.IN_IMAGE))[0] == "ok"
        said = outcome(*sources.pip_call(["triton", *index], sources.IN_IMAGE))
        assert said[0] == "fail" and "it has no triton: set its --index-url in scenario_python_packages" in said[1]
        assert server.questions == ["GET /simple/torch/", "GET /simple/triton/"]
        # It may be found elsewhere.
        further = ["triton", *index, "--extra-index-url", "https://elsewhere.site"]
        assert outcome(*sources.pip_call(further, sources.IN_IMAGE))[0] == "warn"


def test_a_site_s_own_image_may_have_settings_of_its_own_for_pip():
    pip = sources.OWN_IMAGE._replace(index="http://127.0.0.1:1/simple")
    said = outcome(*sources.pip_call(["torch"], pip))
    assert said[0] == "warn" and "the base image may have pip settings" in said[1]
    assert outcome(*sources.pip_call(["torch"], pip._replace(spared="")))[0] == "fail"


def test_an_index_may_be_for_who_has_a_login():
    with serving(lambda asked: (401, {}, b"")) as server:
        pip = sources.pip_of_root(lambda path: "")._replace(index=server.url)
        assert outcome(*sources.pip_call(["torch"], pip))[0] == "fail"
        files = {"~root/.netrc": "machine localhost login me password s3cret"}
        pip = sources.pip_of_root(lambda path: files.get(path, ""))._replace(index=server.url)
        said = outcome(*sources.pip_call(["torch"], pip))
    assert said[0] == "warn" and ".netrc may have a login" in said[1]


def test_where_root_s_pip_looks(monkeypatch):
    files = {}
    assert sources.pip_of_root(lambda path: files.get(path, "")).index == sources.PYPI
    files["/etc/pip.conf"] = "[global]\nindex-url = https://site/simple\n[install]\nuser = true\n"
    assert sources.pip_of_root(lambda path: files.get(path, ""))[:1] == ("https://site/simple",)
    files["~root/.config/pip/pip.conf"] = "[install]\nindex-url = https://root/simple\nextra-index-url = https://e\n"
    found = sources.pip_of_root(lambda path: files.get(path, ""))
    assert (found.index, found.further) == ("https://root/simple", True)
    files["/etc/pip.conf"] = "no section, which is pip's to say"
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable/simple")
    assert sources.pip_of_root(lambda path: files.get(path, "")).index == "https://variable/simple"


@pytest.mark.parametrize(("code", "expected"), [(200, "ok"), (404, "fail"), (401, "warn"), (503, "fail")])
def test_npm_s_registry_is_asked_for_the_cli(code, expected):
    with serving(lambda asked: (code, {}, b"")) as server:
        assert outcome(sources.npm_package(f"{server.url}/npm/"))[0] == expected
        assert server.questions[0] == "GET /npm/@devcontainers%2Fcli"


# --- git ---


@pytest.fixture
def repositories(tmp_path):
    """A folder with the bare repository x.git, of one commit."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run([*git, "init", "-q", tmp_path / "work"], check=True)
    subprocess.run([*git, "-C", tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "clone", "-q", "--bare", tmp_path / "work", tmp_path / "served/x.git"], check=True)
    subprocess.run([*git, "-C", tmp_path / "served/x.git", "update-server-info"], check=True)
    return tmp_path / "served"


def test_git_s_own_server_serves_what_can_be_cloned(repositories, tmp_path):
    with serving(git_server(repositories)) as server:
        # What was asked before, and is not there though the repository is.
        assert Asker().ask(f"{server.url}/x.git").status == 404
        for url in (f"{server.url}/x.git", f"{server.url}/x.git/"):
            assert outcome(*sources.git_repository(url))[0] == "ok"
        said = outcome(*sources.git_repository(f"{server.url}/y.git"))
        assert said[0] == "fail" and f"{server.url}/y.git does not exist or is private" in said[1]
        assert "(scenario_username, scenario_xformers_url)" in said[1]


def test_a_repository_may_be_plain_files(repositories):
    def answer(asked):
        path = repositories / asked.path.partition("?")[0].lstrip("/")
        return (200, {"Content-Type": "text/plain"}, path.read_bytes()) if path.is_file() else GONE

    with serving(answer) as server:
        assert outcome(*sources.git_repository(f"{server.url}/x.git"))[0] == "ok"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((401, {}, b""), "does not exist or is private"),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"), "not a git repository, but text/html"),
        ((403, {}, b""), "have this host let through"),
        ((503, {}, b""), "run this again later"),
    ],
)
def test_what_is_no_repository(reply, said):
    with serving(lambda asked: reply) as server:
        found = outcome(*sources.git_repository(f"{server.url.replace('//', '//me:s3cret@')}/x.git"))
    assert found[0] == "fail" and said in found[1] and "s3cret" not in found[1]


@pytest.mark.parametrize("url", ["file:///x.git", "ssh://git@h/x.git", "git@h:x.git", "git://h/x.git"])
def test_other_ways_to_a_repository_are_git_s_own_business(url):
    assert list(sources.git_repository(url)) == []


# --- images ---


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("debian", Image("docker.io", "library/debian", "latest")),
        ("nvidia/cuda:12.8.0", Image("docker.io", "nvidia/cuda", "12.8.0")),
        ("docker.io/debian:13", Image("docker.io", "library/debian", "13")),
        ("reg.site/a/b:1", Image("reg.site", "a/b", "1")),
        ("localhost:5000/a", Image("localhost:5000", "a", "latest")),
        ("reg.site:5000/a:1@sha256:ab", Image("reg.site:5000", "a", "sha256:ab")),
    ],
)
def test_an_image_s_registry_name_and_version(text, image):
    assert named(text) == image


class Registry:
    """Answers as a registry: to who has a token, with `reply` for the one image that it has."""

    def __init__(self, reply=GOOD, token=(200, {}, b'{"token": "t0ken"}')):
        self.reply, self.token, self.realm = reply, token, ""

    def __call__(self, asked):
        if asked.path.startswith("/token?"):
            return self.token
        if asked.headers["Authorization"] != "Bearer t0ken":
            return 401, {"WWW-Authenticate": f'Bearer realm="{self.realm}/token",service="a registry"'}, b""
        return self.reply if asked.path == "/v2/nvidia/cuda/manifests/12.8" else GONE


@pytest.fixture
def hub(monkeypatch):
    """Docker Hub: a stand-in that speaks http. `hub(...)` says how it answers."""
    registry = Registry()
    with serving(registry) as server:
        registry.realm = server.url
        monkeypatch.setattr(image_source, "HUB_ADDRESS", server.url)
        server.registry = registry
        yield server


def test_an_image_is_asked_for_as_a_pull_asks_and_does_not_count_as_one(hub):
    assert outcome(Pull("nvidia/cuda:12.8"))[0] == "ok"
    manifest = "HEAD /v2/nvidia/cuda/manifests/12.8"
    grant = "GET /token?service=a+registry&scope=repository%3Anvidia%2Fcuda%3Apull"
    assert hub.questions == [manifest, grant, manifest]
    assert "application/vnd.oci.image.index.v1+json" in hub.asked[0].headers["Accept"]
    assert hub.asked[1].headers["Authorization"] is None


def test_a_registry_without_the_image_is_no_good_registry(hub):
    said = outcome(Pull("nvidia/cuda:12.9"))
    assert said[0] == "fail" and "there is no such image: mend scenario_base_image" in said[1]


@pytest.mark.parametrize(
    ("code", "words"), [(401, "does not exist there, or is not for everybody"), (403, "docker login")]
)
def test_a_private_image_may_be_there_for_who_has_a_login(hub, code, words):
    hub.registry.reply = (code, {}, b"")
    said = outcome(Pull("nvidia/cuda:12.8", logins=("reg.site",)))
    assert said[0] == "fail" and words in said[1]
    said = outcome(Pull("nvidia/cuda:12.8", logins=("index.docker.io",)))
    assert said[0] == "warn" and "a login to it, which was not tried" in said[1]


@pytest.mark.parametrize("place", ["reply", "token"])
def test_a_limit_of_pulls_is_told_with_how_long_it_lasts(hub, place):
    setattr(hub.registry, place, (429, {"Retry-After": "3600"}, b""))
    said = outcome(Pull("nvidia/cuda:12.8"))
    assert said[0] == "fail" and "Retry-After: 3600" in said[1] and "docker login" in said[1] and "mirror" in said[1]


def test_who_gives_tokens_must_answer_too(hub):
    hub.registry.token = (503, {}, b"")
    said = outcome(Pull("nvidia/cuda:12.8"))
    assert said[0] == "fail" and "/token?" in said[1]
    hub.registry.token = (200, {}, b"nothing")
    assert "gives no token" in outcome(Pull("nvidia/cuda:12.8"))[1]
    hub.registry.realm = "file:///etc"
    assert outcome(Pull("nvidia/cuda:12.8"))[0] == "fail"


def test_a_mirror_comes_first_and_docker_hub_where_it_fails(hub):
    with serving(lambda asked: GOOD) as mirror:
        assert outcome(Pull("nvidia/cuda:12.8", Engine((f"{mirror.url}/",))))[0] == "ok"
        assert len(mirror.asked) == 1 and hub.asked == []
        # Mirrors are of Docker Hub alone.
        other = Engine((mirror.url,), ("127.0.0.0/8",))
        assert outcome(Pull(f"{hub.url.removeprefix('http://')}/nvidia/cuda:12.8", other))[0] == "ok"
        assert len(mirror.asked) == 1
    said = outcome(Pull("nvidia/cuda:12.8", Engine(("http://127.0.0.1:1",))))
    assert said[0] == "warn" and "127.0.0.1:1" in said[1] and "registry-mirrors in daemon.json" in said[1]
    hub.registry.reply = GONE
    said = outcome(Pull("nvidia/cuda:12.8", Engine(("http://127.0.0.1:1",))))
    assert said[0] == "fail" and "127.0.0.1:1" in said[1] and "no such image" in said[1]


def test_a_registry_of_the_site_s_may_have_a_certificate_that_only_the_engine_trusts(tmp_path, monkeypatch):
    monkeypatch.setattr(image_source, "CERTIFICATES", tmp_path / "certs.d")
    monkeypatch.setattr(image_source, "LOCAL", ())
    authority = Authority(tmp_path)
    with serving(lambda asked: GOOD, authority.context()) as server:
        place = server.url.removeprefix("https://")
        assert outcome(Pull(f"{place}/a", Engine((), ())))[0] == "fail"
        assert outcome(Pull(f"{place}/a", Engine((), (place,))))[0] == "ok"
        assert outcome(Pull(f"{place}/a", Engine((), ("127.0.0.0/8",))))[0] == "ok"
        (tmp_path / "certs.d" / place).mkdir(parents=True)
        (tmp_path / "certs.d" / place / "ca.crt").write_text(authority.pem)
        assert outcome(Pull(f"{place}/a", Engine((), ())))[0] == "ok"


def test_an_engine_s_own_proxy_may_reach_what_we_do_not(monkeypatch):
    monkeypatch.setattr(image_source, "HUB_ADDRESS", "http://127.0.0.1:1")
    assert outcome(Pull("debian"))[0] == "fail"
    assert outcome(Pull("debian", Engine(proxy=True)))[0] == "warn"
    said = outcome(Pull("debian", spared="the engine may have it"))
    assert said[0] == "warn" and "the engine may have it" in said[1]


def test_an_engine_s_settings_are_its_own_words_or_its_file_s(tmp_path):
    told = {
        "RegistryConfig": {
            "Mirrors": ["https://mirror.site/"],
            "InsecureRegistryCIDRs": ["10.0.0.0/8"],
            "IndexConfigs": {"docker.io": {"Secure": True}, "reg.site:5000": {"Secure": False}},
        },
        "HttpsProxy": "http://proxy",
    }
    file = tmp_path / "daemon.json"
    assert set(engine_of(told, str(file)).insecure) == {"10.0.0.0/8", "reg.site:5000"}
    assert engine_of(told, str(file))[::2] == (("https://mirror.site/",), True)
    assert engine_of({}, str(file)) == Engine()
    file.write_text('{"registry-mirrors": ["https://m"], "insecure-registries": ["r"]}')
    assert engine_of({}, str(file)) == Engine(("https://m",), (*image_source.LOCAL, "r"))
    file.write_text("{broken")
    assert engine_of({}, str(file)) == Engine()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"auths": {"https://index.docker.io/v1/": {}}, "credHelpers": {"reg.site": "x"}}',
            ("index.docker.io", "reg.site"),
        ),
        ("", ()),
        ("[]", ()),
        ("{broken", ()),
    ],
)
def test_which_registries_a_host_has_a_login_for(text, expected):
    assert logins_in(text) == expected


@pytest.mark.parametrize("turned", [False, True])
def test_what_pip_is_told_of_how_to_reach_an_index_spares_it_wherever_it_stands(turned):
    parts = [["--trusted-host", "pypi.corp"], ["--index-url", "https://pypi.corp/simple"]]
    words = [word for part in (reversed(parts) if turned else parts) for word in part]
    (question,) = sources.pip_call(["torch", *words], sources.IN_IMAGE)
    assert question.spared == "pip is told by --trusted-host how to reach it"
