"""`provisioner import`: what a log of the shell benchmark proves, and nothing more; whole, cut off, broken, foreign.

The log is made up, in the form of a real one: its run went well, and the tests take that from it.
"""

import json
from pathlib import Path

import pytest

from provisioner.upstream import NotALogError, record_of

TEXT = (Path(__file__).parent / "data/upstream.log").read_text(encoding="utf-8")
LINES = TEXT.splitlines(keepends=True)

FAILED_TEST = TEXT.replace(
    "Output shape: torch.Size([2, 4, 8])\nOutput tensor: tensor([0.5000], device='cuda:0')\n",
    "Error: ENOENT: no such file or directory, uv_cwd\n    at Object.wrappedCwd\n  errno: -2\n",
)
BY_HAND = """
someone@box:/work$ time devcontainer exec --workspace-folder . python3 attention_test.py;
Output shape: torch.Size([2, 4, 8])
real    0m11.264s
"""


def upto(text):
    """The log, cut off behind the first line that has `text`."""
    return "".join(LINES[: next(n for n, line in enumerate(LINES, 1) if text in line)])


def outcomes(record):
    return {phase.name: phase.outcome for phase in record.phases if phase.outcome != "skipped"}


def checks(record):
    return {check.name: (check.outcome, check.evidence) for check in record.audit.checks}


def line(text):
    return f"scenario_a.log:{next(n for n, found in enumerate(LINES, 1) if text in found)}"


def test_a_log_becomes_a_run_of_the_store(cli, tmp_path, state):
    path = tmp_path / "a.log"
    path.write_text(TEXT)
    code, out, err = cli("import", path, "--host", "den", "--json")
    assert code == 0
    (record,) = json.loads(out)["runs"]
    assert (record["host"], record["profile"], record["scenario"]) == ("den", "upstream", "a")
    assert record["started_at"] == "2025-01-02T02:04:05Z" and record["run_id"].startswith("20250102T020405Z-")
    assert (record["outcome"], record["failure"], record["total_seconds"]) == ("ok", None, 193)
    assert record["timings"] == {
        "clean": None,
        "lay_down": None,
        "image_build": 60,
        "container_up": 8.0,  # 178.5 less those within it
        "clone": 10.125,
        "compile": 99.75,
        "pre_commit": 0.625,
        "attention_test": 11.25,
    }
    assert [phase["started"] for phase in record["phases"]] == [None, None, 5.25, None, 70, 80.5, 180.1, 181.5]
    told = {name: value for name, value in record["inputs"].items() if value not in ({}, None)}
    assert told == {
        "base_image": "nvidia/cuda:12.8.0-devel-ubuntu22.04",
        "base_image_digest": f"nvidia/cuda@sha256:{'0' * 63}1",
        "base_image_present": False,
        "torch": "2.8.0+cu128",
        "xformers_url": "https://github.com/someone/xformers.git",
        "xformers_commit": "0abc123",
        "arch_list": "9.0;12.0",
    }
    assert record["machine"]["kernel"] == "6.1.0-test" and record["machine"]["gpus"] == []
    folder = state / "runs/den" / record["run_id"]
    assert (folder / "scenario_a.log").read_text() == TEXT and str(folder) in err
    assert json.loads(cli("facts", "--json")[1])["runs"] == [record]


def test_it_is_judged_again_by_its_log(cli, tmp_path, state):
    path = tmp_path / "a.log"
    path.write_text(FAILED_TEST)
    (record,) = json.loads(cli("import", path, "--json")[1])["runs"]
    code, out, _ = cli("audit", record["run_id"], "--json")
    assert (code, json.loads(out)) == (4, record["audit"])
    assert record["run_id"] in cli("audit", state / "runs/upstream" / record["run_id"])[1]
    (state / "runs/upstream" / record["run_id"] / "scenario_a.log").write_text("overwritten")
    code, out, err = cli("audit", record["run_id"])
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_importing_it_again_changes_nothing(cli, tmp_path):
    path, other = tmp_path / "a.log", tmp_path / "windows.log"
    path.write_text(TEXT)
    other.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    first = cli("import", path, "--json")[1]
    assert cli("import", path, "--json")[1] == first
    assert cli("import", other, "--json")[1] == first
    assert cli("facts", "-q", "length(runs)")[1] == "1\n"


def test_a_log_of_two_hosts_is_two_runs(cli, tmp_path):
    path = tmp_path / "a.log"
    path.write_text(TEXT)
    (one,), (other,) = (json.loads(cli("import", path, "--host", host, "--json")[1])["runs"] for host in ("a", "b"))
    assert cli("audit", one["run_id"])[0] == cli("audit", other["run_id"])[0] == 4
    document = json.loads(cli("compare", one["run_id"], other["run_id"], "--allow-different", "--json")[1])
    assert document["a"]["runs"] == [one["run_id"]] and document["b"]["runs"] == [other["run_id"]]
    assert cli("delete", one["run_id"], "--yes")[0] == 0
    assert json.loads(cli("facts", "--json")[1])["runs"] == [other]


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_do_not_matter(ends):
    assert record_of(TEXT.replace("\n", ends), "h") == record_of(TEXT, "h")


