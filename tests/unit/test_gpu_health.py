"""What `doctor` finds of GPUs that are ill. There is no GPU here: gpu_reports.py says what its words are made after."""

import pytest
from gpu_reports import FALLEN, LOST, NO_PAGES, NO_ROWS, OLD, XID, ZERO, diagnostic, eight, gpu, reasons, report

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import nvidia
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.doctor import checks
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.doctor import gpu_health as health
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host

BILLION_LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


def of_smi(out, *, code=0, err="", known=0):
    return {found["check"]: found for found in health.of_smi(code, *health.parsed(out), err, known)}


def test_gpus_that_are_well_are_told_so_one_row_a_check_and_a_link_that_rests_is_well():
    found = of_smi(eight(), known=8)
    assert list(found) == list(health.FINE)
    assert {each["outcome"] for each in found.values()} == {"ok"} and not any(each["remedy"] for each in found.values())
    assert [check for check, each in found.items() if each["detail"] == health.UNTOLD] == ["gpu retired pages"]


ILL = {
    "a reset that is due": (
        {"gpu_reset_status": "<reset_required>Yes</reset_required>"},
        ("gpu state", "fail", "must be reset", "--gpu-reset"),
    ),
    "a recovery that is due": (
        {"gpu_recovery_action": "Reboot"},
        ("gpu state", "fail", "asks for: Reboot", "restart the host"),
    ),
    "uncorrectable errors now": (
        {"volatile": ZERO.replace("<dram_uncorrectable>0", "<dram_uncorrectable>2")},
        ("gpu ecc", "fail", "2 uncorrectable errors since the driver was loaded", "--gpu-reset"),
    ),
    "errors by their newer names": (
        {
            "volatile": "<sram_uncorrectable_parity>1</sram_uncorrectable_parity>"
            "<sram_uncorrectable_secded>2</sram_uncorrectable_secded><dram_uncorrectable>0</dram_uncorrectable>"
        },
        ("gpu ecc", "fail", "3 uncorrectable", "--gpu-reset"),
    ),
    "errors of its life": (
        {"aggregate": ZERO.replace("<sram_uncorrectable>0", "<sram_uncorrectable>4")},
        ("gpu ecc", "warn", "4 uncorrectable errors in its life", "watch"),
    ),
    "SRAM beyond its threshold": (
        {"aggregate": f"{ZERO}<sram_threshold_exceeded>Yes</sram_threshold_exceeded>"},
        ("gpu ecc", "fail", "SRAM", "replaced"),
    ),
    "pages that are to be retired": (
        {"retired_pages": NO_PAGES.replace("<pending_retirement>N/A", "<pending_retirement>Yes")},
        ("gpu retired pages", "warn", "pending", "--gpu-reset"),
    ),
    "pages by the older name": (
        {"retired_pages": NO_PAGES.replace("<pending_blacklist>N/A", "<pending_blacklist>Yes")},
        ("gpu retired pages", "warn", "pending", "--gpu-reset"),
    ),
    "too many retired pages": (
        {"retired_pages": NO_PAGES.replace("<retired_count>N/A", "<retired_count>30")},
        ("gpu retired pages", "fail", "60 pages are retired", "replaced"),
    ),
    "rows that are to be remapped": (
        {"remapped_rows": NO_ROWS.replace("<remapped_row_pending>No", "<remapped_row_pending>Yes")},
        ("gpu remapped rows", "warn", "pending", "--gpu-reset"),
    ),
    "rows that could not be remapped": (
        {"remapped_rows": NO_ROWS.replace("<remapped_row_failure>No", "<remapped_row_failure>Yes")},
        ("gpu remapped rows", "fail", "failed", "replaced"),
    ),
    "rows that are remapped": (
        {"remapped_rows": NO_ROWS.replace("<remapped_row_unc>0", "<remapped_row_unc>1")},
        ("gpu remapped rows", "warn", "1 rows are remapped", "watch"),
    ),
    "half the lanes": (
        {"link_widths": "<max_link_width>16x</max_link_width><current_link_width>8x</current_link_width>"},
        ("gpu pcie", "warn", "8 of 16 lanes", "seated"),
    ),
    "a slot of an older generation": (
        {
            "pcie_gen": "<max_link_gen>4</max_link_gen><current_link_gen>1</current_link_gen>"
            "<max_device_link_gen>5</max_device_link_gen>"
        },
        ("gpu pcie", "warn", "generation 4 of 5", "slot"),
    ),
    "heat": (
        {"why": reasons("hw_slowdown", "hw_thermal_slowdown")},
        ("gpu throttling", "warn", "for heat", "cooling"),
    ),
    "heat, by the older name": (
        {"why": reasons("sw_thermal_slowdown", name="clocks_throttle_reason")},
        ("gpu throttling", "warn", "the driver lowers its clocks for heat", "cooling"),
    ),
    "a power brake": (
        {"why": reasons("hw_slowdown", "hw_power_brake_slowdown")},
        ("gpu throttling", "warn", "power supply", "power"),
    ),
    "a slowdown that nothing explains": (
        {"why": reasons("hw_slowdown")},
        ("gpu throttling", "warn", "for heat or power", "cooling"),
    ),
    "no persistence": ({"persistence_mode": "Disabled"}, ("gpu persistence", "warn", "it is off", "persistenced")),
}


