"""The bundle: altered ones are refused, by the controller and by the host; the same call gives the same bytes.

What is fetched is put down by a stand-in here; tests/hosts/test_native.py makes a real one and takes it to a host.
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import bundle as checks
from provisioner.ansible.inputs import profile_data
from provisioner.ansible.target import Target
from provisioner.commands import controller_checks
from provisioner.errors import ProvisionerError
from provisioner.offline import bundle

ROOT = Path(__file__).parents[2]
FILES = {"sdist/xformers-0.0.35.tar.gz": b"source", "wheels/a-1-py3-none-any.whl": b"a wheel"}


def sums(files):
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


KNOWN = set(sums(FILES).values())
CLI = b"the Dev Container CLI"


@pytest.fixture
def write(tmp_path):
    """Write an archive; what is given replaces what an honest one has."""

    def make(files=FILES, manifest=None, link=False):
        manifest = (
            manifest
            if manifest is not None
            else {"schema": checks.SCHEMA, "python": "3.12", "platform": "x", "files": sums(files)}
        )
        path = tmp_path / "bundle.tar"
        bundle._write(path, manifest, files)
        if link:
            with tarfile.open(path, "a") as tar:
                entry = tarfile.TarInfo("wheels/b-1-py3-none-any.whl")
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(entry)
        return path

    return make


def manifest_of(files, **changes):
    return {"schema": checks.SCHEMA, "python": "3.12", "platform": "x", "files": sums(files), **changes}


def test_an_honest_one(write):
    manifest, files = checks.contents(write(), KNOWN)
    assert files == FILES and manifest["python"] == "3.12"


def refused(path, *words):
    with pytest.raises(checks.BundleError) as caught:
        checks.contents(path, KNOWN)
    said = str(caught.value)
    assert "\n" not in said and said.endswith("; make it again with `provisioner bundle`")
    for word in words:
        assert word in said
    return said


EVIL = {**FILES, "wheels/a-1-py3-none-any.whl": b"another"}


def test_a_file_that_was_altered(write):
    refused(write(EVIL, manifest_of(FILES)), "was altered", "wheels/a-1")


def test_a_file_and_the_manifest_that_were_altered(write):
    refused(write(EVIL), "is not what is pinned", "wheels/a-1")


def test_a_file_more_or_less(write):
    refused(write({**FILES, "wheels/b-1.whl": b"a wheel"}, manifest_of(FILES)), "wheels/b-1.whl")
    refused(write({"wheels/a-1-py3-none-any.whl": b"a wheel"}, manifest_of(FILES)), "sdist/")
    refused(write(link=True), "wheels/b-1")


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/x", "wheels/../x", "wheels/-x", "other/x"])
def test_a_name_that_leads_elsewhere(write, name):
    refused(write({**FILES, name: b"a wheel"}), "was altered")


@pytest.mark.parametrize("manifest", [{"files": 3}, {"schema": "x/2", "files": {}}, {}, {"files": {"x": []}}])
def test_a_manifest_that_is_none(write, manifest):
    refused(write(FILES, manifest))


def test_what_is_no_archive_or_cut_off(write, tmp_path):
    path = write()
    for data in (b"", b"nonsense", path.read_bytes()[:700]):
        path.write_bytes(data)
        refused(path)
    refused(tmp_path / "nowhere")


@pytest.fixture
def host(run_module, tmp_path):
    """The module on a host, run as Ansible runs it, in folders of the test's own."""

    def run(archive, sha256=None):
        brought = tmp_path / "brought.tar"
        brought.write_bytes(archive.read_bytes())
        arguments = {
            **{"archive": str(brought), "sha256": sha256 or hashlib.sha256(brought.read_bytes()).hexdigest()},
            **{"known": sorted(KNOWN), "path": str(tmp_path / "there"), "work": str(tmp_path / "work")},
        }
        said = run_module("unpacked_bundle", arguments)
        assert not brought.exists() and not (tmp_path / "work").exists(), "something was left behind"
        return said

    run.folder = tmp_path / "there"
    return run


