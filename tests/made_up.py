"""Records of runs that never were, the same ones each time: for tests and benchmarks of what is made of many runs."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioner.store import Run

TEMPLATE = json.loads((Path(__file__).parent / "unit/data/record.json").read_text(encoding="utf-8"))
MACHINES = (
    ("AMD EPYC 9654 96-Core Processor", 192, "NVIDIA H200", 8, "580.95.05", 1.0),
    ("Intel(R) Xeon(R) Platinum 8480+", 112, "NVIDIA H100 80GB HBM3", 8, "570.172.08", 1.2),
    ("AMD Ryzen 7 5800X 8-Core Processor", 16, None, 0, None, 2.1),
)
OBJECTS = (
    *("sparse24_gemm_sm90", "sparse24_gemm_sm80", "sparse24_largest_mask_2d", "sparse24_metadata", "swiglu_gemm"),
    *("dual_gemm_silu", "silu_bw_fused", "sequence_parallel_fused", "matmul", "indexing", "rope_padded", "attention"),
)
NO_GPU = {
    "name": "attention_test_passed",
    "outcome": "skip",
    "detail": "no NVIDIA GPU answered on the host",
    "evidence": "events.jsonl",
}


def runs(hosts: int, each: int) -> list[Run]:
    """Give `each` runs of so many hosts, newest first: most went well, some failed, and an input changed once."""
    made = [run for number in range(hosts) for run in _of_host(number, each)]
    return sorted(made, key=lambda run: (run.started, run.run_id), reverse=True)


def _of_host(number: int, each: int) -> Iterator[Run]:
    chance = random.Random(number)  # noqa: S311 - no secret
    for turn in range(each):
        started = datetime(2026, 3, 1, 9, tzinfo=UTC) + timedelta(days=9 * turn, minutes=7 * number)
        record = _record(f"gpu-{number + 1:03}", number, started, chance)
        if turn and turn >= each // 2:
            record["machine"]["driver"] = record["machine"]["driver"] and "590.44.01"
        record["inputs"]["torch"] = "2.14.1" if turn >= each // 3 else "2.13.0"
        if chance.random() < 0.04:
            _fail(record)
        yield Run(record, Path("/nonexistent") / record["run_id"], started)


def _record(host: str, number: int, started: datetime, chance: random.Random) -> dict[str, Any]:
    record = json.loads(json.dumps(TEMPLATE))
    cpu, cores, gpu, gpus, driver, slow = MACHINES[number % len(MACHINES)]
    for phase in record["phases"]:
        if phase["seconds"] is not None:
            phase["seconds"] = round(phase["seconds"] * slow * chance.uniform(0.93, 1.12), 2)
    checks = record["audit"]["checks"]
    del checks[1:]
    if gpu:
        record["phases"][-1] |= {"seconds": 4.2, "outcome": "ok"}
        checks.append(NO_GPU | {"outcome": "pass", "detail": f"on {gpu}"})
    else:
        checks.append(dict(NO_GPU))
    record["audit"]["verdict"] = "accepted" if gpu else "incomplete"
    record["timings"] = {phase["name"]: phase["seconds"] for phase in record["phases"]}
    record |= {
        "host": host,
        "run_id": f"{started:%Y%m%dT%H%M%SZ}-{chance.randrange(16**6):06x}",
        "started_at": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "total_seconds": round(sum(seconds or 0 for seconds in record["timings"].values()), 2),
    }
    record["inputs"]["base_image_digest"] = "sha256:" + "5b" * 32
    record["machine"] |= {
        "cpu_model": cpu,
        "cores": cores,
        "driver": driver,
        "gpus": [
            {"name": gpu, "uuid": f"GPU-{number}-{one}", "compute_capability": "9.0", "memory_bytes": 150_754_820_096}
            for one in range(gpus)
        ],
    }
    record["compile"] |= {"seconds": record["timings"]["compile"], "ledger": _ledger(slow, chance)}
    record["compile"] |= {"critical_path": [f"csrc/{OBJECTS[0]}.o"], "wall_over_bound": 1.21}
    return record


def _ledger(slow: float, chance: random.Random, jobs: int = 4) -> list[dict[str, Any]]:
    free = [0.0] * jobs
    ledger = []
    for place, name in enumerate(OBJECTS):
        lane = free.index(min(free))
        seconds = slow * chance.uniform(3, 14) * (3 if place == 0 else 1)
        begun, free[lane] = free[lane], free[lane] + seconds
        ledger.append(
            {
                "name": f"csrc/{name}.o",
                "start": round(begun, 3),
                "end": round(free[lane], 3),
                "seconds": round(seconds, 3),
            }
        )
    return ledger


def _fail(record: dict[str, Any]) -> None:
    record |= {
        "outcome": "failed",
        "total_seconds": None,
        "failure": {
            "phase": "compile",
            "last_lines": ["nvcc: error: a <cudafe++> ended by signal 9", "ninja: build stopped"],
        },
    }
    record["audit"]["verdict"] = "incomplete"
    record["audit"]["checks"].append(
        {"name": "run_went_well", "outcome": "skip", "detail": "the run failed in compile", "evidence": "result.json"}
    )
    for phase in record["phases"][5:]:
        phase |= {"seconds": None, "outcome": "failed" if phase["name"] == "compile" else "skipped"}
    record["timings"] = {phase["name"]: phase["seconds"] for phase in record["phases"]}
    record["compile"] |= {"seconds": None, "ledger": []}
