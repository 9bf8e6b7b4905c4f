"""`provisioner compare`: the figures against numbers worked out by hand, refusals, sides, exit codes."""

import json
import math
import sys

import pytest

from provisioner.comparison import statistics
from provisioner.comparison.statistics import PhaseTimes


@pytest.fixture
def runs(keep, record):
    """Keep runs of a host, one for each compile time given; the total is a hundred seconds more."""

    def put(host, *seconds, day=1, **changes):
        for number, value in enumerate(seconds):
            phases = [{**p, "seconds": value} if p["name"] == "compile" else p for p in record["phases"]]
            keep(
                host=host,
                run_id=f"{host}-{day}-{number}",
                started_at=f"2026-11-{day:02}T{number:02}:00:00Z",
                phases=phases,
                timings={**record["timings"], "compile": value},
                total_seconds=value + 100,
                **changes,
            )

    return put


def figures(cli, *arguments, code=0):
    given, out, err = cli("compare", *arguments, "--json")
    assert given == code, err
    return json.loads(out)


def refused(cli, *arguments):
    code, out, err = cli("compare", *arguments)
    assert (code, out) == (2, "") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("name", ["numpy", "scipy"])
def test_without_the_extra_it_says_what_to_install(cli, runs, monkeypatch, name):
    runs("a", 10, 11)
    runs("b", 10, 11)
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "provisioner.comparison.statistics", raising=False)
    monkeypatch.delattr("provisioner.comparison.statistics", raising=False)
    err = refused(cli, "a", "b")
    assert f"{name} is not installed" in err and "-m pip install numpy scipy" in err


# --- figures ---


def test_median_spread_ratio_and_test(cli, runs):
    runs("a", 10, 11, 12, 13, 14)
    runs("b", 20, 22, 24, 26, 28)
    document = figures(cli, "a", "b")
    phase = document["phases"]["compile"]
    assert phase["a"] == {"n": 5, "median": 12, "iqr": 2, "mad": 1, "outliers": {}}
    assert phase["b"] == {"n": 5, "median": 24, "iqr": 4, "mad": 2, "outliers": {}}
    assert phase["ratio"] == 2
    # No value of b is below one of a: 2 of the 10 over 5 ways to rank them are as extreme.
    assert phase["p"] == pytest.approx(2 / math.comb(10, 5))
    low, high = phase["interval"]
    assert 20 / 14 <= low < 2 < high <= 28 / 10
    assert not phase["too_few"]
    assert document["a"]["runs"] == [f"a-1-{n}" for n in (4, 3, 2, 1, 0)]
    assert "bootstrap" in document["methods"]["interval"] and "Mann-Whitney" in document["methods"]["test"]
    assert document["phases"]["total"]["ratio"] == pytest.approx(124 / 112)
    assert "attention_test" not in document["phases"], "neither side has it"


def test_the_same_runs_give_the_same_figures(cli, runs):
    runs("a", 10.1, 11.7, 12.2, 13.9)
    runs("b", 10.3, 11.9, 14.2, 12.9)
    assert figures(cli, "a", "b") == figures(cli, "a", "b")


def test_outliers_are_flagged_and_kept(cli, runs):
    runs("a", 10, 11, 12, 13, 100)
    runs("b", 10, 11, 12, 13, 14)
    document = figures(cli, "a", "b")
    assert document["phases"]["compile"]["a"]["outliers"] == {"a-1-4": 100}
    assert document["phases"]["compile"]["a"]["n"] == 5
    out = cli("compare", "a", "b")[1]
    assert "outlier: a-1-4 (A): compile 100.00 s, total 200.00 s" in out


@pytest.mark.parametrize(
    ("n", "m", "few"), [(1, 1, True), (3, 3, True), (3, 5, False), (4, 4, False), (1, 39, True), (1, 40, False)]
)
def test_too_few_is_when_no_outcome_could_be_significant(n, m, few):
    one, other = ({str(k): float(k + base) for k in range(count)} for base, count in ((0, n), (1000, m)))
    compared = statistics._compare(PhaseTimes(one), PhaseTimes(other))
    assert compared.too_few is few
    assert (compared.p >= statistics.SIGNIFICANCE) is few, "the most extreme samples there are"


