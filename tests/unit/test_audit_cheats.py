"""Planted cheats: real evidence altered in one way, by somebody who also makes the sums anew; the check that names it
catches it. And no false alarm on the evidence as it was.

The sample's host has no GPU. What the attention test would have left there is made up here, and only that.
"""

import hashlib
import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import evidence_sample
import pytest

from provisioner.audit.judge import judge as audit
from provisioner.audit.rules import RULES
from provisioner.audit.verdict import reasons
from provisioner.runs.evidence import Evidence
from provisioner.store import collect

CONFIGURATION = "files/.devcontainer/devcontainer.json"
DOCKERFILE = "files/.devcontainer/Dockerfile.scenario-a"
POST_CREATE = "files/.devcontainer/post-create-scenario-a.sh"
MERGED = "devcontainer_configuration.json"
CONTAINER = "container_inspect.json"
GPU = evidence_sample.GPU
# What is skipped where no GPU answers.
OF_GPU = {"attention_test_passed", "container_had_the_gpu", "attention_was_computed_for_this_run"}
WORKSPACE = "/workspaces/xformers-devcontainer-scenario-a"


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


def judge(folder):
    result = audit(Evidence(folder))
    return result.verdict, {check.name: check for check in result.checks}


def failed(folder):
    return [name for name, check in judge(folder)[1].items() if check.outcome == "fail"]


# ---- ways to alter evidence ------------------------------------------------------------------------------------------


def at(folder, name) -> Path:
    """A file of the evidence; NINJA/ is the folder of the call that compiled."""
    if name.startswith("NINJA/"):
        (log,) = folder.glob("container/ninja/*/ninja_log")
        return log.parent / name.removeprefix("NINJA/")
    return folder / name


def edit(path: Path, old, new):
    """Replace the first match of a pattern, in which ^ and $ are a line's."""
    text, count = re.subn(old, new, path.read_text(), count=1, flags=re.MULTILINE)
    assert count, f"the sample has no {old!r} in {path.name}"
    path.write_text(text)


def edited(name, old, new):
    return lambda folder: edit(at(folder, name), old, new)


def appended(name, text):
    return lambda folder: at(folder, name).write_text(at(folder, name).read_text() + text)


def edit_json(path: Path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def changed(name, change):
    return lambda folder: edit_json(at(folder, name), change)


def edit_lines(path: Path, change):
    """Alter a file of one JSON object a line, as a list."""
    values = [json.loads(line) for line in path.read_text().splitlines()]
    change(values)
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))


def lines(name, change):
    return lambda folder: edit_lines(at(folder, name), change)


def both(*alterations):
    return lambda folder: [alter(folder) for alter in alterations]


def with_gpu(event="end", printed="", **told):
    """Make the evidence that of a host with a GPU, see `evidence_sample.give_gpu`."""
    return lambda folder: evidence_sample.give_gpu(folder, event, printed, **told)


def buildkit(*said):
    """Let the build have been BuildKit's, with these lines of its output."""
    return edited("run.log", r"^(\S+) (.*Step 1/.*)$", "".join(rf"\1 {line}\n" for line in said) + r"\1 \2")


# ---- no false alarm --------------------------------------------------------------------------------------------------


def test_the_evidence_as_it_was_is_incomplete_for_want_of_a_gpu_only(folder):
    verdict, checks = judge(folder)
    assert verdict == "incomplete"
    assert {name: check.detail for name, check in checks.items() if check.outcome != "pass"} == dict.fromkeys(
        OF_GPU, "no NVIDIA GPU answered on the host"
    )


def test_with_a_gpu_and_its_test_the_run_is_accepted(folder):
    with_gpu()(folder)
    evidence_sample.seal(folder)
    verdict, checks = judge(folder)
    assert not [check for check in checks.values() if check.outcome != "pass"]
    assert verdict == "accepted"


def test_every_check_points_to_evidence_that_is_there(folder):
    for check in judge(folder)[1].values():
        name = check.evidence.partition(":")[0]
        assert (folder / name).exists() or name == "record.json", check


