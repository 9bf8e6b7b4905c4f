"""What a report tells, and each of its formats read by a reader of that format."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import made_up
import pytest
import xmlschema
from formatted import rendered
from prometheus_client import parser as prometheus
from prometheus_client.openmetrics import parser as openmetrics_parser

from provisioner.errors import ProvisionerError
from provisioner.report import model
from provisioner.report.formats import html, junit, markdown, openmetrics
from provisioner.runs.record import Record, json_schema
from provisioner.store import Run
from provisioner.system.files import write

DATA = Path(__file__).parent / "data"
NASTY = "<script>alert('&\"')</script>"


@pytest.fixture
def run(record):
    """Give a run like the fixture's record; keywords change its fields, `days` when it started."""

    def make(days=0, **changes):
        changed = json.loads(json.dumps(record)) | changes
        started = datetime(2026, 11, 23, 9, tzinfo=UTC) + timedelta(days=days)
        if "run_id" not in changes:
            changed["run_id"] = f"{started:%Y%m%d}-{changed['host']}"
        return Run(changed, Path("/nonexistent"), started)

    return make


def total(seconds, **more):
    return {"total_seconds": seconds, **more}


def inputs(record, **changes):
    return {"inputs": {**record["inputs"], **changes}}


def report_of(*runs):
    return model.build(sorted(runs, key=lambda run: run.started, reverse=True))


# --- what is told ---


def test_medians_are_of_runs_that_count(run, record):
    rejected = {"audit": {**record["audit"], "verdict": "rejected"}}
    report = report_of(
        run(1, **total(100.0)),
        run(2, **total(200.0)),
        run(3, **total(9000.0), **rejected),
        run(4, **total(None), outcome="failed"),
    )
    (group,) = report.groups
    assert (len(group.samples), len(group.measurements), group.median("total")) == (4, 2, 150.0)
    assert report.verdicts == {"accepted": 0, "incomplete": 3, "rejected": 1}
    assert [sample.outcome for sample in report.unfinished] == ["failed"]


def test_runs_of_other_inputs_are_a_group_of_their_own_that_says_why(run, record):
    report = report_of(
        run(1), run(2), run(3, **inputs(record, torch="2.15.0", arch_list="8.0")), run(4, **inputs(record, max_jobs=9))
    )
    assert [(group.name, len(group.samples)) for group in report.groups] == [("A", 3), ("B", 1)]
    assert report.groups[0].differences == ()
    assert list(map(str, report.groups[1].differences)) == [
        "torch 2.14.1 against 2.15.0",
        "architecture list 9.0 against 8.0",
    ]


def test_a_run_belongs_with_those_from_which_nothing_that_it_knows_differs(run, record):
    """One that failed early does not know all; an older record does not know its compilers."""

    def of(**versions):
        return inputs(record, versions=versions)

    failed = {"outcome": "failed", **inputs(record, torch=None, xformers_commit=None)}
    report = report_of(
        run(1, **of(nvcc="13.0")), run(2), run(3), run(4, **failed), run(5, **of(nvcc="12.8")), run(6, **failed)
    )
    first, second = report.groups
    assert [sample.started.day for sample in first.samples] == [29, 28, 27, 26, 25]
    assert first.inputs["nvcc"] == "12.8" and first.inputs["torch"] == "2.14.1"
    assert list(map(str, second.differences)) == ["nvcc 12.8 against 13.0"]
    assert list(report_of(run(1, **failed)).groups[0].inputs) == list(first.inputs), "all are shown, known or not"


def test_runs_of_one_id_on_two_hosts_are_two(run, record):
    report = report_of(run(1, run_id="x"), run(2), run(3, run_id="x", host="h2", **inputs(record, torch="3")))
    assert [report.group_of[sample] for sample in report.samples] == ["B", "A", "A"]


def test_groups_have_a_name_however_many_they_are(run, record):
    report = report_of(*(run(n, **inputs(record, torch=str(n))) for n in range(54)))
    names = [group.name for group in report.groups]
    assert names[:2] + names[25:28] + names[52:] == ["A", "B", "Z", "AA", "AB", "BA", "BB"]


def test_the_newest_run_of_each_host_stands_for_it(run):
    report = report_of(run(1, host="b"), run(2, host="b", **total(7.0)), run(1, host="a"))
    assert [(sample.host, sample.total) for sample in report.newest] == [("a", 331.2), ("b", 7.0)]