@pytest.mark.parametrize("name", ILL)
def test_what_is_wrong_with_one_of_eight_is_told_with_its_number(name):
    parts, (check, outcome, detail, remedy) = ILL[name]
    found = of_smi(eight(**parts), known=8)
    assert found[check]["outcome"] == outcome and detail in found[check]["detail"] and remedy in found[check]["remedy"]
    assert found[check]["detail"].startswith("GPU 3: ") and "GPU 0" not in found[check]["detail"]
    assert {each["outcome"] for one, each in found.items() if one != check} == {"ok"}


def test_every_symptom_has_a_case_and_every_check_its_words_for_gpus_that_are_well():
    assert {symptom.check for symptom in health.SYMPTOMS} == set(health.FINE)
    tried = [found for parts, _ in ILL.values() for found in health.parsed(report(gpu(**parts)))[0]]
    for symptom in health.SYMPTOMS:
        assert any(symptom.bad(each.texts(symptom.paths)) for each in tried), symptom.says


@pytest.mark.parametrize("reason", ["gpu_idle", "sw_power_cap", "sync_boost"])
def test_clocks_that_are_lower_for_no_fault_are_no_trouble(reason):
    assert of_smi(report(gpu(why=reasons(reason))))["gpu throttling"]["outcome"] == "ok"


@pytest.mark.parametrize(
    "said", ["N/A", "[N/A]", "Not Supported", "[Not Supported]", "Unknown Error", "Insufficient Permissions", ""]
)
def test_what_a_driver_does_not_tell_is_no_trouble(said):
    nothing = {"volatile": f"<sram_uncorrectable>{said}</sram_uncorrectable>", "remapped_rows": said}
    nothing |= {
        "link_widths": f"<max_link_width>{said}</max_link_width><current_link_width>{said}</current_link_width>"
    }
    nothing |= {"aggregate": "", "persistence_mode": said, "gpu_recovery_action": said}
    found = of_smi(report(gpu(**nothing)))
    assert {each["outcome"] for each in found.values()} == {"ok"}
    assert {found[check]["detail"] for check in ("gpu remapped rows", "gpu ecc")} == {health.UNTOLD}


def test_an_old_driver_s_words():
    found = of_smi(OLD.replace("DOUBLE", "0").replace("PENDING", "No"))
    assert {each["outcome"] for each in found.values()} == {"ok"}
    found = of_smi(OLD.replace("DOUBLE", "1").replace("PENDING", "Yes"))
    assert [found[check]["outcome"] for check in ("gpu ecc", "gpu retired pages")] == ["fail", "warn"]


def test_a_gpu_in_parts_is_asked_as_a_whole():
    parts = {"mig_mode": "<current_mig>Enabled</current_mig>", "remapped_rows": "N/A"}
    parts["mig_devices"] = "<mig_device><ecc_error_count><volatile_count><sram_uncorrectable>0</sram_uncorrectable>"
    parts["mig_devices"] += "</volatile_count></ecc_error_count></mig_device>"
    assert {each["outcome"] for each in of_smi(report(gpu(**parts))).values()} == {"ok"}


def test_the_same_trouble_of_all_is_one_and_the_worst_comes_first():
    off = gpu(persistence_mode="Disabled")
    assert of_smi(report(off, off))["gpu persistence"]["detail"] == "all 2 GPUs: it is off"
    rows = "<remapped_row_unc>9</remapped_row_unc><remapped_row_failure>Yes</remapped_row_failure>"
    found = of_smi(report(gpu(remapped_rows=rows)))["gpu remapped rows"]
    assert found["outcome"] == "fail" and "replaced" in found["remedy"]
    assert found["detail"] == "GPU 0: remapping a row has failed; GPU 0: 9 rows are remapped for uncorrectable errors"


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [
        (LOST, "", 255),
        ("", LOST, 15),
        (LOST + report(gpu()), "", 255),
        (report(gpu()) + LOST, "", 255),
        (report(gpu(), gpu(persistence_mode="GPU is lost")), "", 15),
    ],
)
def test_a_gpu_that_fell_off_the_bus(out, err, code):
    found = of_smi(out, err=err, code=code, known=2)
    assert found["gpu state"]["outcome"] == "fail" and "restart the host" in found["gpu state"]["remedy"]
    assert "5D:00.0" in found["gpu state"]["detail"] or "GPU 1: GPU is lost" in found["gpu state"]["detail"]
    assert len(found) == (len(health.FINE) if "<gpu " in out else 1), "what the others say is told all the same"