def test_a_log_that_windows_made(cli, tmp_path):
    path = tmp_path / "powershell.log"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode("utf-16"))
    assert cli("import", path)[0] == 0


def test_the_script_says_complete_and_the_test_failed():
    record = record_of(FAILED_TEST, "h")
    assert "benchmark complete" in FAILED_TEST
    assert (record.outcome, record.total_seconds) == ("failed", 193)
    assert record.failure.phase == "attention_test"
    assert record.failure.last_lines == ["Error: ENOENT: no such file or directory, uv_cwd", "errno: -2"]
    assert {name for name, outcome in outcomes(record).items() if outcome == "failed"} == {"attention_test"}
    assert checks(record)["attention_test_passed"] == ("fail", line("attention_test.py"))
    assert record.audit.verdict == "rejected"


def test_what_was_typed_by_hand_afterwards_is_no_part_of_the_run():
    record = record_of(FAILED_TEST + BY_HAND, "h")
    assert record.outcome == "failed" and record.timings["attention_test"] == 11.25


@pytest.mark.parametrize("letter", ["b", "c"])
def test_the_other_scenarios_may_use_caches(letter):
    text = TEXT.replace("scenario_a", f"scenario_{letter}").replace("--no-cache -f", "--cache-from someone/image -f")
    record = record_of(text, "h")
    assert record.scenario == letter
    assert "no_cached_layer" not in checks(record) and "configuration_has_no_shortcut" not in checks(record)


PREBUILT = """\
(time python3 -m pip install --no-cache-dir /opt/wheels/xformers-*.whl)
[2025-01-02T02:05:25.1Z] Requirement already satisfied: torchvision in /lib (from xformers==0.0.32+fedcba9) (0.23.0)
[2025-01-02T02:05:25.2Z] Requirement already satisfied: torch>=2.7 in /lib (from xformers==0.0.32+fedcba9) (2.8.0+cu128)
[2025-01-02T02:05:25.3Z] Successfully installed xformers-0.0.32+fedcba9.d20250101

real\t0m0.200s
"""
"""What scenario b does before it compiles: it takes torch, and a wheel of another commit, from its image."""


def of_a_script_that_died():
    """The log of a script that ended at a `cd`, with what its user then did by hand."""
    built = [line for line in LINES if "Successfully installed sympy" not in line]
    text = "".join(built[: next(n for n, line in enumerate(built) if "(time devcontainer exec" in line)])
    text = text.replace("scenario_a", "scenario_b").replace("(time FORCE_CUDA", f"{PREBUILT}(time FORCE_CUDA")
    return f"{text}./somewhere/scenario_b.sh: line 50: cd: work: No such file or directory\n{BY_HAND}"


@pytest.mark.parametrize("prompt", ["someone@box:/work$", "(venv) someone@box:~$", "root@box:/work#"])
def test_what_was_typed_by_hand_after_a_script_that_died_is_no_part_of_the_run(prompt):
    record = record_of(of_a_script_that_died().replace("someone@box:/work$", prompt), "h")
    assert (record.outcome, record.scenario, record.timings["compile"]) == ("interrupted", "b", 99.75)
    assert record.failure.last_lines[-1] == "./somewhere/scenario_b.sh: line 50: cd: work: No such file or directory"
    assert outcomes(record).keys().isdisjoint({"attention_test"})


def test_torch_and_commit_are_those_of_the_compile():
    record = record_of(of_a_script_that_died(), "h")
    assert (record.inputs.torch, record.inputs.xformers_commit) == ("2.8.0+cu128", "0abc123")


# --- the verdict ---


def test_each_check_names_the_line_that_shows_it():
    found = checks(record_of(TEXT, "h"))
    assert found["run_went_well"][0] == found["times_agree"][0] == "pass"
    assert found["compiled_once"] == ("skip", line("(time FORCE_CUDA"))
    assert found["log_is_timestamped"] == ("fail", "scenario_a.log:1")
    assert found["no_cached_layer"] == ("pass", line("Start: Run: docker buildx"))
    assert found["attention_test_passed"][0] == "pass"


@pytest.mark.parametrize(
    ("was", "now", "check"),
    [
        ("--no-cache -f", "-f", "no_cached_layer"),
        ("#11 [stage 2/2]", "#11 CACHED\n#11 [stage 2/2]", "no_cached_layer"),
        ("--no-cache -f", "--no-cache --cache-from someone/image -f", "configuration_has_no_shortcut"),
        ("Total elapsed seconds: 193", "Total elapsed seconds: 93", "times_agree"),
        ("real\t1m39.750s", "real\t9m39.750s", "times_agree"),
        (
            "(time python3 -m pip",
            '(time python3 -m pip install -e "/workspaces/work/xformers")\nreal\t0m1.000s\n(time python3 -m pip',
            "compiled_once",
        ),
    ],
)
def test_a_log_that_shows_a_shortcut_or_contradicts_itself_is_rejected(was, now, check):
    assert was in TEXT and checks(record_of(TEXT, "h"))[check][0] != "fail"
    record = record_of(TEXT.replace(was, now), "h")
    assert checks(record)[check][0] == "fail" and record.audit.verdict == "rejected"


