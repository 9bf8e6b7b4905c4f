"""The attention test was computed for its run: results that were not, told by somebody who makes the sums anew.

Each cheat is one that rules 1 did not see, which is tested as well. What attention_test.py itself does is held against
what the audit computes, with numpy in place of torch.
"""

import json
import math
from types import SimpleNamespace

import evidence_sample
import numpy
import pytest
from test_attention_test import test as attention_test
from test_audit_cheats import CONTAINER, both, changed, edit, edit_json, lines
from test_audit_story import FIRST, failed

from provisioner.audit import attention_rows
from provisioner.audit.checks import attention
from provisioner.audit.judge import judge
from provisioner.audit.rules import RULES
from provisioner.audit.verdict import sentence
from provisioner.runs.evidence import Evidence

ROWS, LOG = "container/attention.jsonl", "attention_test.log"
OTHER = "0" * 64


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy_with_gpu(tmp_path / "run")


# ---- ways to alter it ------------------------------------------------------------------------------------------------


def told(change):
    """Alter what the test told, which is its log's last line."""

    def alter(folder):
        first, last = (folder / LOG).read_text().splitlines()
        result = json.loads(last)
        change(result)
        (folder / LOG).write_text(f"{first}\n{json.dumps(result)}\n")
        log = folder / "run.log"
        log.write_text(log.read_text().replace(last, json.dumps(result)))

    return alter


def outputs(change):
    """Alter each number that the test returned."""
    return lines(
        ROWS, lambda cases: [row.update(output=[*map(change, row["output"])]) for case in cases for row in case["rows"]]
    )


def of_an_earlier_run(folder):
    """The results of another challenge, under the name of this one."""
    cases, rows = evidence_sample.computed(OTHER)
    challenge = json.loads((folder / "run.json").read_text())["challenge"]
    (folder / ROWS).write_text(rows.replace(OTHER, challenge))
    told(lambda result: result.update(json.loads(cases)))(folder)


def with_a_challenge_of_before(folder):
    edit_json(folder / "run.json", lambda run: run.update(challenge=OTHER))


def of_no_random_bytes(folder):
    """All of it computed for a challenge that is easy to foresee."""
    challenge = json.loads((folder / "run.json").read_text())["challenge"]
    for name in ("run.json", "run.log", LOG):
        (folder / name).write_text((folder / name).read_text().replace(challenge, OTHER))
    cases, rows = evidence_sample.computed(OTHER)
    (folder / ROWS).write_text(rows)
    told(lambda result: result.update(json.loads(cases)))(folder)


def one_case(folder):
    told(lambda result: result.update(cases=result["cases"][:1], **result["cases"][0]))(folder)
    lines(ROWS, lambda cases: cases.__delitem__(slice(1, None)))(folder)


def wider(result):
    for case in result["cases"]:
        case.update(tolerance=0.049, max_abs_error=0.048)
    result.update(result["cases"][0])


def without_error(result):
    for case in result["cases"]:
        case["max_abs_error"] = 0.0
    result.update(result["cases"][0])


def elsewhere(folder):
    """The right rows, of places that are better known."""
    lines(ROWS, lambda cases: [row.update(place=[0, 0, 0]) for case in cases for row in case["rows"]])(folder)


