"""bench.json: what was measured, on what, how, and what was not. See docs/bench.md."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from x3ddeploy import __version__
from x3ddeploy.benchmarking.accuracy import Accuracy, known_accuracy
from x3ddeploy.benchmarking.compare import differences
from x3ddeploy.benchmarking.competitor import Absent, named
from x3ddeploy.benchmarking.document import (
    SCHEMA_VERSION,
    BenchBundle,
    BenchMachine,
    BenchReport,
    BenchRow,
    FloorEntry,
    Headline,
    KindEntry,
    PartEntry,
    ThroughputEntry,
    WorkEntry,
    timed,
)
from x3ddeploy.families import BASELINES
from x3ddeploy.machine import installed_versions, machine
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
    return BenchReport(
        schema_version=SCHEMA_VERSION,
        x3ddeploy=__version__,
        measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        bundles=[_bundle(each) for each in benches],
        machine=BenchMachine(
            **machine(),
            load_average=outcome.load_average,
            cpu_of_others=outcome.cpu_of_others,
            gpu=outcome.gpu,
            gpu_load=outcome.gpu_load,
        ),
        versions=installed_versions(_PACKAGES),
        batch=bench.setting.batch,
        threads=bench.setting.threads,
        seconds=seconds,
        scopes={scope.value: scope.meaning for scope in scopes},
        video=bench.video.description if any(row.scope == "pipeline" for row in rows) else None,
        rounds=outcome.comparison.rounds,
        interrupted=outcome.interrupted,
        reference=_reference(rows),
        competitors=rows,
        headlines=headlines(rows, {name: work.multiply_adds / work.clips for name, work in outcome.work.items()}),
        throughput=list(_throughput(outcome)),
        parts=list(_parts(outcome.parts.samples_ms)),
        ceilings=outcome.ceilings,
        work={name: _work(work) for name, work in outcome.work.items()},
        profiles=outcome.profiles,
        precisions=outcome.precisions,
        accuracy=accuracy,
        absent=[*outcome.absent, *unknown],
    )


def _bundle(bench: Workbench) -> BenchBundle:
    manifest = bench.bundle.manifest
    return BenchBundle(
        name=bench.name,
        family=manifest.family,
        source=manifest.source.name,
        source_sha256=manifest.source.sha256,
        target=manifest.target,
        random_calibration=[name for name, entry in manifest.precisions.items() if entry.random_calibration],
    )


def headlines(rows: list[BenchRow], multiply_adds: Mapping[str, float]) -> list[Headline]:
    """How many times as fast the bundle's fastest float32 form is as others: a clip, where the clips are alike.

    Where they are not, the time of a clip says nothing, and that of a multiply-add is compared; in no other scope than
    `compute`, and not where one of the two is not counted. A GPU beside a CPU makes no headline at all.

    Args:
        rows: rows of bench.json. The scope is `compute` or, where that was not timed, the first one.
        multiply_adds: `work_of` -> multiply-adds of one clip.
    """
    scope = "compute" if any(row.scope == "compute" for row in rows) else rows[0].scope
    known = [row for row in rows if row.scope == scope and row.samples_ms and row.precision == "fp32"]
    ours = min((row for row in known if row.is_ours), key=lambda row: timed(row).median_ms, default=None)
    if ours is None:
        return []
    known = [row for row in known if (row.device == "cpu") == (ours.device == "cpu")]
    found = []
    groups = [
        [row for row in known if row.kind.partition("/")[0].removesuffix("-cuda") == rival]
        for rival in ("torch", "plain", "converted", *BASELINES)  # what is alike comes first
    ]
    bundles = dict.fromkeys(row.bundle for row in known if row.bundle != ours.bundle)
    groups += [[row for row in known if row.bundle == bundle] for bundle in bundles]
    for others in groups:
        # Each network at its best, and in the same runtime.
        best = min(others, key=lambda row: timed(row).median_ms, default=None)
        alike = next((row for row in others if row.runtime == ours.runtime), None)
        for other in {row.name: row for row in (best, alike) if row}.values():
            unlike = differences(ours, other)
            counted = [multiply_adds.get(str(row.work_of)) for row in (ours, other)]
            works = [work for work in counted if work] if unlike and scope == "compute" else [1.0, 1.0]
            if (unlike and scope != "compute") or len(works) < 2:
                continue
            pairs = zip((ours, other), works, strict=True)
            mine, theirs = ([sample / work for sample in row.samples_ms] for row, work in pairs)
            found.append(
                Headline(
                    faster=ours.name,
                    slower=other.name,
                    network=other.network,
                    scope=scope,
                    per="multiply-add" if unlike else "clip",
                    times_as_fast=ratio(theirs, mine),
                    times_the_work=works[1] / works[0],
                    unlike=unlike,
                )
            )
    return found


def _rows(bench: Workbench, outcome: Outcome) -> list[BenchRow]:
    from x3ddeploy.benchmarking.competitor import Scope
    from x3ddeploy.benchmarking.run import row_key

    rows = []
    for entry in outcome.competitors:
        for scope in entry.runs:
            samples = outcome.comparison.samples_ms.get(row_key(entry.name, scope), [])
            on_device = outcome.comparison.device_ms.get(row_key(entry.name, scope), [])
            note = [entry.pipeline_note] if scope is Scope.PIPELINE and entry.pipeline_note else []
            over_rounds: dict[str, Any] = {}
            if samples:
                over_rounds = vars(statistics(samples))
                over_rounds |= {"window_cv": window_cv(samples), "stable": is_stable(samples)}
            row = BenchRow(
                **_described(bench, outcome, entry),
                scope=scope.value,
                samples_ms=samples,
                notes=[*entry.loaded.notes, *note],
                device_samples_ms=on_device,
                device_median_ms=float(median(on_device)) if on_device else None,
                ratio=None,
                unlike=[],
                **over_rounds,
            )
            rows.append(row)
    return _with_ratios(rows)


def _described(bench: Workbench, outcome: Outcome, entry: Competitor) -> dict[str, Any]:
    """What of a row is the same in every scope."""
    loaded = entry.loaded
    row = {key: getattr(loaded, key) for key in ("network", "runtime", "device", "precision", "is_ours")}
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
        "load_s": entry.load_s,
        "memory_bytes": entry.memory,
        "work_of": graph,
        "floor_ms": _floor(bench, outcome, entry, graph),
    }


def _graph(outcome: Outcome, entry: Competitor) -> str | None:
    """Whose work counts for a competitor: its own float32 graph's, else that of another graph of the same network."""
    name, family = entry.name, entry.kind.partition("/")[0]
    if family in BASELINES:
        graphs = [other for other in outcome.work if other.startswith(f"{family}/")]
    elif entry.loaded.is_ours:
        same = [other for other in outcome.competitors if other.loaded.is_ours and other.bundle == entry.bundle]
        graphs = [name, named(entry.bundle, f"{family}/fp32"), *(other.name for other in same)]
    else:
        graphs = [name, *(other for other in outcome.work if other.startswith("plain/"))]
    return next((other for other in graphs if other in outcome.work), None)