@pytest.mark.parametrize("name", ["provisioner/cuda:13.0-devel", "docker.io/provisioner/cuda:13.0-devel"])
def test_the_base_may_be_pulled(folder, name):
    pull = {"Type": "image", "Action": "pull", "Actor": {"ID": name}}
    edit_lines(folder / "docker_events.jsonl", lambda events: events.append(pull))
    check = judge(folder)[1]["nothing_else_was_pulled"]
    assert (check.outcome, check.detail) == ("pass", "the base was pulled, and nothing else")


def test_a_proxy_is_no_cheat(folder):
    """Its variables are named in what was laid down, and have their values wherever it was read or used."""
    proxy = {"http_proxy": "http://proxy:3128", "NO_PROXY": "localhost"}
    by_name = {name: f"${{localEnv:{name}}}" for name in proxy}

    def with_proxy(configuration, values):
        configuration["build"]["args"] = dict(values)
        configuration["containerEnv"].update(values)

    edit_json(folder / CONFIGURATION, lambda made: with_proxy(made, by_name))
    edit_json(folder / MERGED, lambda read: [with_proxy(read[part], proxy) for part in read if "onfiguration" in part])
    edit_json(
        folder / CONTAINER, lambda made: made[0]["Config"]["Env"].extend("=".join(pair) for pair in proxy.items())
    )
    rows = r'"CreatedBy": ?"/bin/sh -c (?!#)'
    edit(
        folder / "image_history.jsonl",
        rows,
        '"CreatedBy":"|2 NO_PROXY=localhost http_proxy=http://proxy:3128 /bin/sh -c ',
    )
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_a_second_compiler_further_down_path_is_no_cheat(folder):
    appended("NINJA/tools", "gcc\t/opt/gcc/bin/gcc\t/opt/gcc/bin/gcc\n")(folder)
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_a_time_that_was_cut_to_whole_seconds_is_no_cheat(folder):
    """setuptools may keep the time of what it copies without the fraction; a second earlier is another file's."""

    def cut(seconds):
        whole = f"{int(float(modified)) - seconds}.000000000"
        edit_json(folder / "container/extensions.jsonl", lambda left: left.update(modified=whole))
        edit_json(folder / "environment.json", lambda facts: facts["extensions"][0].update(modified=whole))
        evidence_sample.seal(folder)

    modified = json.loads((folder / "container/extensions.jsonl").read_text())["modified"]
    cut(0)
    assert failed(folder) == []
    cut(60)
    assert failed(folder) == ["extension_is_of_this_compile"]


def test_threads_of_nvcc_that_the_run_tells_of_are_no_cheat(folder):
    """They are an input, told by the variable that would otherwise be suspect."""
    variable = "NVCC_APPEND_FLAGS=--threads=2"
    appended("NINJA/environment", f"{variable}\n")(folder)
    edit_json(folder / CONTAINER, lambda made: made[0]["Config"]["Env"].append(variable))
    edit_json(folder / CONFIGURATION, lambda made: made["containerEnv"].update([variable.split("=", 1)]))
    for part in ("configuration", "mergedConfiguration"):
        edit_json(folder / MERGED, lambda read, part=part: read[part]["containerEnv"].update([variable.split("=", 1)]))
    edit_json(folder / "files/benchmarking/inputs.json", lambda inputs: inputs.update(nvcc_threads="2"))
    digest = hashlib.sha256((folder / "files/benchmarking/inputs.json").read_bytes()).hexdigest()
    edit_json(folder / "run.json", lambda run: run.update(nvcc_threads="2", input_hash=digest))
    settings = folder / "files/benchmarking/scenario.env"
    edit(settings, "^SCENARIO_INPUT_HASH=.*$", f"SCENARIO_INPUT_HASH={digest}")
    edit(settings, "^SCENARIO_NVCC_THREADS=$", "SCENARIO_NVCC_THREADS=2")
    evidence_sample.seal(folder)
    assert failed(folder) == []
    edit_json(folder / "run.json", lambda run: run.update(nvcc_threads="4"))
    assert {"no_compiler_cache", "compiled_as_told", "inputs_are_as_recorded"} <= set(failed(folder))


