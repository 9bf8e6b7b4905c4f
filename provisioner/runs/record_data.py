"""A record as plain data, as JSON has it: the types of what goes through store, comparison, report and commands.

They are those of record.py, which checks a record as it comes and says what each field means; these cost nothing at the
start of a command. A field that not every version of provisioner wrote may be missing; those of later versions are kept
and have no type here.
"""

from typing import Literal, NotRequired, TypedDict

__all__ = [
    "AuditData",
    "CheckData",
    "CompileData",
    "FailureData",
    "GpuData",
    "InputsData",
    "MachineData",
    "MigDeviceData",
    "ObjectData",
    "PhaseData",
    "PlaceData",
    "RecordData",
    "RetryData",
]


class PhaseData(TypedDict):
    """One timed step."""

    name: str
    started: float | None
    seconds: float | None
    outcome: Literal["ok", "failed", "skipped"]


class ObjectData(TypedDict):
    """One object that was compiled."""

    name: str
    start: float
    end: float
    seconds: float


class CompileData(TypedDict):
    """The compile of xformers."""

    count: int
    objects: int | None
    seconds: float | None
    max_jobs: int | None
    arch_list: str | None
    longest_object_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    ninja_seconds: NotRequired[float | None]
    ledger: NotRequired[list[ObjectData]]
    critical_path: NotRequired[list[str]]
    parallel_efficiency: NotRequired[float | None]
    bound_seconds: NotRequired[float | None]
    wall_over_bound: NotRequired[float | None]


class PlaceData(TypedDict):
    """A finding of a check, and where the evidence shows it."""

    detail: str
    evidence: str


class CheckData(TypedDict):
    """One thing that must be true of an honest run."""

    name: str
    outcome: Literal["pass", "fail", "skip"]
    detail: str
    evidence: str
    asked: NotRequired[Literal["yes", "not_applicable", "made_before"]]
    others: NotRequired[list[PlaceData]]


class AuditData(TypedDict):
    """The verdict over all checks."""

    verdict: Literal["accepted", "rejected", "incomplete"]
    checks: list[CheckData]
    rules: NotRequired[int | None]
    shipped_set: NotRequired[str | None]
    remarks: NotRequired[list[str]]


class InputsData(TypedDict):
    """What was measured."""

    base_image: str | None
    base_image_digest: str | None
    base_image_present: bool | None
    torch: str | None
    xformers_url: str | None
    xformers_ref: NotRequired[str | None]
    xformers_commit: str | None
    xformers_tree: NotRequired[str | None]
    arch_list: str | None
    max_jobs: int | None
    nvcc_threads: NotRequired[int | None]
    input_hash: NotRequired[str | None]
    versions: NotRequired[dict[str, str | None]]


class GpuData(TypedDict):
    """One GPU."""

    name: str | None
    uuid: str | None
    compute_capability: str | None
    memory_bytes: int | None
    mig: NotRequired[str | None]
    ecc: NotRequired[str | None]
    power_limit_watts: NotRequired[float | None]
    pcie_generation: NotRequired[int | None]
    pcie_width: NotRequired[int | None]
    pcie_address: NotRequired[str | None]


class MigDeviceData(TypedDict):
    """A slice of a GPU."""

    profile: str
    uuid: str


class RetryData(TypedDict):
    """What was tried again during a phase."""

    phase: str
    what: Literal["docker", "git", "apt", "pip"]
    times: int


class MachineData(TypedDict, total=False):
    """The host that was measured."""

    cpu_model: str | None
    cores: int | None
    physical_cores: int | None
    memory_bytes: int | None
    disk: Literal["nvme", "ssd", "hdd"] | None
    os: str | None
    kernel: str | None
    virtualisation: str | None
    docker: str | None
    driver: str | None
    driver_cuda: str | None
    driver_module: Literal["open", "proprietary"] | None
    driver_fault: str | None
    gpus: list[GpuData]
    mig_devices: list[MigDeviceData]


class FailureData(TypedDict):
    """Where a run that is not ok stopped."""

    phase: str | None
    cause: NotRequired[str | None]
    first_error: NotRequired[str | None]
    last_lines: list[str]


class RecordData(TypedDict):
    """One run on one host. What the store gives may have some fields only, null where a record does not know them."""

    schema: NotRequired[Literal["scenario-a/1"]]
    run_id: str
    host: str
    scenario: NotRequired[str]
    profile: str | None
    runtime: NotRequired[Literal["devcontainer", "native"]]
    started_at: str
    unchallenged: NotRequired[bool | None]
    outcome: Literal["ok", "failed", "interrupted"]
    failure: NotRequired[FailureData | None]
    total_seconds: float | None
    phases: list[PhaseData]
    timings: dict[str, float | None]
    retries: NotRequired[list[RetryData] | None]
    compile: CompileData
    audit: AuditData
    inputs: InputsData
    machine: MachineData
    evidence_sha256: NotRequired[str | None]
    unverified: NotRequired[bool]
    """The store's own: true where it came without evidence to judge it by. No record may have it."""
