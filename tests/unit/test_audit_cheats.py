"""Planted cheats: real evidence altered in one way, by somebody who also makes the sums anew; the check that names it
catches it. And no false alarm on the evidence as it was.

The sample's host has no GPU. What the attention test would have left there is made up here, and only that.
"""

import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import evidence_sample
import pytest

from provisioner import audit, collect
from provisioner.evidence import Evidence

CONFIGURATION = "files/.devcontainer/devcontainer.json"
DOCKERFILE = "files/.devcontainer/Dockerfile.scenario-a"
POST_CREATE = "files/.devcontainer/post-create-scenario-a.sh"
GPU = {"name": "NVIDIA H200", "uuid": "GPU-1", "compute_capability": "9.0", "memory_bytes": 1}
WORKSPACE = "/workspaces/xformers-devcontainer-scenario-a"
CHEATS = {}


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


def judge(folder):
    result = audit.judge(Evidence(folder))
    return result.verdict, {check.name: check for check in result.checks}


def failed(folder):
    return [name for name, check in judge(folder)[1].items() if check.outcome == "fail"]


# ---- ways to alter evidence ------------------------------------------------------------------------------------------


def cheat(name, check):
    """Register a function that alters a folder, as a cheat that `check` must catch."""

    def register(function):
        CHEATS[name] = (check, function)
        return function

    return register


def edit(path: Path, old, new, count=1):
    text = path.read_text()
    assert old in text, f"the sample has no {old!r} in {path.name}"
    path.write_text(text.replace(old, new, count))


def edit_json(path: Path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_lines(path: Path, change):
    """Alter a file of one JSON object a line."""
    values = [json.loads(line) for line in path.read_text().splitlines()]
    change(values)
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))


def build_folder(folder) -> Path:
    """The evidence of the ninja call that compiled."""
    (log,) = folder.glob("container/ninja/*/ninja_log")
    return log.parent


def echo(folder, phase, command):
    """Let the log say that a command was run in a phase."""
    path = folder / "scenario_a.log"
    lines = path.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.endswith(f"=== {phase} ==="))
    lines.insert(at + 1, f"{lines[at][:24]} + {command}")
    path.write_text("\n".join(lines) + "\n")


def with_gpu(folder, event="end", **result):
    """Make the evidence that of a host with a GPU, whose attention test printed `result`."""
    edit_json(folder / "machine.json", lambda machine: machine.update(gpus=[GPU]))
    container = json.loads((folder / "container_inspect.json").read_text())[0]
    shown = {
        "passed": True,
        "host": container["Config"]["Hostname"],
        "device": GPU["name"],
        "max_abs_error": 1.2e-7,
        "tolerance": 1e-3,
        "extension": f"{WORKSPACE}/xformers/xformers/_C.so",
    } | result
    (folder / "attention_test.log").write_text("some line\n" + json.dumps(shown) + "\n")
    path = folder / "events.jsonl"
    (skip,) = [line for line in path.read_text().splitlines() if '"skip"' in line]
    begin, end = skip.replace("skip", "begin"), skip.replace("skip", event)
    edit(path, skip, f"{begin}\n{end}")
    echo_line = "devcontainer exec --workspace-folder x python3 attention_test.py"
    log = folder / "scenario_a.log"
    text = log.read_text()
    heading = re.search(r"^(\S+) No NVIDIA GPU.*$", text, re.MULTILINE)
    log.write_text(text.replace(heading[0], f"{heading[1]} === attention_test ===\n{heading[1]} + {echo_line}"))


# ---- no false alarm --------------------------------------------------------------------------------------------------


def test_the_evidence_as_it_was_is_incomplete_for_want_of_a_gpu_only(folder):
    verdict, checks = judge(folder)
    assert verdict == "incomplete"
    assert {name: check.detail for name, check in checks.items() if check.outcome != "pass"} == {
        "attention_test_passed": "no NVIDIA GPU answered on the host"
    }


def test_with_a_gpu_and_its_test_the_run_is_accepted(folder):
    with_gpu(folder)
    evidence_sample.seal(folder)
    verdict, checks = judge(folder)
    assert not [check for check in checks.values() if check.outcome != "pass"]
    assert verdict == "accepted"