def test_a_base_on_the_host_is_no_cached_layer(folder):
    """The base is an input: whether it was there is in the record."""
    buildkit("#5 [stage 1/6] FROM docker.io/provisioner/cuda:13.0-devel", "#5 CACHED")(folder)
    buildkit(" => CACHED [stage 1/6] FROM docker.io/provisioner/cuda:13.0-devel")(folder)
    evidence_sample.seal(folder)
    assert failed(folder) == []


# ---- the cheats ------------------------------------------------------------------------------------------------------


def second_ninja(folder):
    shutil.copytree(at(folder, "NINJA/ninja_log").parent, folder / "container/ninja/9")


def older_object(folder):
    log = at(folder, "NINJA/ninja_log")
    fields = log.read_text().splitlines()[1].split("\t")
    edit(log, fields[2], str(int(fields[2]) - 3600 * 10**9))


def object_again(folder):
    log = at(folder, "NINJA/ninja_log")
    log.write_text(log.read_text() + log.read_text().splitlines()[-1] + "\n")


def older_extension(folder):
    def older(extension):
        extension["modified"] = f"{float(extension['modified']) - 7200:.9f}"

    edit_json(folder / "environment.json", lambda now: older(now["extensions"][0]))
    edit_lines(folder / "container/extensions.jsonl", lambda left: older(left[0]))


def layers_from_earlier(folder):
    layers = json.loads((folder / "image_inspect.json").read_text())[0]["RootFS"]["Layers"][:4]
    edit_lines(folder / "images_at_build.jsonl", lambda images: images.append({"id": "sha256:0", "layers": layers}))


def nothing_at_work(folder):
    samples = at(folder, "NINJA/samples")
    samples.write_text(re.sub(r"^(\S+ \S+) .*$", r"\1", samples.read_text(), flags=re.MULTILINE))


SECOND_INSTALL = f"python3 -m pip install -e {WORKSPACE}/xformers"
WHEEL = "xformers-0.0.35-cp39-abi3-linux_x86_64.whl"
VOLUME = {"Type": "volume", "Name": "warm", "Source": "/var/lib/docker/volumes/warm/_data", "Destination": "/root"}
PULL = {"Type": "image", "Action": "pull", "Actor": {"ID": "me/warm:latest"}}
LONG_AGO = "2026-11-22T05:06:10.366099105Z"
REAL = "/usr/bin/x86_64-linux-gnu-g[+][+]-12$"

