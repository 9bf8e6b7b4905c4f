"""How healthy a host's NVIDIA GPUs are, by nvidia-smi, the kernel's log and, where it is installed, DCGM. Reads only.

What is asked is data: SYMPTOMS are of what `nvidia-smi -q -x` tells, XIDS of the driver's errors in the kernel's log.
What a driver does not tell ("N/A", "Not Supported", an element that its version does not have) is no trouble.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import nvidia
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.findings import FAIL, OK, WARN, finding

# Bytes: eight GPUs with all their clocks and processes take half a million.
LARGEST = 16_000_000
# The last lines of the kernel's log that are looked at, where it can be asked for those of the driver alone.
LINES = 2000
LOG_PATIENCE = 20
DCGM_PATIENCE = 120

RESET = "restart the host, or with nothing running on it reset that GPU: `nvidia-smi --gpu-reset -i N`"
REPLACE = "have that GPU replaced: run NVIDIA's field diagnostic, and give its log to the vendor"
COOL = "see to the host's cooling: fans, filters, the air at its intake"
POWER = "check the host's power supplies and the GPU's power cables"
SLOT = "have the GPU reseated, in a slot with all the lanes and the generation that it has; see the firmware's setting"
PERSIST = "enable nvidia-persistenced.service, or `nvidia-smi -pm 1` until the next start"
BUS = "restart the host, by its power where that does not do; if it comes again: cables, slot, power, then the GPU"
SOFTWARE = "have a look at the program that ran then; if it comes with others too, at the GPU"


# --- what nvidia-smi tells ---


def number_of(text: str) -> int:
    """Return the number that a text begins with (16 of 16x), 0 where it begins with none or with too long a one."""
    found = re.match(r"\d{1,12}(?!\d)", text)
    return int(found[0]) if found else 0


def total(values: list[str], least: int = 1) -> str:
    """Return the sum of the numbers in `values` where it is at least so much, else ''."""
    number = sum(map(number_of, values))
    return str(number) if number >= least else ""


def many(values: list[str]) -> str:
    """Return the sum of retired pages from which on NVIDIA has a GPU replaced, else ''."""
    return total(values, 60)


def said(values: list[str]) -> str:
    """Return what is said where it is neither no nor none, else ''."""
    return next((value for value in values if value and value not in {"No", "None", "Not Active", "Enabled"}), "")


def alone(values: list[str]) -> str:
    """Return the first value where it is active and none of the others says why, else ''."""
    return values[0] if said(values[:1]) and not said(values[1:]) else ""


def below(values: list[str]) -> str:
    """Return `1 of 5` where the first number is below the second and both are told, else ''."""
    now, best = map(number_of, values)
    return f"{now} of {best}" if 0 < now < best else ""


class Symptom(NamedTuple):
    """What makes a GPU look ill: what elements of it have such values, how bad that is, how it is told and mended.

    `bad` is given the text of each of `paths`, '' where the driver does not tell it, and returns what `says` has in its
    braces, '' where nothing is wrong.
    """

    check: str
    outcome: str
    paths: tuple[str, ...]
    bad: Callable[[list[str]], str]
    says: str
    remedy: str


def _throttled(*reasons: str) -> tuple[str, ...]:
    """Return where these reasons are, by the name of drivers before 535 and since."""
    names = ("clocks_event_reasons/clocks_event_reason_", "clocks_throttle_reasons/clocks_throttle_reason_")
    return tuple(name + reason for reason in reasons for name in names)


def _uncorrectable(since: str) -> tuple[str, ...]:
    """Return where uncorrectable errors are counted, by the names of all drivers."""
    kinds = ("sram_uncorrectable", "sram_uncorrectable_parity", "sram_uncorrectable_secded", "dram_uncorrectable")
    return tuple(f"ecc_errors/{since}/{kind}" for kind in (*kinds, "double_bit/total"))


STATE, ECC, PAGES, ROWS = "gpu state", "gpu ecc", "gpu retired pages", "gpu remapped rows"
PCIE, THROTTLING, PERSISTENCE = "gpu pcie", "gpu throttling", "gpu persistence"
RETIRED = tuple(f"retired_pages/{kind}_retirement/retired_count" for kind in ("multiple_single_bit", "double_bit"))
PENDING = ("retired_pages/pending_retirement", "retired_pages/pending_blacklist")
GENERATION = "pci/pci_gpu_link_info/pcie_gen/"
WIDTH = "pci/pci_gpu_link_info/link_widths/"
HEAT, BRAKE = "hw_thermal_slowdown", "hw_power_brake_slowdown"

SYMPTOMS = (
    Symptom(STATE, FAIL, ("gpu_reset_status/reset_required",), said, "the driver says that it must be reset", RESET),
    Symptom(STATE, FAIL, ("gpu_recovery_action",), said, "the driver asks for: {}", RESET),
    Symptom(ECC, FAIL, _uncorrectable("volatile"), total, "{} uncorrectable errors since the driver was loaded", RESET),
    Symptom(ECC, FAIL, ("ecc_errors/aggregate/sram_threshold_exceeded",), said, "too many errors in SRAM", REPLACE),
    Symptom(
        ECC,
        WARN,
        _uncorrectable("aggregate"),
        total,
        "{} uncorrectable errors in its life",
        "watch it: more want a reset",
    ),
    Symptom(PAGES, FAIL, RETIRED, many, "{} pages are retired", REPLACE),
    Symptom(PAGES, WARN, PENDING, said, "a page is to be retired, which is pending", RESET),
    Symptom(
        PAGES, WARN, RETIRED[1:], total, "{} pages are retired for uncorrectable errors", "watch it: 60 are too many"
    ),
    Symptom(ROWS, FAIL, ("remapped_rows/remapped_row_failure",), said, "remapping a row has failed", REPLACE),
    Symptom(
        ROWS, WARN, ("remapped_rows/remapped_row_pending",), said, "a row is to be remapped, which is pending", RESET
    ),
    Symptom(
        ROWS,
        WARN,
        ("remapped_rows/remapped_row_unc",),
        total,
        "{} rows are remapped for uncorrectable errors",
        "watch it: each bank has few rows to spare",
    ),
    Symptom(
        PCIE, WARN, (f"{WIDTH}current_link_width", f"{WIDTH}max_link_width"), below, "{} lanes are connected", SLOT
    ),
    # An idle GPU lowers its generation by itself: what slot and card can reach is compared, not what is now.
    Symptom(
        PCIE,
        WARN,
        (f"{GENERATION}max_link_gen", f"{GENERATION}max_device_link_gen"),
        below,
        "generation {} in reach",
        SLOT,
    ),
    Symptom(THROTTLING, WARN, _throttled(HEAT), said, "the hardware halves its clocks for heat", COOL),
    Symptom(THROTTLING, WARN, _throttled(BRAKE), said, "the power supply has its clocks halved", POWER),
    Symptom(
        THROTTLING,
        WARN,
        _throttled("hw_slowdown", HEAT, BRAKE),
        lambda values: alone([said(values[:2]), *values[2:]]),
        "the hardware lowers its clocks, for heat or power",
        f"{COOL}; {POWER}",
    ),
    Symptom(THROTTLING, WARN, _throttled("sw_thermal_slowdown"), said, "the driver lowers its clocks for heat", COOL),
    Symptom(PERSISTENCE, WARN, ("persistence_mode",), said, "it is off", PERSIST),
)
FINE = {
    STATE: "the driver asks for nothing",
    ECC: "no uncorrectable errors",
    PAGES: "none for uncorrectable errors, none pending",
    ROWS: "none for uncorrectable errors, none pending",
    PCIE: "all lanes are connected, at the GPU's own generation",
    THROTTLING: "neither heat nor power lowers the clocks",
    PERSISTENCE: "on",
}
UNTOLD = "not reported by this driver for these GPUs"
NOTHING = re.compile(r"\[?(N/A|Not Supported|Not Available|Unknown Error|Insufficient Permissions)\]?|", re.IGNORECASE)
LOST = re.compile(r"Unable to determine the device handle.*|.*(?:GPU is lost|fallen off the bus).*", re.IGNORECASE)
RESET_FIRST = re.compile(r"GPU requires reset|reset required", re.IGNORECASE)


class Gpu(NamedTuple):
    """A GPU as nvidia-smi reports it: its number, its address on the bus, and the element."""

    number: int
    address: str
    element: object

    def texts(self, paths: tuple[str, ...]) -> list[str]:
        """Return the text of each path, '' where it is not told."""
        found = (str(self.element.findtext(path) or "").strip() for path in paths)
        return ["" if NOTHING.fullmatch(text) else text[:200] for text in found]


class Trouble(NamedTuple):
    """Something that is wrong with one GPU."""

    outcome: str
    says: str
    remedy: str
    gpu: str


def of_smi(code: int, gpus: list[Gpu], words: str, err: str, known: int) -> list[dict[str, str]]:
    """Return a finding for each check of SYMPTOMS by what `nvidia-smi -q -x` said, as `parsed` gives it.

    The driver has `known` GPUs.
    """
    if code == 124:
        return [finding(STATE, FAIL, err.strip() or "nvidia-smi does not answer", BUS)]
    lines = [line.strip()[:300] for line in f"{words}\n{err}".splitlines() if line.strip()]
    lost = _lost(lines, gpus)
    if not gpus and not lost:
        first = lines[0] if lines else f"exit code {code}"
        return [finding(STATE, WARN, f"nvidia-smi reports nothing: {first}", "see check gpu")]
    troubled = _troubled(lost, gpus, known)
    checks = [check for check in FINE if check != STATE or not troubled]
    return troubled + ([of_check(check, gpus) for check in checks] if gpus else [])


def _lost(lines: list[str], gpus: list[Gpu]) -> list[str]:
    """Return what says that a GPU is lost: the lines that do, and the GPUs' own elements."""
    said_so = list(dict.fromkeys(found[0] for line in lines if (found := LOST.search(line))))
    return said_so + [f"GPU {gpu.number}: {text}" for gpu in gpus for text in _states(gpu, LOST)]


