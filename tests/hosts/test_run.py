"""`provisioner run` over SSH on a bare throwaway host: everything real but xformers itself, see short_workload/."""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pytest
import short
import yaml

from provisioner.runs import archive
from provisioner.runs.evidence import Evidence

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def host(make_lab, ask, tmp_path_factory):
    """A bare host with the short workload as a git repository to clone; gives the inventory and a way to ask it."""
    lab = make_lab("run")
    name = lab.hosts[0].name
    short.install(short.container(name))
    path = short.inventory(lab.inventory, tmp_path_factory.mktemp("inventory") / "hosts.yml")
    return path, name, lambda command, **options: ask(lab, name, command, **options)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def first(host, state, provisioner):
    inventory, _, _ = host
    return provisioner("run", "-i", inventory, *short.OPTIONS, "--state-dir", state, "--json")


def test_a_bare_host_is_prepared_and_measured(first, host):
    _, name, ask = host
    assert first.code == 0, first
    record = first.json["hosts"][name]
    assert record["outcome"] == "ok"
    assert (record["compile"]["count"], record["compile"]["objects"]) == (1, short.OBJECTS)
    assert record["compile"]["max_jobs"] == 2
    assert not [check for check in record["audit"]["checks"] if check["outcome"] == "fail"]
    fact = json.loads(ask("cat /etc/ansible/facts.d/scenario_a.fact").stdout)
    assert fact == record
    # The run was a unit of its own, and is over.
    assert ask("systemctl list-units --no-legend 'provisioner-scenario-a-*'").stdout == ""
    # What mmdebstrap says while the base image is made, too.
    for line in ("Prepare the hosts", '"event": "Said"', "image_build", "compile"):
        assert line in first.stderr


def test_its_evidence_is_one_file_that_the_host_signed_and_this_controller_received(first, host, state, provisioner):
    _, name, ask = host
    run_id = first.json["hosts"][name]["run_id"]
    folder = state / "runs" / name / run_id
    assert {path.name for path in folder.iterdir()} == {
        *("evidence.tar.xz", "record.json", "receipt.json", "receipt.json.sig")
    }
    assert (folder / "evidence.tar.xz").stat().st_size < 150_000
    done = provisioner("audit", run_id, "--state-dir", state, "--json")
    said = done.json["signatures"]
    assert (done.code, said["host"]["state"], said["controller"]["state"]) == (0, "good", "good"), done
    assert said["host"]["detail"] == f"unchanged since it left {name}"
    assert said["host"]["key"] in ask("ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub").stdout
    assert said["controller"]["detail"].startswith("received by this controller at 20")
    assert (state / "signing/id_ed25519").stat().st_mode & 0o777 == 0o600


def challenges(state, name):
    """What was chosen here for each run of a host, and what each run that came back had."""
    chosen = {path.name: path.read_text() for path in (state / "challenges" / name).iterdir()}
    runs = (path.parent for path in (state / "runs" / name).glob("*/evidence.tar.xz"))
    return chosen, {run.name: Evidence(run).run["challenge"] for run in runs}


def test_the_run_had_the_challenge_that_was_chosen_before_it(first, host, state):
    chosen, had = challenges(state, host[1])
    assert chosen == had and len(had) == 1
    assert first.json["hosts"][host[1]]["unchallenged"] is False


def test_a_second_run_compiles_nothing_and_gives_the_record_back(first, host, state, provisioner):
    inventory, name, ask = host
    before = ask("ls /var/lib/provisioner/scenario_a/runs; docker ps -q --no-trunc").stdout
    again = provisioner("run", "-i", inventory, *short.OPTIONS, "--state-dir", state, "--json")
    assert again.code == 0, again
    assert again.json["hosts"][name] == first.json["hosts"][name]
    assert ask("ls /var/lib/provisioner/scenario_a/runs; docker ps -q --no-trunc").stdout == before


def test_a_run_survives_its_controller_and_the_next_command_attaches(first, host, state, provisioner):
    """The controller and all of its processes are killed in the middle of a run."""
    inventory, name, ask = host
    command = [ROOT / "bin/provisioner", "run", "--fresh", "-i", inventory, *short.OPTIONS, "--state-dir", state]
    controller = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in controller.stderr:
        if "image_build" in line:
            break
    else:
        pytest.fail("the run did not get to its image")
    subprocess.run(["pkill", "-KILL", "-f", f"ansible.playbook.*{state}"], check=False)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    controller.stderr.close()
    time.sleep(2)
    again = provisioner("run", "-i", inventory, *short.OPTIONS, "--state-dir", state, "--json")
    assert again.code == 0, again
    record = again.json["hosts"][name]
    assert record["run_id"] != first.json["hosts"][name]["run_id"]
    assert record["compile"]["count"] == 1
    runs = ask("ls -d /var/lib/provisioner/scenario_a/runs/*/").stdout.split()
    assert len(runs) == 2, "the run was repeated"
    chosen, had = challenges(state, name)
    assert chosen == had, "the run that was taken up has another challenge, or one is kept of a run that was not"