def test_machines_that_differ_in_a_serial_number_only_are_alike(run, record):
    def machine(uuid, name="NVIDIA H200"):
        gpu = {"name": name, "uuid": uuid, "compute_capability": "9.0", "memory_bytes": 1}
        return {"machine": {**record["machine"], "gpus": [gpu]}}

    report = report_of(
        run(host="a", **machine("1")), run(host="b", **machine("2")), run(host="c", **machine("3", "NVIDIA H100"))
    )
    assert [kind.hosts for kind in report.machines] == [("a", "b"), ("c",)]


def test_an_object_is_drawn_where_the_one_before_it_has_ended(run, record):
    def item(name, start, end):
        return {"name": name, "start": start, "end": end, "seconds": end - start}

    ledger = [item("a", 10, 40), item("b", 10, 20), item("c", 20, 25), item("d", 22, 50)]
    (timeline,) = report_of(run(compile={**record["compile"], "ledger": ledger, "critical_path": ["b", "c"]})).timelines
    places = {item.name: (item.start, item.seconds, item.lane) for item in timeline.objects}
    assert places == {"a": (0, 30, 1), "b": (0, 10, 0), "c": (10, 5, 0), "d": (12, 28, 2)}
    assert [item.name for item in timeline.objects if item.decisive] == ["b", "c"]
    assert (timeline.lanes, timeline.seconds, timeline.longest[0].name) == (3, 40, "a")


def test_a_record_without_a_ledger_has_no_timeline(run):
    assert report_of(run()).timelines == ()


def test_history_marks_what_changed(run, record):
    samples = report_of(
        run(1, **total(100.0)), run(2, **total(110.0)), run(3, **total(120.0), **inputs(record, torch="2.15.0"))
    ).by_host["h1"]
    history = html.history(samples)
    assert [(mark.number, list(map(str, mark.changes))) for mark in history.marks] == [
        (1, ["torch 2.14.1 against 2.15.0"])
    ]
    assert history.trend is None, "nothing before it may be compared with the newest"
    assert html.history(samples[:2]).trend == pytest.approx(0.1)


def test_a_history_draws_the_newest_runs_and_says_how_many_it_leaves_out(run):
    samples = report_of(*(run(n) for n in range(html.RECENT + 5))).by_host["h1"]
    history = html.history(samples)
    assert (len(history.dots), history.left_out) == (html.RECENT, 5)


# --- the page ---


