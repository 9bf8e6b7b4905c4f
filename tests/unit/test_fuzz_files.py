"""Every file and answer that is parsed, with what nobody thought of in it: it is read, or refused as it is meant to be.

How long this goes on: fuzz.py.
"""

import gzip
import io
import json
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from devcontainers import ACCEPTED, script
from formatted import rendered
from fuzz import DATA, FUZZ, NASTY, NUMBERS, TEXTS, VALUES, altered, examples, spoilt
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import cuda
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.docker_daemon import BrokenSettingsError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.docker_daemon import parse as daemon_json
from provisioner import __version__, upstream
from provisioner.ansible import answers, changes, events, inventory, plan_file
from provisioner.audit import ninja_file
from provisioner.audit.checks.configuration import configuration_has_no_shortcut
from provisioner.errors import ProvisionerError
from provisioner.lab import dress
from provisioner.report import document, formats
from provisioner.runs.record import Record, parse
from provisioner.signatures import receipt
from provisioner.store import evidence_export, exported, reception, retention, selection
from provisioner.text import display, jsontext, names

devcontainer_json = script()
RECORD = json.loads((DATA / "record.json").read_text(encoding="utf-8"))
LOG = (DATA / "upstream.log").read_text(encoding="utf-8")
EVIDENCE = DATA / "evidence"
DRESS = (Path(dress.__file__).parent / "dresses/held-driver.yml").read_text(encoding="utf-8")


def refused(error):
    """What a user sees of it is one line, of bounded length, with exit code 2."""
    assert error.code == 2
    assert str(error).isprintable() and len(str(error)) <= 4002


@examples(150)
@given(st.one_of(altered(RECORD), VALUES))
def test_a_record(value):
    with suppress(ValueError):
        assert isinstance(parse(json.dumps(value))[0], Record)


@examples(60)
@given(st.one_of(TEXTS, spoilt(json.dumps(RECORD, indent=1)), st.sampled_from(["[" * 10**6, '{"a":' * 10**5])))
def test_a_record_that_is_no_json(value):
    with suppress(ValueError):
        parse(value)
    with suppress(ValueError):
        jsontext.loads(value)
    try:
        exported.read(value, Path("x"))
    except ProvisionerError as error:
        refused(error)


@examples(40)
@given(st.one_of(spoilt(LOG), st.text().map(lambda more: LOG[:600] + more)))
def test_a_log_of_the_shell_benchmark(value):
    with suppress(upstream.NotALogError):
        record = upstream.record_of(upstream.decode(value.encode(errors="surrogatepass")), "h")
        assert parse(record.model_dump_json())


@examples(100)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_log(value):
    with suppress(upstream.NotALogError):
        upstream.record_of(upstream.decode(value), "h")


@examples(200)
@given(TEXTS)
def test_a_time(value):
    try:
        selection.instant(value, "--since").timestamp()
    except ProvisionerError as error:
        refused(error)


PLAN = {
    "version": 1,
    "provisioner": __version__,
    "inputs": dict.fromkeys(plan_file.INPUTS, "0" * 64),
    "hosts": {
        "h1": {"changes": [{"role": "site", "what": "a file", "from": "absent", "to": None}]},
        "h2": {"changes": []},
    },
}


@examples(100)
@given(st.one_of(altered(PLAN), VALUES).map(json.dumps) | spoilt(json.dumps(PLAN)))
def test_a_plan(text):
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode(errors="surrogatepass"))
        file.flush()
        try:
            for off in plan_file.read(file.name).hosts.values():
                assert changes.digest(off) == changes.digest(changes.once(off))
                assert changes.differences(off, off) == []
        except ProvisionerError as error:
            refused(error)


QUERIES = st.one_of(
    TEXTS,
    st.lists(
        st.sampled_from(
            [
                *"[]{}()*.,:&@|!?",
                "runs",
                "hosts",
                "timings",
                "`1`",
                "'x'",
                "sort_by",
                "sum",
                "max_by",
                "[]",
                "[::0]",
                "==",
                "0",
            ]
        ),
        max_size=9,
    ).map("".join),
    st.tuples(
        st.sampled_from(
            ["abs", "avg", "keys", "length", "map", "max", "merge", "reverse", "sort", "sum", "to_number", "join"]
        ),
        st.sampled_from(
            ["@", "runs", "hosts", "runs[]", "runs[0]", "&host", "`[]`", "'x', runs[].host", "&host, runs", "&host", ""]
        ),
    ).map(lambda parts: f"{parts[0]}({parts[1]})"),
)


