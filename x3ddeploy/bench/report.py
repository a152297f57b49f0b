"""bench.json: what was measured, on what, how, and what was not."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from x3ddeploy import __version__
from x3ddeploy.bench.competitors import Absent, Competitor
from x3ddeploy.bench.measure import Measurement, ratio, statistics
from x3ddeploy.bundle import Bundle

SCHEMA_VERSION = 1
REFERENCE = "onnxruntime"


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """The machine in words."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def bench_report(
    bundle: Bundle,
    competitors: list[Competitor],
    absent: list[Absent],
    measurement: Measurement,
    batch: int,
    threads: int,
) -> dict[str, Any]:
    """The report as written to bench.json. Ratios are to REFERENCE, or to the first competitor where it is absent."""
    names = [competitor.name for competitor in competitors]
    reference = REFERENCE if REFERENCE in names else names[0]
    rows = []
    for competitor in competitors:
        samples = measurement.samples_ms[competitor.name]
        row = {key: value for key, value in vars(competitor).items() if key != "run"}
        if samples:
            row |= asdict(statistics(samples))
            row["ratio"] = asdict(ratio(samples, measurement.samples_ms[reference]))
        rows.append(row | {"samples_ms": samples})
    return {
        "schema_version": SCHEMA_VERSION,
        "x3ddeploy": __version__,
        "bundle": {"source_sha256": bundle.manifest.source.sha256, "target": bundle.manifest.target},
        "machine": machine(),
        "scope": "compute",
        "batch": batch,
        "threads": threads,
        "rounds": measurement.rounds,
        "interrupted": measurement.interrupted,
        "reference": reference,
        "competitors": rows,
        "absent": [asdict(entry) for entry in absent],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
