"""What a host answers that was taken over: one mode for each kind of answer, with the commands that it is against."""

import base64
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

EVIDENCE = Path(__file__).parents[1] / "unit/data/evidence"
MEASURED = json.loads((EVIDENCE / "run.json").read_text())
"""What the good host has measured already, so that `run` need not wait for it."""

MARK = "attacked-by-host"
RUN = "20260101T000000Z-aaaaaa"
ESCAPE = "\x1b[2J\u202e\nprovisioner: gpu: everything is fine"

ENDED = {"run_id": RUN, "started_at": "2026-01-01T00:00:00Z", "outcome": "ok", "phase": None, "cause": None}
LISTED = {"run_id": RUN, "scenario_ended": [ENDED | {"collected": False}]}
PROGRESS = {"run_id": RUN, "state": "running", "phase": "compile", "elapsed": 1, "phase_elapsed": 1}


def archive(*members: tuple[str, str | int], run: str = RUN) -> str:
    """A tar.gz in base64: of each name below the run's folder its text, or how many bytes of zeros it has."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(f"{run}/{name}")
            packed = content.encode() if isinstance(content, str) else bytes(content)
            member.size = len(packed)
            tar.addfile(member, io.BytesIO(packed))
    return base64.b64encode(gzip.compress(data.getvalue(), 1)).decode()


def packs(*members: tuple[str, str | int], run: str = RUN) -> dict[str, list[Any]]:
    """Answers of a host with a run that nobody has collected."""
    return {"listed": ["json", LISTED], "packed": ["json", {"run_id": RUN, "archive": archive(*members, run=run)}]}


def deep(levels: int) -> list[Any]:
    """An answer of lists within lists."""
    return ["raw", '{"looks": ' + "[" * levels + "]" * levels + "}"]


FORGED = json.dumps({"run_id": RUN, "host": "good", "schema": "scenario-a/1"})

# The site's CA bundle is off, says the host, and where the controller has that, it says as well.
FACTS = {"site_ca_bundle": "SECRET", "provisioner_state_dir": f"/tmp/{MARK}"}
DRIFT = {"what": "/etc/provisioner/site-ca.crt", "from": "absent", "to": "present"}
ROLES = ("gpu_driver", "docker_engine", "nvidia_container_toolkit", "devcontainer_cli")
OFF = {
    "site": {"changes": [DRIFT], "apt": False},
    "local_sources": {"changes": [], "bundle": False, "image": False, "repository": False, "closed": False},
    **{role: {"changes": [], "install": False, "skipped": "no GPU"} for role in ROLES},
}


class Attack(NamedTuple):
    """What a host answers, by what it is asked for (see attacker.py), and the commands that this is against."""

    answers: dict[str, list[Any]]
    commands: list[str]
    said: str
    """What is said of that host, as an expression."""
    code: int = 1
    measured: bool = False
    """Whether it may have a record, of what it says."""


# Runs as they are answered for: what follows changes one of these answers.
FINISHED = {"run_id": RUN, "scenario_progress": PROGRESS | {"state": "finished"}}
RUNNING = {"run_id": RUN, "scenario_progress": PROGRESS}
TEMPLATE = f"{{{{ lookup('ansible.builtin.pipe', 'touch /srv/{MARK}') }}}}"


def result(**fields: str) -> tuple[tuple[str, str], ...]:
    """Return the least evidence of a run that has ended so."""
    run = {"run_id": RUN, "started_at": "2026-01-01T00:00:00Z", "host": "good", "workspace": TEMPLATE}
    return ("run.json", json.dumps(run)), ("result.json", json.dumps({"outcome": "ok"} | fields))


def runs(**answers: list[Any]) -> dict[str, list[Any]]:
    """Return the answers of a host with a run that serves, and these in place of some."""
    would = {"run_id": RUN, "scenario_planned": {"would": "reuse", "detail": RUN}}
    found = {"planned": ["json", would], "started": ["json", FINISHED], "finished": ["json", FINISHED]}
    return found | packs(*result()) | {"collected": ["json", {"run_id": RUN}]} | answers


def of_the_good_host() -> dict[str, list[Any]]:
    """Return the answers of a host that has the very run of the good one."""
    files = [(str(path.relative_to(EVIDENCE)), path.read_text()) for path in EVIDENCE.rglob("*") if path.is_file()]
    answers = runs(packed=["json", {"run_id": RUN, "archive": archive(*files, run=MEASURED["run_id"])}])
    return {asked: json.loads(json.dumps(told).replace(RUN, MEASURED["run_id"])) for asked, told in answers.items()}


AGAINST_RUN = {
    "no run that was started": Attack(
        runs(started=["json", {"run_id": None}]), ["run"], "run_id: None is not the id of a run"
    ),
    "a path for the run that was started": Attack(
        runs(started=["json", {"run_id": f"../../{MARK}"}]), ["run"], "is not the id of a run"
    ),
    "sources that it makes up": Attack(
        {"host_checks": ["json", {"host_findings": [1], "ansible_stats": "x"}]},
        ["run"],
        "1 is not an object|a value is",
    ),
    "no answer while it is watched": Attack(runs(finished=["sleep", 300]), ["run"], "did not answer in time"),
    "no JSON while it is watched": Attack(runs(finished=["raw", "{"]), ["run"], "unreachable", 3),
    "a skipped look while it is watched": Attack(
        runs(finished=["json", {"skipped": True}]), ["run"], "it has no run_id"
    ),
    "progress without end": Attack(runs(finished=["json", RUNNING]), ["run"], "goes on there"),
    "progress of another run": Attack(
        runs(finished=["json", FINISHED | {"scenario_progress": PROGRESS | {"run_id": "other"}}]),
        ["run"],
        "its progress is of run other",
    ),
    "progress that is no number": Attack(
        runs(finished=["json", {"run_id": RUN, "scenario_progress": PROGRESS | {"elapsed": float("nan")}}]),
        ["run"],
        "elapsed: nan is not a length of time",
    ),
    "a phase that is none": Attack(
        runs(finished=["json", {"run_id": RUN, "scenario_progress": PROGRESS | {"phase": ESCAPE}}]),
        ["run"],
        "is not the name of a phase",
    ),
    "another run than is watched": Attack(
        runs(finished=["json", {"run_id": "other"}]), ["run"], f"it is not of run {RUN}"
    ),
    "an end that is none": Attack(
        runs(listed=["json", {"run_id": RUN, "scenario_ended": []}]), ["run"], "not among those that have ended"
    ),
    "the archive of another run": Attack(runs() | packs(*result(), run="other"), ["run"], "without the run's result"),
    "evidence of another run": Attack(
        runs() | packs(("result.json", "{}"), ("run.json", '{"run_id": "other"}')),
        ["run"],
        "evidence is that of run other",
    ),
    "an archive by another name": Attack(
        runs(packed=["json", {"run_id": "other", "archive": archive(*result())}]), ["run"], f"it is not of run {RUN}"
    ),
    "the run of another host": Attack(of_the_good_host(), ["run"], "", 0, measured=True),
    "a forged record": Attack(runs() | packs(*result(), ("record.json", FORGED)), ["run"], "", 4, measured=True),
    "a template in its evidence": Attack(
        runs() | packs(*result(outcome="failed", cause=TEMPLATE)), ["run"], "lookup", measured=True
    ),
    "a fact that is not published": Attack(
        runs(file_tree=["json", {"changed": "yes"}]), ["run"], "'yes' is not true or false", measured=True
    ),
}

MODES = AGAINST_RUN | {
    "no object": Attack({"look": ["json", {"looks": [1]}]}, ["plan", "prepare"], "a list is not an object"),
    "no JSON": Attack(
        {"look": ["raw", "{"], "scenario_run": ["raw", "{"]},
        ["plan", "status"],
        "not what was asked for|deserialization",
    ),
    "nothing": Attack(
        {"look": ["raw", ""], "host_checks": ["raw", "{}"]},
        ["plan", "doctor"],
        "look failed|no host_findings",
    ),
    "deep": Attack({"look": deep(100), "listed": deep(400)}, ["plan", "status"], "not what was asked for"),
    "deeper": Attack(
        {"look": deep(100000), "listed": deep(100000)}, ["plan", "status"], "not what was asked for|deeper"
    ),
    "large": Attack({"look": ["megabytes", 300], "listed": ["megabytes", 300]}, ["plan", "status"], "larger|in time"),
    "a number that is text": Attack(
        {"look": ["json", {"looks": {}, "scenario_planned": {"would": 1}}]},
        ["plan"],
        "1 is not measure",
    ),
    "not a number": Attack(
        {
            "listed": [
                "json",
                {"run_id": RUN, "scenario_ended": [], "scenario_progress": PROGRESS | {"elapsed": float("nan")}},
            ]
        },
        ["status"],
        "elapsed: nan is not a length of time",
    ),
    "findings of other types": Attack(
        {"host_checks": ["json", {"host_findings": [{"check": ["x"], "outcome": "fine"}], "host_clock": [1, 2]}]},
        ["doctor"],
        "check: a list is not a text",
    ),
    "a clock that is none": Attack(
        {"host_checks": ["json", {"host_findings": [], "host_clock": ["now", {}]}]},
        ["doctor"],
        "host_clock: 'now' is not a number",
    ),
    "busy with no list": Attack(
        {"look": ["json", {"failed": True, "msg": "x", "busy": {"a": 1}}]},
        ["plan", "prepare"],
        "busy: an object is not a list",
    ),
    "inputs that it calls wrong": Attack(
        {
            "look": ["json", {"failed": True, "msg": "x", "invalid_inputs": True}],
            "host_checks": ["json", {"failed": True, "msg": "x", "invalid_inputs": True}],
        },
        ["plan", "doctor"],
        'evil: failed|"evil".*"message": "x"',
    ),
    "a lock of nobody": Attack(
        {
            "look": ["json", {"looks": OFF}],
            "mending": ["json", {"job": "../x", "waiting_for": "", "stale": False, "holder": {"identity": 1}}],
        },
        ["prepare"],
        "'../x' is not the job of a lock",
    ),
    "statistics of its own": Attack(
        {
            "look": ["json", {"looks": {}, "ansible_stats": "data"}],
            "scenario_run": ["json", {"ansible_stats": "data"}],
        },
        ["plan", "status"],
        "it has no run_id",
    ),
    "a host of its own": Attack(
        {
            "look": [
                "json",
                {"looks": {}, "add_host": {"host_name": MARK, "host_vars": {"ansible_connection": "local"}}},
            ],
            "planned": ["json", {}],
        },
        ["plan"],
        "it has no run_id",
    ),
    "a run id that is a path": Attack(
        {
            "listed": [
                "json",
                {
                    "run_id": f"/tmp/{MARK}",
                    "scenario_ended": [ENDED | {"run_id": f"../../../{MARK}", "collected": False}],
                },
            ]
        },
        ["clean", "status"],
        "is not the id of a run",
    ),
    "a path in its archive": Attack(
        packs((f"../../../../{MARK}", "x"), ("result.json", "{}")),
        ["clean"],
        "not the path of a file",
    ),
    "another run in its archive": Attack(
        packs(("result.json", "{}"), ("run.json", json.dumps({"run_id": f"../{MARK}"}))),
        ["clean"],
        "is not the id of a run",
    ),
    "a record of another host": Attack(
        packs(("result.json", "{}"), ("record.json", FORGED)), ["clean"], "holds no run"
    ),
    "zeros without end": Attack(packs(("result.json", "{}"), ("zeros", 200 * 2**20)), ["clean"], "more than 128 MiB"),
    "escapes": Attack(
        {
            "look": ["json", {"failed": True, "msg": ESCAPE}],
            "scenario_run": ["json", {"failed": True, "msg": ESCAPE}],
        },
        ["plan", "status", "clean"],
        "evil: failed",
    ),
    "escapes in what is off": Attack(
        {
            "look": [
                "json",
                {"looks": {"site": {"changes": [{"what": ESCAPE, "from": ESCAPE, "to": ESCAPE}], "notes": [ESCAPE]}}},
            ],
            "planned": ["json", {"run_id": None, "scenario_planned": {"would": "refuse", "detail": ESCAPE}}],
        },
        ["plan"],
        "would refuse",
        5,
    ),
    "facts": Attack(
        {"look": ["json", {"looks": OFF, "off": [DRIFT], "waiting_for": "", "ansible_facts": FACTS}]},
        ["prepare"],
        "is still absent",
    ),
}