@examples(200)
@given(QUERIES)
def test_a_query(value):
    try:
        document.fields_of(value)
        found = document.search(value, document.of([RECORD]))
    except ProvisionerError as error:
        refused(error)
    else:
        for form in formats.of(formats.FACTS).values():
            rendered(form, found)


@examples(100)
@given(st.one_of(VALUES, altered(RECORD)))
def test_what_is_printed_is_obeyed_by_no_terminal(value):
    assert display.printable(value).isprintable() and len(display.printable(value)) <= 500
    assert jsontext.loads(jsontext.dumps(value)) is not ... and "\x1b" not in jsontext.dumps(value)


@examples(150)
@given(VALUES)
def test_a_name(value):
    for door in (names.run_id, names.job, names.phase, names.role, names.host, names.file):
        with suppress(ValueError):
            found = door(value)
            assert not Path(found).is_absolute() and ".." not in Path(found).parts


ASKED = {
    "look": {
        "looks": {"docker_engine": {"changes": [{"what": "a", "from": "b", "to": "c"}], "notes": ["n"]}},
        "busy": [],
        "off": [],
    },
    "progress": {"run_id": "r", "state": "running", "phase": "compile", "elapsed": 1.5, "phase_elapsed": 1, "done": 1},
    "ended": [{"run_id": "r", "started_at": "x", "collected": False, "outcome": "ok", "phase": None, "cause": None}],
    "recovered": [{"run_id": "r", "outcome": "ok", "phase": None}],
    "cancelled": {"run_id": "r", "state": "cancelled", "by": "me@here", "outcome": "interrupted", "phase": "compile"},
    "planned": {"would": "measure", "detail": ""},
    "findings": [{"check": "a", "outcome": "ok", "detail": "", "remedy": ""}],
    "module": {"changed": True, "msg": "x"},
}


TOLD = {
    "msg": "x",
    "record": RECORD,
    "scenario_progress": ASKED["progress"],
    "scenario_ended": ASKED["ended"],
    "scenario_recovered": ASKED["recovered"],
    "scenario_planned": ASKED["planned"],
    "scenario_cancelled": ASKED["cancelled"],
    "host_findings": ASKED["findings"],
    **ASKED["look"],
}


@pytest.mark.parametrize("door", ASKED)
@examples(40)
@given(data=st.data())
def test_an_answer_of_a_host(door, data):
    value = data.draw(st.one_of(VALUES, altered(ASKED[door])))
    with suppress(answers.WrongAnswerError, ValueError):
        getattr(answers, door)(value)


@examples(100)
@given(
    st.sampled_from(["runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_retry"]),
    st.sampled_from(sorted(events.TELLING)),
    st.one_of(VALUES, altered(TOLD)),
)
def test_what_a_host_told_as_ansible_passes_it_on(event, action, result):
    result = result if isinstance(result, dict) else {"msg": result}
    list(events.translate({"event": event, "event_data": {"host": "h", "task_action": f"x.{action}", "res": result}}))


@examples(60)
@given(st.one_of(TEXTS, spoilt(DRESS)))
def test_a_dress(value):
    try:
        dress.parse("x", value)
    except ProvisionerError as error:
        refused(error)


@examples(100)
@given(st.one_of(VALUES.map(json.dumps), TEXTS, spoilt('{"runtimes": {\n"nvidia": {"path": "x"}}\n,"features":{}}')))
def test_a_daemon_json(value):
    for data in (value.encode(errors="surrogatepass"), value.encode("utf-16", errors="surrogatepass")):
        with suppress(BrokenSettingsError):
            daemon_json(data)


