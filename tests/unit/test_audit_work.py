"""Forged work: a compile that cost next to nothing, told as one that cost what it must, in each file consistently.

Each is made of a real run's evidence by somebody who sums it anew; the check that is named sees it.
"""

import contextlib
import json
import re
from datetime import UTC, datetime

import evidence_sample
import pytest
from test_audit_cheats import appended, at, both, changed, edit, edited, failed, judge

from provisioner.audit.known_sources import load
from provisioner.audit.ninja_file import parse

KNOWN = load()[0]


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


def rewritten(name, line):
    """Alter each line of a file by a function of its number and itself; one that gives None drops it."""

    def alter(folder):
        path = at(folder, name)
        made = [line(number, text) for number, text in enumerate(path.read_text().splitlines())]
        path.write_text("".join(f"{text}\n" for text in made if text is not None))

    return alter


def steps(of):
    """Alter start and end, in milliseconds, of each step of ninja's log: `of(number, start, end)`."""

    def line(number, text):
        if not number:
            return text
        start, end, *others = text.split("\t")
        return "\t".join((*map(str, of(number, int(start), int(end))), *others))

    return rewritten("NINJA/ninja_log", line)


def with_sample(name):
    """Of each sample keep the time and the memory, and let these parts have been at work."""
    return rewritten("NINJA/samples", lambda _, text: " ".join((*text.split()[:2], name)))


def idle(folder):
    """No compiler was at work in most of the samples of an object, of the longest that leaves the others the most."""
    call = json.loads(at(folder, "NINJA/call.json").read_text())
    log = [line.split("\t") for line in at(folder, "NINJA/ninja_log").read_text().splitlines()[1:]]
    times = [(int(start) / 1000, int(end) / 1000) for start, end, *_ in log]
    wall = call["ended"] - call["began"]
    start, end = max((end - start, start, end) for start, end in times if end - start < wall / 3)[1:]

    def line(_, text):
        uptime, memory, *_ = text.split()
        idles = start + (end - start) / 4 < float(uptime) - call["began"] < end
        return f"{uptime} {memory}" if idles else text

    rewritten("NINJA/samples", line)(folder)


def idle_after(folder, part):
    """Nothing was at work in the samples after such a part of them."""
    count = len(at(folder, "NINJA/samples").read_text().splitlines())
    rewritten("NINJA/samples", lambda n, text: text if n < part * count else " ".join(text.split()[:2]))(folder)


def without_object(folder):
    """One object was not compiled: neither log nor output nor link tells of it, and the others are numbered anew."""
    (log,) = folder.glob("container/ninja/*/ninja_log")
    lines = log.read_text().splitlines()
    gone = lines.pop(2).split("\t")[3]
    log.write_text("\n".join(lines) + "\n")
    pip = folder / "container/pip.log"
    kept = [line for line in pip.read_text().splitlines() if f"-o {gone} " not in line]
    count = len(lines) - 1
    numbers = iter(range(1, count + 1))
    kept = [re.sub(r"\[\d+/\d+\]", lambda _: f"[{next(numbers)}/{count}]", line) for line in kept]
    pip.write_text("\n".join(kept).replace(f" {gone}", "") + "\n")
    edit(log.parent / "outputs", rf"^{re.escape(gone)}\t.*\n", "")