@pytest.mark.parametrize("slow", [[253.0], [252.0, 253.0]])
def test_a_tie_on_one_side_does_not_hide_what_is_slower(slow):
    seconds = [100.0, 100.0, *map(float, range(101, 139))]
    before = PhaseTimes({str(n): value for n, value in enumerate(seconds)})
    compared = statistics._compare(before, PhaseTimes({f"b{n}": value for n, value in enumerate(slow)}))
    assert not compared.too_few and statistics.is_slower(compared, 0.1)
    # Of the 41 ways to share out one, or the 861 to share out two, it is the last, of either tail.
    assert compared.p == pytest.approx(2 / math.comb(40 + len(slow), len(slow)))


def test_ties_between_the_sides_are_ranked_alike():
    one, other = (
        PhaseTimes({f"{n}": float(v) for n, v in enumerate(values)}) for values in ([1, 1, 2, 2], [2, 3, 3, 3])
    )
    # Of the 70 ways to share them out, 3 have a rank sum as low: both ones, and two of the three twos.
    assert statistics._compare(one, other).p == pytest.approx(2 * 3 / 70)


def test_one_run_on_a_side_has_no_interval_and_that_is_said(cli, runs):
    runs("a", 10)
    runs("b", 11, 12)
    phase = figures(cli, "a", "b")["phases"]["compile"]
    assert (phase["interval"], phase["a"]["iqr"], phase["ratio"]) == (None, None, 1.15)
    assert "too few samples" in cli("compare", "a", "b")[1]


def test_equal_and_zero_samples_are_no_trouble(cli, runs):
    runs("a", 0, 0, 0, 0)
    runs("b", 5, 5, 5, 5)
    runs("c", 5, 5, 5, 5)
    phase = figures(cli, "a", "b")["phases"]["compile"]
    assert (phase["ratio"], phase["interval"]) == (None, None)
    phase = figures(cli, "b", "c")["phases"]["compile"]
    assert (phase["ratio"], phase["interval"], phase["p"]) == (1, [1, 1], 1)
    assert "not the same" not in cli("compare", "b", "c")[2]


def test_a_failed_run_counts_where_it_went_well(cli, runs, record):
    runs("a", 10, 11)
    failed = [{**p, "outcome": "failed"} if p["name"] == "pre_commit" else p for p in record["phases"]]
    runs("b", 20)
    runs("b", 999, day=2, outcome="failed")
    phases = figures(cli, "a", "b")["phases"]
    assert phases["compile"]["b"]["n"] == 2 and phases["total"]["b"]["n"] == 1
    assert statistics.times_of([{"run_id": "x", "phases": failed}], "pre_commit").seconds == {}


# --- what is not compared ---


@pytest.mark.parametrize(
    ("where", "field", "value", "words"),
    [
        ("inputs", "base_image_digest", "sha256:1", "base image digest unknown against sha256:1"),
        ("inputs", "torch", "2.15.0", "torch 2.14.1 against 2.15.0"),
        ("inputs", "xformers_commit", "abc", "xformers commit 0123456789abcdef0123456789abcdef01234567 against abc"),
        ("inputs", "arch_list", "12.0", "architecture list 9.0 against 12.0"),
        (None, "scenario", "b", "scenario a against b"),
    ],
)
def test_different_inputs_are_refused_and_named(*, cli, runs, record, where, field, value, words):
    runs("a", 10, 11)
    changed = {where: {**record[where], field: value}} if where else {field: value}
    runs("b", 10, 11, **changed)
    err = refused(cli, "a", "b")
    assert words in err and "--allow-different" in err
    (difference,) = figures(cli, "a", "b", "--allow-different")["differences"]
    assert difference["what"] == words.split(" against")[0].rsplit(" ", 1)[0]
    assert words in cli("compare", "a", "b", "--allow-different")[2]


