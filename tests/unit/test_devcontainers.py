"""devcontainer.json files as people have them: what is accepted passes the audit, what is refused is so at once."""

import json
import re
import subprocess
import sys

import evidence_sample
import pytest
from devcontainers import ACCEPTED, READ, REFUSED, SCRIPT, made_of, script

from provisioner.audit import devcontainer_keys
from provisioner.audit.judge import judge
from provisioner.runs.evidence import Evidence

KNOWN = json.loads(READ.read_text())
# What is taken out of each, by name; all else is kept.
OUT = {
    "amd-or-intel": "build.dockerfile build.context capAdd securityOpt --device --device --group-add --userns --tmpfs",
    "as-root": "image",
    "build-options": "build.dockerfile build.cacheFrom --pull --no-cache --target --file --file --build-arg"
    " --cache-from --cache-to --progress --quiet",
    "byte-order-mark": "image",
    "cars-with-cuda": "build.dockerfile build.args hostRequirements.gpu --volume --gpus"
    " containerEnv.CMAKE_CUDA_ARCHITECTURES",
    "debugger": "build.dockerfile features containerEnv.LOCAL_USER_ID",
    "docker-in-docker": "image features postStartCommand secrets",
    "editor-in-a-desktop": "build.dockerfile features privileged mounts postCreateCommand containerEnv.DISPLAY",
    "everything-that-is-kept": "",
    "framework-with-cuda": "build.context build.dockerfile build.args --gpus postCreateCommand features",
    "libraries-with-credentials": "image --rm --name hostRequirements.gpu initializeCommand postAttachCommand"
    " containerEnv.SCCACHE_BUCKET containerEnv.HISTFILE workspaceFolder workspaceMount mounts features"
    " overrideFeatureInstallOrder",
    "limits-of-shared-memory": "dockerFile --ulimit --ulimit --gpus --interactive --tty --memory --cpus --memory-swap"
    " workspaceMount",
    "memory-for-a-compile": "image features onCreateCommand postCreateCommand",
    "neither-image-nor-dockerfile": "postCreateCommand features",
    "nvidia-runtime": "dockerFile build.args --runtime --runtime --gpus --env --privileged --pid --volume --group-add"
    " containerEnv.DISPLAY containerEnv.NVIDIA_VISIBLE_DEVICES",
    "old-names-of-keys": "context dockerFile postCreateCommand appPort --env extensions settings mounts",
    "only-an-image": "image features",
    "ports-of-all-forms": "image appPort",
    "robots-in-a-stage": "build.dockerfile build.context build.target build.cacheFrom --name workspaceFolder"
    " workspaceMount onCreateCommand updateContentCommand postCreateCommand remoteEnv mounts",
    "settings-of-scenario-a": "image containerEnv.TORCH_CUDA_ARCH_LIST containerEnv.MAX_JOBS containerEnv.FORCE_CUDA"
    " containerEnv.NVCC_APPEND_FLAGS containerEnv.CC containerEnv.HF_TOKEN containerEnv.PIP_FIND_LINKS"
    " unknownToAnySpecification runServices privileged",
    "short-options": "image --interactive --tty --detach --publish --publish --volume --volume --user --memory"
    " --workdir --env --publish-all --env-file --restart --device --device --entrypoint --dns --cap-drop",
    "time-zone-and-proxy": "image build.args containerEnv.PORT remoteEnv",
    "virtual-environment": "image postCreateCommand",
}
KEPT = {
    "amd-or-intel": {"capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"], "runArgs": ["--gpus", "all"]},
    "as-root": {"remoteUser": "root", "containerUser": "root", "updateRemoteUserUID": False},
    "build-options": {
        "build": {
            "dockerfile": "Dockerfile.scenario-a",
            "options": ["--add-host=registry.example:10.0.0.1", "--network=host"],
        }
    },
    "cars-with-cuda": {
        "runArgs": [
            "--gpus",
            "all",
            "--cap-add=SYS_PTRACE",
            "--security-opt=seccomp=unconfined",
            "--network=host",
        ],
        "hostRequirements": {"cpus": 4, "storage": "32gb"},
    },
    "limits-of-shared-memory": {
        "runArgs": [
            "--gpus",
            "all",
            "--ipc=host",
            "--shm-size=32gb",
            "--security-opt=seccomp:unconfined",
            "--security-opt=apparmor:unconfined",
        ]
    },
    "only-an-image": {"remoteUser": "vscode"},
    "short-options": {"runArgs": ["--gpus", "all", "--hostname=trainer", "--init"]},
    "time-zone-and-proxy": {
        "containerEnv": {
            "TZ": "${localEnv:TZ:America/Los_Angeles}",
            "LANG": "${localEnv:LANG}",
            "TERM": "xterm-${localEnv:USER}-${localEnv:NOBODY_SETS_THIS:256}color",
            "HTTP_PROXY": "${localEnv:HTTP_PROXY}",
            "no_proxy": "localhost,127.0.0.1",
            "MAX_JOBS": "2",
        }
    },
}
SAID = {
    "arguments-as-a-text": '"runArgs" is not a list of texts',
    "builder-by-name": "xformers-builder",
    "compose": "dockerComposeFile",
    "container-user": '"containerUser" is "user"; give vscode or root',
    "option-of-podman": '"--passwd-entry", which is no option that is known here',
    "option-of-the-host": '"${localEnv:GPU_FLAG}"',
    "option-without-value": "--shm-size without its value",
    "two-options-in-one": '"--gpus all"',
    "user-of-another-image": '"remoteUser" is "jovyan"; give vscode or root, or leave it out',
    "user-of-the-host": '"remoteUser" is "${localEnv:USER}"',
    "value-without-option": '"all"',
    "words-before-the-object": "not JSON",
}
BY_THE_CONFIGURATION = {
    "configuration_has_no_shortcut",
    "configuration_in_force_is_the_one_laid_down",
    "container_is_as_configured",
    "no_builder_image",
    "evidence_is_whole",
}


