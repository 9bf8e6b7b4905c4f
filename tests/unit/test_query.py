"""Which fields a query can see: never fewer than it looks at, and no more where that can be told."""

import jmespath
import pytest

from provisioner.report import document, query
from provisioner.store import Store

EXACT = {
    "runs[].host": {"host"},
    "runs[].{host: host, compile: timings.compile}": {"host", "timings.compile"},
    "runs[?host=='h1' && audit.verdict!='rejected'].timings.compile": {"host", "audit.verdict", "timings.compile"},
    "hosts.*.{host: host, gpus: machine.gpus[].name}": {"host", "machine.gpus"},
    "hosts.h1.timings": {"timings"},
    "hosts.h1.timings.*": {"timings"},
    "length(runs)": set(),
    "length(runs[?outcome=='ok'])": {"outcome"},
    "sort_by(runs, &total_seconds)[0].run_id": {"total_seconds", "run_id"},
    "max_by(runs, &timings.compile).host": {"timings.compile", "host"},
    "runs[:2].[host, run_id]": {"host", "run_id"},
    "runs[0].phases[?outcome=='ok'].name": {"phases.outcome", "phases.name"},
    "runs | [0].timings": {"timings"},
    "runs[].timings | [].compile": {"timings.compile"},
    "avg(runs[].total_seconds)": {"total_seconds"},
    "runs[].inputs.torch | [0]": {"inputs.torch"},
    "runs[].profile": {"profile"},
    "nothing": set(),
    "runs.host": set(),
    "runs[?!failure].host": {"failure", "host"},
    "runs[].[timings.compile || total_seconds]": {"timings.compile", "total_seconds"},
}
EVERYTHING = [
    "@",
    "runs",
    "runs[]",
    "runs[0]",
    "hosts",
    "hosts.h1",
    "hosts.*",
    "keys(@)",
    "keys(runs[0])",
    "length(runs[0])",
    "runs[].*",
    "runs[?@].host",
    "runs[].{all: @}",
    "to_string(runs[0])",
    "map(&host, runs)",
    "sort_by(runs, &total_seconds)",
    "runs[?@ == `{}`].host",
    "merge(runs[0], {a: `1`}).a",
    'runs[]."a.b"',
    "runs[*].[host, @]",
    "not_null(hosts.h1)",
]


@pytest.mark.parametrize("expression", EXACT)
def test_no_more_than_the_query_looks_at(expression):
    assert query.fields_of(expression) == EXACT[expression]


@pytest.mark.parametrize("expression", EVERYTHING)
def test_whole_records_where_they_may_be_seen(expression):
    assert query.fields_of(expression) is None


@pytest.mark.parametrize("expression", [*EXACT, *EVERYTHING])
def test_the_answer_is_that_of_whole_records(state, keep, expression):
    keep(run_id="a", started_at="2026-01-01T00:00:00Z", outcome="failed", failure={"phase": "clone", "last_lines": []})
    keep(run_id="b", started_at="2026-01-02T00:00:00Z", host="h2", profile=None, total_seconds=1.5)
    keep(run_id="c", started_at="2026-01-03T00:00:00Z", **{"a.b": 1})
    answers = [
        jmespath.search(expression, document.of(Store(state).records(fields=fields)))
        for fields in (query.fields_of(expression), None)
    ]
    assert answers[0] == answers[1]