# By the check that must catch it: what is done, and how it shows in the evidence.
CHEATS = {
    "configuration_has_no_shortcut": {
        "cacheFrom restored": changed(CONFIGURATION, lambda made: made["build"].update(cacheFrom="a/devcontainer")),
        "image set": changed(CONFIGURATION, lambda made: made.update(image="someone/anything:latest")),
        "a feature that brings software": changed(
            CONFIGURATION, lambda made: made.update(features={"ghcr.io/x:1": {}})
        ),
        "a command before the timed ones": changed(CONFIGURATION, lambda made: made.update(onCreateCommand="warm-up")),
        "another post-create command": changed(CONFIGURATION, lambda made: made.update(postCreateCommand="warm-up")),
        "a volume by runArgs": changed(CONFIGURATION, lambda made: made.update(runArgs=["-v", "/cache:/cache"])),
        "a build option": changed(
            CONFIGURATION, lambda made: made["build"].update(options=["--build-context", "x=/y"])
        ),
    },
    "configuration_in_force_is_the_one_laid_down": {
        "metadata of an image adds a command": changed(
            MERGED, lambda read: read["mergedConfiguration"]["onCreateCommands"].append("install-it")
        ),
        "metadata of an image adds a variable": changed(
            MERGED, lambda read: read["mergedConfiguration"]["remoteEnv"].update(CXX="ccache c++")
        ),
    },
    "no_builder_image": {
        "a builder named in the Dockerfile": edited(
            DOCKERFILE, "^WORKDIR", "LABEL from=xformers-dependency-downloader\nWORKDIR"
        ),
    },
    "dockerfile_takes_nothing_ready": {
        name: edited(DOCKERFILE, old, new)
        for name, old, new in (
            ("COPY --from a builder", "^WORKDIR", "COPY --from=me/xformers-builder /wheels /wheels\nWORKDIR"),
            ("COPY --from a harmless name", "^WORKDIR", "COPY --chown=1:1 --from=me/harmless /w /w\nWORKDIR"),
            ("a stage before the real one", "^FROM ", "FROM me/harmless AS first\nFROM "),
            ("another base than the recorded one", "^FROM .*$", "FROM provisioner/cuda:warm"),
            ("a mount from another image", "^RUN useradd", "RUN --mount=type=bind,from=me/x,target=/x useradd"),
            ("pip download", "^WORKDIR", "RUN pip download torch\nWORKDIR"),
            ("pip with its cache", "install --no-cache-dir --upgrade", "install --upgrade"),
            ("xformers in the image", "triton", "triton xformers"),
        )
    },
    "inputs_are_as_recorded": {
        "a Dockerfile that does a little more": edited(
            DOCKERFILE, "^RUN useradd", "RUN fetch-warm-things\nRUN useradd"
        ),
        "another fork than the inputs say": changed(
            "run.json", lambda run: run.update(xformers_url="file:///warm.git")
        ),
        "inputs told otherwise": edited("files/benchmarking/inputs.json", "ninja-build", "ninja"),
    },
    "files_are_as_shipped": {
        "a second install that nothing echoes": edited(
            POST_CREATE, "^begin pre_commit", 'python3 -m pip install -qe "$XFORMERS_PATH"\nbegin pre_commit'
        ),
        "a file of one's own among the scripts": lambda folder: (
            folder / "files/.devcontainer/sitecustomize.py"
        ).write_text(""),
        "an attention test of one's own": lambda folder: (folder / "files/attention_test.py").write_text("print('{}')"),
    },
    "no_shortcut_image": {
        "a builder image on the host before the start": lines(
            "images_at_build.jsonl", lambda images: images[0].update(tags=["me/xformers-builder:latest"])
        ),
    },
    "no_cached_layer": {
        "--no-cache dropped": edited("run.log", " --no-cache", ""),
        "a step from the cache": edited("run.log", r"^(\S+) (.*Step 8/.*)$", r"\1 \2\n\1  ---> Using cache"),
        "a step from BuildKit's cache": buildkit("#7 [stage 3/6] RUN apt-get update", "#7 CACHED"),
        "a step from BuildKit's cache, on a terminal": buildkit(" => CACHED [3/6] RUN apt-get update 0.0s"),
        "a package from pip's cache": buildkit("  Using cached torch-2.14.1-cp311-cp311-linux_x86_64.whl (900 MB)"),
    },
    "layers_are_new": {
        "--no-cache dropped, so that layers come from an earlier build": layers_from_earlier,
        "a layer of an image that was since removed": lines(
            "image_history.jsonl", lambda rows: rows[2].update(CreatedAt=LONG_AGO)
        ),
        "another base under the image": changed(
            "image_inspect.json", lambda image: image[0]["RootFS"]["Layers"].insert(0, "sha256:1")
        ),
    },
    "image_is_of_the_dockerfile": {
        "an instruction that the Dockerfile has not got": lines(
            "image_history.jsonl", lambda rows: rows.insert(1, rows[1] | {"CreatedBy": "/bin/sh -c tar -xf /warm.tar"})
        ),
        "an instruction that did something else": edited("image_history.jsonl", "useradd -ms", "useradd --warm -ms"),
    },
    "nothing_else_was_pulled": {
        "another image pulled meanwhile": lines("docker_events.jsonl", lambda events: events.append(PULL)),
        "a watch that was off": lambda folder: (folder / "docker_events.jsonl").write_text(""),
    },
    "container_is_of_the_image": {
        "a container of another image": changed(CONTAINER, lambda made: made[0].update(Image="sha256:2")),
        "a container that was there already": changed(CONTAINER, lambda made: made[0].update(Created=LONG_AGO)),
        "layers put on the image": changed(
            "container_image.json", lambda image: image[0]["RootFS"]["Layers"].append("sha256:3")
        ),
        "an instruction after the build": lines(
            "container_image_history.jsonl", lambda rows: rows.insert(0, rows[0] | {"CreatedBy": "RUN tar -xf /w.tar"})
        ),
    },
    "container_is_as_configured": {
        "a volume with a cache": changed(CONTAINER, lambda made: made[0]["Mounts"].append(VOLUME)),
        "a variable that points pip to wheels": changed(
            CONTAINER, lambda made: made[0]["Config"]["Env"].append("PIP_FIND_LINKS=/w")
        ),
    },
    "nothing_was_there_before": {
        "xformers there before the clone": changed(
            "container/environment_before.json", lambda before: before["package"].append("/opt/warm/xformers")
        ),
    },
    "compiled_once": {
        "a second call of ninja": second_ninja,
        "an object from an earlier build": older_object,
        "an object built twice": object_again,
        "a prebuilt wheel, nothing compiled": lambda folder: at(folder, "NINJA/ninja_log").unlink(),
        "a second compile phase": appended(
            "container/events.jsonl", '{"event":"begin","phase":"compile","uptime":14000}\n'
        ),
    },
    "compiled_as_told": {
        "fewer architectures than the run says": changed("run.json", lambda run: run.update(arch_list="9.0;12.0")),
        "compiled for another one": edited("NINJA/build.ninja", "sm_90", "sm_75"),
        "more jobs than the run says": edited("NINJA/environment", "^MAX_JOBS=.*$", "MAX_JOBS=64"),
        "more jobs by ninja's own option": edited("NINJA/arguments", "^2$", "64"),
        "without CUDA": edited("NINJA/environment", "^FORCE_CUDA=.*\n", ""),
    },
    "installed_once": {
        "a second editable install in post-create": edited(
            "run.log", r"^(\S+) (.*=== pre_commit ===)$", rf"\1 \2\n\1 + {SECOND_INSTALL}"
        ),
        "a second install that pip tells of": edited(
            "run.log", r"^(\S+ .*Successfully installed xformers.*)$", r"\1\n\1"
        ),
        "a prebuilt wheel beside a compile": appended("container/pip.log", f"Processing /wheels/{WHEEL}\n"),
        "xformers imported from elsewhere": changed(
            "environment.json", lambda now: now.update(package=["/opt/warm/xformers"])
        ),
        "another xformers beside it": changed(
            "environment.json", lambda now: now["installed"].append({"metadata": "/usr/lib/python3/dist-packages"})
        ),
    },
    "no_compiler_cache": {
        "ccache in a command": edited("container/pip.log", r"^(\s*\[3/\d+\]) ", r"\1 ccache "),
        "ccache in the container": appended("NINJA/tools", "ccache\t/usr/bin/ccache\t/usr/bin/ccache\n"),
        "ccache by its links": appended("NINJA/tools", "c++\t/usr/lib/ccache/c++\t/usr/bin/ccache\n"),
        "a launcher by any other name": edited("NINJA/tools", REAL, "/opt/fast/warm"),
        "torch told of another nvcc": appended("NINJA/environment", "PYTORCH_NVCC=/opt/fast/nvcc\n"),
        "a remote compiler at work": appended("NINJA/samples", "14145.10 1 distcc cc1plus\n"),
        "a step that runs something else": edited("container/pip.log", r"^(\s*\[3/\d+\]) \S+", r"\1 cp"),
    },
    "compilers_are_genuine": {
        "a compiler that its package would not know": changed(
            "environment.json", lambda now: now["compilers"][1].update(altered=True)
        ),
        "a compiler that is a script": changed(
            "environment.json", lambda now: now["compilers"][1].update(binary=False)
        ),
        "a compiler written in the container": appended("container_diff.txt", "C /usr/bin/x86_64-linux-gnu-g++-12\n"),
        "a compiler that was another during the compile": edited("NINJA/tools", REAL, "/usr/local/bin/g++"),
    },
    "compilers_were_at_work": {
        "objects that no compiler computed": nothing_at_work,
        "a compile that nobody watched": lambda folder: at(folder, "NINJA/samples").unlink(),
    },
    "extension_is_of_this_compile": {
        "the extension exchanged after the compile": changed(
            "environment.json", lambda now: now["extensions"][0].update(changed="1999999999.000000000")
        ),
        "an extension from before the compile": older_extension,
        "an extension that the compile did not leave": changed(
            "environment.json", lambda now: now["extensions"][0].update(path="/opt/warm/xformers/_C.so")
        ),
    },
    "log_is_timestamped": {
        "a line without its time": appended("run.log", "typed by hand\n"),
        "a phase that echoes nothing": edited("run.log", r"^\S+ \+ \S+devcontainer build .*\n", ""),
        "a phase that the log has not got": edited("run.log", r"^.*=== clone ===\n", ""),
    },
    "attention_test_passed": {
        "a failure that is swallowed": with_gpu(passed=False, max_abs_error=0.7),
        "a failure that says it passed": with_gpu(max_abs_error=0.7),
        "a test that accepts anything": with_gpu(max_abs_error=0.7, tolerance=10.0),
        "a test of NaN": with_gpu(max_abs_error=float("nan")),
        "a test that printed no result": with_gpu(printed="Traceback (most recent call last):"),
        "a test that failed after its result": with_gpu(event="fail"),
        "a test in another container": with_gpu(host="0123456789ab"),
        "a test on another GPU": with_gpu(device="NVIDIA Another"),
        "a test of another extension": with_gpu(extension="/opt/warm/xformers/_C.so"),
        "a test before the compile": both(
            with_gpu(), edited("events.jsonl", r'("begin","phase":"attention_test","uptime":)\d+', r"\g<1>13500")
        ),
        "a test skipped although there is a GPU": changed("machine.json", lambda machine: machine.update(gpus=[GPU])),
    },
}


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, cheats in CHEATS.items() for name in cheats])
def test_a_cheat_is_caught_by_the_check_that_names_it(folder, check, name):
    CHEATS[check][name](folder)
    evidence_sample.seal(folder)
    verdict, checks = judge(folder)
    assert (verdict, checks[check].outcome) == ("rejected", "fail")