def test_a_gpu_that_is_not_told_of_or_asks_for_a_reset():
    found = of_smi(report(gpu()), known=2)["gpu state"]
    assert (found["outcome"], found["detail"]) == ("fail", "nvidia-smi reports 1 of the 2 GPUs that the driver has")
    found = of_smi(report(gpu(volatile="<sram_uncorrectable>[GPU requires reset]</sram_uncorrectable>")))["gpu state"]
    assert found["outcome"] == "fail" and "reset" in found["remedy"]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("", "exit code 9"),
        ("No devices were found\n", "No devices were found"),
        ("<nvidia_smi_log><gpu></nvidia_smi_log>", "its XML is broken"),
        ("<nvidia_smi_log>&lol;</nvidia_smi_log>", "its XML is broken"),
        ("x" * (health.LARGEST + 1), "more than"),
        ("<nvidia_smi_log></nvidia_smi_log>", "exit code 9"),
        (BILLION_LAUGHS + "<nvidia_smi_log>&b;</nvidia_smi_log>", "broken"),
        ("<nvidia_smi_log>" + "<a>" * 100_000 + "</nvidia_smi_log>", "broken"),
    ],
)
def test_what_is_no_report_is_a_warning_in_one_line(out, said):
    (found,) = health.of_smi(9, *health.parsed(out), "", 0)
    assert (found["check"], found["outcome"]) == ("gpu state", "warn")
    assert said in found["detail"] and len(found["detail"]) < 400 and found["remedy"]


# --- the kernel's log ---


def test_a_gpu_that_fell_off_the_bus_by_the_kernel_s_log_with_its_number_where_that_is_known():
    found = health.of_log(FALLEN * 3, {"0:5d:00": "3"})
    assert (found["check"], found["outcome"]) == ("gpu xid", "fail")
    assert found["detail"] == "GPU 3: Xid 79, the GPU has fallen off the bus, 3 times"
    assert health.of_log(FALLEN, {})["detail"].startswith("GPU 0:5d:00: Xid 79")
    assert health.place("00000000:5D:00.0") == health.place("0000:5d:00") == "0:5d:00"


@pytest.mark.parametrize(
    ("log", "outcome", "said"),
    [
        ("", "ok", "none since the host's start"),
        ("NVRM: loading NVIDIA UNIX Open Kernel Module\n", "ok", "none"),
        (XID.format(31, "MMU Fault") + XID.format(13, "Graphics Exception"), "ok", "own faults"),
        ("NVRM: Xid (0000:03:00): 48, An uncorrectable double bit error\n", "fail", "uncorrectable"),
        ("NVRM: Xid (PCI:0000:10:1c): 63, pid=1896, Row Remapper: New row\n", "warn", "Xid 63"),
        (XID.format(64, ""), "fail", "failed"),
        (XID.format(95, ""), "fail", "Xid 95"),
        (XID.format(74, ""), "warn", "NVLink"),
        (XID.format(119, "Timeout after 6s of waiting for RPC response from GPU0 GSP!"), "warn", "driver"),
        (XID.format(999, ""), "warn", "Xid 999, see NVIDIA's list"),
        (XID.format(31, "") + FALLEN + XID.format(154, ""), "fail", "Xid 79"),
        (
            "NVRM: Xid (PCI:" + "0" * 5000 + "): 79, x\nNVRM: Xid (): 79\nNVRM: Xid (PCI:0000:5d:00): lots\n",
            "ok",
            "none",
        ),
    ],
)
def test_the_driver_s_errors_in_the_kernel_s_log(log, outcome, said):
    found = health.of_log(log, {})
    assert found["outcome"] == outcome and said in found["detail"]
    assert bool(found["remedy"]) == (outcome != "ok")


def test_every_error_that_is_known_has_an_outcome_a_meaning_and_where_it_is_bad_a_remedy():
    for outcome, means, remedy in health.XIDS.values():
        assert outcome in {"ok", "warn", "fail"} and means and bool(remedy) == (outcome != "ok")


