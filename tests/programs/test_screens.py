"""What each command shows on a terminal, of two hosts and of five hundred: a real one, of several sizes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import made_up
import pexpect
import pytest

from provisioner.store import Store

PROGRAM = Path(__file__).parent / "made_up_jobs.py"
OF_MANY = ("plan", "plan -v", "doctor", "prepare", "status", "clean", "facts")
OF_FEW = (
    *("status --all", "run", "facts --last 3", "prune --keep 1", "lab dresses", "facts --host none"),
    "facts -q runs[].{host:host,inputs:inputs.base_image,url:inputs.xformers_url}",
    "compare gpu-001 gpu-002 --unverified --allow-different",
)
TERMINAL_WORDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TIME = re.compile(r"^(\d+h)?(\d+m)?[\d.]+s$")


@pytest.fixture(scope="module", params=[2, 500])
def hosts(request, tmp_path_factory):
    """A number of hosts, and a state directory with runs of each, two where they are few."""
    state = tmp_path_factory.mktemp("state")
    Store(state).add_all((run.record, {}) for run in made_up.runs(request.param, 2 if request.param == 2 else 1))
    return request.param, {
        **{name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}},
        "PROVISIONER_STATE_DIR": str(state),
        "TERM": "xterm-256color",
    }


def shown(hosts, columns, rows, lines=()):
    """What the commands print on such a terminal, without colours: for each command line its lines."""
    count, environment = hosts
    terminal = pexpect.spawn(
        sys.executable,
        [str(PROGRAM), str(count), *(lines or (*OF_MANY, *(OF_FEW if count == 2 else ())))],
        dimensions=(rows, columns),
        env=environment,
        encoding="utf-8",
        timeout=120,
    )
    text = terminal.read()
    terminal.close()
    # Where the cursor goes back to a line's beginning, to draw it anew, another begins here.
    text = re.sub(r"\r(?!\n)", "\n", text).replace("\r", "")
    commands = TERMINAL_WORDS.sub("", text).split("\n$ ")
    return {lines[0].removeprefix("$ "): lines[1:] for lines in (command.splitlines() for command in commands)}


@pytest.fixture(scope="module")
def boundless(hosts):
    return shown(hosts, 2000, 600)


def words(lines):
    """All words but times, and how many hosts there was no room for."""
    told = (line for line in lines if not line.endswith(" not shown"))
    return {word.rstrip("…,") for line in told for word in line.split() if not TIME.match(word)}


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_no_line_is_wider_than_the_terminal_and_no_word_broken(hosts, boundless, columns, rows):
    for command, lines in shown(hosts, columns, rows).items():
        assert max(map(len, lines), default=0) <= columns, command
        whole = words(boundless[command])
        # What is longer than a line cannot but be broken: the path of a file, say.
        longer = " ".join(word for word in whole if len(word) > columns - 12)
        assert {word for word in words(lines) - whole if word not in longer} == set(), command
        if hosts[0] > 2 and command in {"plan", "doctor", "prepare"}:
            # The live view is drawn twice, then comes what it leaves.
            last = next(number for number, line in enumerate(reversed(lines)) if "not shown" in line)
            assert last <= 50, "a person can read it on one screen"


def test_on_a_narrow_terminal_each_thing_has_a_line(hosts):
    if hosts[0] > 2:
        pytest.skip("it is the same of many")
    columns = 40
    found = shown(hosts, columns, 24)
    for command, lines in found.items():
        assert max(map(len, lines), default=0) <= columns, command
    facts = [line for line in found["facts"] if line]
    assert facts[0].startswith("host: gpu-") and facts[1].startswith("started: 2026-")


def test_a_pipe_gets_a_row_a_line(hosts):
    program = [sys.executable, PROGRAM, str(hosts[0]), "plan", "doctor", "facts", "facts --all"]
    done = subprocess.run(program, env=hosts[1], capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    plan, doctor, facts, every = (part.splitlines()[1:] for part in done.stdout.removeprefix("$ ").split("\n$ "))
    changed = [number for number in range(1, hosts[0] + 1) if number % 100 in {1, 19}]
    assert plan[0].split() == ["host", "role", "change", "what", "from", "to"]
    assert len(plan) == 1 + 5 * len(changed)
    row = r"gpu-\d{3}\.example\.org  docker_engine  [+~-] (install|change|remove) "
    assert all(re.match(row, line) for line in plan[1:])
    assert doctor[0].split() == ["host", "check", "outcome", "detail", "remedy"]
    assert [line.split()[0] for line in doctor].count("gpu-002.example.org") == 3
    assert (len(facts), len(every)) == (1 + hosts[0], 5 if hosts[0] == 2 else 1 + hosts[0])
    for line in done.stderr.splitlines():
        assert line.startswith(("provisioner: ", "gpu-"))  # a line of a host, or of all


def test_a_terminal_that_is_closed_ends_the_command_without_a_word(hosts, tmp_path):
    code = tmp_path / "code"
    started = tmp_path / "started"
    # A shell that goes on without its terminal, as nohup does; the command prints when that is gone.
    script = f"trap '' HUP; touch {started}; sleep 2; {sys.executable} -m provisioner facts; echo $? > {code}"
    environment = {**hosts[1], "PYTHONPATH": str(PROGRAM.parents[2])}
    terminal = pexpect.spawn("bash", ["-c", script], env=environment, ignore_sighup=True)
    for _ in range(200):
        time.sleep(0.1)
        if started.exists():
            break
    os.close(terminal.child_fd)
    for _ in range(600):
        time.sleep(0.1)
        if code.exists() and code.read_text():
            break
    assert code.read_text() == "141\n"
    assert not list(Path(hosts[1]["PROVISIONER_STATE_DIR"]).glob("faults/*"))


def test_a_dumb_terminal_gets_plain_lines_that_fit(hosts):
    found = shown((hosts[0], hosts[1] | {"TERM": "dumb"}), 80, 24, ["plan"])["plan"]
    assert max(map(len, found)) <= 80
    assert f"provisioner: {hosts[0]} hosts: " in "\n".join(found)


def test_what_is_the_same_on_many_hosts_is_told_once(hosts, boundless):
    if hosts[0] == 2:
        pytest.skip("of many")
    plan = "\n".join(boundless["plan"])
    assert "480 hosts: nothing to change" in plan
    assert "\ngpu-[001,019,101,119,201,219].example.org, gpu-[301,319,401,419].example.org:\n" in plan
    assert "  ~ change  package docker.io: 20.10.24+dfsg1-1+deb12u1 -> 26.1.5+dfsg1-9+b9\n" in plan
    assert "  + install package docker-cli: 26.1.5+dfsg1-9+b9\n" in plan
    assert "  - remove  package docker-compose-of-the-site: 1.29.2-3\n" in plan
    unreachable = plan.index("gpu-[007,107,207,307,407].example.org: unreachable: ")
    assert unreachable < plan.index("~ change"), "problems come first"
    assert boundless["plan"][-1] == (
        "provisioner: 500 hosts: 10 would change: 10 to install, 30 to change, 10 to remove; "
        "480 with nothing to change; 10 could not be looked at"
    )
    assert "490 hosts: `run` would return each host's finished run as it is" in plan
    doctor = [line for line in boundless["doctor"] if re.match("fail|warn", line)]
    assert [line.split()[0] for line in doctor] == ["fail"] * 3 + ["warn"] * 2
    assert "15 with a problem, 10 with a warning, 475 well" in boundless["doctor"][-1]
    assert any("500 hosts: 5 failed, 5 not reached, 10 changed, 480 with" in line for line in boundless["prepare"])


def test_all_of_it_is_there_where_it_is_asked_for(hosts, boundless):
    whole = [line for line in boundless["plan -v"] if " docker_engine " in line and line.startswith("gpu-")]
    assert len(whole) == 5 * sum(number % 100 in {1, 19} for number in range(1, hosts[0] + 1))
