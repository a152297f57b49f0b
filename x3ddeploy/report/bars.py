"""Bars as data: lengths and spreads in percent of the track, which a template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from x3ddeploy.benchmarking.document import PartEntry, timed
from x3ddeploy.benchmarking.view import BenchRow, Report, busy, timed_rows, times_floor
from x3ddeploy.report.competitors import OTHER_NETWORK, Numbers, tone_of
from x3ddeploy.report.scale import TIMES, milliseconds

# The longest bar leaves some of the track to its spread; what goes beyond the track is cut.
_LONGEST = 1.25


@dataclass(frozen=True)
class Bar:
    """A median with its spread.

    Attributes:
        number: number of the competitor, where it is one.
        length: length of the bar, and `quartiles` and `p95` on the track, in percent.
        text: the median; `detail`: what stands beside it.
        mark: '*' where it is not like the reference.
    """

    name: str
    tone: str
    length: float
    quartiles: tuple[float, float]
    p95: float
    text: str
    detail: str = ""
    number: int | None = None
    mark: str = ""


@dataclass(frozen=True)
class Chart:
    """Bars on one common track, and lines to stand under them; `mark` goes with the title."""

    title: str
    bars: list[Bar]
    notes: list[str]
    mark: str = ""


@dataclass(frozen=True)
class Stack:
    """One bar of several pieces: (tone, percent, text)."""

    name: str
    pieces: list[tuple[str, float, str]]


def latency(report: Report, numbers: Numbers) -> list[Chart]:
    """One chart a scope, and one of its own for another network's clips: no bar shrinks beside theirs."""
    charts = []
    for scope in report.scopes:
        alike = [row for row in timed_rows(report, scope) if not _other_clips(row)]
        others = [row for row in timed_rows(report, scope) if _other_clips(row)]
        for rows, mark in ((alike, ""), (others, "other clips")):
            if rows:
                bars = _bars(rows, [tone_of(row) for row in rows], [_detail(row) for row in rows])
                named = [_numbered(bar, numbers[row.name], row) for bar, row in zip(bars, rows, strict=True)]
                unlike = list(dict.fromkeys("* " + "; ".join(row.unlike) for row in rows if row.unlike))
                charts.append(Chart(scope, named, unlike, ", ".join(filter(None, (mark, busy(report))))))
    return charts


def _other_clips(row: BenchRow) -> bool:
    return tone_of(row) == OTHER_NETWORK and bool(row.unlike)


def parts(report: Report) -> list[Chart]:
    """One chart for the preparation and one for each runtime, all on the same track."""
    entries = [part for part in report.parts if part.samples_ms]
    groups = list(dict.fromkeys(entry.name.partition("/")[0] for entry in entries))
    bars = _bars(entries, ["other" if _group(entry) == "preparation" else "ours" for entry in entries])
    return [Chart(group, [_short(bar) for bar in bars if bar.name.startswith(f"{group}/")], []) for group in groups]


def precisions(report: Report) -> list[Stack]:
    """Convolutions of each form of the bundle, by the precision in which the runtime computes them."""
    stacks = []
    for name, counts in report.precisions.items():
        total = sum(counts.values())
        pieces = [(precision, 100 * count / total, f"{count} {precision}") for precision, count in counts.items()]
        stacks.append(Stack(name, pieces))
    return stacks


def _bars(
    rows: Sequence[BenchRow | PartEntry], tones: Sequence[str], details: Sequence[str] | None = None
) -> list[Bar]:
    figures = [timed(row) for row in rows]
    track = _LONGEST * max((of.median_ms for of in figures), default=1.0)
    return [
        Bar(
            name=row.name,
            tone=tone,
            length=_percent(of.median_ms, track),
            quartiles=(_percent(of.lower_quartile_ms, track), _percent(of.upper_quartile_ms, track)),
            p95=_percent(of.p95_ms, track),
            text=milliseconds(of.median_ms),
            detail=detail,
        )
        for row, of, tone, detail in zip(rows, figures, tones, details or [""] * len(rows), strict=True)
    ]


def _percent(value: float, track: float) -> float:
    return round(min(100.0, 100 * value / track), 2)


def _detail(row: BenchRow) -> str:
    over = times_floor(row)
    texts = [f"{row.ratio.median:.2f} {TIMES} reference"] if row.ratio else []
    return ", ".join(texts + ([f"{over:.1f} {TIMES} floor"] if over is not None else []))


def _numbered(bar: Bar, index: int, row: BenchRow) -> Bar:
    return Bar(**{**vars(bar), "number": index, "mark": "*" if row.unlike else ""})


def _group(entry: BenchRow | PartEntry) -> str:
    return entry.name.partition("/")[0]


def _short(bar: Bar) -> Bar:
    return Bar(**{**vars(bar), "name": bar.name.partition("/")[2]})