def test_every_check_points_to_evidence_that_is_there(folder):
    for check in judge(folder)[1].values():
        name = check.evidence.partition(":")[0]
        assert (folder / name).exists() or name == "record.json", check


@pytest.mark.parametrize("moved", [-3600, 3600])
def test_a_clock_that_was_set_during_the_run_is_no_cheat(folder, moved):
    """NTP sets a clock in the middle of a build: later times of day are off from the first, and all are honest."""

    def later(event):
        moment = datetime.fromisoformat(event["time"]) + timedelta(seconds=moved)
        event["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    edit_lines(folder / "events.jsonl", lambda events: [later(event) for event in events[-4:]])
    evidence_sample.seal(folder)
    assert failed(folder) == []


# ---- the cheats ------------------------------------------------------------------------------------------------------


@cheat("cacheFrom restored", "configuration_has_no_shortcut")
def _(folder):
    edit_json(folder / CONFIGURATION, lambda made: made["build"].update(cacheFrom="someone/xformers-devcontainer"))


@cheat("image set", "configuration_has_no_shortcut")
def _(folder):
    edit_json(folder / CONFIGURATION, lambda made: made.update(image="someone/anything:latest"))


@cheat("a feature that brings software", "configuration_has_no_shortcut")
def _(folder):
    edit_json(folder / CONFIGURATION, lambda made: made.update(features={"ghcr.io/someone/xformers:1": {}}))


@cheat("a command before the timed ones", "configuration_has_no_shortcut")
def _(folder):
    edit_json(folder / CONFIGURATION, lambda made: made.update(onCreateCommand="pip install xformers"))


@cheat("a volume by runArgs", "configuration_has_no_shortcut")
def _(folder):
    edit_json(folder / CONFIGURATION, lambda made: made.update(runArgs=["--gpus", "all", "-v", "/cache:/cache"]))


@cheat("a build option", "configuration_has_no_shortcut")
def _(folder):
    edit_json(folder / CONFIGURATION, lambda made: made["build"].update(options=["--build-context", "x=/y"]))


@cheat("metadata of an image adds a command", "configuration_in_force_is_the_one_laid_down")
def _(folder):
    edit_json(
        folder / "devcontainer_configuration.json",
        lambda read: read["mergedConfiguration"]["onCreateCommands"].append("install-it"),
    )


@cheat("metadata of an image adds a variable", "configuration_in_force_is_the_one_laid_down")
def _(folder):
    edit_json(
        folder / "devcontainer_configuration.json",
        lambda read: read["mergedConfiguration"]["remoteEnv"].update(CXX="ccache c++"),
    )


@cheat("COPY --from a builder", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "WORKDIR", "COPY --from=me/xformers-builder /wheels /wheels\nWORKDIR")


@cheat("COPY --from a builder by another name", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "WORKDIR", "COPY --chown=1:1 --from=me/harmless /w /w\nWORKDIR")


@cheat("a builder named in the Dockerfile", "no_builder_image")
def _(folder):
    edit(folder / DOCKERFILE, "WORKDIR", "LABEL from=xformers-dependency-downloader\nWORKDIR")


@cheat("a stage before the real one", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "FROM ", "FROM me/harmless AS first\nFROM ")


@cheat("another base than the recorded one", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "FROM provisioner/cuda:13.0-devel", "FROM provisioner/cuda:warm")


@cheat("a bind mount in RUN", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "RUN useradd", "RUN --mount=type=bind,from=me/x,target=/x useradd")


@cheat("pip download", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "WORKDIR", "RUN pip download torch\nWORKDIR")


@cheat("pip with its cache", "dockerfile_takes_nothing_ready")
def _(folder):
    edit(folder / DOCKERFILE, "install --no-cache-dir --upgrade", "install --upgrade")


@cheat("a Dockerfile that does a little more", "inputs_are_as_recorded")
def _(folder):
    edit(folder / DOCKERFILE, "RUN useradd", "RUN curl -o /opt/warm.tar https://warm.invalid/x.tar\nRUN useradd")


@cheat("inputs told otherwise", "inputs_are_as_recorded")
def _(folder):
    edit(folder / "files/benchmarking/inputs.json", "ninja-build", "ninja")


@cheat("a second editable install in post-create", "installed_once")
def _(folder):
    edit(folder / POST_CREATE, "begin pre_commit", 'python3 -m pip install -e "$XFORMERS_PATH"\nbegin pre_commit')
    echo(folder, "pre_commit", f"python3 -m pip install -e {WORKSPACE}/xformers")


@cheat("a second editable install that nothing echoes", "files_are_as_shipped")
def _(folder):
    edit(folder / POST_CREATE, "begin pre_commit", 'python3 -m pip install -qe "$XFORMERS_PATH"\nbegin pre_commit')


@cheat("a file of one's own among the scripts", "files_are_as_shipped")
def _(folder):
    (folder / "files/.devcontainer/sitecustomize.py").write_text("")


@cheat("a second call of ninja", "compiled_once")
def _(folder):
    built = build_folder(folder)
    (folder / "container/ninja/9").mkdir()
    for name in ("ninja_log", "call.json", "arguments"):
        (folder / "container/ninja/9" / name).write_text((built / name).read_text())


@cheat("an object from an earlier build", "compiled_once")
def _(folder):
    log = build_folder(folder) / "ninja_log"
    first = log.read_text().splitlines()[1]
    fields = first.split("\t")
    fields[2] = str(int(fields[2]) - 3600 * 10**9)
    edit(log, first, "\t".join(fields))


@cheat("an object built twice", "compiled_once")
def _(folder):
    log = build_folder(folder) / "ninja_log"
    log.write_text(log.read_text() + log.read_text().splitlines()[-1] + "\n")


@cheat("a prebuilt wheel, nothing compiled", "compiled_once")
def _(folder):
    (build_folder(folder) / "ninja_log").unlink()
    edit(folder / "container/pip.log", "\n", "\nProcessing ./xformers-0.0.35-cp39-abi3-linux_x86_64.whl\n")


@cheat("a prebuilt wheel beside a compile", "installed_once")
def _(folder):
    edit(folder / "container/pip.log", "\n", "\nProcessing /wheels/xformers-0.0.35-cp39-abi3-linux_x86_64.whl\n")


@cheat("xformers imported from elsewhere", "installed_once")
def _(folder):
    edit_json(folder / "environment.json", lambda now: now.update(package=["/opt/warm/xformers"]))


@cheat("xformers there before the clone", "nothing_was_there_before")
def _(folder):
    edit_json(
        folder / "container/environment_before.json", lambda before: before["package"].append("/opt/warm/xformers")
    )


@cheat("ccache in a command", "no_compiler_cache")
def _(folder):
    path = folder / "container/pip.log"
    path.write_text(re.sub(r"^(\s*\[3/\d+\]) ", r"\1 ccache ", path.read_text(), flags=re.MULTILINE))


@cheat("ccache by its links", "no_compiler_cache")
def _(folder):
    edit(build_folder(folder) / "tools", "\n", "\nc++\t/usr/lib/ccache/c++\t/usr/bin/ccache\n")


@cheat("a launcher by any other name", "no_compiler_cache")
def _(folder):
    edit(build_folder(folder) / "tools", "/usr/bin/x86_64-linux-gnu-g++-12", "/opt/fast/warm")


@cheat("torch told of another nvcc", "no_compiler_cache")
def _(folder):
    path = build_folder(folder) / "environment"
    path.write_text(path.read_text() + "PYTORCH_NVCC=/opt/fast/nvcc\n")


@cheat("a step that runs something else", "no_compiler_cache")
def _(folder):
    path = folder / "container/pip.log"
    path.write_text(re.sub(r"^(\s*\[3/\d+\]) \S+", r"\1 cp", path.read_text(), flags=re.MULTILINE))


@cheat("a compiler that its package would not know", "compilers_are_genuine")
def _(folder):
    edit_json(folder / "environment.json", lambda now: now["compilers"][1].update(altered=True))


@cheat("a compiler written in the container", "compilers_are_genuine")
def _(folder):
    path = folder / "container_diff.txt"
    path.write_text(path.read_text() + "A /usr/bin/x86_64-linux-gnu-g++-12\n")


@cheat("a compiler that was another during the compile", "compilers_are_genuine")
def _(folder):
    edit(build_folder(folder) / "tools", "/usr/bin/x86_64-linux-gnu-g++-12", "/usr/local/bin/g++")


@cheat("objects that no compiler computed", "compilers_were_at_work")
def _(folder):
    path = build_folder(folder) / "samples"
    path.write_text(re.sub(r"^(\S+ \S+) .*$", r"\1", path.read_text(), flags=re.MULTILINE))


@cheat("the extension exchanged after the compile", "extension_is_of_this_compile")
def _(folder):
    edit_json(folder / "environment.json", lambda now: now["extensions"][0].update(changed="1999999999.000000000"))


@cheat("an extension from before the compile", "extension_is_of_this_compile")
def _(folder):
    def older(extension):
        extension["modified"] = f"{float(extension['modified']) - 7200:.9f}"

    edit_json(folder / "environment.json", lambda now: older(now["extensions"][0]))
    edit_lines(folder / "container/extensions.jsonl", lambda left: older(left[0]))


@cheat("an extension that the compile did not leave", "extension_is_of_this_compile")
def _(folder):
    edit_json(folder / "environment.json", lambda now: now["extensions"][0].update(path="/opt/warm/xformers/_C.so"))


@cheat("a builder image on the host before the start", "no_shortcut_image")
def _(folder):
    edit_lines(folder / "images_at_build.jsonl", lambda images: images[0].update(tags=["me/xformers-builder:latest"]))


@cheat("--no-cache dropped", "no_cached_layer")
def _(folder):
    edit(folder / "scenario_a.log", " --no-cache", "")


@cheat("a step from the cache", "no_cached_layer")
def _(folder):
    path = folder / "scenario_a.log"
    path.write_text(
        re.sub(r"^(\S+) (.*Step 8/.*)$", r"\1 \2\n\1  ---> Using cache", path.read_text(), count=1, flags=re.MULTILINE)
    )


def buildkit(folder, *lines):
    """Let the build have been BuildKit's, with these lines of its output."""
    path = folder / "scenario_a.log"
    text = path.read_text()
    (first,) = re.findall(r"^(\S+) \[?.*Step 1/.*$", text.partition("=== container_up ===")[0], re.MULTILINE)
    path.write_text(text.replace(first, "".join(f"{first} {line}\n" for line in lines) + first, 1))


@cheat("a step from BuildKit's cache", "no_cached_layer")
def _(folder):
    buildkit(folder, "#7 [dev_container_auto_added_stage_label 3/6] RUN apt-get update", "#7 CACHED")


@cheat("a step from BuildKit's cache, as a terminal shows it", "no_cached_layer")
def _(folder):
    buildkit(folder, " => CACHED [3/6] RUN apt-get update 0.0s")


def test_a_base_on_the_host_is_no_cached_layer(folder):
    """The base is an input: whether it was there is in the record."""
    buildkit(folder, "#5 [stage 1/6] FROM docker.io/provisioner/cuda:13.0-devel", "#5 CACHED")
    buildkit(folder, " => CACHED [stage 1/6] FROM docker.io/provisioner/cuda:13.0-devel")
    evidence_sample.seal(folder)
    assert failed(folder) == []


@cheat("--no-cache dropped, so that layers come from an earlier build", "layers_are_new")
def _(folder):
    image = json.loads((folder / "image_inspect.json").read_text())[0]
    earlier = {"id": "sha256:0", "tags": [], "digests": [], "created": "", "layers": image["RootFS"]["Layers"][:4]}
    edit_lines(folder / "images_at_build.jsonl", lambda images: images.append(earlier))


@cheat("a layer older than the build, of an image since removed", "layers_are_new")
def _(folder):
    edit_lines(folder / "image_history.jsonl", lambda rows: rows[2].update(CreatedAt="2026-11-22T05:05:59Z"))


@cheat("another base under the image", "layers_are_new")
def _(folder):
    edit_json(folder / "image_inspect.json", lambda image: image[0]["RootFS"]["Layers"].__setitem__(0, "sha256:1"))


@cheat("an instruction that the Dockerfile has not got", "image_is_of_the_dockerfile")
def _(folder):
    def add(rows):
        rows.insert(1, rows[1] | {"CreatedBy": "/bin/sh -c tar -xf /opt/warm.tar"})

    edit_lines(folder / "image_history.jsonl", add)


@cheat("another image pulled meanwhile", "nothing_else_was_pulled")
def _(folder):
    pull = {"Type": "image", "Action": "pull", "Actor": {"ID": "me/warm:latest"}}
    edit_lines(folder / "docker_events.jsonl", lambda events: events.append(pull))


@cheat("a watch that was off", "nothing_else_was_pulled")
def _(folder):
    (folder / "docker_events.jsonl").write_text("")


@cheat("a container of another image", "container_is_of_the_image")
def _(folder):
    edit_json(folder / "container_inspect.json", lambda made: made[0].update(Image="sha256:2"))


@cheat("a container that was there already", "container_is_of_the_image")
def _(folder):
    edit_json(folder / "container_inspect.json", lambda made: made[0].update(Created="2026-11-22T05:06:10.366099105Z"))


@cheat("a volume with a cache", "container_is_as_configured")
def _(folder):
    mount = {"Type": "volume", "Name": "warm", "Source": "/var/lib/docker/volumes/warm/_data", "Destination": "/root"}
    edit_json(folder / "container_inspect.json", lambda made: made[0]["Mounts"].append(mount))


@cheat("a variable that points pip to wheels", "container_is_as_configured")
def _(folder):
    edit_json(folder / "container_inspect.json", lambda made: made[0]["Config"]["Env"].append("PIP_FIND_LINKS=/w"))


@cheat("a line without its time", "log_is_timestamped")
def _(folder):
    path = folder / "scenario_a.log"
    path.write_text(path.read_text() + "typed by hand\n")


@cheat("a phase that echoes nothing", "log_is_timestamped")
def _(folder):
    path = folder / "scenario_a.log"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if "devcontainer build" not in line))