def test_another_compiler_on_path_that_nobody_calls_is_no_cheat(folder):
    tools = at(folder, "NINJA/tools")
    tools.write_text(tools.read_text() + "clang\t/usr/bin/clang\t/usr/lib/llvm-14/bin/clang\n")
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_every_check_that_can_fail_has_a_cheat_that_it_catches():
    without = {"run_went_well", "evidence_is_whole"}  # the one never fails, the other is below
    # What came later has its cheats in test_audit_*.py.
    assert set(CHEATS) == {rule.name for rule in RULES if rule.since == 1} - without


# ---- edited afterwards -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda folder: edit(folder / "run.log", "Scenario A", "Scenario B"), "run.log was edited"),
        (lambda folder: (folder / "commit.txt").unlink(), "commit.txt was removed"),
        (lambda folder: (folder / "container/extra").write_text(""), "container/extra was added"),
        (lambda folder: (folder / "container/link").symlink_to("/nonexistent"), "container/link was added"),
        (lambda folder: (folder / "manifest.sha256").unlink(), "there is no manifest"),
    ],
)
def test_evidence_that_was_altered_after_its_sums_were_made_is_noticed(folder, alter, said):
    alter(folder)
    check = judge(folder)[1]["evidence_is_whole"]
    assert check.outcome == "fail" and said in check.detail