@pytest.mark.parametrize(
    ("answers", "log"),
    [
        ({"journalctl": (0, FALLEN, ""), "dmesg": (0, "", "")}, FALLEN),
        ({"journalctl": (127, "", "no journalctl"), "dmesg": (0, FALLEN, "")}, FALLEN),
        # Without a grep of its own, and where nobody may read it.
        ({"journalctl": (1, "", "Compiled without pattern matching support"), "dmesg": (0, "boot", "")}, ""),
        ({"journalctl": (1, "", ""), "dmesg": (1, "", "Operation not permitted")}, ""),
        ({"journalctl": (124, "", "hangs"), "dmesg": (1, "", "Operation not permitted")}, None),
    ],
)
def test_who_is_asked_for_the_kernel_s_log(answers, log):
    asked = []

    def ask(*command, patience):
        asked.append((command, patience))
        return answers[command[0]]

    assert health.kernel_log(ask) == log
    assert all(0 < patience <= 60 for _, patience in asked)


# --- DCGM ---


@pytest.mark.parametrize(
    ("said", "outcome", "detail"),
    [
        ((0, diagnostic(), ""), "ok", "passes 2 tests"),
        ((1, diagnostic("Fail", '"GPU 0 has a pending row"'), ""), "fail", "Page Retirement/Row Remap: fail: GPU 0"),
        ((0, diagnostic("Warn", '[{"error_id": 1, "warning": "slow"}]'), ""), "warn", "Remap: warn: slow"),
        ((0, diagnostic("Fail", "[[]]"), ""), "fail", "Remap: fail"),
        (
            (255, "", "Error: unable to establish a connection to the specified host: localhost"),
            "ok",
            "not asked: Error",
        ),
        ((124, "", "timeout did not answer within 125 s"), "ok", "not asked: timeout did not answer"),
        ((0, "{" * 100_000, ""), "ok", "not asked"),
        ((0, "[1]", ""), "ok", "not asked"),
    ],
)
def test_dcgm_s_quick_diagnostic(said, outcome, detail):
    found = health.of_dcgm(*said)
    assert (found["check"], found["outcome"]) == ("gpu dcgm", outcome) and detail in found["detail"]


# --- all of it ---


class WithPrograms(Host):
    """A host with stand-ins for these programs."""

    def __init__(self, answers, *programs):
        super().__init__()
        self.answers, self.programs, self.ran = answers, programs, []

    def which(self, command):
        return command if command in self.programs else ""

    def run(self, *command, patience=60):
        self.ran.append(command)
        return self.answers.get(command[0], (127, "", "not there"))


def asked(host):
    return lambda *command, patience: host.run(*command, patience=patience)


def test_all_is_asked_once_and_the_log_s_addresses_have_the_gpus_numbers(monkeypatch, tmp_path):
    monkeypatch.setattr(nvidia, "CARDS", tmp_path)
    answers = {"nvidia-smi": (0, eight(), ""), "journalctl": (0, FALLEN, ""), "dcgmi": (0, diagnostic(), "")}
    host = WithPrograms(answers, "nvidia-smi", "dcgmi")
    found = {each["check"]: each for each in health.health(host, asked(host))}
    assert list(found) == [*health.FINE, "gpu xid", "gpu dcgm"]
    assert found["gpu xid"]["detail"].startswith("GPU 3: Xid 79")
    assert [command[0] for command in host.ran].count("nvidia-smi") == 1


def test_an_nvidia_smi_that_hangs_is_not_waited_for_again_and_the_log_is_read_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(nvidia, "CARDS", tmp_path)
    host = WithPrograms({"journalctl": (0, FALLEN, "")}, "nvidia-smi", "dcgmi")
    found = health.health(host, asked(host), "nvidia-smi did not answer within 30 s")
    assert [(each["check"], each["outcome"]) for each in found] == [("gpu state", "fail"), ("gpu xid", "fail")]
    assert "did not answer" in found[0]["detail"] and found[0]["remedy"]
    assert "nvidia-smi" not in {command[0] for command in host.ran}


@pytest.mark.parametrize(
    ("look", "loaded", "asked"),
    [
        ({"works": True}, False, True),
        ({"works": False, "skipped": "no NVIDIA GPU on the PCI bus"}, False, False),
        # Gone from the bus altogether, and a driver that hangs.
        ({"works": False, "skipped": "no NVIDIA GPU on the PCI bus"}, True, True),
        ({"refused": "it does not answer (nvidia-smi did not answer within 30 s); see dmesg"}, False, True),
    ],
)
def test_who_is_asked_of_the_health_of_gpus(monkeypatch, tmp_path, *, look, loaded, asked):
    monkeypatch.setattr(nvidia, "LOADED", tmp_path)
    (tmp_path / "nvidia").mkdir() if loaded else None
    calls = []
    monkeypatch.setattr(checks, "health", lambda *given: calls.append(given) or [])
    host = checks.Host({"gpu_driver": {}})
    host.driver = {"refused": "", "works": False, "skipped": "", **look}
    checks.gpu_health(host)
    assert bool(calls) == asked
    assert not calls or bool(calls[0][2]) == ("refused" in look)
