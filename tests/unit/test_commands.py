"""What the commands make of a job: exit codes, documents, and what a person is told."""

import json
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from provisioner.ansible import failed_hosts
from provisioner.ansible.events import Looked, Planned, Recovered, TaskFailure
from provisioner.ansible.job import Host, Job
from provisioner.commands import clean, plan, prepare, run
from provisioner.errors import ProvisionerError


def failed(host, message="no room; make some"):
    return Host(failed=1, failure=TaskFailure(host, "Prepare", "Check", unreachable=False, message=message))


def away(host):
    return Host(unreachable=True, failure=TaskFailure(host, "p", "t", unreachable=True, message="no route to host"))


@pytest.fixture
def job(monkeypatch):
    """Instead of running a playbook, give the job that the test made; what was asked for is kept."""
    asked = []

    def give(*made):
        given = iter(made)

        def run_playbook(playbook, target, watchers=(), extra_vars=None, *, measured=False):
            seldom = playbook in {"site.yml", "doctor.yml"}
            assert measured == seldom, (
                "a run is measured, the doctor waits for sources, and nothing else is looked for so seldom"
            )
            asked.append((playbook, target))
            return next(given)

        for module in (run, prepare, clean, plan):
            monkeypatch.setattr(module, "run_playbook", run_playbook)
        return asked

    return give


def a_job(*records, **fields):
    return Job(Path("/nonexistent"), records=list(records), **fields)


def test_a_run_that_went_well(cli, job, keep, inventory):
    record = keep()
    keep(run_id="another", host="h2")
    asked = job(a_job(record, hosts={"h1": Host()}))
    code, out, err = cli("run", "-i", inventory, "--json")
    assert code == 0
    # Of this job only, although the store knows of more.
    assert json.loads(out) == {"hosts": {"h1": record}, "runs": [record]}
    assert "331.2" in err and "incomplete: attention_test: no GPU (attention_test.log)" in err
    assert f"runs/h1/{record['run_id']}" in err
    assert [playbook for playbook, _ in asked] == ["site.yml"]


def test_without_json_nothing_is_on_stdout(cli, job, keep, inventory):
    job(a_job(keep(), hosts={"h1": Host()}))
    assert cli("run", "-i", inventory)[1] == ""


def test_repeat_runs_again_and_gives_all_samples(cli, job, keep, inventory):
    records = [keep(run_id=name, started_at=f"2026-11-23T0{n}:00:00Z") for n, name in enumerate("abc")]
    asked = job(*(a_job(record, hosts={"h1": Host()}) for record in records))
    code, out, _ = cli("run", "-i", inventory, "--repeat", "3", "--json")
    assert code == 0
    assert [run["run_id"] for run in json.loads(out)["runs"]] == ["c", "b", "a"]
    assert [target.extra_vars["scenario_fresh"] for _, target in asked] == [True] * 3


def test_repeat_stops_where_it_fails(cli, job, keep, inventory):
    asked = job(a_job(hosts={"h1": failed("h1")}), a_job())
    assert cli("run", "-i", inventory, "--repeat", "2")[0] == 1
    assert len(asked) == 1


def test_repeat_goes_on_with_the_hosts_that_are_well(cli, job, keep, inventory):
    first = a_job(keep(run_id="a"), hosts={"h1": Host(), "h2": away("h2")})
    asked = job(first, a_job(keep(run_id="b"), hosts={"h1": Host()}))
    code, out, err = cli("run", "-i", inventory, "--repeat", "2", "--json")
    assert code == 3 and len(json.loads(out)["runs"]) == 2
    assert [target.limit for _, target in asked] == [None, "h1"]
    assert "h2: unreachable: no route to host" in err and "--limit @failed" in err


def verdict(record, name):
    return {**record["audit"], "verdict": name}


def test_a_rejected_run_is_4(cli, job, keep, inventory, record):
    job(a_job(keep(audit=verdict(record, "rejected")), hosts={"h1": Host()}))
    code, _, err = cli("run", "-i", inventory)
    assert code == 4 and "rejected" in err


