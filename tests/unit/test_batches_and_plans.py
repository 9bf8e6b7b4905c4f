"""Hosts in batches: what is not begun after one that failed, and who is told of it; and plans that are applied."""

import json
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils import package
from provisioner.ansible import answers, changes, inventory, plan_file
from provisioner.ansible.events import Looked, TaskFailure
from provisioner.ansible.job import Host, Job
from provisioner.ansible.rollout import Size, batches
from provisioner.commands import plan, prepare, run
from provisioner.errors import ProvisionerError

HOSTS = [f"gpu-{number:02}" for number in range(1, 21)]
FLEET = ",".join(HOSTS)


def failed(name, message="no room"):
    return Host(failed=1, failure=TaskFailure(name, "Prepare", "Look at the host", unreachable=False, message=message))


def away(name):
    return Host(unreachable=True, failure=TaskFailure(name, "p", "t", unreachable=True, message="no route to host"))


@pytest.fixture(autouse=True, scope="module")
def ansible_is_asked_once_of_the_same_names():
    """A list of names means the same each time, and takes Ansible half a second."""
    known, ask = {}, inventory._ask_ansible

    def ask_once(sources, *more):
        key = (*sources, *more)
        if not all("," in source for source in sources):
            return ask(sources, *more)
        known[key] = known.get(key) or json.dumps(ask(sources, *more))
        return json.loads(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "_ask_ansible", ask_once)
        yield


@pytest.fixture
def jobs(monkeypatch):
    """Have jobs made up: `jobs(of_host)`, a function of a host's name; gives what was asked for.

    `of_host` gives a Host, or None where Ansible is stopped there, or a pair of a Host and what else the job has.
    """
    asked = []

    def give(of_host=lambda _name: Host(), of_inputs=lambda _name: Host()):
        def run_playbook(playbook, target, watchers=(), extra_vars=None, *, measured=False):
            asked.append((playbook, target, extra_vars))
            job = Job(Path("/nonexistent"))
            for name in target.hosts:
                made = of_inputs(name) if playbook == "validate.yml" else of_host(name)
                if made is None:
                    job.interrupted = True
                    continue
                job.hosts[name], more = made if isinstance(made, tuple) else (made, {})
                job.records += more.get("records", ())
                job.looks |= more.get("looks", {})
            return job

        for module in (run, prepare, plan):
            monkeypatch.setattr(module, "run_playbook", run_playbook)
        return asked

    return give


def of_jobs(asked):
    """The hosts of each job, as Ansible was told of them."""
    return [target.limit.split(",") for playbook, target, _ in asked if playbook != "validate.yml"]


# --- batches ---


@pytest.mark.parametrize(
    ("sizes", "total", "counts"),
    [
        ([Size(1), Size(10, percent=True), Size(100, percent=True)], 500, [1, 50, 449]),
        ([Size(1), Size(10, percent=True), Size(100, percent=True)], 3, [1, 1, 1]),
        ([Size(100, percent=True)], 3, [3]),
        ([Size(2)], 5, [2, 2, 1]),
        ([Size(1), Size(3)], 8, [1, 3, 3, 1]),
        ([Size(30, percent=True)], 10, [3, 3, 3, 1]),
        ([Size(1, percent=True)], 7, [1] * 7),
        ([Size(9)], 4, [4]),
    ],
)
def test_batches_are_as_ansible_s_serial_has_them(sizes, total, counts):
    hosts = [f"h{number}" for number in range(total)]
    found = list(batches(hosts, sizes))
    assert [len(batch) for batch in found] == counts
    assert [name for batch in found for name in batch] == hosts


@pytest.mark.parametrize(
    "text",
    ["0", "0%", "101%", "1,0", "", ",", "1,,2", "-1", "1.5", "ten", "10 %", "%", "1e2", "9" * 10, "\u0661", "10%%"],
)
def test_sizes_that_are_none_are_refused_at_the_door(cli, text):
    code, out, err = cli("prepare", "-i", FLEET, f"--batch={text}")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "argument --batch: " in err and "from 1% to 100%" in err


@pytest.mark.parametrize("command", ["prepare", "run"])
def test_how_many_may_fail_is_asked_of_batches_only(cli, jobs, command):
    asked = jobs()
    code, _, err = cli(command, "-i", FLEET, "--max-fail", "3")
    assert code == 2 and err.count("\n") == 1 and "--max-fail needs --batch" in err
    assert asked == []