def test_inputs_that_differ_within_a_side_are_refused_too(cli, runs, record):
    runs("a", 10, 11)
    runs("b", 10)
    runs("b", 11, day=2, inputs={**record["inputs"], "torch": "2.15.0"})
    assert "torch 2.14.1 against 2.15.0 and 2.14.1" in refused(cli, "a", "b")


def test_what_a_run_that_failed_never_learnt_is_no_difference(cli, runs, record):
    early = {"outcome": "failed", "inputs": {**record["inputs"], "torch": None, "xformers_commit": None}}
    runs("a", 10, 11, 12, 13)
    runs("b", 10, 11, 12)
    runs("b", 13, day=2, **early)
    document = figures(cli, "a", "b")
    assert document["differences"] == [] and document["phases"]["total"]["b"]["n"] == 3
    assert {"torch", "xformers commit"} <= set(document["unknown"]), "it is said"
    runs("c", 10, inputs=early["inputs"])
    assert "torch 2.14.1 against unknown" in refused(cli, "a", "c"), "one that went well ought to know"
    runs("d", 10, outcome="failed", inputs={**record["inputs"], "torch": "2.15.0"})
    assert "torch 2.14.1 against 2.15.0" in refused(cli, "a", "d")


def test_what_nobody_knows_is_said(cli, runs, record):
    runs("a", 10)
    runs("b", 10)
    assert figures(cli, "a", "b")["unknown"] == ["base image digest", "nvcc", "gcc"]
    assert "may differ, not all runs tell: base image digest, nvcc, gcc" in cli("compare", "a", "b")[2]
    whole = {**record["inputs"], "base_image_digest": "sha256:1", "versions": {"nvcc": "13.0", "gcc": "14"}}
    runs("c", 10, inputs=whole)
    runs("d", 10, inputs=whole)
    assert figures(cli, "c", "d")["unknown"] == [] and cli("compare", "c", "d")[2] == ""


def test_other_compilers_are_refused_where_both_are_known(cli, runs, record):
    for host, nvcc, gcc in (("a", "12.8", "11"), ("b", "13.0", "14"), ("c", None, "11")):
        runs(host, 10, 11, inputs={**record["inputs"], "versions": {"nvcc": nvcc, "gcc": gcc}})
    assert "nvcc 12.8 against 13.0, gcc 11 against 14" in refused(cli, "a", "b")
    assert figures(cli, "a", "c")["unknown"] == ["base image digest", "nvcc"]


def test_a_record_without_what_has_a_default_has_the_default(cli, keep, record):
    keep(run_id="a")
    del record["scenario"], record["runtime"]
    keep(run_id="b")
    assert figures(cli, "a", "b")["differences"] == []


def test_another_gpu_is_said(cli, runs, record):
    def gpus(*names):
        rest = dict.fromkeys(("uuid", "compute_capability", "memory_bytes"))
        return {"machine": {**record["machine"], "gpus": [{"name": name, **rest} for name in names]}}

    runs("a", 10, **gpus("NVIDIA H100", "NVIDIA H100"))
    runs("b", 10, **gpus("NVIDIA H200"))
    runs("c", 10)
    assert figures(cli, "a", "b")["remarks"] == [{"what": "GPU", "a": ["NVIDIA H100"], "b": ["NVIDIA H200"]}]
    assert "not the same: GPU NVIDIA H200 against none" in cli("compare", "b", "c")[2]


def test_another_machine_is_said_and_no_reason_to_refuse(cli, runs, record):
    runs("a", 10, 11)
    runs("b", 10, 11, machine={**record["machine"], "cores": 64})
    assert figures(cli, "a", "b")["remarks"] == [{"what": "cores", "a": [2], "b": [64]}]
    assert "cores 2 against 64" in cli("compare", "a", "b")[2]


def test_the_number_of_threads_that_xformers_chooses_is_not_called_unknown(cli, runs, record):
    runs("a", 10)
    runs("b", 10, inputs={**record["inputs"], "nvcc_threads": 2})
    _, out, err = cli("compare", "a", "b")
    assert "threads of nvcc xformers' own number against 2" in err
    assert out.startswith("A: a, 1 run, rules without a number\nB: b, 1 run, rules without a number\n")