def test_a_run_that_was_cut_off_has_no_manifest_and_is_not_accused(folder):
    (folder / "manifest.sha256").unlink()
    (folder / "result.json").write_text('{"outcome": "interrupted", "exit_code": null, "phase": "compile"}')
    verdict, checks = judge(folder)
    assert checks["evidence_is_whole"].outcome == checks["run_went_well"].outcome == "skip"
    assert verdict == "incomplete"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda record: record["timings"].update(compile=1.0), "timings.compile"),
        (lambda record: record["compile"]["ledger"][0].update(seconds=0.1), "compile.ledger[0].seconds"),
        (lambda record: record["inputs"].update(torch="9.9"), "inputs.torch"),
        (lambda record: record.update(evidence_sha256="0" * 64), "evidence_sha256"),
        (lambda record: record["compile"]["ledger"].pop(), "compile.ledger"),
        (lambda record: record.update(outcome="failed"), "outcome"),
    ],
)
def test_a_record_that_was_edited_is_noticed_and_the_field_named(folder, change, field):
    collect.of_evidence(folder, "somehost")
    assert judge(folder)[1]["record_is_true"].outcome == "pass"
    edit_json(folder / "record.json", change)
    check = judge(folder)[1]["record_is_true"]
    assert check.outcome == "fail" and f"{field} is" in check.detail