CHEATS = {
    "container_had_the_gpu": {
        "a container without a GPU": changed(CONTAINER, lambda made: made[0]["HostConfig"].update(DeviceRequests=None)),
        "a container in which no driver answers": lambda folder: (folder / "gpus.txt").write_text(""),
        "a container that asked for none": changed(
            CONTAINER, lambda made: made[0]["HostConfig"]["DeviceRequests"][0].update(Count=0)
        ),
        "a container that was given another host's": changed(
            CONTAINER,
            lambda made: made[0]["HostConfig"]["DeviceRequests"][0].update(
                DeviceIDs=["GPU-00000000-e0f8-5a0a-af51-5bbc76776aa1"]
            ),
        ),
        "one GPU told as two": changed("machine.json", lambda machine: machine.update(gpus=machine["gpus"] * 2)),
        "a GPU of another host": lambda folder: (folder / "gpus.txt").write_text(
            "UUID: GPU-00000000-e0f8-5a0a-af51-5bbc76776aa1"
        ),
    },
    "attention_was_computed_for_this_run": {
        "results of an earlier run": of_an_earlier_run,
        "results from before the challenge": with_a_challenge_of_before,
        "zeros": both(outputs(lambda _: 0.0), told(without_error)),
        "a result that is a little off": outputs(lambda value: value + 2**-6),
        "more digits than the dtype has": outputs(lambda value: value * (1 + 1e-9)),
        "a tolerance that lets anything pass": told(wider),
        "an error that is told smaller": told(without_error),
        "a challenge that nobody drew": of_no_random_bytes,
        "nobody says who chose": changed("run.json", lambda run: run.pop("unchallenged")),
        "two results": lambda folder: (folder / LOG).write_text('{"passed": false}\n' + (folder / LOG).read_text()),
        "one case of nine": one_case,
        "rows of other places": elsewhere,
        "no results": lambda folder: (folder / ROWS).write_text(""),
        "a result that the run did not print": lambda folder: edit(folder / LOG, '"passed": true', '"passed":  true'),
        "a challenge of one's own": told(lambda result: result.update(challenge=OTHER)),
        "a case that did not pass": told(lambda result: result["cases"][3].update(passed=False)),
    },
}


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, cheats in CHEATS.items() for name in cheats])
def test_a_result_that_was_not_computed_is_caught_and_was_not_by_the_rules_before(folder, check, name):
    CHEATS[check][name](folder)
    evidence_sample.seal(folder)
    result = judge(Evidence(folder))
    assert result.verdict == "rejected"
    assert check in {each.name for each in result.checks if each.outcome == "fail"}
    assert failed(folder, FIRST) == set()


def test_every_check_of_the_challenge_has_a_cheat():
    ours = {rule.name for rule in RULES if rule.check.__module__ == attention.__name__ and rule.since > 1}
    assert set(CHEATS) == ours


# ---- no false alarm --------------------------------------------------------------------------------------------------


def test_a_run_that_somebody_started_by_hand_is_told(folder):
    edit_json(folder / "run.json", lambda run: run.update(unchallenged="yes"))
    evidence_sample.seal(folder)
    result = judge(Evidence(folder))
    assert failed(folder) == set()
    assert (
        sentence(result.model_dump())
        == "accepted; unchallenged: its host chose the numbers of the attention test itself"
    )


@pytest.mark.parametrize(
    ("host", "variables"),
    [
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"], "Capabilities": None}]}, []),
        ({"DeviceRequests": [], "Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=all"]),
        ({"DeviceRequests": None, "Devices": [{"PathOnHost": "/dev/nvidia0"}]}, []),
    ],
)
def test_a_gpu_may_be_given_in_other_ways(folder, host, variables):
    def given(made):
        made[0]["HostConfig"].update(host)
        made[0]["Config"]["Env"] = [one for one in made[0]["Config"]["Env"] if "VISIBLE" not in one] + variables

    edit_json(folder / CONTAINER, given)
    evidence_sample.seal(folder)
    assert "container_had_the_gpu" not in failed(folder)


@pytest.mark.parametrize(
    "listing",
    [
        "GPU 0: NVIDIA H200 (UUID: {0})\n  MIG 1g.18gb  Device  0: (UUID: MIG-5d2c2c4b-b1b1-5f2a-8a5f-0123456789ab)\n",
        "Model: \t\t NVIDIA H200\nIRQ:   \t\t 11\nGPU UUID: \t {0}\nVideo BIOS: \t 96.00\n",
    ],
    ids=["slices", "the kernel's own file"],
)
def test_the_driver_may_answer_in_other_ways(folder, listing):
    (folder / "gpus.txt").write_text(listing.format(evidence_sample.GPU["uuid"]))
    evidence_sample.seal(folder)
    assert failed(folder) == set()