def test_each_batch_is_a_job_of_its_own_and_all_are_begun_where_none_fails(cli, jobs):
    asked = jobs(lambda _name: Host(ok=3, changed=1))
    code, out, err = cli("prepare", "-i", FLEET, "--batch", "1,10%,100%", "--json")
    assert code == 0 and of_jobs(asked) == [HOSTS[:1], HOSTS[1:3], HOSTS[3:]]
    document = json.loads(out)
    assert list(document["hosts"]) == HOSTS and document["not_begun"] == []
    assert "not begun" not in err


def test_without_batches_nothing_is_as_it_was_not(cli, jobs):
    asked = jobs(lambda name: failed(name) if name == "gpu-01" else Host())
    code, out, err = cli("prepare", "-i", FLEET, "--json")
    assert code == 1 and [target.limit for _, target, _ in asked] == [None]
    assert "not_begun" not in json.loads(out) and "not begun" not in err


@pytest.mark.parametrize(("bad", "expected"), [(failed, 1), (away, 3)])
def test_nothing_after_a_failed_batch_is_begun_and_who_was_not_is_told(cli, jobs, bad, expected):
    asked = jobs(lambda name: bad(name) if name == "gpu-02" else Host())
    code, out, err = cli("prepare", "-i", FLEET, "--batch", "1,2,100%", "--json")
    assert code == expected and of_jobs(asked) == [HOSTS[:1], HOSTS[1:3]]
    document = json.loads(out)
    assert list(document["hosts"]) == HOSTS[:3] and document["not_begun"] == HOSTS[3:]
    assert "1 host failed; not begun: gpu-[04-20]; the same command with --limit @not-begun goes on with them" in err


def test_more_may_fail_where_that_is_said_in_all_batches_together(cli, jobs):
    asked = jobs(lambda name: failed(name) if name in {"gpu-01", "gpu-04", "gpu-05"} else Host())
    code, _, err = cli("prepare", "-i", FLEET, "--batch", "3", "--max-fail", "1")
    assert code == 1 and of_jobs(asked) == [HOSTS[:3], HOSTS[3:6]]
    assert "3 hosts failed; not begun: gpu-[07-20]" in err
    asked.clear()
    code, _, err = cli("prepare", "-i", FLEET, "--batch", "3", "--max-fail", "3")
    assert code == 1 and len(of_jobs(asked)) == 7 and "not begun" not in err


def test_the_next_command_goes_on_with_those_that_were_not_begun(cli, jobs):
    bad = {"gpu-01"}
    asked = jobs(lambda name: failed(name) if name in bad else Host())
    cli("prepare", "-i", FLEET, "--batch", "1,100%")
    asked.clear()
    bad.add("gpu-05")
    code, out, _ = cli("prepare", "-i", FLEET, "--batch", "10,100%", "--limit", "@not-begun", "--json")
    assert code == 1 and of_jobs(asked) == [HOSTS[1:11]]
    assert json.loads(out)["not_begun"] == HOSTS[11:]
    asked.clear()
    cli("prepare", "-i", FLEET, "--limit", "@failed,@not-begun")
    assert set(of_jobs(asked)[0]) == {"gpu-01", "gpu-05", *HOSTS[11:]}
    code, _, err = cli("prepare", "-i", FLEET, "--limit", "@not-begun")
    assert code == 2 and err.count("\n") == 1 and f"the last --batch left none of {FLEET}"[:60] in err


def test_a_job_that_is_stopped_ends_it_and_nobody_further_is_begun(cli, jobs):
    asked = jobs(lambda name: None if name == "gpu-03" else Host())
    for command in ("prepare", "run"):
        asked.clear()
        code, _, err = cli(command, "-i", FLEET, "--batch", "2")
        assert code == 130 and of_jobs(asked) == [HOSTS[:2], HOSTS[2:4]]
        assert "provisioner: not begun: gpu-[05-20]; the same command" in err and "interrupted" in err


# --- batches of runs ---


@pytest.fixture
def measured(keep, record):
    """Give a host whose run is kept: `measured(name)`; keywords change its record."""

    def make(name, **fields):
        return Host(), {"records": [keep(host=name, run_id=f"run-of-{name}", **fields)]}

    return make