def test_a_run_that_is_killed_on_its_host_is_interrupted_and_the_next_one_measures(host, state, provisioner):
    inventory, name, ask = host
    command = [
        ROOT / "bin/provisioner",
        "run",
        "--fresh",
        "-i",
        inventory,
        *short.OPTIONS,
        "--state-dir",
        state,
        "--json",
    ]
    controller = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in controller.stderr:
        if "image_build" in line:
            break
    ask("systemctl kill --signal=KILL 'provisioner-scenario-a-*'")
    out, err = controller.communicate(timeout=300)
    assert controller.returncode == 1, err
    assert json.loads(out)["hosts"][name]["outcome"] == "interrupted"
    again = provisioner("run", "-i", inventory, *short.OPTIONS, "--state-dir", state, "--fresh", "--json")
    assert again.code == 0, again
    assert again.json["hosts"][name]["outcome"] == "ok"


@pytest.fixture(scope="module")
def warm(first, host, tmp_path_factory):
    """An inventory by which the base image has the distribution's packages already: a run takes half a minute."""
    inventory, name, _ = host
    short.warm(short.container(name))
    return short.inventory(inventory, tmp_path_factory.mktemp("warm") / "hosts.yml", **short.WARM)


@pytest.fixture
def with_another(warm, make_lab, tmp_path):
    """A bare host beside the other: its lab, and an inventory of both."""
    lab, both = make_lab("bare"), yaml.safe_load(warm.read_text())
    both["all"]["hosts"] |= yaml.safe_load(lab.inventory.read_text())["all"]["hosts"]
    path = tmp_path / "both.yml"
    path.write_text(yaml.safe_dump(both))
    return lab, path


def test_a_host_that_waits_does_not_hold_back_the_run_of_another(with_another, host, apt_is_locked, provisioner, state):
    """On a bare host another program has apt's lock, for longer than is waited for; the other begins its run."""
    lab, inventory = with_another
    bare, (_, name, _) = lab.hosts[0].name, host
    # The bare host has not that image, and no registry has it.
    options = ("-e", "provisioner_check_sources=false", "-e", "provisioner_apt_lock_timeout=30")
    options += ("--state-dir", state, "--json")
    with apt_is_locked(lab, bare):
        done = provisioner("run", "--fresh", "-i", inventory, *short.OPTIONS, *options)
    assert done.code == 1 and f"{bare}: failed in 'Wait until no other program" in done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (gave_up,) = [event["time"] for event in events if event["event"] == "Failure" and event["host"] == bare]
    assert datetime.fromisoformat(done.json["hosts"][name]["started_at"]).timestamp() < gave_up


def kept(state):
    """Every file that the controller has, those in archives too: its name and its content."""
    for path in (path for path in state.rglob("*") if path.is_file()):
        if path.name == archive.NAME:
            yield from archive.read(path)[1].items()
        yield str(path), path.read_bytes()


PASSWORD = "Gehe1m"  # noqa: S105 - nobody's
# Every command line of this machine, whose processes those of its lab are too, that has the password.
WATCH = f"""while sleep 0.1; do for line in /proc/[0-9]*/cmdline; do
  tr '\\0' ' ' <$line 2>/dev/null | grep -v '[s]leep 0.1' | grep {PASSWORD[:-1]}[{PASSWORD[-1]}]; done; done"""


@pytest.fixture
def command_lines():
    """Those that have had the password so far, but for what watches them: a way to read them."""
    with tempfile.TemporaryFile("w+") as seen:
        watcher = subprocess.Popen(["sh", "-c", WATCH], stdout=seen, stderr=subprocess.DEVNULL, start_new_session=True)

        def read():
            seen.seek(0)
            return seen.read()

        yield read
        os.killpg(watcher.pid, signal.SIGKILL)
        watcher.wait()


@pytest.fixture
def proxy(host):
    """A real proxy on the host, which its containers reach too: gives its URL and a way to read its log.

    It wants a password.
    """
    _, _, ask = host
    address = ask("ip -4 -o address show docker0").stdout.split()[3].partition("/")[0]
    ask("apt-get install -qq --yes --no-install-recommends tinyproxy >/dev/null")
    settings = "\n".join(
        (
            "User tinyproxy",
            "Group tinyproxy",
            "Port 8888",
            f"BasicAuth bench {PASSWORD}",
            "Syslog On",
            "LogLevel Connect",
        )
    )
    ask(f"echo {shlex.quote(settings)} >/etc/tinyproxy/tinyproxy.conf; systemctl restart tinyproxy")
    yield f"http://bench:{PASSWORD}@{address}:8888", lambda: ask("journalctl --unit tinyproxy --output cat").stdout
    ask("apt-get purge -qq --yes tinyproxy >/dev/null")


def honest(done, name):
    """Check that a run ended well, and that the audit found nothing wrong with it."""
    assert done.code == 0, done
    record = done.json["hosts"][name]
    assert [check for check in record["audit"]["checks"] if check["outcome"] == "fail"] == []
    assert (record["compile"]["count"], record["compile"]["objects"]) == (1, short.OBJECTS)


