"""Where the time goes: a strip of blocks for each runtime and stream, and shares by kind of layer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from x3ddeploy.benchmarking.view import Report
from x3ddeploy.timing.profile import LayerTime

TOTAL = "all layers"
_LEAST_SHARE = 0.0005  # a strip that would read 0.0 % is none


@dataclass(frozen=True)
class Cell:
    """One block's layers of one kind: strength from 0 to 1, and what it is."""

    strength: float
    title: str


@dataclass(frozen=True)
class Strip:
    """One row of cells; `share` of the profiled time."""

    kind: str
    share: str
    cells: list[Cell]


@dataclass(frozen=True)
class PartHeat:
    """One part in one competitor.

    Attributes:
        stages: name and number of blocks, in the order of execution.
        strips: all layers first, then by kind, most time first.
    """

    title: str
    stages: list[tuple[str, int]]
    strips: list[Strip]


@dataclass(frozen=True)
class Share:
    """A kind of layer: its share of multiply-adds, of traffic, and of each profiled competitor's time, in percent."""

    kind: str
    shares: list[float | None]


def heats(report: Report) -> list[PartHeat]:
    """A map for every profiled competitor and each part that has blocks."""
    return [
        _heat(name, stream, [block for block in blocks if block.stream == stream], _total(blocks))
        for name, blocks in report.profiles.items()
        for stream in dict.fromkeys(block.stream for block in blocks if block.block != block.stream)
        if stream
    ]


def kinds(report: Report) -> tuple[list[str], list[Share]]:
    """Columns, and a row for each kind of layer, most time first; empty where nothing was profiled."""
    profiled = report.profiles
    if not profiled:
        return [], []
    columns = [_by_kind(blocks) for blocks in profiled.values()]
    work = next((report.work[name].by_kind for name in profiled if name in report.work), {})
    counted: list[dict[str, float]] = [
        {kind: values.multiply_adds for kind, values in work.items()},
        {kind: values.traffic_bytes for kind, values in work.items()},
    ]
    named = sorted(
        {*work, *(kind for column in columns for kind in column)}, key=lambda kind: -columns[0].get(kind, 0.0)
    )
    rows = [Share(kind or "not placed", [_share(column, kind) for column in (*counted, *columns)]) for kind in named]
    return ["multiply-adds", "bytes, nothing fused", *(f"time in {name}" for name in profiled)], rows


def _heat(name: str, stream: str, blocks: list[LayerTime], total: float) -> PartHeat:
    order = list(dict.fromkeys((block.stage, block.block) for block in blocks))
    times: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for block in blocks:
        for kind in (TOTAL, block.kind):
            times[kind][block.block] += block.time_ms
    strongest = max(times[TOTAL].values()) or 1.0
    shares = {kind: sum(values.values()) / total for kind, values in times.items()}
    ranked = sorted((kind for kind in shares if shares[kind] >= _LEAST_SHARE), key=lambda kind: -shares[kind])
    strips = [
        Strip(
            kind,
            f"{shares[kind]:.1%}",
            [
                Cell(round(times[kind][block] / strongest, 3), f"{block}, {kind}: {times[kind][block]:.2f} ms")
                for _, block in order
            ],
        )
        for kind in ranked
    ]
    stages: dict[str, int] = defaultdict(int)
    for stage, _ in order:
        stages[stage] += 1
    return PartHeat(f"{name}, {stream}: {shares[TOTAL]:.0%} of the profiled time", list(stages.items()), strips)


def _total(blocks: list[LayerTime]) -> float:
    return sum(block.time_ms for block in blocks) or 1.0


def _by_kind(blocks: list[LayerTime]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for block in blocks:
        sums[block.kind] += block.time_ms
    return dict(sums)


def _share(column: dict[str, float], kind: str) -> float | None:
    total = sum(column.values())
    return 100 * column.get(kind, 0.0) / total if total else None
