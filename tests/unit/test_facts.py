"""`provisioner facts`: the document, queries, and each format read back by its own reader."""

import csv
import gc
import io
import json

import pytest
import yaml
from formatted import rendered

from provisioner.report import document, formats
from provisioner.report.formats import json as json_format
from provisioner.store import Store
from provisioner.text import fast_json

RECORD_BY_RECORD = [form.name for form in formats.FORMATS if form.takes == formats.UNREAD]
"""What is written of records that are not read yet."""


@pytest.fixture
def three(keep):
    """Two runs on h1, the newer one first, and one on h2."""
    return [
        keep(run_id="new", started_at="2026-11-23T12:00:00Z"),
        keep(run_id="other", started_at="2026-11-23T11:00:00Z", host="h2", total_seconds=None),
        keep(run_id="old", started_at="2026-11-23T10:00:00Z"),
    ]


def test_json_is_the_document(cli, three):
    code, out, err = cli("facts", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"hosts": {"h1": three[0], "h2": three[1]}, "runs": three}
    assert cli("facts", "-o", "json")[1] == out


@pytest.mark.parametrize("count", [fast_json.MANY - 1, fast_json.MANY])
def test_json_looks_the_same_however_much_it_is(count):
    value = [{"text": 'é "', "n": 0.1, "i": 10**20, "none": None, "list": [], "object": {}}] * count
    assert rendered(json_format, value) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    hidden = [{"text": "\u2028\x9b\u202e\x7f", "nan": float("nan")}] * count
    assert json.loads(rendered(json_format, hidden)) == [{**hidden[0], "nan": None}] * count
    assert rendered(json_format, hidden).isascii()


def test_yaml_is_the_same_document(cli, three):
    assert yaml.safe_load(cli("facts", "-o", "yaml")[1]) == json.loads(cli("facts", "--json")[1])


@pytest.mark.parametrize("many", [1, 100], ids=["read as many", "read as few"])
@pytest.mark.parametrize("form", RECORD_BY_RECORD)
def test_record_by_record_is_the_same_to_the_byte(cli, keep, monkeypatch, form, many):
    monkeypatch.setattr(fast_json, "MANY", many)
    kept = [
        keep(run_id="e", started_at="2026-11-23T14:00:00Z", host="é \u2028 'x'"),
        keep(run_id="d", started_at="2026-11-23T13:00:00Z", host="1", extra={"a": [], "b": {}, "c": "x: \n- y " * 20}),
        keep(run_id="c", started_at="2026-11-23T12:00:00Z", host="1", total_seconds=None, more={"big": 10**20}),
        keep(run_id="b", started_at="2026-11-23T11:00:00Z", host="h", text="\x7f\t😀\\n"),
        keep(run_id="a", started_at="2026-11-23T10:00:00Z", host="1"),
    ]
    kept = [json.loads(json.dumps(record)) for record in kept]  # what they share would be aliases in YAML
    for count in (5, 1):
        code, out, err = cli("facts", "-o", form, "--last", count)
        whole = rendered(formats.of(formats.FACTS)[form], document.of(kept[:count]))
        assert (code, out, err) == (0, whole, "")


@pytest.mark.parametrize("form", RECORD_BY_RECORD)
def test_one_record_at_a_time_is_in_memory(three, state, monkeypatch, form):
    alive = []

    def read(text):
        alive.append(sum(type(thing) is dict and thing.keys() >= {"run_id", "schema"} for thing in gc.get_objects()))
        return json.loads(text)

    monkeypatch.setattr(fast_json, "reader", lambda count: read)
    rendered(formats.of(formats.FACTS)[form], document.of(Store(state).texts()))
    assert len(alive) >= len(three) and max(alive) - min(alive) <= 1


def test_csv_has_every_field_as_a_column(cli, three):
    rows = list(csv.DictReader(io.StringIO(cli("facts", "-o", "csv")[1])))
    assert [row["run_id"] for row in rows] == ["new", "other", "old"]
    assert rows[0]["timings.compile"] == "138.0"
    assert rows[0]["machine.cpu_model"] == "A processor, with a comma"
    assert rows[1]["total_seconds"] == ""
    assert json.loads(rows[0]["phases"]) == three[0]["phases"]


def test_the_table_has_a_line_for_each_run(cli, three):
    header, *lines = cli("facts", "--all")[1].splitlines()
    assert header.split()[:5] == ["host", "started", "outcome", "verdict", "rules"]
    assert header.split()[-1] == "run"
    assert lines[0].split()[:3] == ["h1", "2026-11-23", "12:00:00"]
    assert "331.2" in lines[0] and "138.0" in lines[0]
    # What is unknown is a dash, below its heading, flush right with the numbers.
    assert lines[1][header.index("total") + len("total") - 1] == "-"
    assert [line.split()[-1] for line in lines] == ["new", "other", "old"]


def test_the_table_is_of_the_newest_run_of_each_host_unless_more_is_asked_for(cli, three):
    def told(*options):
        code, out, err = cli("facts", *options)
        assert code == 0
        return [line.split()[-1] for line in out.splitlines()[1:]], err

    assert told()[0] == ["new", "other"] and "--all shows 1 more" in told()[1]
    assert told("--host", "h2") == (["other"], "")
    assert told("--all") == (["new", "other", "old"], "")
    assert told("--last", "3") == (["new", "other", "old"], "")
    assert told("--last", "1") == (["new"], "")
    assert told("--since", "2026-11-23T11:00:00") == (["new", "other"], "")