def test_the_inputs_of_all_hosts_are_checked_before_the_first_is_touched(cli, jobs, measured):
    asked = jobs(measured)
    assert cli("run", "-i", FLEET, "--batch", "1,100%")[0] == 0
    assert [(playbook, len(target.hosts)) for playbook, target, _ in asked] == [
        ("validate.yml", 20),
        ("site.yml", 1),
        ("site.yml", 19),
    ]
    assert asked[0][2] == {"scenario_collect": True}, "as site.yml has it"


def test_inputs_that_cannot_be_checked_stop_it_before_the_first_is_touched(cli, jobs):
    asked = jobs(of_inputs=lambda name: failed(name, "x is undefined") if name == "gpu-09" else Host())
    code, out, err = cli("run", "-i", FLEET, "--batch", "1,100%")
    assert (code, out, of_jobs(asked)) == (1, "", [])
    assert err == "provisioner: gpu-09: x is undefined; mend that; no host was touched\n"


def verdict(record, name):
    return {"audit": {**record["audit"], "verdict": name}}


@pytest.mark.parametrize("how", ["failed", "interrupted", "rejected", "no GPU"])
def test_a_batch_s_runs_are_judged_before_the_next_begins(*, cli, jobs, measured, record, how):
    bad = {
        "rejected": verdict(record, "rejected"),
        "no GPU": {},
    }.get(how, {"outcome": how, "failure": {"phase": "compile", "last_lines": []}})
    asked = jobs(lambda name: measured(name, **(bad if name == "gpu-01" else {})))
    options = ["--require-gpu"] if how == "no GPU" else []
    code, out, err = cli("run", "-i", FLEET, "--batch", "2,100%", "--json", *options)
    assert of_jobs(asked) == [HOSTS[:2]]
    assert code == (4 if how == "rejected" else 1)
    assert json.loads(out)["not_begun"] == HOSTS[2:] and set(json.loads(out)["hosts"]) == set(HOSTS[:2])
    assert "not begun: gpu-[03-20]" in err


def test_with_repeat_each_batch_gives_all_its_samples_before_the_next_begins(cli, jobs, keep):
    made = []

    def sample(name):
        made.append(name)
        return Host(), {"records": [keep(host=name, run_id=f"run-{len(made)}")]}

    asked = jobs(sample)
    code, out, _ = cli("run", "-i", "gpu-01,gpu-02", "--batch", "1", "--repeat", "2", "--json")
    assert code == 0 and of_jobs(asked) == [["gpu-01"], ["gpu-01"], ["gpu-02"], ["gpu-02"]]
    assert len(json.loads(out)["runs"]) == 4 and json.loads(out)["not_begun"] == []


# --- plans that are applied ---

ENGINE = {"what": "docker.service", "from": "disabled", "to": "enabled"}
GIT = {"what": "package git", "from": "absent", "to": "newest"}


def looked(*off):
    """What a job has of a host on which this is off, told by two roles."""
    return lambda name: (
        Host(ok=1),
        {"looks": {name: {role: Looked(name, role, off) for role in ("docker_engine", "devcontainer_cli")}}},
    )


@pytest.fixture
def made(cli, jobs, tmp_path):
    """A plan of two hosts in a file, with what else is asked of Ansible after it."""
    asked = jobs(looked(ENGINE, GIT))
    path = tmp_path / "a plan.json"
    code, _, err = cli("plan", "-i", "gpu-01,gpu-02", "--out", path)
    assert code == 5 and f"the plan of 2 hosts is in {path}" in err
    asked.clear()
    return path


def test_a_plan_is_its_owner_s_alone_and_has_each_host_s_changes_once(made):
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    document = json.loads(made.read_text())
    assert document["version"] == 1 and set(document["hosts"]) == {"gpu-01", "gpu-02"}
    of_host = {"changes": [{"role": "docker_engine", **ENGINE}, {"role": "docker_engine", **GIT}]}
    assert document["hosts"]["gpu-02"] == of_host


def test_a_plan_is_done_on_its_hosts_and_its_looks_are_held_to_it(cli, jobs, made):
    asked = jobs()
    assert cli("prepare", "-i", "gpu-01,gpu-02", "--plan", made, "--batch", "1")[0] == 0
    # Texts of a file would be templates to Ansible.
    digest = changes.digest([GIT, ENGINE])
    assert [more["provisioner_planned"] for _, _, more in asked] == [{"gpu-01": digest}, {"gpu-02": digest}]
    assert of_jobs(asked) == [["gpu-01"], ["gpu-02"]]