# --- cut off, failed, foreign ---


@pytest.mark.parametrize(
    ("last", "phase", "times"),
    [
        ("Removing previous", "clean", {}),
        ("Cloning into 'work'", "lay_down", {}),
        ("#11 [stage", "image_build", {}),
        ("Stop (60000", "container_up", {"image_build": 60}),
        ("Cloning into '/work", "clone", {"image_build": 60}),
        ("Obtaining file", "compile", {"image_build": 60, "clone": 10.125}),
        ("Successfully installed xformers", "compile", {"image_build": 60, "clone": 10.125}),
        ("real\t2m58.500s", None, {"image_build": 60, "container_up": 8.0, "clone": 10.125}),
        ("attention_test.py", "attention_test", {"compile": 99.75, "pre_commit": 0.625}),
        ("End: ", None, {"compile": 99.75, "attention_test": 11.25}),
    ],
)
def test_a_log_that_is_cut_off_says_what_is_there(last, phase, times):
    record = record_of(upto(last), "h")
    assert (record.outcome, record.total_seconds, record.failure.phase) == ("interrupted", None, phase)
    assert times.items() <= record.timings.items()
    assert [name for name, outcome in outcomes(record).items() if outcome == "failed"] == [phase][: phase is not None]
    assert checks(record)["run_went_well"][0] == "skip"


@pytest.mark.parametrize("length", range(0, len(TEXT), 61))
def test_a_log_may_be_cut_off_anywhere(length):
    try:
        record = record_of(TEXT[:length], "h")
    except NotALogError:
        assert length < TEXT.index("--- Cleaning")
    else:
        assert record.total_seconds is None and record.audit.verdict != "accepted"


@pytest.mark.parametrize(
    ("was", "now", "phase"),
    [
        ("Successfully installed xformers\n", "error: command 'nvcc' failed\n", "compile"),
        ("Cloning into '/workspaces", "fatal: unable to access '/workspaces", "clone"),
        (
            "(time git clone --rec",
            "Error: Command failed: docker buildx build --load\n(time git clone --rec",
            "image_build",
        ),
        ('{"outcome":"success"', '{"outcome":"error"', "container_up"),
    ],
)
def test_a_phase_that_failed_is_named(was, now, phase):
    record = record_of(TEXT.replace(was, now), "h")
    assert (record.outcome, record.failure.phase) == ("failed", phase)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\x7fELF\x00\x01",
        b"--- Scenario Runner ---\n",
        b"--- Scenario Runner ---\nScenario: ./scenario_z.sh\nStart: 2025-01-02T03:04:05+01:00\n",
        b"--- Scenario Runner ---\nScenario: ./scenario_a.sh\nStart: yesterday\n",
        b"--- Scenario Runner ---\nScenario: ./scenario_a.sh\nStart: 2025-01-02T03:04:05\n",
        b"{}",
        b'{"schema": "scenario-a/1"}\n',
    ],
)
def test_a_foreign_file_is_one_line_and_does_not_hold_up_the_others(cli, tmp_path, state, data):
    foreign, good = tmp_path / "foreign", tmp_path / "good.log"
    foreign.write_bytes(data)
    code, out, err = cli("import", foreign)
    assert (code, out) == (2, "") and err.count("\n") == 1 and str(foreign) in err
    assert not state.exists()
    good.write_text(TEXT)
    code, out, _ = cli("import", foreign, good, "--json")
    assert code == 2 and len(json.loads(out)["runs"]) == 1


def test_what_is_no_file(cli, tmp_path):
    for path in (tmp_path, tmp_path / "missing", "/dev/zero"):
        code, out, err = cli("import", path)
        assert (code, out) == (2, "") and err.count("\n") == 1


def test_what_was_exported_comes_back(cli, keep, tmp_path, state):
    kept = [keep(run_id="b", host="h2"), keep(run_id="a")]
    path = tmp_path / "runs.jsonl"
    assert cli("export", path)[0] == 0
    code, out, _ = cli("--state-dir", tmp_path / "other", "import", path, "--json")
    told = [record | {"unverified": True} for record in kept]
    assert code == 0 and json.loads(out)["runs"] == told
    assert json.loads(cli("--state-dir", tmp_path / "other", "facts", "--json")[1])["runs"] == told


def test_an_exported_record_with_an_endless_number_is_refused(cli, record, tmp_path, state):
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({**record, "of_a_later_version": 0.25}).replace("0.25", "1e999") + "\n")
    code, out, err = cli("import", path)
    assert (code, out) == (2, "") and f"{path}:1 is not a record" in err and not state.exists()


def test_an_exported_record_does_not_choose_its_folder(cli, record, tmp_path, state):
    path = tmp_path / "evil.jsonl"
    path.write_text(json.dumps({**record, "host": "../../evil"}) + "\n")
    code, out, err = cli("import", path)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert not state.exists() and not list(tmp_path.rglob("record.json"))