def test_runs_that_older_rules_judged_can_be_left_out(cli, runs, record):
    newer = {"audit": {**record["audit"], "rules": 2}}
    runs("a", 10, 11, **newer)
    runs("a", 1, day=2)
    runs("b", 12, **newer)
    document = figures(cli, "a", "b", "--min-rules", "2")
    assert (document["phases"]["total"]["a"]["n"], document["a"]["rules"]) == (2, [2])
    _, out, err = cli("compare", "a", "b")
    assert "A: a, 3 runs, rules 2, without a number" in out and "rules of the audit" in err
    code, _, err = cli("compare", "a", "b", "--min-rules", "3")
    assert code == 2 and "older rules than 3 judged every run of a" in err


def test_runs_that_the_audit_rejected_are_left_out(cli, runs, record):
    rejected = {"audit": {**record["audit"], "verdict": "rejected"}}
    runs("a", 10, 11)
    runs("b", 12)
    runs("b", 1, day=2, **rejected)
    runs("c", 1, **rejected)
    document = figures(cli, "a", "b")
    assert document["b"]["runs"] == ["b-1-0"]
    assert "left out 1 that the audit rejected: b-2-0" in cli("compare", "a", "b")[2]
    assert "rejected every run" in cli("compare", "a", "c")[2]
    assert figures(cli, "a", "c", "--allow-different")["b"]["runs"] == ["c-1-0"]


# --- sides ---


def test_a_run_a_host_a_span_and_a_group(cli, runs, tmp_path):
    runs("gpu-1", 10, 11)
    runs("gpu-2", 20, 21, day=5)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text("rack1:\n  hosts:\n    gpu-1: {}\nrack2:\n  hosts:\n    gpu-2: {}\n")

    def sides(a, b, *options):
        document = figures(cli, a, b, *options)
        return document["a"]["runs"], document["b"]["runs"]

    first, second = ["gpu-1-1-1", "gpu-1-1-0"], ["gpu-2-5-1", "gpu-2-5-0"]
    assert sides("gpu-1", "gpu-2") == (first, second)
    assert sides("gpu-1-1-0", "run:gpu-2-5-1") == (first[1:], second[:1])
    assert sides("2026-11-01..2026-11-05", "2026-11-05..") == (first, second)
    assert sides("gpu-*@..2026-11-02", "gpu-2@2026-11-01..") == (first, second)
    assert sides("rack1", "group:rack2", "-i", inventory) == (first, second)
    assert sides("..", "..", "-l", "gpu-1") == (first, first)


def test_a_saved_baseline_outlives_its_runs(cli, runs):
    runs("a", 10, 11)
    runs("b", 20, 21)
    code, out, err = cli("compare", "a", "--save-baseline", "good")
    assert (code, out) == (0, "") and "2 runs kept as the baseline good" in err
    assert cli("delete", "a-1-0", "a-1-1", "--yes")[0] == 0
    assert figures(cli, "good", "b")["phases"]["compile"]["a"]["median"] == 10.5
    assert figures(cli, "baseline:good", "b")["a"]["runs"] == ["a-1-1", "a-1-0"]


def test_an_exported_file_is_a_side(cli, runs, tmp_path):
    runs("a", 10, 11)
    runs("b", 20, 21)
    path = tmp_path / "runs.jsonl"
    cli("export", "--host", "a", path)
    assert "every run of" in refused(cli, path, "b")
    assert figures(cli, path, "b", "--unverified")["phases"]["compile"]["ratio"] == pytest.approx(20.5 / 10.5)


def test_a_file_of_records_does_not_become_verified_as_a_baseline(cli, runs, tmp_path):
    runs("a", 10, 11)
    path = tmp_path / "runs.jsonl"
    cli("export", path)
    assert cli("compare", path, "--save-baseline", "claimed")[0] == 0
    assert "every run of claimed came without evidence" in refused(cli, "claimed", "a")
    assert cli("compare", "a", "--save-baseline", "own")[0] == 0
    assert figures(cli, "own", "a")["a"]["runs"] == ["a-1-1", "a-1-0"]