@cheat("an attention test whose failure is swallowed", "attention_test_passed")
def _(folder):
    with_gpu(folder, passed=False, max_abs_error=0.7)


@cheat("an attention test that says it passed", "attention_test_passed")
def _(folder):
    with_gpu(folder, passed=True, max_abs_error=0.7)


@cheat("an attention test that accepts anything", "attention_test_passed")
def _(folder):
    with_gpu(folder, max_abs_error=0.7, tolerance=10.0)


@cheat("an attention test of NaN", "attention_test_passed")
def _(folder):
    with_gpu(folder, max_abs_error=float("nan"))


@cheat("an attention test that printed no result", "attention_test_passed")
def _(folder):
    with_gpu(folder)
    (folder / "attention_test.log").write_text("Traceback (most recent call last):\n")


@cheat("an attention test that failed after its result", "attention_test_passed")
def _(folder):
    with_gpu(folder, event="fail")


@cheat("an attention test in another container", "attention_test_passed")
def _(folder):
    with_gpu(folder, host="0123456789ab")


@cheat("an attention test on another GPU", "attention_test_passed")
def _(folder):
    with_gpu(folder, device="NVIDIA Another")


@cheat("an attention test of another extension", "attention_test_passed")
def _(folder):
    with_gpu(folder, extension="/opt/warm/xformers/_C.so")