def _troubled(lost: list[str], gpus: list[Gpu], known: int) -> list[dict[str, str]]:
    """Return the finding on GPUs that do not work at all: lost, in need of a reset, or not told of; [] without one."""
    reset = [f"GPU {gpu.number} requires a reset" for gpu in gpus if _states(gpu, RESET_FIRST)]
    if lost:
        return [finding(STATE, FAIL, "; ".join(lost[:8]), BUS)]
    if reset:
        return [finding(STATE, FAIL, "; ".join(reset), RESET)]
    if len(gpus) < known:
        detail = f"nvidia-smi reports {len(gpus)} of the {known} GPUs that the driver has"
        return [finding(STATE, FAIL, detail, BUS)]
    return []


def parsed(out: str) -> tuple[list[Gpu], str]:
    """Return the GPUs of what nvidia-smi printed, and what it said beside that; none where it is no XML.

    The head, where a document could define entities, is not read.
    """
    if len(out) > LARGEST:
        return [], f"more than {LARGEST} characters"
    from xml.etree import ElementTree  # noqa: PLC0415 - few hosts have a GPU

    start, end = out.find("<nvidia_smi_log"), out.rfind("</nvidia_smi_log>") + len("</nvidia_smi_log>")
    if start < 0 or end <= start:
        return [], re.sub(r"<[?!][^>]*>", "", out)
    try:
        root = ElementTree.fromstring(out[start:end])  # noqa: S314 - without a head, and not larger than LARGEST
    except ElementTree.ParseError as error:
        return [], f"its XML is broken: {error}"
    elements = enumerate(root.findall("gpu"))
    gpus = [Gpu(number, place(element.get("id", "")), element) for number, element in elements]
    return gpus, re.sub(r"<[?!][^>]*>", "", out[:start]) + out[end:]