def test_a_record_of_an_earlier_version_is_not_accused_of_what_it_has_not_got(folder):
    collect.of_evidence(folder, "somehost")

    def earlier(record):
        record["compile"].pop("ledger")
        first = {rule.name for rule in RULES if rule.since == 1} | {"record_is_true"}
        checks = [check for check in record["audit"]["checks"] if check["name"] in first]
        record["audit"].update(rules=1, checks=checks)

    edit_json(folder / "record.json", earlier)
    assert judge(folder)[1]["record_is_true"].outcome == "pass"


def test_a_verdict_that_was_edited_is_noticed(folder):
    collect.of_evidence(folder, "somehost")
    edit_json(folder / "record.json", lambda record: record["audit"].update(verdict="accepted"))
    check = judge(folder)[1]["record_is_true"]
    assert check.outcome == "fail" and "audit.verdict is 'accepted'" in check.detail


# ---- other runtimes, other shapes ------------------------------------------------------------------------------------


def test_on_a_runtime_without_an_image_its_checks_count_for_nothing(folder):
    with_gpu()(folder)
    edit_json(folder / "run.json", lambda run: run.update(runtime="native"))
    for name in ("container_inspect.json", "image_inspect.json", "images_at_build.jsonl", DOCKERFILE, CONFIGURATION):
        (folder / name).unlink()
    host = json.loads((folder / "environment.json").read_text())["host"]
    edit(folder / "attention_test.log", '"host": "', f'"host": "{host}", "was": "')
    verdict, checks = judge(folder)
    assert checks["layers_are_new"].detail == "does not apply to runtime native"
    assert reasons(audit(Evidence(folder)).model_dump())[0].startswith("evidence_is_whole")
    evidence_sample.seal(folder)
    # That it was in a container all the same is told by the others.
    told = {"evidence_is_whole", "runtime_is_that_of_the_inputs", "it_is_one_run_on_one_host", "nothing_is_missing"}
    told |= {"attention_was_computed_for_this_run"}  # what it printed was altered here, and the run's log was not
    assert {name for name, check in checks.items() if check.outcome == "fail"} <= told
    assert checks["compiled_once"].outcome == "pass" and verdict == "rejected"


