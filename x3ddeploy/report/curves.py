"""Two plots of the bundle's forms: clips a second over batch, and accuracy over latency."""

from __future__ import annotations

from x3ddeploy.benchmarking.document import timed
from x3ddeploy.benchmarking.view import Report, main_scope, timed_rows
from x3ddeploy.report.competitors import Numbers, tone_of
from x3ddeploy.report.plot import Entry, Line, Mark, Plot, spread, with_margin, x_scale, y_scale
from x3ddeploy.report.scale import Tick, milliseconds, number

_LEAST_PERCENT = 2.0  # of accuracy on the canvas: a difference of one video is not to fill it
_COLOURS = 6  # of the style sheet; numbers tell what shares one


def throughput(report: Report, numbers: Numbers) -> Plot | None:
    """One line a competitor; None where nothing was measured."""
    rates: dict[str, dict[int, float]] = {}
    for entry in report.throughput:
        rates.setdefault(entry.name, {})[entry.batch] = entry.clips_per_s
    if not rates:
        return None
    batches = sorted({batch for values in rates.values() for batch in values})
    x = x_scale(batches[0] / 1.2, batches[-1] * 1.2, is_log=True)
    y = y_scale(0, 1.08 * max(rate for values in rates.values() for rate in values.values()))
    last = {name: max(values) for name, values in rates.items()}
    places = spread([y(rates[name][last[name]]) for name in rates])
    lines: list[Line] = []
    marks, entries = [], []
    for (name, values), place in zip(rates.items(), places, strict=True):
        tone = f"series{len(lines) % _COLOURS}"
        points = tuple((x(batch), y(rate)) for batch, rate in sorted(values.items()))
        best = max(values, key=lambda batch: values[batch])
        text = f"{number(values[best])} clips/s at best, at batch {best}"
        lines.append(Line(points, tone))
        marks.append(Mark(numbers[name], *points[-1], place, tone, f"{name}: {text}"))
        entries.append(Entry(numbers[name], tone, name, text))
    return Plot(
        title="Clips per second, scope with_copies",
        x_label="clips at a time",
        y_label="clips/s",
        x_ticks=[Tick(x(batch), str(batch)) for batch in batches],
        y_ticks=y.ticks(),
        marks=marks,
        lines=lines,
        entries=sorted(entries, key=lambda entry: entry.number),
    )


def accuracy(report: Report, numbers: Numbers) -> Plot | None:
    """Top-1 over latency in the main scope, with a line through what nothing else beats in both.

    None where no accuracy of a timed competitor is known.
    """
    scope, known = main_scope(report), report.accuracy
    rows = [row for row in timed_rows(report, scope) if row.name in known]
    if not rows:
        return None
    shares = [100 * known[row.name].top1 for row in rows]
    x = x_scale(*with_margin([0, *(timed(row).median_ms for row in rows)]))
    low, high = with_margin(shares)
    more = max(0.0, _LEAST_PERCENT - (high - low)) / 2
    y = y_scale(low - more, high + more)
    places = spread([y(share) for share in shares])
    marks, entries = [], []
    for row, share, place in zip(rows, shares, places, strict=True):
        index, tone = numbers[row.name], tone_of(row)
        text = f"{share:.2f} % top-1, {milliseconds(timed(row).median_ms)}"
        marks.append(Mark(index, x(timed(row).median_ms), y(share), place, tone, f"{row.name}: {text}"))
        entries.append(Entry(index, tone, row.name, text))
    measured_on = known[rows[0].name]
    best = [share > max([-1.0, *shares[:place]]) for place, share in enumerate(shares)]  # the fastest first
    frontier = tuple(
        (x(timed(row).median_ms), y(share)) for row, share, is_best in zip(rows, shares, best, strict=True) if is_best
    )
    return Plot(
        title=f"Top-1 on {measured_on.videos} videos of {measured_on.data}, scope {scope}",
        x_label="median latency, ms",
        y_label="top-1, %",
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        marks=marks,
        lines=[Line(frontier, "roof", dashed=True)],
        entries=entries,
    )
