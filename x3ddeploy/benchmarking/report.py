"""bench.json: what was measured, on what, how, and what was not. See docs/bench.md."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any, cast

import msgspec

from x3ddeploy import __version__
from x3ddeploy.benchmarking.accuracy import Accuracy, known_accuracy
from x3ddeploy.benchmarking.compare import differences
from x3ddeploy.benchmarking.competitor import Absent, named
from x3ddeploy.benchmarking.document import SCHEMA_VERSION, BenchReport, RatioEntry, Row
from x3ddeploy.machine import machine
from x3ddeploy.timing.measure import is_stable, ratio, statistics, window_cv

if TYPE_CHECKING:
    from x3ddeploy.benchmarking.competitor import Competitor, Scope
    from x3ddeploy.benchmarking.run import Outcome
    from x3ddeploy.benchmarking.work import Work
    from x3ddeploy.benchmarking.workbench import Workbench

# Ratios are to the first of these that took part: the bundle's float32 graphs in the runtime that most people have.
REFERENCES = ("onnxruntime/fp32", "openvino/fp32", "tensorrt/fp32", "tensorrt-rtx/fp32")
_PACKAGES = ("torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "mmaction2", "numpy", "av")


def bench_report(
    benches: Sequence[Workbench], outcome: Outcome, scopes: Iterable[Scope], seconds: float
) -> BenchReport:
    """The report as written to bench.json.

    Args:
        benches: the bundles, with one setting.
        outcome: what was measured; at least one round of the comparison.
        scopes: scopes that were asked for.
        seconds: the budget.
    """
    bench = benches[0]
    rows = _rows(bench, outcome)
    accuracy: dict[str, Accuracy] = {}
    unknown: list[Absent] = []
    for each in benches:
        known, missing = known_accuracy(each.bundle)
        accuracy |= {named(each.name, name): entry for name, entry in known.items()}
        unknown += missing
    report = {
        "schema_version": SCHEMA_VERSION,
        "x3ddeploy": __version__,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "bundles": [_bundle(each) for each in benches],
        "machine": {
            **machine(),
            "load_average": outcome.load_average,
            "cpu_of_others": outcome.cpu_of_others,
            "gpu": asdict(outcome.gpu) if outcome.gpu else None,
            "gpu_load": asdict(outcome.gpu_load) if outcome.gpu_load else None,
        },
        "versions": _versions(),
        "batch": bench.setting.batch,
        "threads": bench.setting.threads,
        "seconds": seconds,
        "scopes": {scope.value: scope.meaning for scope in scopes},
        "video": bench.video.description if any(row["scope"] == "pipeline" for row in rows) else None,
        "rounds": outcome.comparison.rounds,
        "interrupted": outcome.interrupted,
        "reference": _reference(rows),
        "competitors": rows,
        "headlines": headlines(rows, {name: work.multiply_adds / work.clips for name, work in outcome.work.items()}),
        "throughput": _throughput(outcome),
        "parts": _timed(outcome.parts.samples_ms),
        "ceilings": [asdict(entry) for entry in outcome.ceilings],
        "work": {name: _work(work) for name, work in outcome.work.items()},
        "profiles": {name: [asdict(block) for block in blocks] for name, blocks in outcome.profiles.items()},
        "precisions": outcome.precisions,
        "accuracy": {name: asdict(entry) for name, entry in accuracy.items()},
        "absent": [asdict(entry) for entry in (*outcome.absent, *unknown)],
    }
    return cast(BenchReport, msgspec.to_builtins(report))


def _bundle(bench: Workbench) -> dict[str, Any]:
    manifest = bench.bundle.manifest
    random = [name for name, precision in manifest.precisions.items() if precision.random_calibration]
    return {
        "name": bench.name,
        "family": manifest.family,
        "source": manifest.source.name,
        "source_sha256": manifest.source.sha256,
        "target": manifest.target,
        "random_calibration": random,
    }


def headlines(rows: list[Row], multiply_adds: Mapping[str, float]) -> list[dict[str, Any]]:
    """How many times as fast the bundle's fastest float32 form is as others: a clip, where the clips are alike.

    Where they are not, the time of a clip says nothing, and that of a multiply-add is compared; in no other scope than
    `compute`, and not where one of the two is not counted.

    Args:
        rows: rows of bench.json. The scope is `compute` or, where that was not timed, the first one.
        multiply_adds: `work_of` -> multiply-adds of one clip.
    """
    scope = "compute" if any(row["scope"] == "compute" for row in rows) else rows[0]["scope"]
    timed = [row for row in rows if row["scope"] == scope and row["samples_ms"] and row["precision"] == "fp32"]
    ours = min((row for row in timed if row["is_ours"]), key=lambda row: float(row["median_ms"]), default=None)
    if ours is None:
        return []
    found = []
    groups = [
        [row for row in timed if row["kind"].partition("/")[0].removesuffix("-cuda") == rival]
        for rival in ("torch", "plain", "converted", "rgbposeconv3d")  # what is alike comes first
    ]
    bundles = dict.fromkeys(row["bundle"] for row in timed if row["bundle"] != ours["bundle"])
    groups += [[row for row in timed if row["bundle"] == bundle] for bundle in bundles]
    for others in groups:
        # Each network at its best, and in the same runtime.
        best = min(others, key=lambda row: float(row["median_ms"]), default=None)
        alike = next((row for row in others if row["runtime"] == ours["runtime"]), None)
        for other in {row["name"]: row for row in (best, alike) if row}.values():
            unlike = differences(ours, other)
            counted = [multiply_adds.get(str(row["work_of"])) for row in (ours, other)]
            works = [work for work in counted if work] if unlike and scope == "compute" else [1.0, 1.0]
            if (unlike and scope != "compute") or len(works) < 2:
                continue
            pairs = zip((ours, other), works, strict=True)
            mine, theirs = ([sample / work for sample in row["samples_ms"]] for row, work in pairs)
            found.append(
                {
                    "faster": ours["name"],
                    "slower": other["name"],
                    "network": other["network"],
                    "scope": scope,
                    "per": "multiply-add" if unlike else "clip",
                    "times_as_fast": asdict(ratio(theirs, mine)),
                    "times_the_work": works[1] / works[0],
                    "unlike": unlike,
                }
            )
    return found


def _rows(bench: Workbench, outcome: Outcome) -> list[Row]:
    from x3ddeploy.benchmarking.competitor import Scope
    from x3ddeploy.benchmarking.run import row_key

    rows = []
    for entry in outcome.competitors:
        for scope in entry.runs:
            samples = outcome.comparison.samples_ms.get(row_key(entry.name, scope), [])
            on_device = outcome.comparison.device_ms.get(row_key(entry.name, scope), [])
            row = _described(bench, outcome, entry) | {"scope": scope.value, "samples_ms": samples}
            row["notes"] += [entry.pipeline_note] if scope is Scope.PIPELINE and entry.pipeline_note else []
            row |= {"device_samples_ms": on_device, "device_median_ms": float(median(on_device)) if on_device else None}
            if samples:
                row |= asdict(statistics(samples)) | {"window_cv": window_cv(samples), "stable": is_stable(samples)}
            rows.append(cast(Row, row))
    _add_ratios(rows)
    return rows


def _described(bench: Workbench, outcome: Outcome, entry: Competitor) -> dict[str, Any]:
    loaded = entry.loaded
    row = {key: getattr(loaded, key) for key in ("network", "runtime", "version", "device", "precision", "is_ours")}
    graph = _graph(outcome, entry)
    return {
        "name": entry.name,
        "bundle": entry.bundle,
        "kind": entry.kind,
        **row,
        "version": str(loaded.version),  # PyTorch's is of a class of its own
        "batch": bench.setting.batch,
        "shapes": {name: list(shape) for name, shape in entry.shapes.items()},
        "relative_error": entry.relative_error,
        "notes": list(loaded.notes),
        "load_s": entry.load_s,
        "memory_bytes": asdict(entry.memory),
        "work_of": graph,
        "floor_ms": _floor(bench, outcome, entry, graph),
    }


def _graph(outcome: Outcome, entry: Competitor) -> str | None:
    """Whose work counts for a competitor: its own float32 graph's, else that of another graph of the same network."""
    name, family = entry.name, entry.kind.partition("/")[0]
    if family == "rgbposeconv3d":
        graphs = [other for other in outcome.work if other.startswith("rgbposeconv3d/")]
    elif entry.loaded.is_ours:
        same = [other for other in outcome.competitors if other.loaded.is_ours and other.bundle == entry.bundle]
        graphs = [name, named(entry.bundle, f"{family}/fp32"), *(other.name for other in same)]
    else:
        graphs = [name, *(other for other in outcome.work if other.startswith("plain/"))]
    return next((other for other in graphs if other in outcome.work), None)