def quicker(folder):
    """ninja is told to have been four times as quick as it was, in its own files."""
    began, ended = (json.loads(at(folder, "NINJA/call.json").read_text())[name] for name in ("began", "ended"))
    changed("NINJA/call.json", lambda call: call.update(ended=began + (ended - began) / 4))(folder)
    steps(lambda _, start, end: (start // 4, end // 4))(folder)
    rewritten("NINJA/samples", lambda number, text: text if number < (ended - began) / 4 else None)(folder)


def unknown_source(folder):
    """Another commit, whose files nobody knows; for it the general floor holds."""
    commit = "0123456789" * 4
    real = (folder / "commit.txt").read_text().strip()
    for name in ("commit.txt", "container/source_after_clone.txt", "container/source_after_compile.txt"):
        path = folder / name
        path.write_text(path.read_text().replace(real, commit))
    for name in ("run.log", "container/pip.log", "packages.json", "environment.json"):
        log = folder / name
        log.write_text(log.read_text().replace(f"+{real[:7]}", f"+{commit[:7]}"))
    built = folder / "built.json"
    built.write_text(re.sub(r'("xformers/csrc/[^"]+": ")[0-9a-f]{40}', rf"\g<1>{commit}", built.read_text()))


FEW = edited("NINJA/cpu_seconds", r"^.*$", "3.1 0.9")
CHEATS = {
    "it cost four CPU seconds": (FEW, "work_is_above_its_floor"),
    "it cost four, of a source that nobody knows": (both(unknown_source, FEW), "work_is_above_its_floor"),
    "its extension is a stub": (
        changed("environment.json", lambda facts: facts["extensions"][0].update(size=90_000)),
        "work_is_above_its_floor",
    ),
    "it cost more than the machine has": (
        edited("NINJA/cpu_seconds", r"^.*$", "99999.1 0.9"),
        "cpu_seconds_fit",
    ),
    "it cost nothing for its times": (
        both(unknown_source, edited("NINJA/cpu_seconds", r"^.*$", "0.1 0.1")),
        "cpu_seconds_fit",
    ),
    "an object was not compiled": (without_object, "every_edge_was_built_once"),
    "one command made two objects": (
        edited(
            "container/pip.log",
            r"\[2/(\d+)\] (.*)\n((?:(?!\s*\[3/).*\n)*)(\s*)\[3/\d+\] .*",
            r"[2/\1] \2\n\3\4[3/\1] \2",
        ),
        "every_edge_was_built_once",
    ),
    "another command than the build file's": (
        edited("container/pip.log", r"(\[4/\d+\] .*) -DUSE_CUDA", r"\1"),
        "every_edge_was_built_once",
    ),
    "the log has what nothing was to make": (
        edited("NINJA/build.ninja", r"^build (\S+)/gemm\.o:", r"build \1/other.o:"),
        "every_edge_was_built_once",
    ),
    "the host's log tells of steps at another time": (
        edited(
            "run.log",
            r"^(\S+T)(\d\d)(:\S+Z .*\[5/\d+\] )",
            lambda found: f"{found[1]}{(int(found[2]) + 1) % 24:02}{found[3]}",
        ),
        "log_saw_each_edge",
    ),
    "the host's log tells of fewer steps": (
        edited("run.log", r"^.*\[5/\d+\] .*\n", ""),
        "log_saw_each_edge",
    ),
    "the host's log tells of another step": (
        edited("run.log", r"(\[5/\d+\]) .*", r"\1 c++ -c other.cpp"),
        "log_saw_each_edge",
    ),
    "ptxas said nothing": (
        rewritten("container/pip.log", lambda _, text: None if "ptxas info" in text else text),
        "ptxas_told_of_its_work",
    ),
    "ptxas worked for another architecture": (
        edited("container/pip.log", r"(ptxas info .* for )'sm_\w+'", r"\1'sm_75'"),
        "ptxas_told_of_its_work",
    ),
    "all objects at once, with two jobs": (
        steps(lambda _, start, end: (0, end)),
        "edges_fit_each_other",
    ),
    "ninja was quicker than the host's log": (quicker, "log_saw_each_edge"),
    "objects in no time": (steps(lambda _, start, end: (end - 1, end)), "edges_fit_each_other"),
    "ninja idled for most of its time": (
        steps(lambda _, start, end: (start // 20, end // 20 + 150)),
        "edges_fit_each_other",
    ),
    "objects from before": (
        rewritten("NINJA/ninja_log", lambda number, text: re.sub(r"\t\d{19}\t", "\t1700000000000000000\t", text)),
        "edges_fit_each_other",
    ),
    "ninja failed": (changed("NINJA/call.json", lambda call: call.update(status=1)), "edges_fit_each_other"),
    "one sample in ten": (
        rewritten("NINJA/samples", lambda number, text: None if number % 10 else text),
        "samples_cover_the_compile",
    ),
    "samples of the first quarter": (
        rewritten("NINJA/samples", lambda number, text: text if number < 40 else None),
        "samples_cover_the_compile",
    ),
    "samples that nobody took a second apart": (
        rewritten("NINJA/samples", lambda _, text: f"{text}\n{text}"),
        "samples_cover_the_compile",
    ),
    "the same memory all the time": (
        rewritten(
            "NINJA/samples",
            lambda _, text: " ".join(
                (["500.0", "512000000"][1:] and text.split()[:1]) + ["900000000", *text.split()[2:]]
            ),
        ),
        "samples_cover_the_compile",
    ),
    "hardly any memory": (
        rewritten(
            "NINJA/samples",
            lambda number, text: " ".join([text.split()[0], str(9_000_000 + number), *text.split()[2:]]),
        ),
        "samples_cover_the_compile",
    ),
    "the same was at work all the time": (with_sample("cc1plus cicc"), "long_edges_were_sampled"),
    "no compiler was at work for most of an object": (idle, "long_edges_were_sampled"),
    "only the host's compiler was at work": (with_sample("cc1plus"), "long_edges_were_sampled"),
    "nothing was at work on the last object": (
        lambda folder: idle_after(folder, 2 / 3),
        "long_edges_were_sampled",
    ),
    "the host's kernel counted less": (
        changed("cpu_after.json", lambda used: used.update(group_seconds=6.5)),
        "host_saw_the_work",
    ),
    "the machine worked less": (
        lambda folder: changed(
            "cpu_after.json",
            lambda used: used.update(
                machine_seconds=json.loads((folder / "cpu_before.json").read_text())["machine_seconds"] + 40
            ),
        )(folder),
        "host_saw_the_work",
    ),
    "no processes were started": (
        lambda folder: changed(
            "cpu_after.json",
            lambda used: used.update(forks=json.loads((folder / "cpu_before.json").read_text())["forks"] + 9),
        )(folder),
        "host_saw_the_work",
    ),
    "read before it compiled": (
        lambda folder: (folder / "cpu_after.json").write_text((folder / "cpu_before.json").read_text()),
        "host_saw_the_work",
    ),
    "read long before the run": (
        changed("cpu_before.json", lambda used: used.update(uptime=12.0)),
        "host_saw_the_work",
    ),
    "the kernel worked, and no compiler": (edited("NINJA/cpu_seconds", r"^.*$", "3.1 139.7"), "cpu_seconds_fit"),
    "one kernel, told of many times": (
        rewritten("container/pip.log", lambda _, text: re.sub(r"(entry function ')[^']*", r"\1_Z1av", text)),
        "ptxas_told_of_its_work",
    ),
    "ten samples, told again and again": (
        rewritten(
            "NINJA/samples",
            lambda number, text: " ".join((text.split()[0], str(2**30 + number % 10 * 4096), *text.split()[2:])),
        ),
        "samples_cover_the_compile",
    ),
    "memory that is no pages": (
        rewritten(
            "NINJA/samples",
            lambda _, text: " ".join((text.split()[0], str(int(text.split()[1]) + 1), *text.split()[2:])),
        ),
        "samples_cover_the_compile",
    ),
    "samples a second apart, to the hundredth": (
        rewritten("NINJA/samples", lambda number, text: f"{28887 + number}.07 {text.partition(' ')[2]}"),
        "samples_cover_the_compile",
    ),
    "two parts in turn": (
        rewritten("NINJA/samples", lambda number, text: " ".join((*text.split()[:2], ("cicc", "cc1plus")[number % 2]))),
        "long_edges_were_sampled",
    ),
    "more jobs are told of than ran": (
        both(changed("run.json", lambda run: run.update(max_jobs="16")), edited("NINJA/arguments", "^2$", "16")),
        "edges_fit_each_other",
    ),
    "an object was written again": (
        edited("NINJA/outputs", r"\t(\d+)\t(\d+)\.", lambda found: f"\t{found[1]}\t{int(found[2]) + 2}."),
        "objects_were_linked",
    ),
    "objects of a few bytes": (
        rewritten("NINJA/outputs", lambda _, text: re.sub(r"\t\d+\t", "\t4000\t", text)),
        "objects_were_linked",
    ),
    "edges that began in another order than their processes": (
        edited(
            "built.json",
            r"(tmpxft_)(\w+)(_\w+-6_nvcc_info[\s\S]*tmpxft_)(\w+)(_\w+-6_sparse24_pack_test)",
            r"\1\4\3\2\5",
        ),
        "objects_were_linked",
    ),
    "symbols of what was not compiled": (
        changed("built.json", lambda built: built["extensions"][0]["sources"].append("ready.cpp")),
        "objects_were_linked",
    ),
    "code of a stub": (
        edited("container/extension_elf.txt", r"gemm\.sm_90", "stub.sm_90"),
        "extension_is_for_its_architectures",
    ),
    "an extension that is padded": (
        changed(
            "built.json", lambda built: built["extensions"][0]["sections"].update({".text": 9, ".nv_fatbin": 90_000})
        ),
        "extension_is_for_its_architectures",
    ),
    "another size for the host": (
        changed("built.json", lambda built: built["extensions"][0].update(size=4_000_000)),
        "extension_is_for_its_architectures",
    ),
    "a second extension": (
        changed("built.json", lambda built: built["extensions"].append({**built["extensions"][0], "sha256": "0"})),
        "extension_is_for_its_architectures",
    ),
    "an object is empty": (edited("NINJA/outputs", r"\t\d+\t", "\t0\t"), "objects_were_linked"),
    "an object was left out": (edited("NINJA/outputs", r"^.*\n", ""), "objects_were_linked"),
    "an object was written later": (
        edited("NINJA/outputs", r"\t(\d+)\t(\d+)\.", lambda found: f"\t{found[1]}\t{int(found[2]) + 3600}."),
        "objects_were_linked",
    ),
    "an object was not linked": (
        edited("container/pip.log", r"( -shared .*?) \S+/gemm\.o", r"\1"),
        "objects_were_linked",
    ),
    "what was linked is another file": (
        edited("container/pip.log", r"( -shared .* -o \S+/)_C(\S*\.so)", r"\1_D\2"),
        "objects_were_linked",
    ),
    "the extension has nothing of an object": (
        edited("built.json", r"_gemm\.cudafe1", "_other.cudafe1"),
        "objects_were_linked",
    ),
    "the extension has GPU code of one object": (
        changed("built.json", lambda built: built["extensions"][0]["gpu_code"]["sm_90"].update(elf=1)),
        "objects_were_linked",
    ),
    "the extension is another": (
        edited("container/extension_sums.txt", r"^[0-9a-f]{64}", "0" * 64),
        "extension_is_for_its_architectures",
    ),
    "the host saw another extension": (
        changed("built.json", lambda built: built["extensions"][0].update(sha256="0" * 64)),
        "extension_is_for_its_architectures",
    ),
    "the extension is for another architecture": (
        both(
            edited("built.json", r'"sm_90"', '"sm_80"'),
            rewritten("container/extension_elf.txt", lambda _, text: text.replace("sm_90", "sm_80")),
        ),
        "extension_is_for_its_architectures",
    ),
    "cuobjdump tells of another architecture": (
        edited("container/extension_elf.txt", r"sm_90", "sm_80"),
        "extension_is_for_its_architectures",
    ),
    "nobody listed the extension": (
        lambda folder: (folder / "container/extension_elf.txt").write_text(""),
        "extension_is_for_its_architectures",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_forged_work_is_rejected(folder, name):
    forge, check = CHEATS[name]
    forge(folder)
    evidence_sample.seal(folder)
    assert check in failed(folder)


# ---- no false alarm --------------------------------------------------------------------------------------------------


def late_sampler(folder):
    """A loaded host: the samples are up to two seconds apart."""
    rewritten("NINJA/samples", lambda number, text: None if number % 3 == 1 else text)(folder)


HONEST = {
    "samples come late on a loaded host": late_sampler,
    "the kernel does not tell of memory": rewritten(
        "NINJA/samples", lambda _, text: " ".join((text.split()[0], "-", *text.split()[2:]))
    ),
    "there is no cuobjdump": lambda folder: (folder / "container/extension_elf.txt").write_text(
        "there is no cuobjdump here\n"
    ),
    "nobody tells of control groups": changed("cpu_after.json", lambda used: used.update(group_seconds=None)),
    "a source that nobody knows": unknown_source,
    "a compiler that nobody measured": lambda folder: newer_nvcc(folder),  # noqa: PLW0108
    "a machine three times as fast": lambda folder: edit(
        at(folder, "NINJA/cpu_seconds"), r"^.*$", f"{KNOWN.cpu_floor('13.0', '9.0') + 1} 0.5"
    ),
    "the extension was stripped": changed("built.json", lambda built: built["extensions"][0].update(sources=[])),
    "a newer ninja notes when an edge began": lambda folder: newer_ninja(folder),  # noqa: PLW0108
    "the clock was set after it had compiled": lambda folder: set_clock(folder, 40, "pre_commit"),
    "the clock was set while it compiled": lambda folder: set_clock(folder, 40, "compile"),
}


def newer_ninja(folder):
    began = json.loads(at(folder, "NINJA/call.json").read_text())["began"]
    event = json.loads((folder / "events.jsonl").read_text().splitlines()[0])
    offset = datetime.fromisoformat(event["time"]).timestamp() - event["uptime"]

    def line(number, text):
        if not number:
            return "# ninja log v7"
        start, end, _, *others = text.split("\t")
        return "\t".join((start, end, str(int((offset + began + int(start) / 1000) * 1e9)), *others))

    rewritten("NINJA/ninja_log", line)(folder)
    edit(folder / "environment.json", r'("ninja": )"[^"]*"', r'\1"1.13.0"')


def newer_nvcc(folder):
    """A toolkit of wheels that the rules do not know yet; the base's nvcc says the same of itself."""
    for name in ("environment.json", "base_image_cuda.txt"):
        edit(folder / name, r"release 13\.\d, V[\d.]+", "release 14.1, V14.1.88")
    for name in ("base_image_before.json", "base_image.json"):
        edit(folder / name, r'("provisioner.wheels": ")[^"]*', r"\1nvidia-cuda-nvcc==14.1.88")


def set_clock(folder, seconds, phase):
    """The clock was set on by so many seconds in the middle of a phase: all that was noted later has the later time."""
    begun, ended = (
        json.loads(next(line for line in (folder / "container/events.jsonl").read_text().splitlines() if what in line))
        for what in (f'"begin","phase":"{phase}"', f'"end","phase":"{phase}"')
    )
    first, last = (datetime.fromisoformat(event["time"]).timestamp() for event in (begun, ended))
    middle = (first + last) / 2

    def moved(moment):
        return moment + seconds if moment > middle else moment

    def stamp(found):
        time = datetime.fromtimestamp(moved(datetime.fromisoformat(found[0]).timestamp()), UTC)
        return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"

    for name in ("run.log", "events.jsonl", "container/events.jsonl"):
        path = folder / name
        path.write_text(re.sub(r"2\d{3}-\d\d-\d\dT[\d:]+\.\d{3}Z", stamp, path.read_text()))
    for name in ("container/extensions.jsonl", "environment.json", "built.json", "NINJA/outputs"):
        path = at(folder, name)
        path.write_text(re.sub(r"\b\d{10}\.\d+", lambda found: repr(moved(float(found[0]))), path.read_text()))
    path = at(folder, "NINJA/ninja_log")
    path.write_text(re.sub(r"\b\d{19}\b", lambda found: str(int(moved(int(found[0]) / 1e9) * 1e9)), path.read_text()))


@pytest.mark.parametrize("name", HONEST)
def test_honest_work_is_not_accused(folder, name):
    HONEST[name](folder)
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_extra_ptx_that_was_asked_for_is_there(folder):
    appended("container/extension_elf.txt", "PTX file    1: _C.1.sm_90.ptx\n")(folder)
    changed("built.json", lambda built: built["extensions"][0]["gpu_code"]["sm_90"].update(ptx=1))(folder)
    evidence_sample.seal(folder)
    assert judge(folder)[1]["extension_is_for_its_architectures"].outcome == "pass"


# ---- ninja's format --------------------------------------------------------------------------------------------------

BUILD = r"""
ninja_required_version = 1.3
# a comment
cc = gcc
flags = -O2 $
    -DNAME="$$x"

rule compile
  command = $cc $flags $more -c $in -o ${out}
  depfile = $out.d
more = none

build a$ b.o: compile src/a$ b.c | header.h || order
build c$:d.o | side.txt: compile c.c
  more = -g
  flags = -O3
build all: phony a$ b.o
default all
"""


def test_the_build_file_is_read_as_ninja_reads_it():
    first, second = parse(BUILD)
    assert first.outputs == ("a b.o",) and first.inputs == ("src/a b.c",)
    assert first.command == "gcc -O2 -DNAME=\"$x\" none -c 'src/a b.c' -o 'a b.o'"
    assert second.outputs == ("c:d.o", "side.txt") and second.inputs == ("c.c",)
    assert second.command == "gcc -O3 -g -c c.c -o 'c:d.o'"


@pytest.mark.parametrize("text", ["", "build", "build x", "build x: y", "rule\n  command = $", "  = \n", "build : :\n"])
def test_a_broken_build_file_has_no_edges_or_no_shape(text):
    with contextlib.suppress(ValueError, LookupError):
        assert parse(text) == ()


def test_a_build_file_that_grows_without_end_is_refused():
    doubling = "a = 0123456789\n" + "a = $a$a\n" * 64
    with pytest.raises(ValueError, match="longer command"):
        parse(doubling + "rule r\n  command = $a\nbuild x: r y\n")
    chain = "".join(f"  v{number} = $v{number + 1}$v{number + 1}\n" for number in range(64))
    with pytest.raises(ValueError, match="longer command"):
        parse(f"rule r\n{chain}  v64 = 0123456789\n  command = $v0\nbuild x: r y\n")
    assert parse("rule r\n  command = x$command\nbuild x: r y\n")[0].command == "x"