def test_runs_that_older_rules_judged_can_be_left_out(cli, keep, record):
    keep(run_id="older", started_at="2026-11-21T00:00:00Z")
    for number in (1, 2):
        judged = {**record["audit"], "rules": number}
        keep(run_id=f"by{number}", started_at=f"2026-11-2{number + 1}T00:00:00Z", audit=judged)
    header, *lines = cli("facts", "--all")[1].splitlines()
    at = header.index("rules") + len("rules") - 1
    assert [line[at] for line in lines] == ["2", "1", "-"]
    for number, kept in ((1, ["by2", "by1"]), (2, ["by2"])):
        document = json.loads(cli("facts", "--json", "--min-rules", number)[1])
        assert [run["run_id"] for run in document["runs"]] == kept


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_query_is_of_the_document(cli, three, form):
    query = "runs[?host=='h1'].timings.compile"
    assert yaml.safe_load(cli("facts", "-o", form, "-q", query)[1]) == [138.0, 138.0]


def test_a_query_of_mappings_becomes_columns(cli, three):
    query = "runs[].{host: host, s: timings.compile, audit: audit}"
    lines = cli("facts", "-q", query)[1].splitlines()
    assert lines[0].split() == ["host", "s", "audit.verdict", "audit.checks"]
    rows = list(csv.DictReader(io.StringIO(cli("facts", "-o", "csv", "-q", query)[1])))
    assert rows[1]["host"] == "h2" and rows[1]["audit.verdict"] == "incomplete"


def test_a_query_of_single_values_prints_them(cli, three):
    assert cli("facts", "-q", "runs[].run_id")[1].split() == ["new", "other", "old"]
    assert cli("facts", "-q", "length(runs)")[1] == "3\n"
    assert cli("facts", "-o", "csv", "-q", "runs[].[host, run_id]")[1].splitlines()[0] == "h1,new"
    assert cli("facts", "-q", "runs[].total_seconds")[1].split() == ["331.2", "331.2"]  # JMESPath leaves nulls out


def test_a_query_that_selects_nothing(cli, three):
    assert cli("facts", "-o", "json", "-q", "nothing") == (0, "null\n", "")
    assert cli("facts", "-o", "yaml", "-q", "nothing") == (0, "null\n", "")
    assert cli("facts", "-o", "json", "-q", "runs[?host=='nope'].host") == (0, "[]\n", "")
    for form in ("table", "csv"):
        for query in ("nothing", "runs[?host=='nope'].host", "runs[0].machine.gpus", "`{}`"):
            code, out, err = cli("facts", "-o", form, "-q", query)
            assert (code, out) == (0, "") and "nothing" in err and err.count("\n") == 1, query
    assert cli("facts", "-q", "`0`") == (0, "0\n", "")


def test_an_empty_store(cli, state):
    assert json.loads(cli("facts", "--json")[1]) == {"hosts": {}, "runs": []}
    code, out, err = cli("facts")
    assert (code, out) == (0, "")
    assert "no runs" in err and "provisioner run" in err
    assert cli("facts", "-q", "runs[].host") == (0, "", err)
    assert not state.exists(), "looking must not make anything"


def test_limit_is_of_hosts(cli, three):
    assert set(json.loads(cli("facts", "--json", "-l", "h2")[1])["hosts"]) == {"h2"}
    assert set(json.loads(cli("facts", "--json", "-l", "h*,x")[1])["hosts"]) == {"h1", "h2"}


def ids(cli, *options):
    return json.loads(cli("facts", "--json", *options, "-q", "runs[].run_id")[1])


def test_which_runs(cli, three, tmp_path):
    assert ids(cli, "--host", "h1") == ["new", "old"]
    assert ids(cli, "--host", "h2", "--host", "h1") == ["new", "other", "old"]
    assert ids(cli, "--since", "2026-11-23T11:00:00") == ["new", "other"]
    assert ids(cli, "--last", "1") == ["new"]
    assert ids(cli, "--host", "h1", "--since", "2026-11-23", "--last", "5") == ["new", "old"]
    inventory = tmp_path / "inventory.yml"
    inventory.write_text("rack2:\n  hosts:\n    h2: {}\n")
    assert ids(cli, "-i", inventory, "--host", "rack2") == ["other"]


@pytest.mark.parametrize(
    "options", [("--since", "yesterday"), ("--last", "0"), ("--last", "x"), ("-i", "/none", "-l", "a")]
)
def test_what_means_no_runs_is_one_line(cli, three, options):
    code, out, err = cli("facts", *options)
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_a_host_without_runs_is_a_mistake_and_one_without_such_runs_is_not(cli, three):
    for form in ((), ("--json",), ("-q", "runs")):
        code, out, err = cli("facts", "--host", "nonsense", *form)
        assert (code, out) == (2, "") and err.count("\n") == 1 and "nonsense" in err
    code, out, err = cli("facts", "--host", "h1", "--since", "2027-01-01")
    assert (code, out) == (0, "") and "no run matches" in err
    assert json.loads(cli("facts", "--host", "h1", "--since", "2027-01-01", "--json")[1]) == {"hosts": {}, "runs": []}


@pytest.mark.parametrize("query", ["runs[", "runs[].sum(@)", "", "length(@)(", "sum(runs[].host)"])
def test_what_is_no_query_is_one_line(cli, three, query):
    code, out, err = cli("facts", "-q", query)
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_a_broken_record_is_a_warning(cli, three, state):
    (state / "runs" / "h1" / "old" / "record.json").write_text("{")
    code, out, err = cli("facts", "--json")
    assert code == 0
    assert [run["run_id"] for run in json.loads(out)["runs"]] == ["new", "other"]
    assert "old/record.json" in err


def test_json_and_another_format_contradict(cli, three):
    code, out, err = cli("facts", "--json", "-o", "csv")
    assert (code, out) == (2, "") and err.count("\n") == 1