@st.composite
def archives(draw):
    """An archive of a run: names, kinds and contents of any sort, cut off somewhere perhaps."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in draw(
            st.lists(
                st.sampled_from(["r/result.json", "r", "../x", "/x", "r/a/../../x", "r/link", "x" * 300]), max_size=4
            )
        ):
            entry = tarfile.TarInfo(name)
            entry.type = draw(
                st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE])
            )
            entry.linkname = draw(st.sampled_from(["/etc", "r/result.json", "..", ""]))
            content = draw(st.binary(max_size=20)) if entry.isreg() else b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    data = gzip.compress(packed.getvalue())
    return data[: draw(st.sampled_from([len(data), len(data) // 2, 10]))]


@examples(60)
@given(st.one_of(archives(), st.binary(max_size=60), st.binary(max_size=60).map(gzip.compress)))
def test_an_archive_of_evidence(data):
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "host/r")
        with suppress(ValueError, OSError):
            reception.bring_in(data, run)
        assert {path.name for path in Path(folder).iterdir()} <= {"host"}, "outside of its folder"
        assert not any(path.is_symlink() or path.is_fifo() for path in Path(folder).rglob("*"))


BUILD_FILE = next(EVIDENCE.glob("container/ninja/*/build.ninja")).read_text(encoding="utf-8")


@examples(60)
@given(st.one_of(spoilt(BUILD_FILE), TEXTS.map(lambda more: f"rule r\n  command = {more}\nbuild {more}: r {more}\n")))
def test_a_build_file_of_ninja(value):
    with suppress(ValueError, LookupError):
        assert all(edge.outputs and edge.command for edge in ninja_file.parse(value))


@st.composite
def exports(draw):
    """Runs with their evidence, as `export --evidence` writes them, and what it never would."""
    places = ["h/r/evidence.tar.xz", "h/r/receipt.json", "h/r/scenario_a.log", "h/r/x", "../r/record.json", "h/.r", "h"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in draw(st.lists(st.sampled_from(places), max_size=4)):
            entry = tarfile.TarInfo(name)
            entry.type = draw(
                st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE])
            )
            content = draw(st.one_of(st.binary(max_size=20), st.just(LOG.encode()))) if entry.isreg() else b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    data = bytearray(packed.getvalue())
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, 600))] = draw(st.integers(0, 255))
    return bytes(data)


@examples(60)
@given(st.one_of(exports(), st.binary(max_size=600)))
def test_runs_that_came_with_their_evidence(data):
    with suppress(ValueError):
        for sent in evidence_export.unpack(io.BytesIO(data)):
            assert "/" not in sent.host + sent.run_id and not {".", ".."} & {sent.host, sent.run_id}
            with suppress(ValueError):
                assert evidence_export.judged(sent, Path("none"))[0].run_id == sent.run_id


RECEIPT = {
    "schema": "provisioner-receipt/1",
    "run_id": "r",
    "host": "h",
    "connection": "ssh",
    "host_keys": ["ssh-ed25519 AAAA"],
    "received_at": "2026-11-29T21:43:09+00:00",
    "archive_sha256": "0" * 64,
    "controller_key": "ssh-ed25519 AAAA",
    "unsigned": None,
}


@examples(100)
@given(st.one_of(altered(RECEIPT).map(json.dumps), spoilt(json.dumps(RECEIPT, indent=1)), TEXTS))
def test_a_receipt(value):
    with suppress(ValueError, RecursionError):
        taken = receipt.parse(value.encode(errors="surrogatepass"))
        assert all("\n" not in key for key in taken.sender.host_keys)


@examples(60)
@given(st.one_of(TEXTS, NUMBERS.map(str), st.sampled_from(["30d", "0", "2026-11-23", "-1", "9" * 40, "1e3"])))
def test_a_rule_of_retention(value):
    try:
        assert retention.rule(value)
    except ProvisionerError as error:
        refused(error)


@examples(25)
@given(st.data())
def test_evidence_of_a_run(cli_of, data):
    """As a stranger may have sent it: judged, or refused in a line."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(EVIDENCE, Path(folder, "run")))
        file = data.draw(st.sampled_from(sorted(path for path in run.rglob("*") if path.is_file())))
        before = file.read_text(encoding="utf-8", errors="replace")
        with suppress(ValueError):
            content = json.loads(before)
            before = json.dumps(data.draw(altered(content))) if isinstance(content, dict | list) else before
        after = data.draw(st.one_of(st.just(before), spoilt(before), VALUES.map(json.dumps), TEXTS))
        file.write_bytes(after.encode(errors="surrogatepass"))
        code, _, err = cli_of("audit", run)
    assert code in {0, 2, 4} and "fault in" not in err, err