def cut_off(folder, uptime):
    """Make the evidence that of a run which was interrupted at this uptime, by the host's restart."""
    first = json.loads((folder / "events.jsonl").read_text().splitlines()[0])
    until = datetime.fromisoformat(first["time"]) + timedelta(seconds=uptime - first["uptime"])
    for name in ("events.jsonl", "container/events.jsonl"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("".join(f"{line}\n" for line in lines if json.loads(line)["uptime"] <= uptime))
    lines = (folder / "run.log").read_text().splitlines()
    before = [line for line in lines if datetime.fromisoformat(line.split()[0]) <= until]
    (folder / "run.log").write_text("".join(f"{line}\n" for line in before) + "2026-11-2")
    ends = {"base_image*.json*", "image_*.json*", "container_*", "environment.json", "packages.json", "commit.txt"}
    ends |= {"scripts_*", "gpus.txt", "tree.txt", "built.json", "cpu_after.json", "base_files.json", "toolchain.json"}
    for path in [path for end in ends for path in folder.glob(end)]:
        path.unlink()  # written when a run ends
    for name in ("devcontainer_configuration.json", "images_after.jsonl", "manifest.sha256"):
        (folder / name).unlink()
    (folder / "result.json").write_text('{"outcome": "interrupted", "exit_code": null, "phase": null}')


def test_a_run_that_was_interrupted_anywhere_is_incomplete_and_accused_of_nothing(folder, tmp_path):
    events = Evidence(folder).events
    for number, event in enumerate(events):
        cut = evidence_sample.copy(tmp_path / f"cut{number}")
        if event["uptime"] < Evidence(folder).begun("compile"):
            shutil.rmtree(cut / "container/ninja")
        if event["uptime"] < events[0]["uptime"] + 0.5:
            shutil.rmtree(cut / "files")
        cut_off(cut, event["uptime"])
        assert failed(cut) == [], event
        assert judge(cut)[0] == "incomplete"


def test_an_attention_test_that_was_cut_off_is_not_one_that_failed(folder):
    with_gpu(event="fail", printed="Terminated")(folder)
    (folder / "result.json").write_text('{"outcome": "interrupted", "exit_code": null, "phase": "attention_test"}')
    evidence_sample.seal(folder)
    verdict, checks = judge(folder)
    assert checks["attention_test_passed"].outcome == "skip" and failed(folder) == []
    assert verdict == "incomplete"


# The files that a host writes when its run has ended, in that order; `cut_off` removes them.
AT_THE_END = (
    "cpu_after.json",
    "scripts_after.sha256",
    "built.json",
    "host_gpus.txt",
    "images_after.jsonl",
    "base_image.json",
    "base_image_history.jsonl",
    "image_inspect.json",
    "image_history.jsonl",
    "devcontainer_configuration.json",
    "container_inspect.json",
    "container_image.json",
    "container_image_history.jsonl",
    "container_diff.txt",
    "gpus.txt",
    "scripts_inside.sha256",
    "packages.json",
    "commit.txt",
    "tree.txt",
    "environment.json",
    "toolchain.json",
    "base_files.json",
    "manifest.sha256",
)


@pytest.mark.parametrize("half_written", AT_THE_END)
def test_a_power_cut_while_the_evidence_is_written_accuses_nobody(folder, half_written):
    """The file that is being written is empty then, and those after it are not there."""
    for name in AT_THE_END[AT_THE_END.index(half_written) :]:
        (folder / name).unlink(missing_ok=True)
    (folder / half_written).write_text("")
    (folder / "manifest.sha256").unlink(missing_ok=True)
    edit(folder / "events.jsonl", '"end","phase":"run"', '"x","phase":"run"')
    lines = (folder / "events.jsonl").read_text().splitlines()
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines if '"x"' not in line))
    edit_json(folder / "result.json", lambda result: result.clear())
    edit_json(folder / "result.json", lambda result: result.update(outcome="interrupted", exit_code=None, phase=None))
    assert failed(folder) == []
    assert judge(folder)[0] == "incomplete"


def test_a_compile_that_failed_is_incomplete_and_accused_of_nothing(folder):
    edit(folder / "container/events.jsonl", '"end","phase":"compile"', '"fail","phase":"compile"')
    lines = (folder / "container/events.jsonl").read_text().splitlines()
    (folder / "container/events.jsonl").write_text("".join(f"{line}\n" for line in lines[:4]))
    edit(folder / "events.jsonl", '"end","phase":"container_up"', '"fail","phase":"container_up"')
    (folder / "result.json").write_text('{"outcome": "failed", "exit_code": 1, "phase": "compile"}')
    (folder / "container/extensions.jsonl").unlink()
    edit_json(folder / "environment.json", lambda now: now.update(extensions=[], installed=[], package=[]))
    edit(folder / "packages.json", '"xformers"', '"something"')
    log = at(folder, "NINJA/ninja_log")
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[:5]))
    evidence_sample.seal(folder)
    assert failed(folder) == []


# Of the scripts, which are summed and not read, one stands for all.
READ = [
    path.relative_to(evidence_sample.SAMPLE).as_posix()
    for path in sorted(evidence_sample.SAMPLE.rglob("*"))
    if path.is_file() and path.name != "run.json"
] + ["files/benchmarking/scenario_a.sh"]


@pytest.mark.parametrize("nonsense", ["", "7", '{"a": 1}', '[{"Config": 3}]', "[" * 9999])
def test_nonsense_in_place_of_any_file_is_judged_and_never_accepted(folder, nonsense):
    """Whatever stands there, there is a verdict; the kinds of JSON only where JSON is read."""
    for path in [folder / name for name in READ if len(nonsense) < 2 or ".json" in name]:
        before = path.read_bytes()
        path.write_text(nonsense)
        assert judge(folder)[0] != "accepted", path
        path.write_bytes(before)