def names(out):
    """What was taken out, less the reasons: a key with its path, or an option."""
    return [line.partition(": ")[0].replace('"', "").split(" ")[-1] for line in out]


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_taken_out_is_said_and_the_rest_is_kept(name):
    made, out = made_of(ACCEPTED[name])
    assert sorted(names(out)) == sorted(OUT[name].split())
    assert all(line.count("\n") == 0 and line.partition(": ")[2] for line in out)
    assert {key: made[key] for key in KEPT.get(name, {})} == KEPT.get(name, {})


def evidence_with(folder, made, read):
    """Evidence as of a run whose configuration was that, and which the CLI read so."""
    evidence_sample.copy(folder)
    (folder / "files/.devcontainer/devcontainer.json").write_text(json.dumps(made))
    (folder / "devcontainer_configuration.json").write_text(json.dumps(read))
    container = json.loads((folder / "container_inspect.json").read_text())
    container[0]["Config"]["Env"] += [
        f"{name}={value}" for name, value in read["configuration"]["containerEnv"].items()
    ]
    (folder / "container_inspect.json").write_text(json.dumps(container))
    evidence_sample.seal(folder)
    return Evidence(folder)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted_passes_the_audit(tmp_path, name):
    judged = judge(evidence_with(tmp_path / "run", made_of(ACCEPTED[name])[0], KNOWN[name]))
    outcomes = {check.name: (check.outcome, check.detail) for check in judged.checks}
    assert {name: outcomes[name] for name in BY_THE_CONFIGURATION if outcomes[name][0] != "pass"} == {}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_so_in_a_line(name):
    done = subprocess.run(
        [sys.executable, SCRIPT, REFUSED[name], "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert SAID[name] in done.stderr


WRONG = {"text": 1, "boolean": "true", "object": [], "list": "x", "texts": ["x", 1], "text or list": 1, "command": 1}
WRONG |= {"ports": [None], "port or ports": {}, "number": "4"}


@pytest.mark.parametrize(
    ("table", "key"),
    [(table, key) for table in ("keys", "build", "hostRequirements") for key in script().KEYS[table]],
)
def test_a_wrong_type_of_any_key_is_refused(table, key):
    module = script()
    kind = module.KEYS[table][key]["type"]
    if kind == "any":
        return
    value = {key: WRONG["text"] if isinstance(kind, list) else WRONG[kind]}
    config = value if table == "keys" else {table: value}
    with pytest.raises(module.BaseError, match=re.escape(f'{key}"')):
        module.transform(config, gpus=False, env={}, mounts=[])


def test_a_variable_that_is_kept_has_a_text():
    module = script()
    with pytest.raises(module.BaseError, match=r"containerEnv\.TZ"):
        module.transform({"containerEnv": {"TZ": 1}}, gpus=False, env={}, mounts=[])


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", '{"a": NaN}'])
def test_what_is_no_json_though_python_reads_it_is_refused(value):
    module = script()
    with pytest.raises(module.BaseError, match="not JSON"):
        module.parse(f'{{"customizations": {value}}}')


def test_the_values_of_a_secret_are_not_said(tmp_path):
    base = tmp_path / "devcontainer.json"
    value = "hunter2"
    base.write_text(
        json.dumps({"containerEnv": {"T": value}, "runArgs": ["-e", f"A={value}", f"-eB={value}", f"--env=C={value}"]})
    )
    command = [sys.executable, SCRIPT, base, "--output", tmp_path / "made"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("taken out") == 4
    assert value not in done.stdout + done.stderr + (tmp_path / "made").read_text()


@pytest.mark.parametrize("where", ["runArgs", "build.options"])
def test_each_option_is_known_once(where):
    options = script().KEYS["options"][where]
    groups = [options["kept"], *options["out"].values()]
    known = [name for group in groups for kind in ("values", "flags") for name in group.get(kind, [])]
    assert len(known) == len(set(known))
    assert set(options["aliases"].values()) <= set(known)


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("--add-host", "a.b:10.0.0.255", "a.b:10.0.0.256"),
        ("--add-host", "a:host-gateway", "a"),
        ("--shm-size", "8GiB", "8 apples"),
        ("--shm-size", "64m", "${localEnv:SHM:64m}"),
        ("--network", "host", "no-such-network"),
        ("--ipc", "private", "container:other"),
        ("--hostname", "a-b", "-a"),
        ("--cap-add", "SYS_PTRACE", "SYS_ADMIN"),
        ("--security-opt", "apparmor=unconfined", "seccomp=./profile.json"),
    ],
)
def test_a_value_that_not_every_host_has_is_taken_out(option, good, bad):
    module = script()
    made, out = module.transform({"runArgs": [option, bad, option, good]}, gpus=False, env={}, mounts=[])
    assert made["runArgs"] == [f"{option}={good}"]
    assert names(out) == [option]


def test_the_last_network_counts():
    module = script()
    made, _ = module.transform({"runArgs": ["--net", "bridge", "--network=host"]}, gpus=False, env={}, mounts=[])
    assert made["runArgs"] == ["--network=host"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda made, read: made["build"].update(options=["--cache-from=x"]), "configuration_has_no_shortcut"),
        (lambda made, read: made.update(newKeyOfALaterSpecification={"a": 1}), "configuration_has_no_shortcut"),
        (lambda made, read: made["runArgs"].append("--env=A=1"), "configuration_has_no_shortcut"),
        (
            lambda made, read: read["configuration"]["containerEnv"].update(TERM="xterm-x"),
            "configuration_in_force_is_the_one_laid_down",
        ),
        (
            lambda made, read: read["mergedConfiguration"]["runArgs"].append("--init"),
            "configuration_in_force_is_the_one_laid_down",
        ),
    ],
)
def test_what_substitution_does_not_explain_is_found(tmp_path, change, check):
    made, read = made_of(ACCEPTED["time-zone-and-proxy"])[0], json.loads(json.dumps(KNOWN["time-zone-and-proxy"]))
    change(made, read)
    judged = judge(evidence_with(tmp_path / "run", made, read))
    assert check in {one.name for one in judged.checks if one.outcome == "fail"}


def test_what_earlier_versions_kept_is_let_in_still():
    once = "gpus shm-size ipc ulimit cap-add cap-drop security-opt network net hostname name memory cpus device init"
    once += " privileged pids-limit runtime memory-swap add-host dns label"
    assert set(once.split()) <= devcontainer_keys.RUN_OPTIONS
    assert {"dockerfile", "args"} <= devcontainer_keys.BUILD
    keys = "$schema name build runArgs mounts containerEnv remoteUser containerUser updateRemoteUserUID customizations"
    keys += " postCreateCommand forwardPorts portsAttributes otherPortsAttributes hostRequirements shutdownAction"
    keys += " overrideCommand init privileged capAdd securityOpt userEnvProbe waitFor"
    assert set(keys.split()) <= devcontainer_keys.KEYS
