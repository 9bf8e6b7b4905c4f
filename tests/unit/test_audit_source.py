"""Forged sources: something else was compiled than what the record names. Consistently, and summed anew."""

import hashlib
import json
import re

import evidence_sample
import pytest
from test_audit_cheats import appended, at, both, changed, edit, edited, failed, judge

from provisioner.audit.judge import judge as audit
from provisioner.runs.evidence import Evidence

CLONED = "container/source_after_clone.txt"
COMPILED = "container/source_after_compile.txt"
OTHER = "89abcdef" * 5


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


def both_times(line):
    return both(appended(CLONED, line), appended(COMPILED, line))


def cloned(folder, url, ref=""):
    """The log's clone names this URL and branch."""
    edit(folder / "run.log", r"(git clone --recurse-submodules).* -- \S+", rf"\1{ref} -- {url}")


def versions(folder, old, new):
    """Every file that tells of xformers' version has another."""
    for name in ("run.log", "container/pip.log", "packages.json", "environment.json"):
        path = folder / name
        path.write_text(re.sub(old, new, path.read_text()))


def another_tree(folder):
    """A known commit's name for another tree."""
    tree = (folder / "tree.txt").read_text().strip()
    for name in (CLONED, COMPILED, "tree.txt"):
        path = folder / name
        path.write_text(path.read_text().replace(tree, OTHER))