def _floor(bench: Workbench, outcome: Outcome, entry: Competitor, graph: str | None) -> dict[str, float] | None:
    from x3ddeploy.benchmarking.work import floor_of

    on_cpu = entry.loaded.device == "cpu"
    ceilings = next((entry for entry in outcome.ceilings if (entry.device == "cpu") == on_cpu), None)
    if graph is None or ceilings is None:
        return None
    # CPU runtimes compute half-typed graphs in float32.
    precision = "fp32" if on_cpu and entry.loaded.precision in ("fp16", "bf16") else entry.loaded.precision
    floor = floor_of(outcome.work[graph], ceilings, precision, bench.setting.batch)
    return asdict(floor) | {"total_ms": floor.total_ms} if floor else None


def _reference(rows: list[Row]) -> str:
    first = {row["kind"]: row["name"] for row in rows if row["bundle"] == rows[0]["bundle"]}
    return next((first[kind] for kind in REFERENCES if kind in first), str(rows[0]["name"]))


def _add_ratios(rows: list[Row]) -> None:
    """Time over the reference's in the same scope, round by round, and in what the two differ."""
    name = _reference(rows)
    for row in rows:
        reference = next((other for other in rows if other["name"] == name and other["scope"] == row["scope"]), None)
        if reference is None or not row["samples_ms"]:
            row["ratio"], row["unlike"] = None, []
        else:
            row["ratio"] = cast(RatioEntry, asdict(ratio(row["samples_ms"], reference["samples_ms"])))
            row["unlike"] = differences(row, reference)


def _throughput(outcome: Outcome) -> list[dict[str, Any]]:
    found = []
    for name, batches in outcome.throughput.samples_ms.items():
        for batch, samples in batches.items():
            median_ms = statistics(samples).median_ms
            entry = {"name": name, "batch": batch, "scope": "with_copies", "samples_ms": samples}
            found.append(entry | {"median_ms": median_ms, "clips_per_s": 1e3 * batch / median_ms})
    return found


def _timed(samples_ms: dict[str, list[float]]) -> list[dict[str, Any]]:
    return [
        {"name": name, **asdict(statistics(samples)), "samples_ms": samples}
        for name, samples in samples_ms.items()
        if samples
    ]


def _work(work: Work) -> dict[str, Any]:
    kinds = work.by_kind().items()
    return {
        "clips": work.clips,
        "multiply_adds": work.multiply_adds,
        "traffic_bytes": work.traffic_bytes,
        "compulsory_bytes": work.compulsory_bytes,
        "by_kind": {kind: {"multiply_adds": adds, "traffic_bytes": moved} for kind, (adds, moved) in kinds},
    }


def _versions() -> dict[str, str]:
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