def test_hosts_that_were_not_looked_at_are_in_no_plan_and_are_not_touched(cli, jobs, tmp_path):
    asked = jobs(lambda name: away(name) if name == "gpu-02" else looked(ENGINE)(name))
    path = tmp_path / "plan"
    code, _, err = cli("plan", "-i", "gpu-01,gpu-02", "--out", path)
    assert code == 3 and "the plan of 1 host, without 1 that could not be looked at, is in" in err
    asked.clear()
    cli("prepare", "-i", "gpu-01,gpu-02", "--plan", path)
    assert of_jobs(asked) == [["gpu-01"]]


def test_where_no_host_answered_there_is_no_plan(cli, jobs, tmp_path):
    jobs(away)
    code, _, err = cli("plan", "-i", "gpu-01,gpu-02", "--out", tmp_path / "plan")
    assert code == 3 and "is not written: no host could be looked at" in err
    assert not (tmp_path / "plan").exists()


def test_where_a_plan_cannot_be_written_is_said_before_hosts_are_looked_at(cli, jobs, tmp_path):
    asked = jobs()
    code, _, err = cli("plan", "-i", "gpu-01,", "--out", tmp_path / "none" / "plan")
    assert code == 2 and err.count("\n") == 1 and "--out: there is no folder" in err and asked == []


def test_a_host_that_has_changed_since_is_refused_in_one_line_and_fails_its_batch(cli, jobs, made):
    def now(name):
        if name != "gpu-01":
            return Host()
        return failed(name, changes.CHANGED), looked({**GIT, "from": "2.39"})(name)[1]

    asked = jobs(now)
    code, out, err = cli("prepare", "-i", "gpu-01,gpu-02", "--plan", made, "--batch", "1", "--json")
    assert code == 1 and of_jobs(asked) == [["gpu-01"]] and json.loads(out)["not_begun"] == ["gpu-02"]
    said = (
        "provisioner: gpu-01: left as it is, since it has changed after the plan: no more docker.service: disabled -> "
        "enabled; no more package git: absent -> newest; now package git: 2.39 -> newest; make a new plan of it\n"
    )
    assert "--limit @failed" not in err, "it would be refused again"
    assert said in err and len([line for line in err.splitlines() if "gpu-01:" in line]) == 1


def test_the_look_refuses_other_changes_than_the_digest_s_in_whatever_order():
    assert changes.digest([ENGINE, GIT]) == changes.digest([{**GIT, "role": "x"}, ENGINE, GIT])
    assert len({changes.digest(off) for off in ([], [GIT], [ENGINE], [ENGINE, GIT], [{**GIT, "to": "2"}])}) == 5
    assert package.changes is changes


def test_what_a_refused_look_found_is_known_and_nothing_of_one_that_failed():
    found = {"looks": {"site": {"changes": [GIT]}}, "failed": True, "msg": "no"}
    assert answers.look(found)["looks"]["site"]["changes"] == [GIT] and answers.look(found)["msg"] == "no"
    assert answers.look({"failed": True, "msg": "no"}) == {"failed": True, "msg": "no", "busy": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-i", "gpu-01,gpu-03"], "gpu-02: not in the inventory"),
        (["-i", "gpu-01,gpu-02,gpu-03", "-l", "gpu-02,gpu-03"], "gpu-03: not in"),
        (["-i", "gpu-01,gpu-02", "--profile", "registries"], "-e, --profile or --runtime are not those"),
        (["-i", "gpu-01,gpu-02", "-e", "site_no_proxy=x"], "-e, --profile or --runtime are not those"),
    ],
)
def test_a_plan_of_other_inputs_is_refused_before_anything_is_touched(*, cli, jobs, made, arguments, said):
    asked = jobs()
    code, out, err = cli("prepare", "--plan", made, *arguments)
    assert (code, out, asked) == (2, "", []) and err.count("\n") == 1
    assert "provisioner: --plan: " in err and said in err and err.endswith("; make a new plan\n")


def test_a_plan_is_of_the_hosts_variables_and_the_environment_as_they_were(cli, jobs, tmp_path, monkeypatch):
    asked = jobs(looked(GIT))
    path, fleet = tmp_path / "plan", tmp_path / "fleet.yml"
    fleet.write_text("all: {hosts: {gpu-01: {}, gpu-02: {}}}")
    cli("plan", "-i", fleet, "-l", "gpu-01", "--out", path)
    asked.clear()
    # What is of other hosts decides nothing, nor does how many at a time.
    fleet.write_text("all: {hosts: {gpu-01: {}, gpu-02: {site_ca_bundle: /x}, gpu-03: {}}}")
    assert cli("prepare", "-i", fleet, "--plan", path, "--require-idle", "--forks", "3")[0] == 0
    assert of_jobs(asked) == [["gpu-01"]]
    monkeypatch.setenv("https_proxy", "http://elsewhere:3128")
    fleet.write_text("all: {hosts: {gpu-01: {}}, vars: {site_no_proxy: other}}")
    code, _, err = cli("prepare", "-i", fleet, "--plan", path)
    assert code == 2 and "the variables of its hosts" in err and "or a proxy has changed" in err