def test_a_failed_run_names_its_phase_and_its_last_lines(cli, job, keep, inventory):
    failure = {"phase": "compile", "last_lines": ["nvcc: killed", "pip: error"]}
    record = keep(outcome="failed", failure=failure)
    job(a_job(record, hosts={"h1": failed("h1")}))
    code, _, err = cli("run", "-i", inventory)
    assert code == 1
    assert "h1: the run failed in phase compile" in err and "run.log" in err
    assert "  nvcc: killed\n  pip: error\n" in err
    assert "no room" not in err, "the task that failed because the run had says nothing new"


def test_the_log_of_a_run_that_an_earlier_version_made_is_called_as_it_is(cli, job, keep, inventory, state):
    record = keep(outcome="failed", failure={"phase": "compile", "last_lines": []})
    (state / "runs" / record["host"] / record["run_id"] / "scenario_a.log").touch()
    job(a_job(record, hosts={"h1": failed("h1")}))
    assert f"{record['run_id']}/scenario_a.log" in cli("run", "-i", inventory)[2]


def test_what_a_program_reads_is_not_mixed_with_what_a_host_said(cli, job, keep, inventory):
    record = keep(outcome="failed", failure={"phase": "compile", "last_lines": ['{"event": "Progress"}']})
    job(a_job(record, hosts={"h1": failed("h1")}))
    code, out, err = cli("run", "-i", inventory, "--json")
    assert code == 1 and json.loads(out)["runs"] == [record]
    assert all(line.startswith("provisioner: ") for line in err.splitlines())


def test_a_failed_run_s_cause_is_said(cli, job, keep, inventory):
    cause = "the kernel killed a compiler (cicc) for lack of memory: lower --max-jobs (it was 8)"
    failure = {"phase": "compile", "cause": cause, "last_lines": []}
    job(a_job(keep(outcome="failed", failure=failure), hosts={"h1": failed("h1")}))
    assert f"provisioner: h1: {cause}\n" in cli("run", "-i", inventory)[2]


def test_why_a_run_failed_does_not_stand_below_what_its_audit_missed(cli, job, keep, inventory, record):
    failure = {"phase": "image_build", "cause": "a server answers 503; run again later", "last_lines": ["x"]}
    audit = {**record["audit"], "verdict": "incomplete"}
    job(a_job(keep(outcome="failed", failure=failure, audit=audit), hosts={"h1": failed("h1")}))
    assert "incomplete: " not in cli("run", "-i", inventory)[2]


def test_what_was_tried_again_is_told(cli, job, keep, inventory):
    retries = [
        {"phase": "image_build", "what": "docker", "times": 2},
        {"phase": "clone", "what": "git", "times": 1},
    ]
    job(a_job(keep(retries=retries)))
    said = "tried again, as part of its time: docker 2 times in image_build, git 1 time in clone"
    assert said in cli("run", "-i", inventory)[2]


def test_a_newer_run_of_the_same_inputs_that_failed_is_told_with_the_one_that_serves(cli, job, keep, inventory, record):
    same, other = ({**record["inputs"], "input_hash": name} for name in ("a", "b"))
    later = {"started_at": "2099-01-01T00:00:00Z", "outcome": "failed", "failure": {"phase": "clone", "last_lines": []}}
    serves = keep(inputs=same)
    keep(run_id="20990101T000000Z-bbbbbb", inputs=other, **later)
    keep(run_id="20990101T000000Z-cccccc", inputs=same, host="h2", **later)
    job(a_job(serves), a_job(serves))
    assert "of the same inputs and newer" not in cli("run", "-i", inventory)[2]
    keep(run_id="20990101T000000Z-aaaaaa", inputs=same, **later)
    err = cli("run", "-i", inventory)[2]
    assert "20990101T000000Z-aaaaaa, of the same inputs and newer, failed in clone; --fresh measures anew" in err


