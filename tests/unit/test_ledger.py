"""The compile's ledger, on schedules whose figures follow by hand."""

import pytest

from provisioner.runs import ledger
from provisioner.runs.evidence import NinjaCall, Step
from provisioner.runs.record import Object


def a_call(*steps):
    return NinjaCall("ninja/1", ("-j", "2"), tuple(Step(*step) for step in steps))


def built(**spans):
    return [Object(name=name, start=start, end=end, seconds=end - start) for name, (start, end) in spans.items()]


def test_objects_are_named_below_their_folder_and_timed_by_the_runs_clock():
    call = a_call(("/b/x/a/one.o", 2.0, 5.5), ("/b/x/two.o", 0.005, 2.0))
    assert [item.model_dump() for item in ledger.objects(call, began=100.25)] == [
        {"name": "two.o", "start": 100.255, "end": 102.25, "seconds": 1.995},
        {"name": "a/one.o", "start": 102.25, "end": 105.75, "seconds": 3.5},
    ]


@pytest.mark.parametrize("outputs", [("one.o", "two.o"), ("one.o", "/elsewhere/two.o")])
def test_outputs_without_a_folder_in_common_keep_their_names(outputs):
    call = a_call(*((output, 0, 1) for output in outputs))
    assert {item.name for item in ledger.objects(call)} == set(outputs)


def test_the_critical_path_is_what_each_waited_for():
    # Two jobs: long runs beside a, b, c; last starts as c frees its job and ends last.
    schedule = built(long=(0, 6), a=(0, 2), b=(2.001, 4), c=(4.002, 5), last=(5.003, 9))
    assert [item.name for item in ledger.critical_path(schedule)] == ["a", "b", "c", "last"]
    assert ledger.critical_path([]) == []


def test_the_critical_path_ends_at_a_gap():
    assert [item.name for item in ledger.critical_path(built(a=(0, 1), b=(3, 4)))] == ["b"]


def test_objects_that_take_no_time_do_not_go_round_in_circles():
    assert len(ledger.critical_path(built(a=(1, 1), b=(1, 1)))) == 2


def test_efficiency_and_bound():
    assert ledger.efficiency(30.0, 20.0, 2) == 0.75
    assert ledger.efficiency(None, 20.0, 2) is None
    assert ledger.efficiency(1.0, 0.0, 2) is None
    schedule = built(long=(0, 6), a=(0, 2))
    assert ledger.bound(schedule, cpu_seconds=8.0, cores=2) == 6.0  # the longest object
    assert ledger.bound(schedule, cpu_seconds=80.0, cores=4) == 20.0  # the work
    assert ledger.bound(schedule, cpu_seconds=8.0, cores=None) is None
    assert ledger.bound([], cpu_seconds=8.0, cores=2) is None


def test_lanes_are_as_few_as_the_jobs_and_hold_no_overlap():
    schedule = built(a=(0, 2), b=(0, 6), c=(2, 4), d=(4, 9))
    assert ledger.lanes(schedule) == [0, 1, 0, 0]


def test_jobs_are_read_in_both_forms():
    assert NinjaCall("n", ("-v", "-j", "4")).jobs == 4
    assert NinjaCall("n", ("-j16",)).jobs == 16
    assert NinjaCall("n", ("-v",)).jobs is None