CHEATS = {
    "a source was changed before the compile": (
        both_times("changed  M xformers/csrc/sparse24/gemm.cu\n"),
        "source_was_left_alone",
    ),
    "objects lay in the clone": (both_times("changed !! build/\n"), "source_was_left_alone"),
    "an extension lay in the clone": (appended(CLONED, "changed ?? xformers/_C.so\n"), "source_was_left_alone"),
    "git was told not to look": (both_times("hidden setup.py\n"), "source_was_left_alone"),
    "a source of a submodule was changed": (
        both_times("changed  M third_party/cutlass/include/cutlass/cutlass.h\n"),
        "source_was_left_alone",
    ),
    "a source was changed and put back": (
        changed("built.json", lambda built: built["written"].append(["setup.py", 2e9])),
        "source_was_left_alone",
    ),
    "setup.py was changed while it compiled": (
        appended(COMPILED, "changed  M setup.py\n"),
        "source_was_left_alone",
    ),
    "git says nothing of the clone": (lambda folder: (folder / CLONED).write_text(""), "source_was_left_alone"),
    "the host did not look": (changed("built.json", lambda built: built.update(written=None)), "source_was_left_alone"),
    "another commit was checked out to compile": (
        edited(COMPILED, r"^commit .*$", f"commit {OTHER}"),
        "source_is_what_was_cloned",
    ),
    "the record names another commit": (
        lambda folder: (folder / "commit.txt").write_text(f"{OTHER}\n"),
        "source_is_what_was_cloned",
    ),
    "pip installed another commit's": (
        edited("run.log", r"(Successfully installed xformers-\S*?\+)[0-9a-f]{7}", r"\1abcdef0"),
        "source_is_what_was_asked_for",
    ),
    "a submodule is at another commit": (
        both_times(f"submodule + {OTHER} third_party/cutlass\n"),
        "source_is_what_was_cloned",
    ),
    "another fork was cloned": (
        lambda folder: cloned(folder, "https://github.com/somebody/xformers.git"),
        "source_is_what_was_asked_for",
    ),
    "another branch was cloned": (
        lambda folder: cloned(folder, "file:///sources/xformers.git", " --branch small"),
        "source_is_what_was_asked_for",
    ),
    "the record names no commit": (
        lambda folder: (folder / "commit.txt").write_text(""),
        "nothing_is_missing",
    ),
    "nothing was cloned": (
        edited("run.log", r"\+ git clone .*$", "+ git status"),
        "source_is_what_was_asked_for",
    ),
    "a known commit has another tree": (another_tree, "source_is_known"),
    "a known source has other contents": (
        edited("built.json", r'("xformers/csrc/sparse24/gemm\.cu": ")[0-9a-f]{40}', rf"\g<1>{OTHER}"),
        "source_is_known",
    ),
    "a known commit has fewer sources": (
        edited("NINJA/build.ninja", r"^build \S+/gemm\.o: .*\n", ""),
        "source_is_known",
    ),
    "what was compiled is not of the clone": (
        edited("NINJA/build.ninja", r"\S+/sparse24/gemm\.cu$", "/opt/stub/gemm.cu"),
        "source_is_known",
    ),
    "the host saw no sources": (changed("built.json", lambda built: built.pop("sources")), "source_is_known"),
    "a known commit has submodules": (both_times(f"submodule ok {OTHER} third_party/cutlass\n"), "source_is_known"),
    "the extension was there already": (
        edited("built.json", r'"xformers/_C\.so",(\s+)\d+', r'"xformers/_C.so",\g<1>1700000000'),
        "source_was_left_alone",
    ),
    "the extension is of the commit": (
        edited(COMPILED, r"^changed \?\? xformers/_C\.so\n", ""),
        "source_was_left_alone",
    ),
    "pip lists another version": (
        edited("packages.json", r"0\.0\.35\+7f", "0.0.34+7f"),
        "source_is_what_was_asked_for",
    ),
    "the output is of another day": (
        lambda folder: versions(folder, r"(\+7f05920)\.d\d+", r"\1.d20261101"),
        "source_is_what_was_asked_for",
    ),
    "the version names no commit": (
        lambda folder: versions(folder, r"\+7f05920\.d\d+", ""),
        "source_is_what_was_asked_for",
    ),
    "pip installed nothing": (
        lambda folder: [
            edit(folder / name, r"^.*Successfully installed xformers.*\n", "")
            for name in ("run.log", "container/pip.log")
        ],
        "source_is_what_was_asked_for",
    ),
    "it was cloned with ready objects": (
        edited("run.log", "git clone --recurse-submodules", r"\g<0> --reference /sources/warm.git"),
        "source_is_what_was_asked_for",
    ),
    "the compile was told of another fork": (
        edited("NINJA/environment", "^XFORMERS_FORK_URL=.*$", "XFORMERS_FORK_URL=https://git.example/x.git"),
        "source_is_what_was_asked_for",
    ),
    "the host did not see a source": (
        edited("built.json", r'"xformers/csrc/sparse24/gemm\.cu"', '"xformers/csrc/sparse24/other.cu"'),
        "source_is_known",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_forged_source_is_rejected(folder, name):
    forge, check = CHEATS[name]
    forge(folder)
    evidence_sample.seal(folder)
    assert check in failed(folder)


# ---- no false alarm --------------------------------------------------------------------------------------------------


def of_user(folder):
    """A fork on GitHub, by its user's name and a branch of it, with a login in what was cloned."""
    inputs = json.loads((folder / "files/benchmarking/inputs.json").read_text())
    url = "https://token@git.example/me/xformers.git"
    inputs |= {"xformers_url": url, "xformers_ref": "my/branch"}
    text = json.dumps(inputs)
    (folder / "files/benchmarking/inputs.json").write_text(text)

    changed(
        "run.json",
        lambda run: run.update(
            xformers_url=url, xformers_ref="my/branch", input_hash=hashlib.sha256(text.encode()).hexdigest()
        ),
    )(folder)
    variables = {"XFORMERS_FORK_URL": url, "XFORMERS_REF": "my/branch"}
    changed("files/.devcontainer/devcontainer.json", lambda made: made["containerEnv"].update(variables))(folder)
    read = "devcontainer_configuration.json"
    changed(read, lambda made: [made[part]["containerEnv"].update(variables) for part in made if "onfig" in part])(
        folder
    )
    own = [f"{name}={value.replace('token@', '***@')}" for name, value in variables.items()]

    def with_own(made):
        made[0]["Config"]["Env"] = [*own, *(one for one in made[0]["Config"]["Env"] if "XFORMERS_" not in one)]

    changed("container_inspect.json", with_own)(folder)
    edit(
        at(folder, "NINJA/environment"),
        "^XFORMERS_FORK_URL=.*$",
        "XFORMERS_FORK_URL=https://***@git.example/me/xformers.git\nXFORMERS_REF=my/branch",
    )
    settings = folder / "files/benchmarking/scenario.env"
    for name, value in variables.items():
        edit(settings, f"^{name}=.*$", f"{name}={value}")
    edit(settings, "^SCENARIO_INPUT_HASH=.*$", f"SCENARIO_INPUT_HASH={hashlib.sha256(text.encode()).hexdigest()}")
    cloned(folder, url.replace("token@", "***@"), " --branch my/branch")


def unknown_commit(folder):
    """The same files by another commit, of a fork."""
    for name in ("commit.txt", CLONED, COMPILED):
        path = folder / name
        path.write_text(re.sub(r"^(commit )?7f05920\w*", rf"\g<1>{OTHER}", path.read_text()))
    for name in ("run.log", "container/pip.log", "packages.json", "environment.json"):
        path = folder / name
        path.write_text(path.read_text().replace("+7f05920", f"+{OTHER[:7]}"))


def with_submodules(folder):
    unknown_commit(folder)
    line = f"submodule ok {OTHER} third_party/cutlass\nsubmodule ok {OTHER} third_party/a/b c\n"
    both_times(line)(folder)


HONEST = {
    "a login and a branch": of_user,
    "submodules": with_submodules,
    "a build wrote what git ignores": appended(
        COMPILED, "changed !! build/\nchanged ?? xformers/version.py\nchanged ?? xformers/csrc/made.cu\n"
    ),
    "a build wrote lists anew that are tracked": appended(COMPILED, "changed  M xformers.egg-info/SOURCES.txt\n"),
    "the host saw sources that the build made": both(
        appended(COMPILED, "changed !! build/\n"),
        changed("built.json", lambda built: built["written"].append(["build/lib/made.cu", 2e9])),
    ),
    "the clone was tried twice": edited("run.log", r"^(.* \+ git clone .*)$", r"\1\n\1"),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_source_is_not_accused(folder, name):
    HONEST[name](folder)
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_an_unknown_commit_is_told_as_one(folder):
    unknown_commit(folder)
    evidence_sample.seal(folder)
    check = judge(folder)[1]["source_is_known"]
    assert check.outcome == "pass"
    assert check.detail == f"source not known to the rules: {OTHER}; its sources are those of xformers 0.0.35"
    assert failed(folder) == []
    assert audit(Evidence(folder)).remarks == [check.detail]