def of_check(check: str, gpus: list[Gpu]) -> dict[str, str]:
    """Return the finding of one check: what is wrong with which GPUs, the worst first."""
    symptoms = [symptom for symptom in SYMPTOMS if symptom.check == check]
    troubles, told = [], False
    for symptom in symptoms:
        for gpu in gpus:
            values = gpu.texts(symptom.paths)
            told = told or any(values)
            bad = symptom.bad(values)
            if bad:
                troubles.append(Trouble(symptom.outcome, symptom.says.format(bad), symptom.remedy, str(gpu.number)))
    return summed(check, troubles, len(gpus)) or finding(check, OK, FINE[check] if told else UNTOLD)


def summed(check: str, troubles: list[Trouble], number: int) -> dict[str, str] | None:
    """Return one finding for all troubles of a check, None without any; `number` is that of all GPUs."""
    if not troubles:
        return None
    groups: dict[tuple[str, str, str], list[str]] = {}
    for trouble in sorted(troubles, key=lambda one: one.outcome != FAIL):
        groups.setdefault(trouble[:3], []).append(trouble.gpu)
    details = []
    for (_unused, says, _unused), told in groups.items():
        which = list(dict.fromkeys(told))
        name = f"all {number} GPUs" if len(which) == number > 1 else f"GPU {', '.join(which)}"
        details.append(f"{name}: {says}")
    outcome, _unused, remedy = next(iter(groups))
    return finding(check, outcome, "; ".join(details), remedy)