@cheat("an attention test skipped although there is a GPU", "attention_test_passed")
def _(folder):
    edit_json(folder / "machine.json", lambda machine: machine.update(gpus=[GPU]))


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_caught_by_the_check_that_names_it(folder, name):
    check, alter = CHEATS[name]
    alter(folder)
    evidence_sample.seal(folder)
    assert check in failed(folder)
    assert judge(folder)[0] == "rejected"


def test_every_check_that_can_fail_has_a_cheat_that_it_catches():
    without = {"run_went_well", "evidence_is_whole"}  # of these: below
    assert {check for check, _ in CHEATS.values()} == set(audit.CHECKS) - without


# ---- edited afterwards -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda folder: edit(folder / "scenario_a.log", "Scenario A", "Scenario B"), "scenario_a.log was edited"),
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
    edit_json(folder / "record.json", lambda record: record["compile"].pop("ledger"))
    assert judge(folder)[1]["record_is_true"].outcome == "pass"


def test_a_verdict_that_was_edited_is_noticed(folder):
    collect.of_evidence(folder, "somehost")
    edit_json(folder / "record.json", lambda record: record["audit"].update(verdict="accepted"))
    check = judge(folder)[1]["record_is_true"]
    assert check.outcome == "fail" and "audit.verdict is 'accepted'" in check.detail