def test_earlier_runs_that_came_along_are_said_and_decide_nothing(cli, job, keep, inventory):
    record = keep(run_id="new")
    keep(run_id="cut", outcome="interrupted")
    came = Recovered(
        "h1", ({"run_id": "cut", "outcome": "interrupted", "phase": "compile"}, {"error": "run x: broken"})
    )
    job(a_job(record, hosts={"h1": Host()}, recovered=[came]))
    code, out, err = cli("run", "-i", inventory, "--json")
    assert (code, [run["run_id"] for run in json.loads(out)["runs"]]) == (0, ["new"])
    assert "h1: run cut interrupted in compile: not collected before, kept now" in err
    assert "h1: run x: broken" in err


def test_a_host_that_is_lost_while_its_run_goes_on_says_how_to_attach(cli, job, inventory):
    job(a_job(hosts={"h1": away("h1")}, running={"h1": "r1"}))
    code, _, err = cli("run", "-i", inventory)
    assert code == 3 and "run r1 goes on there; the same command attaches to it" in err


def test_a_gpu_that_is_required_and_not_there_is_a_failure(cli, job, keep, inventory):
    job(a_job(keep(), hosts={"h1": Host()}))
    code, _, err = cli("run", "-i", inventory, "--require-gpu")
    assert code == 1 and "no GPU" in err


@pytest.mark.parametrize(
    ("hosts", "outcome", "judged", "code"),
    [
        ({"h1": Host()}, "ok", "accepted", 0),
        ({"h1": Host(), "h2": away("h2")}, "ok", "accepted", 3),
        ({"h1": Host(), "h2": away("h2")}, "ok", "rejected", 3),
        ({"h1": Host(), "h2": away("h2")}, "failed", "incomplete", 1),
        ({"h1": failed("h1"), "h2": away("h2")}, "ok", "rejected", 1),
    ],
)
def test_the_worst_decides_the_exit_code(*, cli, job, keep, inventory, record, hosts, outcome, judged, code):
    kept = keep(outcome=outcome, audit=verdict(record, judged))
    job(a_job(kept, hosts=hosts))
    assert cli("run", "-i", inventory)[0] == code


def test_why_hosts_failed_is_a_line_each(cli, job, inventory):
    job(a_job(hosts={"h1": failed("h1"), "h2": away("h2")}))
    code, out, err = cli("prepare", "-i", inventory)
    assert (code, out) == (1, "")
    assert "provisioner: h1: failed in 'Check': no room; make some\n" in err
    assert "provisioner: h2: unreachable: no route to host\n" in err
    assert "Ansible's own output is in /nonexistent" in err


def test_the_hosts_that_did_not_go_well_can_be_done_again(cli, job, inventory, state):
    hosts = {"h1": Host(), "h2": away("h2")}
    asked = job(a_job(hosts=hosts), a_job(hosts={"h2": Host()}))
    assert "--limit @failed" in cli("prepare", "-i", inventory)[2]
    code, _, err = cli("run", "-i", inventory, "--limit", "@failed")
    assert (code, asked[1][1].hosts, asked[1][1].limit) == (0, ("h2",), "h2")
    assert "@failed" not in err
    code, _, err = cli("prepare", "-i", inventory, "--limit", "@failed")
    assert code == 2 and err.count("\n") == 1 and "none of" in err


