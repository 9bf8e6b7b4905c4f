"""From evidence to record, on the evidence of a real run (its long logs cut to the lines that matter)."""

import hashlib
import json
from pathlib import Path

import evidence_sample
import pytest

from provisioner.runs import figures
from provisioner.runs.evidence import Evidence
from provisioner.runs.phases import PHASES
from provisioner.runs.record import Record, json_schema, load
from provisioner.store import collect


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


@pytest.fixture
def build(folder):
    return lambda: collect.build(Evidence(folder), "somehost")


def edit(path, old, new):
    text = path.read_text()
    assert old in text, "the sample changed"
    path.write_text(text.replace(old, new))


def test_the_record_of_the_sample(build):
    record = build()
    assert (record.host, record.outcome, record.profile) == ("somehost", "ok", "registries")
    assert [phase.name for phase in record.phases] == list(PHASES)
    assert record.total_seconds == 235.99
    assert record.timings["compile"] == record.compile.seconds == 91.22
    # 98.17 s of `devcontainer up`, less 1.48, 91.22 and 2.16 s of what runs within it.
    assert record.timings["container_up"] == pytest.approx(3.31, abs=0.01)
    assert sum(seconds for seconds in record.timings.values() if seconds) == pytest.approx(235.99, rel=0.02)
    assert (record.compile.count, record.compile.objects, record.compile.max_jobs) == (1, 13, 2)
    assert record.compile.longest_object_seconds == 58.444
    assert record.compile.cpu_seconds == 142.891
    assert record.inputs.torch == "2.14.1"
    assert record.inputs.xformers_commit == "7f0592073a11ebcd36287195aae7987dff1f7ee0"
    assert record.inputs.base_image_present is True
    assert record.machine.cores == 2
    assert record.inputs.versions["gcc"].endswith("12.2.0") and record.inputs.versions["torch"] == "2.14.1"
    assert record.failure is None
    assert record.audit.verdict == "incomplete"
    assert [check.name for check in record.audit.checks if check.outcome != "pass"] == [
        "attention_test_passed",
        "container_had_the_gpu",
        "attention_was_computed_for_this_run",
    ]


def test_the_ledger_of_the_sample(build):
    """Two jobs, of which one had the last and longest object from 27 s on: what the compile waited for."""
    record = build()
    compiled, phase = record.compile, next(phase for phase in record.phases if phase.name == "compile")
    assert len({item.name for item in compiled.ledger}) == compiled.objects == 13
    assert compiled.ninja_seconds == 85.233
    assert compiled.critical_path == ["nvcc_info.o", "sparse24/gemm.o", "sparse24/sparse24_gemm_sm90.o"]
    assert sum(item.seconds for item in compiled.ledger if item.name in compiled.critical_path) == pytest.approx(
        compiled.ninja_seconds, abs=0.1
    )
    assert compiled.parallel_efficiency == pytest.approx(142.891 / (85.233 * 2), abs=0.001)
    assert compiled.bound_seconds == pytest.approx(142.891 / 2, abs=0.001)  # more than the longest object
    assert compiled.wall_over_bound == pytest.approx(85.233 / 71.445, abs=0.001)
    # By the run's clock, within the phase.
    assert phase.started < compiled.ledger[0].start
    assert max(item.end for item in compiled.ledger) < phase.started + phase.seconds


def test_the_record_has_the_sum_of_the_manifest(folder, build):
    assert build().evidence_sha256 == hashlib.sha256((folder / "manifest.sha256").read_bytes()).hexdigest()


def test_the_record_is_kept_and_comes_back_as_it_is(folder):
    first = collect.of_evidence(folder, "somehost")
    (folder / "events.jsonl").unlink()
    assert collect.of_evidence(folder, "another name") == first == load(folder / "record.json")


def test_the_schema_is_the_records_own(build):
    schema = json_schema()
    data = json.loads(build().model_dump_json())
    assert set(schema["required"]) <= set(data)
    assert data["schema"] == "scenario-a/1"
    Record.model_validate(data)
    with pytest.raises(ValueError, match="outcome"):
        Record.model_validate(data | {"outcome": "complete"})


def test_the_schema_that_ships_is_the_one_of_the_types():
    """Where this fails: `python -m provisioner.runs.record` writes it anew; a field that changed needs a new number."""
    shipped = Path(collect.__file__).parents[1] / "schema/scenario-a-1.json"
    assert json.loads(shipped.read_text()) == json_schema()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        collect.of_evidence(tmp_path, "somehost")


def test_a_phase_that_failed_within_the_container_is_the_one_that_is_named(folder, build):
    edit(folder / "container/events.jsonl", '"end","phase":"compile"', '"fail","phase":"compile"')
    lines = (folder / "container/events.jsonl").read_text().splitlines()
    (folder / "container/events.jsonl").write_text("\n".join(lines[:4]) + "\n")
    edit(folder / "events.jsonl", '"end","phase":"container_up"', '"fail","phase":"container_up"')
    edit(folder / "result.json", '"ok"', '"failed"')
    record = build()
    assert record.outcome == "failed"
    assert record.failure.phase == "compile"
    assert record.failure.last_lines
    assert not any("evidence" in line for line in record.failure.last_lines)
    assert {phase.name: phase.outcome for phase in record.phases}["container_up"] == "ok"
    assert record.timings["pre_commit"] is None


def test_a_run_that_was_cut_off_is_interrupted_and_has_no_total(folder, build):
    (folder / "result.json").unlink()
    events = (folder / "events.jsonl").read_text().splitlines()
    (folder / "events.jsonl").write_text("\n".join(events[:8]) + "\n" + events[8][:10])
    (folder / "container/events.jsonl").unlink()
    record = build()
    assert record.outcome == "interrupted"
    assert record.total_seconds is None
    assert record.failure.phase == "container_up"


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("mirror.example:5000/nvidia/cuda:12.8.0-devel", "mirror.example:5000/nvidia/cuda@sha256:2"),
        ("nvidia/cuda:12.8.0-devel", "nvidia/cuda@sha256:1"),
        ("site/cuda", "nvidia/cuda@sha256:1"),
    ],
)
def test_the_digest_is_of_the_registry_that_was_asked(name, of):
    image = {"Id": "sha256:0", "RepoDigests": ["nvidia/cuda@sha256:1", "mirror.example:5000/nvidia/cuda@sha256:2"]}
    assert figures.digest(image, name) == of
    assert figures.digest({"Id": "sha256:0", "RepoDigests": []}, name) == "sha256:0"