def _states(gpu: Gpu, pattern: re.Pattern) -> list[str]:
    """Return the first text in a GPU's elements that says such a thing of it, in a list; [] without one."""
    texts = (element.text.strip() for element in gpu.element.iter() if element.text and pattern.search(element.text))
    return [text[:200] for text in texts][:1]


# --- the kernel's log ---

PROGRAM = (OK, "a program's own fault", "")
DRIVER = (WARN, "a fault of the driver or the GPU", f"bring the driver to its branch's newest version; {RESET}")
# The driver's errors, by number: how bad one since the host's start is, what it means, and what mends it. What is not
# here is told, with a warning.
XIDS = {
    8: PROGRAM,
    13: PROGRAM,
    31: PROGRAM,
    32: PROGRAM,
    43: PROGRAM,
    45: PROGRAM,
    68: PROGRAM,
    69: PROGRAM,
    61: DRIVER,
    62: DRIVER,
    38: DRIVER,
    109: DRIVER,
    119: DRIVER,
    120: DRIVER,
    48: (FAIL, "an uncorrectable memory error", RESET),
    63: (WARN, "a page is retired or a row remapped, at the next reset", RESET),
    64: (FAIL, "retiring a page or remapping a row has failed", REPLACE),
    74: (WARN, "an NVLink error", f"see `nvidia-smi nvlink -e`; {RESET}"),
    79: (FAIL, "the GPU has fallen off the bus", BUS),
    92: (WARN, "many corrected memory errors", REPLACE),
    94: (WARN, "an uncorrectable memory error, contained in one program", RESET),
    95: (FAIL, "an uncorrectable memory error that reached other programs", RESET),
    140: (FAIL, "an uncorrectable memory error", RESET),
    154: (WARN, "what the driver asks for has changed: see gpu state", RESET),
}
XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f]{1,8}(?::[0-9A-Fa-f]{2}){1,2}(?:\.\d)?)\): (\d{1,4})\b")
ASKING_THE_LOG = (
    (
        "journalctl",
        "--dmesg",
        "--boot",
        "--quiet",
        "--no-pager",
        "--output=cat",
        f"--lines={LINES}",
        "--grep=NVRM: Xid",
    ),
    ("dmesg",),
)


def of_log(text: str, numbers: dict[str, str]) -> dict[str, str]:
    """Return the finding of what the kernel's log has of the driver's errors; `numbers` are the GPUs', by address."""
    counted = Counter((place(address), int(xid)) for address, xid in XID.findall(text))
    troubles, programs = [], Counter()
    for (address, xid), times in sorted(counted.items()):
        outcome, means, remedy = XIDS.get(xid, (WARN, "see NVIDIA's list of Xid errors", SOFTWARE))
        if outcome == OK:
            programs[xid] += times
            continue
        often = f", {times} times" if times > 1 else ""
        troubles.append(Trouble(outcome, f"Xid {xid}, {means}{often}", remedy, numbers.get(address, address)))
    if troubles:
        return summed("gpu xid", troubles, 0) or {}
    own = ", ".join(f"Xid {xid} ({times} times)" for xid, times in sorted(programs.items()))
    detail = f"only programs' own faults since the host's start: {own}" if own else "none since the host's start"
    return finding("gpu xid", OK, detail)