def test_a_disk_too_full_to_remember_it_does_not_hide_the_result(cli, job, inventory, state, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    job(a_job(hosts={"h1": Host(ok=9), "h2": away("h2")}))
    monkeypatch.setattr("provisioner.system.files.os.fsync", full)
    code, out, err = cli("prepare", "-i", inventory, "--json")
    assert code == 3 and json.loads(out)["hosts"]["h1"]["failed"] == 0
    assert "No space left on device" in err and "@failed will not know" in err


def test_what_failed_before_is_remembered_until_it_goes_well(cli, job, inventory, state):
    job(a_job(hosts={"h1": failed("h1"), "h2": away("h2")}), a_job(hosts={"h1": Host()}), a_job(invalid="no"))
    cli("prepare", "-i", inventory)
    cli("prepare", "-i", inventory, "--limit", "h1")
    cli("prepare", "-i", inventory)
    kept = json.loads((state / "failed.json").read_text())
    assert kept == {str(inventory): ["h2"]}
    (state / "failed.json").write_text('{"half of')
    assert cli("prepare", "-i", inventory, "--limit", "@failed")[0] == 2


@pytest.mark.parametrize(
    ("limit", "hosts"),
    [
        ("@failed", {"h2", "gpu-3"}),
        ("@failed:!h2", {"gpu-3"}),
        ("!@failed", {"h1", "h4"}),
        ("all:!@failed", {"h1", "h4"}),
        ("h1,h2:&@failed", {"h2"}),
        ("h4,@failed", {"h2", "gpu-3", "h4"}),
        ("all[0:1]:@failed:!h2", {"h1", "gpu-3"}),
    ],
)
def test_the_failed_ones_are_a_term_among_others(state, limit, hosts):
    """As Ansible itself understands what it is given."""
    state.mkdir()
    (state / "failed.json").write_text('{"fleet.yml": ["h2", "gpu-3"]}')
    known = InventoryManager(DataLoader(), "h1,h2,gpu-3,h4")
    known.subset(failed_hosts.expand(limit, state, "fleet.yml"))
    assert {host.name for host in known.get_hosts()} == hosts


def test_where_none_failed_all_but_those_are_all(state):
    assert failed_hosts.expand("!@failed", state, "fleet.yml") is None
    assert failed_hosts.expand("web:!@failed", state, "fleet.yml") == "web"
    with pytest.raises(ProvisionerError, match=r"none of fleet\.yml failed the last time"):
        failed_hosts.expand("web:&@failed", state, "fleet.yml")


@pytest.mark.parametrize("command", ["run", "prepare", "plan", "clean"])
def test_wrong_inputs_found_by_the_playbook_are_one_line_and_2(cli, job, inventory, command):
    job(a_job(invalid="no such thing; give another", hosts={"localhost": failed("localhost")}))
    assert cli(command, "-i", inventory)[0::2] == (2, "provisioner: no such thing; give another\n")


@pytest.mark.parametrize("command", ["run", "prepare", "plan", "clean"])
def test_a_fault_of_ansible_is_one_line_and_1(cli, job, inventory, command):
    job(a_job(error="it broke"))
    code, _, err = cli(command, "-i", inventory)
    assert code == 1 and err.count("\n") == 1 and "it broke; Ansible's own output is in" in err


def test_an_interrupt_says_what_goes_on_where(cli, job, inventory):
    job(a_job(interrupted=True, running={"h1": "r1"}), a_job(interrupted=True))
    code, _, err = cli("run", "-i", inventory)
    assert code == 130 and err.count("\n") == 1
    assert "goes on detached on h1 (run r1)" in err and "attaches" in err
    code, _, err = cli("run", "-i", inventory)
    assert code == 130 and err == (
        "provisioner: interrupted; no run was seen to begin; "
        "one that was there before goes on: see `provisioner status`, or stop it by `provisioner cancel`\n"
    )


def test_a_record_that_came_back_and_is_not_kept_is_a_failure(cli, job, inventory, record):
    job(a_job(record, hosts={"h1": Host()}))
    code, _, err = cli("run", "-i", inventory)
    assert code == 1 and record["run_id"] in err


@pytest.mark.parametrize("command", ["prepare", "run"])
def test_that_a_busy_host_is_refused_is_for_ansible_to_know_where_it_is_asked_for(cli, job, keep, inventory, command):
    asked = job(*(a_job(keep(run_id=each), hosts={"h1": Host()}) for each in "ab"))
    cli(command, "-i", inventory)
    cli(command, "-i", inventory, "--require-idle")
    assert [target.extra_vars.get("provisioner_require_idle") for _, target in asked] == [None, True]


def test_prepare_s_document(cli, job, inventory):
    hosts = {"h1": Host(ok=9, changed=3), "h2": away("h2"), "h3": Host(reboot_required=True)}
    job(a_job(hosts=hosts, busy={"h3": ("1 Slurm job: 7",)}))
    code, out, err = cli("prepare", "-i", inventory, "--json")
    assert code == 3
    assert json.loads(out) == {
        "hosts": {
            "h1": {"changed": 3, "failed": 0, "unreachable": False, "reboot_required": False, "busy": []},
            "h2": {"changed": 0, "failed": 0, "unreachable": True, "reboot_required": False, "busy": []},
            "h3": {
                "changed": 0,
                "failed": 0,
                "unreachable": False,
                "reboot_required": True,
                "busy": ["1 Slurm job: 7"],
            },
        }
    }
    assert "h3: its packages or its driver want a restart" in err


DRIFT = {"what": "docker.service", "from": "disabled", "to": "enabled"}


def looked(name, *changes, would="measure"):
    """What a job knows of a host that was looked at."""
    return {
        "hosts": {name: Host(ok=2)},
        "looks": {
            name: {
                "site": Looked(name, "site", ()),
                "docker_engine": Looked(name, "docker_engine", changes, ("mind it",)),
                "gpu_driver": Looked(name, "gpu_driver", (), skipped="no GPU"),
                "other": Looked(name, "other", (), skipped="no GPU"),
            }
        },
        "planned": {name: Planned(name, would, "r1")},
    }


def test_a_plan_is_5_where_there_is_drift_and_its_document_names_the_role(cli, job, inventory):
    asked = job(a_job(**looked("h1", DRIFT), busy={"h1": ("2 pods",)}), a_job(**looked("h1", DRIFT)))
    code, out, _ = cli("plan", "-i", inventory, "--json")
    run = {"would": "measure", "detail": "r1"}
    changes = [{"role": "docker_engine", **DRIFT}]
    assert json.loads(out) == {"hosts": {"h1": {"changes": changes, "busy": ["2 pods"], "run": run}}}
    assert (code, asked[0][0]) == (5, "plan.yml")
    code, out, err = cli("plan", "-i", inventory)
    assert code == 5
    assert [line.split() for line in out.splitlines()] == [
        ["host", "role", "change", "what", "from", "to"],
        ["h1", "docker_engine", "~", "change", "docker.service", "disabled", "enabled"],
    ]
    assert "provisioner: h1: mind it\n" in err and err.endswith("provisioner: 1 host: 1 would change: 1 to change\n")
    assert "h1: `run` would measure" in err


def test_a_plan_without_drift_is_0_and_says_so(cli, job, inventory):
    job(a_job(**looked("h1", would="reuse")))
    code, out, err = cli("plan", "-i", inventory)
    assert (code, out) == (0, "")
    assert "h1: `prepare` would change nothing" in err and "would give run r1 back" in err


def test_what_a_person_should_know_of_a_host_is_told(cli, job, inventory):
    for command in ("plan", "prepare"):
        job(a_job(**looked("h1")))
        _, _, err = cli(command, "-i", inventory)
        assert "provisioner: h1: no GPU; skipped: gpu_driver, other\n" in err


def test_a_plan_that_missed_a_host_does_not_pass_for_one_of_all(cli, job, inventory):
    known = looked("h1", DRIFT)
    job(a_job(**{**known, "hosts": {**known["hosts"], "h2": away("h2")}}))
    code, out, err = cli("plan", "-i", inventory, "--json")
    assert code == 3 and list(json.loads(out)["hosts"]) == ["h1"]
    assert "h2: unreachable" in err


def test_clean(cli, job, inventory):
    asked = job(a_job(hosts={"h1": Host(changed=2), "h2": Host()}))
    code, _, err = cli("clean", "-i", inventory)
    assert code == 0
    assert "h1: cleaned" in err and "h2: nothing to clean" in err
    assert asked[0][0] == "clean.yml"


def test_audit_of_a_run_that_is_not_known(cli, keep):
    keep()
    code, out, err = cli("audit", "nonsense")
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_audit_judges_the_evidence_anew(cli, keep, state):
    """The record's own verdict is not what counts: its evidence is, and here that is only half of it."""
    record = keep()
    folder = state / "runs" / record["host"] / record["run_id"]
    (folder / "run.json").write_text(json.dumps({"run_id": record["run_id"], "started_at": record["started_at"]}))
    code, out, _ = cli("audit", record["run_id"][:12], "--json")
    document = json.loads(out)
    assert document["checks"] != record["audit"]["checks"]
    assert code == (4 if document["verdict"] == "rejected" else 0)
    assert document["verdict"] in cli("audit", record["run_id"])[1]