def test_a_host_unpacks_it_once_and_again_where_something_was_changed(write, host):
    archive = write()
    assert host(archive)["changed"] is True
    assert {name: (host.folder / name).read_bytes() for name in FILES} == FILES
    assert host(archive)["changed"] is False
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert checks.intact(host.folder, sha256) and not checks.intact(host.folder, "0" * 64)
    (host.folder / "wheels/a-1-py3-none-any.whl").write_bytes(b"another")
    assert not checks.intact(host.folder, sha256)
    assert host(archive)["changed"] is True
    assert checks.intact(host.folder, sha256)


def test_a_host_refuses_an_altered_one_and_keeps_what_it_has(write, host):
    host(write())
    done = host(write(EVIL))
    assert done["failed"] and "is not what is pinned" in done["msg"]
    done = host(write(), sha256="0" * 64)
    assert done["failed"] and "not on the host as it is on the controller" in done["msg"]
    assert (host.folder / "wheels/a-1-py3-none-any.whl").read_bytes() == b"a wheel"


@pytest.fixture
def fetched(monkeypatch):
    """What pip and the finder put down, and how they were called."""
    calls = []

    def run(*command, path=None):
        words = list(map(str, command))
        calls.append(words)
        for option, folder in (("--dest", "wheels"), ("--download", "sdist")):
            if option in words:
                target = Path(words[words.index(option) + 1])
                target.mkdir(exist_ok=True)
                for name, data in FILES.items():
                    if name.startswith(folder):
                        (target / Path(name).name).write_bytes(data)

        if command[:2] == ("npm", "pack"):
            (command[command.index("--pack-destination") + 1] / "a-cli-1.tgz").write_bytes(CLI)

    monkeypatch.setattr(bundle, "_run", run)
    monkeypatch.setattr(bundle, "pip_index", lambda: "")
    known = {*KNOWN, checks.integrity(CLI)}
    monkeypatch.setattr(bundle, "check", lambda path: checks.contents(path, known)[0])
    return calls


def test_the_same_call_gives_the_same_bytes(fetched, tmp_path):
    made = []
    for name in ("one", "two"):
        bundle.make(tmp_path / name, "3.12", bundle.DEFAULT_PLATFORM, None, lambda line: None)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as tar:
        assert {(member.mtime, member.uid, member.mode) for member in tar} == {(0, 0, 0o644)}
    download = fetched[0]
    for words in (
        ["--require-hashes"],
        ["--no-deps"],
        ["--python-version", "3.12"],
        ["--platform=manylinux_2_17_x86_64"],
    ):
        assert set(words) <= set(download)
    assert "--platform=manylinux_2_29_x86_64" not in download


def test_one_for_devcontainers_has_the_cli_and_node_of_the_locks(fetched, tmp_path):
    manifest = bundle.make(tmp_path / "x", "3.12", bundle.DEFAULT_PLATFORM, "devcontainer", lambda line: None)
    assert [name for name in manifest["files"] if name.startswith("npm/")] == ["npm/a-cli-1.tgz"]
    assert any(words[-1].endswith("locks/node.txt") and "--require-hashes" in words for words in fetched)
    assert any(words[:2] == ["npm", "pack"] and words[-1] == "@devcontainers/cli@0.89.0" for words in fetched)


def test_a_runtime_that_is_none(cli, fetched, tmp_path):
    code, _, err = cli("bundle", "--runtime", "podman", "-o", tmp_path / "x")
    assert code == 2 and "--runtime 'podman' is not a runtime; try devcontainer or native" in err