class Page(HTMLParser):
    """Text and tags of a page; unclosed or wrongly nested tags fail."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.text.append(data)


@pytest.mark.parametrize(("hosts", "each"), [(1, 1), (3, 5), (20, 2)])
def test_the_page_is_whole_and_asks_for_nothing(hosts, each):
    text = rendered(html, model.build(made_up.runs(hosts, each)))
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert all(reference.startswith(("#", "data:")) for reference in references)
    assert "url(" not in text and "@import" not in text
    assert {reference[1:] for reference in references if reference.startswith("#")} <= set(ids)
    for number in range(hosts):
        assert f"gpu-{number + 1:03}" in page.text


def test_what_others_wrote_is_shown_and_not_obeyed(run, record):
    check = {"name": NASTY, "outcome": "fail", "detail": NASTY, "evidence": NASTY}
    ledger = [{"name": NASTY, "start": 0, "end": 1, "seconds": 1}]
    nasty = {
        "host": NASTY,
        "run_id": NASTY,
        "outcome": "failed",
        "failure": {"phase": NASTY, "last_lines": [NASTY]},
        "audit": {"verdict": "rejected", "checks": [check]},
        "compile": {**record["compile"], "ledger": ledger},
        "machine": {**record["machine"], "cpu_model": NASTY, "gpus": [{"name": NASTY}]},
        "phases": [{"name": NASTY, "started": 0, "seconds": 1, "outcome": "ok"}],
        **inputs(record, torch=NASTY),
    }
    page = Page(rendered(html, report_of(run(1, host=NASTY), run(2, **nasty))))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "".join(page.text).count(NASTY) >= 10


def test_a_page_of_no_runs_says_so():
    assert "no runs" in "".join(Page(rendered(html, report_of())).text)


def test_a_record_that_knows_next_to_nothing_is_shown(run, record):
    unknown = {
        "outcome": "interrupted",
        "total_seconds": None,
        "phases": [],
        "timings": {},
        "profile": None,
        "machine": {"gpus": []},
        "inputs": dict.fromkeys(record["inputs"]),
        "compile": dict.fromkeys(record["compile"]),
        "audit": {"verdict": "incomplete", "checks": []},
    }
    report = report_of(run(1, **unknown), run(2, **unknown))
    Page(rendered(html, report))
    assert "h1" in rendered(markdown, report)
    assert 'hostname="h1"' in rendered(junit, report)
    assert 'host="h1"' in rendered(openmetrics, report)


@pytest.mark.parametrize("form", [html, markdown, junit, openmetrics])
def test_a_record_may_leave_out_what_the_schema_does_not_want(run, record, form):
    required = json_schema()["required"]
    bare = run()
    for name in set(bare.record) - set(required):
        del bare.record[name]
    Record.model_validate(bare.record)
    assert "h1" in rendered(form, report_of(bare))
    if form is openmetrics:
        assert 'scenario="a",runtime="devcontainer"' in rendered(form, report_of(bare))


# --- the other formats ---


def test_markdown_is_a_table_of_the_newest_runs_and_what_is_wrong(run, record):
    failed = {"outcome": "failed", "failure": {"phase": "compile", "last_lines": ["a|b", "c"]}, **total(None)}
    text = rendered(markdown, report_of(run(1, host="a"), run(2, host="b_[x]", **failed), run(3, host="c")))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.count(" | ") for row in rows] == [10] * 5
    assert rows[2].startswith("| a | incomplete | - | 5m31s | 0.4s |")
    assert r"| b\_\[x\] | **failed**, incomplete | - | - |" in text
    assert r"- b\_\[x\]: failed in compile: a\|b; c" in text
    assert "- not checked: attention\\_test: no GPU (a, b\\_\\[x\\], c)" in text
    assert "Median of 2 comparable runs: total 5m31s, compile 2m18s" in text
    assert "Not comparable" not in text
    assert "torch 2.14.1 against 3" in rendered(
        markdown, report_of(run(1), run(2), run(3, **inputs(record, torch="3")))
    )


def test_what_must_be_told_beside_a_verdict_is_told(run, record):
    late = {
        "audit": {**record["audit"], "rules": 3, "remarks": ["began on 2026-12-24 with files that were superseded"]}
    }
    report = report_of(run(1), run(2, **late))
    assert report.remarks.keys() == {"began on 2026-12-24 with files that were superseded"}
    for text in (rendered(markdown, report), rendered(html, report)):
        assert "superseded" in text and "1 run" in text
    assert "| incomplete | 3 |" in rendered(markdown, report)


def test_what_does_not_apply_to_a_run_is_no_finding_of_it(run, record):
    check = {"name": "layers", "outcome": "skip", "detail": "does not apply to runtime native", "evidence": "run.json"}
    audit = {"verdict": "accepted", "checks": [check, {**check, "name": "new", "asked": "made_before", "detail": "x"}]}
    report = report_of(run(1, audit=audit))
    assert report.findings == () and report.checks == {}


def test_junit_is_valid_and_has_a_case_for_each_check(run, record):
    checks = [
        {"name": "good", "outcome": "pass", "detail": "d", "evidence": "e"},
        {"name": "bad", "outcome": "fail", "detail": "a layer\x1b came <&\"'> from the cache", "evidence": "log:3"},
        {"name": "unknown", "outcome": "skip", "detail": "no GPU", "evidence": "e"},
    ]
    failed = {"outcome": "failed", "failure": {"phase": "compile", "last_lines": ["\x1b[31mkilled"]}, **total(None)}
    judged = {"audit": {"verdict": "rejected", "checks": checks}}
    text = rendered(junit, report_of(run(1, **judged), run(2, **judged, **failed)))
    xmlschema.XMLSchema(DATA / "junit.xsd").validate(text.partition("\n")[2])
    root = ET.fromstring(text)  # noqa: S314 - our own
    assert (root.attrib["tests"], root.attrib["failures"]) == ("8", "3")
    newest, oldest = root
    assert {case.attrib["name"]: [reason.tag for reason in case] for case in newest} == {
        "outcome": ["failure"],
        "good": [],
        "bad": ["failure"],
        "unknown": ["skipped"],
    }
    assert (oldest.attrib["failures"], oldest.attrib["skipped"], oldest.attrib["time"]) == ("1", "1", "331.200")
    assert oldest.find("testcase[@name='bad']/failure").attrib["message"] == "a layer\ufffd came <&\"'> from the cache"
    assert oldest.find("testcase[@name='bad']/failure").text == "evidence: log:3"


@pytest.mark.parametrize("form", [junit, openmetrics, markdown])
def test_no_runs_are_no_fault(form):
    assert rendered(form, report_of())


def test_junit_of_many_runs_is_valid():
    text = rendered(junit, model.build(made_up.runs(5, 3)))
    xmlschema.XMLSchema(DATA / "junit.xsd").validate(text.partition("\n")[2])


def test_metrics_are_read_alike_by_both_formats_parsers(run):
    text = rendered(openmetrics, report_of(run(1, host='a\n"\\'), run(2, host="b"), run(3, host="b", **total(7.5))))
    read = {}
    for name, parse in (
        ("textfile collector", prometheus.text_string_to_metric_families),
        ("OpenMetrics", openmetrics_parser.text_string_to_metric_families),
    ):
        families = list(parse(text))
        assert {family.type for family in families} == {"gauge"}, name
        assert all(family.documentation for family in families)
        assert all(sample.timestamp is None for family in families for sample in family.samples)
        read[name] = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
    values, again = read.values()
    assert values == again
    assert values["scenario_a_run_duration_seconds", ("host", "b")] == 7.5
    assert values["scenario_a_phase_duration_seconds", ("host", 'a\n"\\'), ("phase", "compile")] == 138.0
    assert values["scenario_a_audit_verdict", ("host", "b"), ("state", "incomplete")] == 1
    assert values["scenario_a_audit_verdict", ("host", "b"), ("state", "accepted")] == 0
    assert values["scenario_a_compile_peak_memory_bytes", ("host", "b")] == 5.2e9


# --- files ---


def test_a_file_is_replaced_whole_and_readable_by_others(tmp_path):
    path = tmp_path / "a.prom"
    path.write_text("old")
    before = os.umask(0o022)
    try:
        write(path, "new")
    finally:
        os.umask(before)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    path.write_text("old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProvisionerError, match="No space left on device") as caught:
        write(path, "new")
    assert caught.value.code == 1
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["", "missing/a.html"])
def test_a_place_that_cannot_be_written_to_is_bad_input(tmp_path, where):
    with pytest.raises(ProvisionerError, match="cannot write") as caught:
        write(tmp_path / where, "new")
    assert caught.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


# --- the command ---


def test_each_format_goes_to_its_file(cli, keep, tmp_path):
    keep()
    keep(run_id="another", host="h2", started_at="2026-11-24T09:00:00Z")
    files = {name: str(tmp_path / name) for name in ("html", "markdown", "junit", "openmetrics")}
    code, out, err = cli("report", "--json", *(word for name, path in files.items() for word in (f"--{name}", path)))
    assert (code, err) == (0, "")
    assert json.loads(out) == {"hosts": 2, "runs": 2, "files": files}
    starts = {name: Path(path).read_text(encoding="utf-8")[:14] for name, path in files.items()}
    assert starts == {
        "html": "<!doctype html",
        "markdown": "## Scenario A\n",
        "junit": "<?xml version=",
        "openmetrics": "# HELP scenari",
    }


def test_without_a_file_markdown_is_printed_of_the_runs_that_are_meant(cli, keep):
    keep()
    keep(run_id="another", host="h2", started_at="2026-11-24T09:00:00Z")
    out = cli("report", "--host", "h2")[1]
    assert "| h2 |" in out and "| h1 |" not in out
    assert "| h1 |" not in cli("report", "--last", "1")[1]


def test_nothing_to_report_is_said(cli, tmp_path):
    code, out, err = cli("report", "--html", tmp_path / "r.html")
    assert (code, out) == (0, "") and "no runs" in err
    assert "no runs" in (tmp_path / "r.html").read_text()


def test_a_report_of_a_host_that_never_was_is_refused(cli, keep, tmp_path):
    keep()
    path = tmp_path / "r.html"
    code, out, err = cli("report", "--host", "nope", "--html", path)
    assert (code, out) == (2, "") and "no run on a host nope" in err and err.count("\n") == 1
    assert not path.exists()


def test_one_file_for_two_formats_is_refused(cli, tmp_path):
    path = tmp_path / "r"
    assert cli("report", "--html", path, "--junit", path)[0] == 2
    assert not path.exists()