def test_some_of_its_hosts_may_be_chosen(cli, jobs, made):
    asked = jobs()
    assert cli("prepare", "-i", "gpu-01,gpu-02", "--plan", made, "-l", "gpu-02")[0] == 0
    assert of_jobs(asked) == [["gpu-02"]]


def spoil(document, where, value):
    """Change a place of a plan, or take it away."""
    at = document
    for key in where[:-1]:
        at = at[key]
    if value is None:
        del at[where[-1]]
    else:
        at[where[-1]] = value


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (["version"], None),
        (["version"], 2),
        (["provisioner"], "0.0.1"),
        (["provisioner"], {}),
        (["more"], 1),
        (["inputs"], []),
        (["inputs", "options"], None),
        (["inputs", "more"], "x"),
        (["inputs", "options"], {}),
        (["hosts"], {}),
        (["hosts"], []),
        (["hosts", "../x"], {"changes": []}),
        (["hosts", "gpu-01"], []),
        (["hosts", "gpu-01", "changes"], {}),
        (["hosts", "gpu-01", "changes"], [{}] * 10_001),
        (["hosts", "gpu-01", "changes", 0], "x"),
        (["hosts", "gpu-01", "changes", 0, "from"], None),
        (["hosts", "gpu-01", "changes", 0, "from"], []),
        (["hosts", "gpu-01", "changes", 0, "what"], 5),
        (["hosts", "gpu-01", "changes", 0, "role"], "\x1b[2J"),
    ],
)
def test_what_is_no_plan_of_ours_is_refused_in_one_line(*, cli, jobs, made, where, value):
    asked = jobs()
    document = json.loads(made.read_text())
    spoil(document, where, value)
    made.write_text(json.dumps(document))
    code, out, err = cli("prepare", "-i", "gpu-01,gpu-02", "--plan", made)
    assert (code, out, asked) == (2, "", []) and err.count("\n") == 1 and "\x1b" not in err
    assert "provisioner: --plan: " in err


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 100_000, b'{"version": NaN}'])
def test_a_file_that_is_no_plan_is_refused(cli, tmp_path, content):
    path = tmp_path / "plan"
    path.write_bytes(content)
    code, _, err = cli("prepare", "-i", "gpu-01,", "--plan", path)
    assert code == 2 and err.count("\n") == 1 and "is not a plan: " in err


def test_a_file_that_is_too_large_or_none_is_not_read(cli, tmp_path):
    large, pipe = tmp_path / "large", tmp_path / "pipe"
    large.touch()
    os.truncate(large, 2**30)
    os.mkfifo(pipe)
    for path, said in ((large, "has more than 16 MiB"), (pipe, "not a regular file"), (tmp_path / "x", "No such file")):
        code, _, err = cli("prepare", "-i", "gpu-01,", "--plan", path)
        assert code == 2 and err.count("\n") == 1 and said in err


def test_a_plan_larger_than_is_read_is_not_written(tmp_path, monkeypatch, jobs, cli):
    jobs(looked(*({**GIT, "what": f"{number:04} {'x' * 3900}"} for number in range(2200))))
    code, _, err = cli("plan", "-i", "gpu-01,gpu-02", "--out", tmp_path / "plan", "--json")
    assert code == 2 and "--out: a plan of 2 hosts is larger than 16 MiB; make several, with --limit" in err
    assert not (tmp_path / "plan").exists()


def test_variables_are_asked_of_ansible(tmp_path):
    fleet = tmp_path / "fleet.yml"
    fleet.write_text("all: {hosts: {h1: {a: 1}, h2: {}}, vars: {b: 2}}")
    of_all = {"ansible_local": {}, "b": 2}
    assert inventory.variables([str(fleet)]) == {"h1": {"a": 1, **of_all}, "h2": of_all}
    with pytest.raises(ProvisionerError):
        plan_file.read(str(fleet))
