"""What nvidia-smi, the kernel's log and DCGM say of GPUs: MADE after the forms that NVIDIA's drivers and manuals have.

None of it is a recording. The elements are those that `nvidia-smi -q -x` of the drivers 418, 515, 535 and 570 prints,
cut to what is asked about; the lines of the log are of the form that NVIDIA's page on Xid errors shows.
"""

HEAD = '<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">\n'

ZERO = "<sram_correctable>0</sram_correctable><sram_uncorrectable>0</sram_uncorrectable>"
ZERO += "<dram_correctable>0</dram_correctable><dram_uncorrectable>0</dram_uncorrectable>"
REASONS = ("gpu_idle", "sw_power_cap", "hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")
REASONS += ("sync_boost", "sw_thermal_slowdown")
NO_PAGES = """<multiple_single_bit_retirement><retired_count>N/A</retired_count></multiple_single_bit_retirement>
<double_bit_retirement><retired_count>N/A</retired_count></double_bit_retirement>
<pending_blacklist>N/A</pending_blacklist><pending_retirement>N/A</pending_retirement>"""
NO_ROWS = """<remapped_row_corr>0</remapped_row_corr><remapped_row_unc>0</remapped_row_unc>
<remapped_row_pending>No</remapped_row_pending><remapped_row_failure>No</remapped_row_failure>"""


def reasons(*active: str, name: str = "clocks_event_reason") -> str:
    """Why the clocks are lower, by the element's name since 535 or that before."""
    each = (f"<{name}_{one}>{'Active' if one in active else 'Not Active'}</{name}_{one}>" for one in REASONS)
    return f"<{name}s>{''.join(each)}</{name}s>"


PARTS = {
    "persistence_mode": "Enabled",
    "mig_mode": "<current_mig>Disabled</current_mig>",
    "gpu_reset_status": "<reset_required>No</reset_required>"
    "<drain_and_reset_recommended>No</drain_and_reset_recommended>",
    "gpu_recovery_action": "None",
    "pcie_gen": "<max_link_gen>5</max_link_gen><current_link_gen>1</current_link_gen>"
    "<max_device_link_gen>5</max_device_link_gen><max_host_link_gen>5</max_host_link_gen>",
    "link_widths": "<max_link_width>16x</max_link_width><current_link_width>16x</current_link_width>",
    "volatile": ZERO,
    "aggregate": ZERO + "<sram_threshold_exceeded>No</sram_threshold_exceeded>",
    "retired_pages": NO_PAGES,
    "remapped_rows": NO_ROWS,
}


def gpu(address: str = "00000000:18:00.0", why: str | None = None, **parts: str) -> str:
    """A GPU of a driver of 2025, idle; `parts` are other contents of elements, '' leaves one out."""
    told = PARTS | parts
    made = {name: f"<{name}>{content}</{name}>" if content else "" for name, content in told.items()}
    return (
        f'<gpu id="{address}"><product_name>NVIDIA H200</product_name>'
        f"{made['persistence_mode']}{made['mig_mode']}<mig_devices>{parts.get('mig_devices', 'None')}</mig_devices>"
        f"{made['gpu_reset_status']}{made['gpu_recovery_action']}"
        f"<pci><pci_gpu_link_info>{made['pcie_gen']}{made['link_widths']}</pci_gpu_link_info></pci>"
        f"<performance_state>P8</performance_state>{reasons('gpu_idle') if why is None else why}"
        f"<ecc_errors>{made['volatile']}{made['aggregate']}</ecc_errors>"
        f"{made['retired_pages']}{made['remapped_rows']}</gpu>"
    )


def report(*gpus: str) -> str:
    """What `nvidia-smi -q -x` prints of these GPUs."""
    count = f"<attached_gpus>{len(gpus)}</attached_gpus>"
    return f"{HEAD}<nvidia_smi_log><driver_version>570.86.15</driver_version>{count}{''.join(gpus)}</nvidia_smi_log>\n"


def eight(**of_the_fourth: str) -> str:
    """A report of eight GPUs, of which the one with number 3 is as told."""
    buses = (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)
    return report(*(gpu(f"00000000:{bus:02X}:00.0", **(of_the_fourth if bus == 0x5D else {})) for bus in buses))


def stand_in(told: str, number: int) -> str:
    """A STAND-IN for nvidia-smi, as a script: of this report, with so many GPUs."""
    return f"""#!/bin/sh
# A STAND-IN for nvidia-smi.
case "$*" in
"-q -x") cat <<'END'
{told}END
;;
*compute_cap*) yes 9.0 | head -n {number} ;;
*) yes '570.86.15, NVIDIA H200' | head -n {number} ;;
esac
"""


OLD = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v10.dtd">
<nvidia_smi_log><driver_version>418.226.00</driver_version><attached_gpus>1</attached_gpus>
<gpu id="00000000:03:00.0"><product_name>Tesla P100-PCIE-16GB</product_name><persistence_mode>Enabled</persistence_mode>
<pci><pci_gpu_link_info><pcie_gen><max_link_gen>3</max_link_gen><current_link_gen>1</current_link_gen></pcie_gen>
<link_widths><max_link_width>16x</max_link_width><current_link_width>16x</current_link_width></link_widths>
</pci_gpu_link_info></pci>
<ecc_errors><volatile><single_bit><total>3</total></single_bit><double_bit><device_memory>0</device_memory>
<total>DOUBLE</total></double_bit></volatile>
<aggregate><single_bit><total>3</total></single_bit><double_bit><total>0</total></double_bit></aggregate></ecc_errors>
<retired_pages><multiple_single_bit_retirement><retired_count>0</retired_count></multiple_single_bit_retirement>
<double_bit_retirement><retired_count>0</retired_count></double_bit_retirement>
<pending_retirement>PENDING</pending_retirement></retired_pages></gpu></nvidia_smi_log>
"""
LOST = "Unable to determine the device handle for GPU0000:5D:00.0: Unknown Error\n"

XID = "NVRM: Xid (PCI:0000:5d:00): {}, pid='<unknown>', name=<unknown>, {}\n"
FALLEN = XID.format(79, "GPU has fallen off the bus.")


def diagnostic(status: str = "Pass", warning: object = "") -> str:
    """What `dcgmi diag -r 1 -j` of DCGM 3 prints."""
    warned = f', "warnings": {warning}' if warning else ""
    return (
        '{"DCGM GPU Diagnostic": {"test_categories": [{"category": "Deployment", "tests": ['
        '{"name": "Denylist", "results": [{"gpu_ids": "0", "status": "Pass"}]},'
        f'{{"name": "Page Retirement/Row Remap", "results": [{{"gpu_ids": "0", "status": "{status}"{warned}}}]}},'
        '{"name": "Inforom", "results": [{"gpu_ids": "0", "status": "Skip"}]}]}]}, "Version": "3.3.5"}'
    )