INVENTORIES = st.one_of(
    VALUES.map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
    altered(
        {"all": {"hosts": {"h[1:3]": {"a": [1]}}, "children": {"web": {"hosts": {"x": None}}}, "vars": {"b": {}}}}
    ).map(json.dumps),
    st.sampled_from(NASTY),
)


@examples(5)
@given(INVENTORIES, st.sampled_from(["f.yml", "f.ini"]))
def test_an_inventory(value, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(value.encode(errors="surrogatepass"))
        try:
            assert inventory.read(str(path)).hosts
        except ProvisionerError as error:
            refused(error)


# Ansible is asked for any other, and takes half a second each time.
TERMS = st.builds(
    "{}{}{}".format, st.sampled_from(["", "!", "&"]), st.sampled_from("abc*"), st.text("abc1*?._-", max_size=9)
)
LIMITS = st.one_of(st.lists(TERMS, max_size=9).map(",".join), st.lists(TERMS, max_size=7).map(":".join))


@examples(50)
@given(
    st.dictionaries(TEXTS, st.fixed_dictionaries({}, optional={"hosts": st.lists(TEXTS), "children": st.lists(TEXTS)})),
    st.one_of(LIMITS, TEXTS) if FUZZ else LIMITS,
)
def test_a_limit(groups, limit):
    found = inventory.Inventory("x", hosts=dict.fromkeys(["a", "b", "c1"]), groups={name: {"a"} for name in groups})
    try:
        assert set(inventory.select(found, limit)) <= {"a", "b", "c1"}
    except ProvisionerError as error:
        refused(error)


@examples(40)
@given(NUMBERS)
def test_a_number_in_a_record(value):
    with suppress(ValueError):
        document.runs_table([parse(json.dumps(RECORD | {"total_seconds": value}))[1]])


IMAGES = st.sampled_from(["nvidia/cuda:12.8.0-devel-ubuntu22.04", "provisioner/cuda:13.0-devel", "nvidia/cuda:1.1"])


@examples(100)
@given(st.one_of(IMAGES, TEXTS), TEXTS, st.lists(st.lists(TEXTS)), st.builds(cuda.Gpus, st.lists(TEXTS), TEXTS))
def test_what_images_torch_and_drivers_are_called(image, arch_list, pip_calls, gpus):
    assert all(each.outcome in {"warn", "fail"} for each in cuda.misfits(image, arch_list, pip_calls, gpus))
    assert all(known.isalnum() for known in cuda.architectures(arch_list))
    assert cuda.of_torch(pip_calls) == "" or "." in cuda.of_torch(pip_calls)


BASES = [devcontainer_json.parse(path.read_text(encoding="utf-8")) for path in ACCEPTED.values()]


class LaidDown:
    """As much of a run's evidence as the check of what was laid down reads."""

    def __init__(self, configuration):
        self.configuration = configuration

    def json(self, _name):
        return self.configuration

    def called(self, name):
        return name.replace("{scenario}", "a")


@examples(150)
@given(
    st.one_of(st.sampled_from(BASES).flatmap(altered), st.fixed_dictionaries({"runArgs": st.lists(TEXTS)}), VALUES),
    st.booleans(),
)
def test_a_devcontainer_json_is_refused_in_a_line_or_passes_the_audit(value, gpus):
    try:
        config = devcontainer_json.parse(json.dumps(value))
        made, out = devcontainer_json.transform(config, gpus=gpus, env={"MAX_JOBS": "2"}, mounts=[])
    except devcontainer_json.BaseError as error:
        assert str(error).isprintable() and len(str(error)) <= 500
        return
    assert all(line.isprintable() and len(line) <= 500 for line in out)
    assert [found.outcome for found in configuration_has_no_shortcut(LaidDown(made))] == ["pass"]


@examples(60)
@given(st.one_of(TEXTS, spoilt(json.dumps(BASES[0], indent=1)), st.sampled_from(["[" * 10**6, '{"a":' * 10**5])))
def test_a_devcontainer_json_that_is_no_json(value):
    with suppress(devcontainer_json.BaseError):
        devcontainer_json.parse(value)