def test_a_run_that_is_there_twice_counts_once(cli, keep, record, tmp_path):
    keep(run_id="own")
    path = tmp_path / "runs.jsonl"

    def sides(*changes):
        path.write_text("".join(f"{json.dumps(record | change)}\n" for change in changes))
        code, out, err = cli("compare", path, "own", "--unverified", "--json")
        assert code == 0, err
        told = json.loads(out)
        return told["a"]["runs"], told["phases"]["total"]["a"]["n"], err

    one = {"evidence_sha256": None, "run_id": "a", "host": "h1"}
    runs_, n, err = sides(one, one, one | {"host": "h2"})
    assert (runs_, n) == (["a", "a"], 2) and "left out a on h1, which is there twice" in err
    one |= {"evidence_sha256": "1" * 64}
    runs_, n, err = sides(
        one, one, one | {"host": "h2"}, one | {"run_id": "b"}, one | {"host": "h3", "evidence_sha256": "2" * 64}
    )
    assert (runs_, n) == (["a", "a"], 2)
    assert "left out a on h2, which is of the same evidence as a on h1" in err
    assert "left out b on h1, which is of the same evidence as a on h1" in err


def test_what_is_no_side(cli, runs, tmp_path):
    runs("a", 10, 11)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"schema": "scenario-a/1"}\n')
    assert "'nonsense'" in refused(cli, "nonsense", "a")
    assert "no host 'a-1-0'" in refused(cli, "host:a-1-0", "a")
    assert "more than one" in refused(cli, "a-1", "a")
    assert "means no run" in refused(cli, "a@..2020-01-01", "a")
    assert "is not a time" in refused(cli, "a@yesterday..", "a")
    assert "broken.jsonl:1 is not a record" in refused(cli, broken, "a")
    assert "cannot have a span" in refused(cli, f"file:{broken}@7d..", "a")
    assert "name of a baseline" in refused(cli, "a", "--save-baseline", "../x")
    assert "nothing to compare A with" in refused(cli, "a")


def test_what_could_be_two_things_must_be_said(cli, runs):
    runs("a", 10, 11)
    cli("compare", "a", "--save-baseline", "a")
    cli("compare", "baseline:a", "--save-baseline", "b")
    assert "is a baseline and a host; say which, as baseline:a" in refused(cli, "a", "b")


# --- as a gate ---


@pytest.mark.parametrize(
    ("b", "share", "code"),
    [
        ([120], "10%", 1),  # a single run: its ratio decides
        ([105], "10%", 0),
        ([120], "20%", 0),
        ([80], "0%", 0),
        ([120, 121, 122, 123], "10%", 1),
        ([90, 95, 120, 125, 126], "10%", 0),  # slower by its median, and that may be chance
    ],
)
def test_fail_if_slower(cli, runs, b, share, code):
    runs("a", 98, 99, 101, 102)
    runs("b", *b)
    options = ("--fail-if-slower", share, "--phase", "compile")
    assert figures(cli, "a", "b", *options, code=code)["slower"] is bool(code)
    assert cli("compare", "a", "b", *options)[0] == code


def test_the_total_is_what_is_judged_by_default(cli, runs):
    runs("a", 100)
    runs("b", 115)
    assert cli("compare", "a", "b", "--fail-if-slower", "10%")[0] == 0
    assert cli("compare", "a", "b", "--fail-if-slower", "7%")[0] == 1


def test_a_gate_without_figures_is_no_pass(cli, runs):
    runs("a", 100)
    runs("b", 100, outcome="failed")
    assert "not both sides have total" in refused(cli, "a", "b", "--fail-if-slower", "10%")
    assert "not both sides have attention_test" in refused(
        cli, "a", "b", "--fail-if-slower", "10%", "--phase", "attention_test"
    )
    for wrong in ("10", "ten", "-5%", "", "%"):
        assert "percentage" in refused(cli, "a", "b", f"--fail-if-slower={wrong}")
    assert "not a phase" in refused(cli, "a", "b", "--phase", "nonsense")