def kernel_log(ask: Callable[..., tuple[int, str, str]]) -> str | None:
    """Return what the kernel's log has of the driver's errors; None where nothing that reads it is let to."""
    read = False
    for command in ASKING_THE_LOG:
        code, out, err = ask(*command, patience=LOG_PATIENCE)
        # journalctl ends with 1 where nothing fits; who may not read it is told so on standard error.
        read = read or (code in {0, 1} and not err.strip())
        if "Xid" in out:
            return out[-LARGEST:]
    return "" if read else None


def place(address: str) -> str:
    """Return a GPU's address without what differs from witness to witness: 00000000:18:00.0 and 0000:18:00 are one."""
    parts = address.lower().partition(".")[0].split(":")
    return ":".join([part.lstrip("0") or "0" for part in parts[:-2]] + parts[-2:])


# --- DCGM ---


def of_dcgm(code: int, out: str, err: str) -> dict[str, str]:
    """Return the finding of DCGM's quick diagnostic, by its JSON."""
    check = "gpu dcgm"
    results = list(_results(_json(out)))
    bad = [one for one in results if one[1] in {"fail", "warn"}]
    if bad:
        outcome = FAIL if any(status == "fail" for _unused, status, _unused in bad) else WARN
        told = [f"{name}: {status}{': ' if why else ''}{why}" for name, status, why in bad]
        return finding(check, outcome, "; ".join(dict.fromkeys(told)), "see `dcgmi diag -r 1` on the host")
    if results:
        passed = len({name for name, status, _unused in results if status == "pass"})
        return finding(check, OK, f"`dcgmi diag -r 1` passes {passed} tests")
    words = next((line.strip()[:300] for line in f"{err}\n{out}".splitlines() if line.strip()), f"exit code {code}")
    return finding(check, OK, f"not asked: {words}")


def _json(out: str) -> object:
    """Return the JSON that stands in what a program printed; None where there is none, or too much."""
    start = out.find("{")
    if start < 0 or len(out) > LARGEST:
        return None
    try:
        return json.loads(out[start : out.rfind("}") + 1])
    except (ValueError, RecursionError):
        return None


def _results(answer: object, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the name, the status and the warning of each result, wherever in DCGM's JSON: its releases differ."""
    if isinstance(answer, list):
        for one in answer:
            yield from _results(one, name)
    elif isinstance(answer, dict):
        name = str(answer.get("name") or answer.get("test_name") or name)[:80]
        status = answer.get("status")
        if isinstance(status, str):
            yield name, status.lower(), _warning(answer)
        for value in answer.values():
            if isinstance(value, list | dict):
                yield from _results(value, name)


def _warning(result: dict) -> str:
    """Return the first warning of a result, a text or an object that has one; '' without."""
    told = result.get("warnings") or result.get("warning") or ""
    told = told[0] if isinstance(told, list) else told
    return str(told.get("warning", "") if isinstance(told, dict) else told)[:300]


# --- all of it ---


def health(host: Host, ask: Callable[..., tuple[int, str, str]], silent: str = "") -> list[dict[str, str]]:
    """Return the findings on the GPUs of a host that has a driver.

    `ask` runs a command as root, as far as we can be; `silent` says that nvidia-smi hangs, which is not asked again.
    """
    program = nvidia.program(host)
    code, out, err = (124, "", silent) if silent else host.run(program, "-q", "-x", patience=nvidia.PATIENCE)
    gpus, said_beside = parsed(out)
    found = of_smi(code, gpus, said_beside, err, len(list(nvidia.CARDS.glob("*")))) if code != 127 else []
    numbers = {gpu.address: str(gpu.number) for gpu in gpus}
    log = kernel_log(ask)
    unread = finding("gpu xid", OK, "not known: the kernel's log cannot be read here")
    found.append(unread if log is None else of_log(log, numbers))
    if host.which("dcgmi") and not silent:
        found.append(of_dcgm(*ask("dcgmi", "diag", "-r", "1", "-j", patience=DCGM_PATIENCE)))
    return found
