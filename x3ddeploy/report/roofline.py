"""The roofline: operations a second over operations a byte, under what the machine can do.

Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009. How many bytes cross memory depends on what a runtime fuses
and what its caches hold, which nobody measures here: each competitor is a line from no fusion at all to the least
traffic possible, the graph's own inputs, weights and outputs.
"""

from __future__ import annotations

from x3ddeploy.benchmarking.ceilings import Ceilings
from x3ddeploy.benchmarking.document import timed
from x3ddeploy.benchmarking.view import BenchRow, Report, main_scope, timed_rows
from x3ddeploy.report.competitors import Numbers, tone_of
from x3ddeploy.report.plot import Entry, Line, Mark, Note, Plot, spread, with_margin, x_scale, y_scale
from x3ddeploy.report.scale import number


def rooflines(report: Report, numbers: Numbers) -> list[Plot]:
    """One for each device whose ceilings were measured and on which something with known work was timed."""
    plots = []
    for ceilings in report.ceilings:
        on_cpu = ceilings.device == "cpu"
        rows = [
            row
            for row in timed_rows(report, main_scope(report))
            if row.work_of in report.work and (row.device == "cpu") == on_cpu
        ]
        if rows:
            plots.append(_roofline(report, rows, ceilings, numbers))
    return plots


def _roofline(report: Report, rows: list[BenchRow], ceilings: Ceilings, numbers: Numbers) -> Plot:
    bandwidth = ceilings.copy_bytes_per_s / 1e9
    multiplied_in = {"fp32", *(row.precision for row in rows)}
    peaks = {name: rate / 1e9 for name, rate in ceilings.gemm_flops.items() if rate and name in multiplied_in}
    points = {row.name: _point(report, row) for row in rows}
    top = max(peaks.values())
    intensities = [value for low, high, _ in points.values() for value in (low, high)]
    x = x_scale(*with_margin([*intensities, top / bandwidth], is_log=True), is_log=True)
    y = y_scale(*with_margin([*(rate for _, _, rate in points.values()), top], is_log=True), is_log=True)
    slope_start = max(x.low, y.low / bandwidth)
    lines = [Line(((x(slope_start), y(slope_start * bandwidth)), (x(top / bandwidth), y(top))), "roof")]
    lines += [Line(((x(peak / bandwidth), y(peak)), (x(x.high), y(peak))), "roof") for peak in peaks.values()]
    heights = spread([y(peak) - 4 for peak in peaks.values()])
    notes = [Note(x(x.high), height, name, end=True) for name, height in zip(peaks, heights, strict=True)]
    products = ", ".join(f"{name} {number(peak)}" for name, peak in peaks.items())
    places = spread([y(points[row.name][2]) for row in rows])
    marks, entries = [], []
    for row, place in zip(rows, places, strict=True):
        low, high, rate = points[row.name]
        index, tone, text = numbers[row.name], tone_of(row), f"{number(rate)} GFLOP/s"
        # CPU runtimes compute half-typed graphs in float32.
        if peak := peaks.get(row.precision, peaks.get("fp32") if ceilings.device == "cpu" else None):
            text += f", {rate / peak:.0%} of the ceiling"
        marks.append(Mark(index, x(low), y(rate), place, tone, f"{row.name}: {text}", x(high)))
        entries.append(Entry(index, tone, row.name, text))
    device = "CPU" if ceilings.device == "cpu" else ceilings.device
    return Plot(
        title=f"{device}: matrix product {products} GFLOP/s, copies {number(bandwidth)} GB/s",
        x_label="operations per byte: from nothing fused to everything fused",
        y_label="GFLOP/s",
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        marks=marks,
        lines=lines,
        entries=entries,
        notes=tuple(notes),
    )


def _point(report: Report, row: BenchRow) -> tuple[float, float, float]:
    """Operations a byte without fusion and with all of it, and GFLOP/s; a multiply-add is two operations."""
    work = report.work[str(row.work_of)]
    operations = 2 * work.multiply_adds
    rate = operations * row.batch / work.clips / (timed(row).median_ms / 1e3) / 1e9
    return operations / work.traffic_bytes, operations / work.compulsory_bytes, rate