def test_no_false_alarm_behind_a_proxy_whose_password_nobody_sees_and_no_trace_of_it_afterwards(  # noqa: PLR0917
    warm, host, state, provisioner, proxy, command_lines
):
    inventory, name, ask = host
    url, log = proxy
    behind = yaml.safe_load(warm.read_text())
    behind["all"]["vars"] |= {"site_http_proxy": url, "site_https_proxy": url}
    path = inventory.with_name("behind.yml")
    path.write_text(yaml.safe_dump(behind))
    options = (*short.OPTIONS, "--state-dir", state, "--json")
    done = provisioner("run", "--fresh", "-vvv", "-i", path, *options)
    honest(done, name)
    assert "CONNECT" in log(), "nothing went through the proxy"
    assert command_lines() == ""
    assert PASSWORD not in done.stdout + done.stderr
    assert [name for name, content in kept(state) if PASSWORD.encode() in content] == []
    assert PASSWORD not in ask("journalctl --quiet --since -30min; systemctl show docker 'provisioner-*'").stdout
    open_to_others = "find / -xdev -type f -perm /044 ! -name tinyproxy.conf -exec"
    assert ask(f"{open_to_others} grep -l {PASSWORD} {{}} +", check=False).stdout == ""
    # A devcontainer of before runs, so the engine is not restarted: it will have it from there.
    assert url in ask("cat /etc/provisioner/docker.env").stdout
    honest(provisioner("run", "--fresh", "-i", warm, *options), name)
    assert url not in ask("cat /etc/environment /etc/provisioner/*").stdout


# As a user of the host who has the number of the container's user: puts links, pipes and commands wherever that is
# possible, on the host and, through the container's processes, in the workspace and the evidence.
MALLORY = """
mkdir -m 0777 /tmp/devcontainercli-root
while :; do
  flock --shared --nonblock /var/lib/provisioner/scenario_a/lock sleep 5 &
  for work in /var/lib/provisioner/scenario_a/xformers-devcontainer* /proc/[0-9]*/root/workspaces/*; do
    mv $work/.devcontainer $work/.was
    mkdir $work/.devcontainer
    echo '{"image": "x", "initializeCommand": "touch /pwned"}' >$work/.devcontainer/devcontainer.json
    for script in $work/benchmarking/* $work/.devcontainer/*.sh; do echo 'touch /pwned' >$script; done
    ln -s /etc/shadow $work/shadow
  done
  for evidence in /proc/[0-9]*/root/scenario-evidence; do
    echo was >$evidence/was
    ln -s /etc/shadow $evidence/shadow
    mkfifo $evidence/pipe
  done
  sleep 0.2
done
"""


def test_a_user_of_the_host_does_not_become_root_by_a_run(warm, host, state, provisioner):
    _, name, ask = host
    ask(f"useradd --uid 1000 mallory; echo {shlex.quote(MALLORY)} >/home/mallory.sh")
    ask("systemd-run --quiet --collect --unit=mallory --uid=mallory sh /home/mallory.sh")
    try:
        done = provisioner("run", "--fresh", "-i", warm, *short.OPTIONS, "--state-dir", state, "--json")
    finally:
        ask("systemctl stop mallory; userdel mallory; rm -rf /home/mallory.sh /tmp/devcontainercli-root")
    honest(done, name)
    run = f"/var/lib/provisioner/scenario_a/runs/{done.json['hosts'][name]['run_id']}"
    assert ask("ls /pwned; ls /var/lib/provisioner/scenario_a/xf*/.was", check=False).stdout == ""
    assert ask(f"cat {run}/container/was").stdout == "was\n", "it did not get as far as the container"
    assert ask(f"find {run} ! -type f ! -type d; find {run} ! -user root").stdout == ""
    assert [name for name, content in kept(state) if re.search(rb"^root:", content, re.MULTILINE)] == []


def test_a_compiler_cache_in_a_real_run_is_found_and_the_run_rejected(host, state, provisioner, tmp_path):
    inventory, name, _ = host
    altered = yaml.safe_load(inventory.read_text())
    altered["all"]["vars"]["scenario_system_packages"].append("ccache")
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(altered))
    done = provisioner("run", "-i", path, *short.OPTIONS, "--state-dir", state, "--json")
    assert done.code == 4, done
    audit = done.json["hosts"][name]["audit"]
    assert [check["name"] for check in audit["checks"] if check["outcome"] == "fail"] == ["no_compiler_cache"]
    assert "rejected: no_compiler_cache: /usr/bin/ccache" in done.stderr


def test_clean_leaves_the_host_without_the_scenario(host, state, provisioner):
    inventory, _, ask = host
    done = provisioner("clean", "-i", inventory, "--profile", "registries", "--state-dir", state)
    assert done.code == 0, done
    assert ask("docker ps -aq; docker image ls -q 'vsc-*'; ls /etc/ansible/facts.d").stdout == ""
    assert ask("test -e /var/lib/provisioner/scenario_a", check=False).returncode == 1