@pytest.mark.parametrize(
    ("python", "platform"),
    [("3.9", bundle.DEFAULT_PLATFORM), ("2.7", bundle.DEFAULT_PLATFORM), ("3", bundle.DEFAULT_PLATFORM)]
    + [("3.12", name) for name in ("linux", "win_amd64", "manylinux_2_28_x86_64 --index-url=x", "")],
)
def test_a_python_or_platform_that_is_none(cli, fetched, tmp_path, python, platform):
    code, out, err = cli("bundle", "--python", python, "--platform", platform, "-o", tmp_path / "x")
    assert code == 2 and out == "" and err.count("\n") == 1 and "; try --" in err
    assert not fetched


def test_the_command(cli, fetched, state, tmp_path):
    code, out, _ = cli("bundle", "--python", "3.12", "--json")
    said = json.loads(out)
    assert code == 0 and said["bundle"] == str(state / "bundle.tar")
    assert said["sha256"] == hashlib.sha256((state / "bundle.tar").read_bytes()).hexdigest()
    assert said["files"] == sums(FILES)
    code, _, err = cli("bundle", "--python", "3.12", "-o", tmp_path / "no/such/folder/x")
    assert code == 2 and "cannot write" in err
    code, _, err = cli("bundle", "--python", "3.12", "-o", tmp_path / "y.tar")
    assert code == 0 and f"-e local_sources_bundle={tmp_path}/y.tar" in err


def test_what_cannot_be_fetched_is_one_line(cli, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    code, _, err = cli("bundle", "--python", "3.12")
    assert code == 1
    assert "the bundle cannot be made" in err.splitlines()[-1] and "Traceback" not in err


def test_the_lock_pins_what_the_profile_installs():
    profile = profile_data("offline")
    lock = (ROOT / "inventory/profiles" / profile["bundle"]).read_text()
    for requirement in [*profile["native_packages"], "pre-commit=="]:
        assert requirement in lock
    assert {tuple(profile_data(name)["native_packages"]) for name in ("offline", "seed", "registries")} == {
        tuple(profile["native_packages"])
    }


def test_the_doctor_looks_at_it(write, tmp_path):
    def found(path):
        target = Target((), (), tmp_path, profiles=frozenset({"offline"}), extra_vars={"local_sources_bundle": path})
        return next(each for each in controller_checks.controller(target) if each.check == "bundle")

    missing = found(str(tmp_path / "none"))
    assert missing.outcome == "fail" and "provisioner bundle" in missing.remedy
    altered = found(str(write(EVIL, manifest_of(FILES))))
    assert altered.outcome == "fail" and "altered: sdist/" in altered.detail
    assert altered.remedy == "make it again with `provisioner bundle`"


def test_check_says_what_is_wrong(write):
    with pytest.raises(ProvisionerError) as caught:
        bundle.check(write())
    assert caught.value.code == 2 and "is not what is pinned" in str(caught.value)


def test_what_npm_s_lock_pins_is_known_by_its_integrity(write):
    cli = {**FILES, "npm/cli-1.tgz": b"a CLI"}
    with pytest.raises(checks.BundleError, match=r"npm/cli-1\.tgz is not what is pinned"):
        checks.contents(write(cli), KNOWN)
    assert checks.contents(write(cli), {*KNOWN, checks.integrity(b"a CLI")})[1] == cli
    assert checks.integrity(b"") == (
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    )


def test_one_for_another_kind_of_machine_or_runtime_is_told_with_the_remedy():
    manifest = {"platform": "manylinux_2_28_aarch64", "files": {"wheels/a.whl": ""}}
    assert bundle.misfit(manifest, "x86_64", "native") == (
        "the bundle is for machines of kind aarch64, and this one is x86_64; make one for it with `provisioner bundle "
        "--platform manylinux_2_28_x86_64`"
    )
    assert bundle.misfit(manifest, "aarch64", "native") == ""
    assert bundle.misfit(manifest, "aarch64", "devcontainer").startswith("the bundle has no Dev Container CLI")
    assert bundle.misfit({**manifest, "files": {"npm/a.tgz": ""}}, "aarch64", "devcontainer") == ""
    assert bundle.misfit({}, "x86_64", "devcontainer") == "", "one that cannot be read is told by those who read it"