# ---- other runtimes, other shapes ------------------------------------------------------------------------------------


def test_on_a_runtime_without_an_image_its_checks_count_for_nothing(folder):
    with_gpu(folder)
    edit_json(folder / "run.json", lambda run: run.update(runtime="native"))
    for name in ("container_inspect.json", "image_inspect.json", "images_at_build.jsonl", DOCKERFILE, CONFIGURATION):
        (folder / name).unlink()
    host = json.loads((folder / "environment.json").read_text())["host"]
    edit(folder / "attention_test.log", '"host": "', f'"host": "{host}", "was": "')
    verdict, checks = judge(folder)
    assert checks["layers_are_new"].detail == "does not apply to runtime native"
    assert audit.reasons(audit.judge(Evidence(folder)).model_dump())[0].startswith("evidence_is_whole")
    evidence_sample.seal(folder)
    assert {name for name, check in checks.items() if check.outcome == "fail"} <= {"evidence_is_whole"}
    assert checks["compiled_once"].outcome == "pass" and verdict == "rejected"


def cut_off(folder, uptime):
    """Make the evidence that of a run which was interrupted at this uptime, by the host's restart."""
    first = json.loads((folder / "events.jsonl").read_text().splitlines()[0])
    until = datetime.fromisoformat(first["time"]) + timedelta(seconds=uptime - first["uptime"])
    for name in ("events.jsonl", "container/events.jsonl"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("".join(f"{line}\n" for line in lines if json.loads(line)["uptime"] <= uptime))
    lines = (folder / "scenario_a.log").read_text().splitlines()
    before = [line for line in lines if datetime.fromisoformat(line.split()[0]) <= until]
    (folder / "scenario_a.log").write_text("".join(f"{line}\n" for line in before) + "2026-11-2")
    ends = {"base_image*.json*", "image_*.json*", "container_*", "environment.json", "packages.json", "commit.txt"}
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


def test_a_compile_that_failed_is_incomplete_and_accused_of_nothing(folder):
    edit(folder / "container/events.jsonl", '"end","phase":"compile"', '"fail","phase":"compile"')
    lines = (folder / "container/events.jsonl").read_text().splitlines()
    (folder / "container/events.jsonl").write_text("".join(f"{line}\n" for line in lines[:4]))
    edit(folder / "events.jsonl", '"end","phase":"container_up"', '"fail","phase":"container_up"')
    (folder / "result.json").write_text('{"outcome": "failed", "exit_code": 1, "phase": "compile"}')
    (folder / "container/extensions.jsonl").unlink()
    edit_json(folder / "environment.json", lambda now: now.update(extensions=[], installed=[], package=[]))
    edit(folder / "packages.json", '"xformers"', '"something"')
    log = build_folder(folder) / "ninja_log"
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[:5]))
    evidence_sample.seal(folder)
    assert failed(folder) == []


@pytest.mark.parametrize("nonsense", ["", "7", '{"a": 1}', '[{"Config": 3}]', "[" * 9999])
def test_nonsense_in_place_of_any_file_is_judged_and_never_accepted(folder, nonsense):
    """Whatever stands there, there is a verdict; the file's sum is made anew."""
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name not in {"run.json"}]:
        before = path.read_bytes()
        path.write_text(nonsense)
        assert judge(folder)[0] != "accepted", path
        path.write_bytes(before)