def _floor(bench: Workbench, outcome: Outcome, entry: Competitor, graph: str | None) -> FloorEntry | None:
    from x3ddeploy.benchmarking.work import floor_of

    on_cpu = entry.loaded.device == "cpu"
    ceilings = next((entry for entry in outcome.ceilings if (entry.device == "cpu") == on_cpu), None)
    if graph is None or ceilings is None:
        return None
    # CPU runtimes compute half-typed graphs in float32.
    precision = "fp32" if on_cpu and entry.loaded.precision in ("fp16", "bf16") else entry.loaded.precision
    floor = floor_of(outcome.work[graph], ceilings, precision, bench.setting.batch)
    return FloorEntry(floor.arithmetic_ms, floor.memory_ms, floor.total_ms) if floor else None


def _reference(rows: list[BenchRow]) -> str:
    first = {row.kind: row.name for row in rows if row.bundle == rows[0].bundle}
    return next((first[kind] for kind in REFERENCES if kind in first), rows[0].name)


def _with_ratios(rows: list[BenchRow]) -> list[BenchRow]:
    """With the time over the reference's in the same scope, round by round, and in what the two differ."""
    name = _reference(rows)
    references = {row.scope: row for row in rows if row.name == name}
    return [
        msgspec.structs.replace(
            row, ratio=ratio(row.samples_ms, reference.samples_ms), unlike=differences(row, reference)
        )
        if (reference := references.get(row.scope)) and row.samples_ms
        else row
        for row in rows
    ]


def _throughput(outcome: Outcome) -> Iterator[ThroughputEntry]:
    for name, batches in outcome.throughput.samples_ms.items():
        for batch, samples in batches.items():
            median_ms = statistics(samples).median_ms
            yield ThroughputEntry(name, batch, "with_copies", samples, median_ms, 1e3 * batch / median_ms)


def _parts(samples_ms: dict[str, list[float]]) -> Iterator[PartEntry]:
    for name, samples in samples_ms.items():
        if samples:
            yield PartEntry(name=name, **vars(statistics(samples)), samples_ms=samples)


def _work(work: Work) -> WorkEntry:
    kinds = {kind: KindEntry(adds, moved) for kind, (adds, moved) in work.by_kind().items()}
    return WorkEntry(work.clips, work.multiply_adds, work.traffic_bytes, work.compulsory_bytes, kinds)
