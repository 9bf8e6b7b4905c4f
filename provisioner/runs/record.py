"""The record: what a run of Scenario A yields, schema `scenario-a/1`.

Times are in seconds, sizes in bytes. What is not known is null, never a guess.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from provisioner.runs.record_data import RecordData
from provisioner.system import files
from provisioner.text import bounds, jsontext, names

Seconds = Annotated[float, Field(ge=0)]


class Model(BaseModel):
    """What all parts of a record share: fields of a later version are kept."""

    # JSON has no infinity, and what would be one, 1e999, could not be written again.
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Phase(Model):
    """One timed step. `container_up` is the time of `devcontainer up` less the phases that run within it."""

    name: str
    started: Seconds | None = Field(description="seconds since the run's start")
    seconds: Seconds | None
    outcome: Literal["ok", "failed", "skipped"]


class Object(Model):
    """One object that was compiled; `start` and `end` in seconds since the run's start."""

    name: str
    start: Seconds
    end: Seconds
    seconds: Seconds


class Compile(Model):
    """The compile of xformers, by ninja's own log."""

    count: int = Field(description="calls of ninja that built something")
    objects: int | None = Field(description="objects that ninja built")
    seconds: Seconds | None = Field(description="the phase: pip's wall time, of which ninja is a part")
    max_jobs: int | None
    arch_list: str | None
    longest_object_seconds: Seconds | None
    cpu_seconds: Seconds | None = Field(description="user and system time of ninja and all it started")
    peak_memory_bytes: int | None = Field(description="highest of one sample a second, all processes of the container")
    ninja_seconds: Seconds | None = Field(default=None, description="wall time of ninja until its last object was made")
    ledger: list[Object] = Field(default=[], description="every object, in the order of their starts")
    critical_path: list[str] = Field(
        default=[], description="the objects that decided when the compile ended, each let in by the end of the last"
    )
    parallel_efficiency: float | None = Field(default=None, description="CPU seconds over ninja's wall time times jobs")
    bound_seconds: Seconds | None = Field(
        default=None, description="what no schedule can beat: the longest object, or CPU seconds over cores"
    )
    wall_over_bound: float | None = Field(default=None, description="ninja's wall time over that bound")


class Place(Model):
    """A finding of a check, and where the evidence shows it."""

    detail: str
    evidence: str


class Check(Model):
    """One thing that must be true of an honest run, and where the evidence shows it."""

    name: str
    outcome: Literal["pass", "fail", "skip"]
    detail: str = Field(description="what was found; what matters most, where that was more than one thing")
    evidence: str
    asked: Literal["yes", "not_applicable", "made_before"] = Field(
        default="yes",
        description="whether it counts: it does not where it does not apply to the run's runtime or scenario, or where "
        "the run was made before the audit asked for it",
    )
    others: list[Place] = Field(default=[], description="what else was found")

    @model_validator(mode="before")
    @classmethod
    def _said_in_words(cls, value: Any) -> Any:
        """Return the check as it is today: before rules had numbers, only its detail said that it does not apply."""
        if isinstance(value, dict) and "asked" not in value and str(value.get("detail")).startswith("does not apply"):
            return value | {"asked": "not_applicable"}
        return value


class Audit(Model):
    """The verdict over all checks."""

    verdict: Literal["accepted", "rejected", "incomplete"]
    checks: list[Check]
    rules: int | None = Field(default=None, description="number of the rules; null before they had one")
    shipped_set: str | None = Field(
        default=None, description="digest of the files that the run was made of; null where they are not known"
    )
    remarks: list[str] = Field(default=[], description="what must be told beside the verdict, what matters most first")


class Inputs(Model):
    """What was measured; runs whose inputs differ are not compared."""

    base_image: str | None
    base_image_digest: str | None
    base_image_present: bool | None = Field(
        description="on the host before the run: then its pull is not in the timing"
    )
    torch: str | None
    xformers_url: str | None
    xformers_ref: str | None = Field(default=None, description="branch or tag; null is the remote's own default")
    xformers_commit: str | None
    xformers_tree: str | None = Field(default=None, description="git's name of the commit's files")
    arch_list: str | None
    max_jobs: int | None
    nvcc_threads: int | None = Field(default=None, description="of each nvcc; null is xformers' own number")
    input_hash: str | None = Field(default=None, description="of what the role was told; equal where runs repeat")
    versions: dict[str, str | None] = Field(default={}, description="of what compiled, as each tells its own")