# ---- the test itself -------------------------------------------------------------------------------------------------


class Array:
    """As much of torch's tensor as the test needs, of numpy's arrays; bfloat16 is cut off."""

    def __init__(self, array):
        self.array = array

    def reshape(self, *shape):
        return Array(self.array.reshape(*shape))

    def to(self, *how):
        dtype = how[-1]
        if dtype == "bfloat16":
            bits = self.array.astype("float32").view("uint32") & numpy.uint32(0xFFFF0000)
            return Array(bits.view("float32"))
        return Array(self.array.astype(dtype))

    def double(self):
        return Array(self.array.astype("float64"))

    def cpu(self):
        return self.array

    def __truediv__(self, number):
        return Array(self.array / numpy.float32(number))


TORCH = SimpleNamespace(
    frombuffer=lambda data, dtype: Array(numpy.frombuffer(data, dtype)),
    amax=numpy.amax,
    exp=numpy.exp,
    moveaxis=numpy.moveaxis,
    **{name: name for name in ("int8", "float32", "float16", "bfloat16")},
)


def kernel(dtype):
    return lambda *inputs: Array(attention_test.reference(numpy, *(one.double().cpu() for one in inputs))).to(dtype)


@pytest.mark.parametrize("case", range(len(attention_test.CASES)))
def test_what_the_test_returns_is_what_the_audit_computes(case):
    challenge = "5a" * 32
    _, dtype = attention_test.CASES[case]
    compared, rows = attention_test.run_case(TORCH, kernel(dtype), challenge, case)
    assert json.loads(json.dumps([compared, rows])) == [compared, rows]
    assert compared["passed"] is True
    assert list(attention._not_computed(challenge, case, compared, rows)) == []


def test_the_cases_are_the_same():
    assert attention_rows.CASES == attention_test.CASES
    assert (attention_rows.SCALE, attention_rows.ROWS) == (attention_test.SCALE, attention_test.ROWS)
    assert (attention_rows.ROUNDOFF, attention_rows.ALLOWED_ROUNDOFFS) == (
        attention_test.ROUNDOFF,
        attention_test.ALLOWED_ROUNDOFFS,
    )


@pytest.mark.parametrize("shape", sorted({shape for shape, _ in attention_test.CASES}))
def test_the_numbers_are_exact_and_let_no_token_decide_alone(shape):
    numbers = [
        numpy.frombuffer(attention_test.numbers("ab", 0, name, math.prod(shape)), "int8") / 64
        for name in ("query", "key")
    ]
    for one in numbers:
        assert (one.astype("float16") == one).all() and all(
            attention_rows.exact(value, "bfloat16") for value in set(one)
        )
    query, key = (numpy.moveaxis(one.reshape(*shape[:2], -1, shape[-1]), 2, 1) for one in numbers)
    scores = query @ numpy.moveaxis(key, -1, -2) / math.sqrt(shape[-1])
    assert 1 < scores.std() < 1.8
    weights = numpy.exp(scores) / numpy.exp(scores).sum(-1)[..., None]
    assert weights.max(-1).mean() < 0.7 and 1 / (weights**2).sum(-1).mean() < 0.6 * shape[1]


def test_the_rows_become_evidence(tmp_path, monkeypatch):
    monkeypatch.setenv("SCENARIO_EVIDENCE", str(tmp_path))
    attention_test.keep([{"case": 0}, {"case": 1}])
    assert (tmp_path / "attention.jsonl").read_text() == '{"case": 0}\n{"case": 1}\n'
    monkeypatch.delenv("SCENARIO_EVIDENCE")
    attention_test.keep([])