class Gpu(Model):
    """One GPU, as its driver describes it."""

    name: str | None
    uuid: str | None
    compute_capability: str | None
    memory_bytes: int | None
    mig: str | None = Field(default=None, description="Enabled, Disabled, or null where the card has no such mode")
    ecc: str | None = Field(default=None, description="Enabled, Disabled, or null where the card has none")
    power_limit_watts: float | None = None
    pcie_generation: int | None = Field(default=None, description="the fastest that card and slot agree on")
    pcie_width: int | None = Field(default=None, description="lanes, the most that card and slot agree on")
    pcie_address: str | None = None


class MigDevice(Model):
    """A slice of a GPU."""

    profile: str
    uuid: str


class Retry(Model):
    """What was tried again during a phase; the pauses and what came twice are part of its time."""

    phase: str
    what: Literal["docker", "git", "apt", "pip"] = Field(description="who tried again")
    times: int


class Machine(Model):
    """The host that was measured."""

    cpu_model: str | None = None
    cores: int | None = Field(default=None, description="that a process may use, threads of one core counted each")
    physical_cores: int | None = Field(default=None, description="in the machine, threads of one core counted once")
    memory_bytes: int | None = None
    disk: Literal["nvme", "ssd", "hdd"] | None = Field(default=None, description="what /var/lib lies on")
    os: str | None = None
    kernel: str | None = None
    virtualisation: str | None = Field(default=None, description="as systemd names it; none on bare metal")
    docker: str | None = None
    driver: str | None = None
    driver_cuda: str | None = Field(default=None, description="the newest CUDA that the driver knows")
    driver_module: Literal["open", "proprietary"] | None = None
    driver_fault: str | None = Field(default=None, description="what nvidia-smi complains of")
    gpus: list[Gpu] = []
    mig_devices: list[MigDevice] = []


class Failure(Model):
    """Where a run that is not ok stopped, and the last lines of its log."""

    phase: str | None
    cause: str | None = Field(
        default=None, description="why, and what mends it, in one line; null where it is not known"
    )
    first_error: str | None = Field(
        default=None, description="the first line of the phase's log that tells of an error"
    )
    last_lines: list[str]


class Record(Model):
    """One run on one host."""

    schema_: Literal["scenario-a/1"] = Field(default="scenario-a/1", alias="schema")
    run_id: Annotated[str, AfterValidator(names.run_id)]
    host: Annotated[str, AfterValidator(names.host)]
    scenario: Literal["a", "b", "c"] = "a"
    profile: str | None
    runtime: Literal["devcontainer", "native"] = "devcontainer"
    started_at: datetime
    unchallenged: bool | None = Field(
        default=None,
        description="whether nobody but the host chose the attention test's numbers; null before runs had challenges",
    )
    outcome: Literal["ok", "failed", "interrupted"]
    failure: Failure | None = None
    total_seconds: Seconds | None
    phases: list[Phase]
    timings: dict[str, Seconds | None] = Field(description="seconds by phase, null where it did not run")
    retries: list[Retry] | None = Field(
        default=None, description="downloads that were tried again; null before runs told of them"
    )
    compile: Compile
    audit: Audit
    inputs: Inputs
    machine: Machine
    evidence_sha256: str | None = Field(default=None, description="of the evidence's manifest.sha256")

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


def load(path: Path) -> Record:
    """Read a record from its file. Raise OSError, and ValueError where it does not fit the schema."""
    return Record.model_validate_json(files.read(path, bounds.JSON_FILE))


def parse(text: str) -> tuple[Record, RecordData]:
    """Return the record that a text holds, and the same as it was written. Raise ValueError where it is none."""
    # What a later version adds no type above has checked.
    return Record.model_validate_json(text), jsontext.loads(text)


def plain(record: Record) -> RecordData:
    """Return a record as plain data, as JSON has it."""
    return cast(RecordData, record.model_dump(mode="json"))


def json_schema() -> dict[str, Any]:
    """Return the record's JSON Schema, generated from the types above; `python -m provisioner.runs.record` ships it."""
    return Record.model_json_schema(by_alias=True)


if __name__ == "__main__":
    shipped = Path(__file__).parents[1] / "schema" / "scenario-a-1.json"
    shipped.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
