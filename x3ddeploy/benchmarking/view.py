"""What reports and tables show of bench.json, apart from how they look."""

from __future__ import annotations

from collections.abc import Iterable

from x3ddeploy.benchmarking.competitor import named
from x3ddeploy.benchmarking.document import BenchReport, Headline, timed
from x3ddeploy.benchmarking.document import BenchRow as BenchRow
from x3ddeploy.terms import Target
from x3ddeploy.timing.busy_machine import busy_mark
from x3ddeploy.timing.measure import Ratio

Report = BenchReport

_WIDE = 0.2  # quartiles so far apart, as a share of the median, stand in its place


def timed_rows(report: Report, scope: str) -> list[BenchRow]:
    """Competitors timed in a scope, fastest first."""
    rows = [row for row in report.competitors if row.scope == scope and row.samples_ms]
    return sorted(rows, key=lambda row: timed(row).median_ms)


def main_scope(report: Report) -> str:
    """The first of the scopes in which something was timed; headlines, roofline and accuracy are of it."""
    return next(scope for scope in report.scopes if timed_rows(report, scope))


def times_floor(row: BenchRow) -> float | None:
    """The median over what the machine's ceilings allow; None where that is not known or holds more than inference."""
    if row.floor_ms is None or row.scope == "pipeline":
        return None
    return timed(row).median_ms / row.floor_ms.total_ms


def absent_by_reason(report: Report) -> dict[str, list[str]]:
    """Reason -> names of what was not measured for it."""
    found: dict[str, list[str]] = {}
    for entry in report.absent:
        found.setdefault(entry.reason, []).append(entry.name)
    return found


def marks(report: Report, entry: Headline) -> str:
    """What a headline's figure never stands without: that the machine was busy, that it is of few rounds."""
    rows = [row for row in report.competitors if row.scope == entry.scope and row.name in (entry.faster, entry.slower)]
    few = f"{report.rounds} rounds" if with_few_rounds(rows) else ""
    return ", ".join(filter(None, (busy(report), few)))


def headline_text(report: Report, entry: Headline) -> str:
    """A ratio in words, with its scope, spread, marks, and in what the two are not alike."""
    ratio, text = entry.times_as_fast, f"{entry.faster} is "
    text += f"{ratio_text(ratio)} times as fast {comparison(entry)} {entry.slower} ({entry.network}), scope "
    text += f"{entry.scope}, quartiles {ratio.lower_quartile:.2f} to {ratio.upper_quartile:.2f}"
    if mark := marks(report, entry):
        text += f" ({mark})"
    return f"{text}. {unlikeness(entry)}" if entry.unlike else text


def ratio_text(ratio: Ratio) -> str:
    """'2.04', or its quartiles, '1.5 to 2.6', where the median alone would be a claim.

    That is where they are far apart, or on both sides of 1.
    """
    median, lower, upper = ratio.median, ratio.lower_quartile, ratio.upper_quartile
    is_clear = upper - lower <= _WIDE * median and not lower < 1 < upper
    return f"{median:.2f}" if is_clear else f"{lower:.3g} to {upper:.3g}"


def comparison(entry: Headline) -> str:
    """How a headline goes on after '2.00 times as fast'."""
    return "as" if entry.per == "clip" else f"a {entry.per} as"


def unlikeness(entry: Headline) -> str:
    """Why a headline is not of a clip."""
    return f"One of its clips is {entry.times_the_work:.2g} times the work; {'; '.join(entry.unlike)}"


def bundles_text(report: Report) -> str:
    """What was measured, in a few words: 'a.pth for openvino, b.pth for tensorrt'."""
    return ", ".join(f"{bundle.source} for {bundle.target}" for bundle in report.bundles)


def busy(report: Report) -> str:
    """The mark of all its figures, where others computed during the comparison; empty where they did not."""
    machine = report.machine
    return busy_mark(machine.cpu_of_others, machine.load_average, machine.cores)


def with_few_rounds(rows: Iterable[BenchRow]) -> list[BenchRow]:
    """Rows of which nobody can tell whether they are stable."""
    return [row for row in rows if not isinstance(row.window_cv, float)]


def unstable_rows(rows: Iterable[BenchRow]) -> list[BenchRow]:
    """Rows whose medians still moved."""
    return [row for row in rows if isinstance(row.window_cv, float) and not row.stable]


def _is_strange_to(target: str, row: BenchRow) -> bool:
    """Whether a row of the bundle's is in a runtime whose kernels like another form; TensorRT's is ONNX Runtime's."""
    in_openvino = row.runtime.partition("-")[0] == Target.OPENVINO
    return row.is_ours and in_openvino != (target == Target.OPENVINO)


def cautions(report: Report) -> list[str]:
    """What a reader has to know before quoting a figure."""
    found = []
    if report.interrupted:
        found.append("The run was interrupted: only complete rounds are counted, and later phases are missing.")
    machine = report.machine
    if busy(report):
        others = machine.cpu_of_others
        loads = " and ".join(f"{load:.1f}" for load in machine.load_average)
        share = f"load average {loads} before and after" if others is None else f"others took {others:.0%}"
        found.append(
            f"The machine was busy ({share} of {machine.cores} cores): figures are marked, times are "
            "longer than on a quiet one, and ratios are as good as their quartiles are close."
        )
    rows = [row for row in report.competitors if row.samples_ms]
    if few := with_few_rounds(rows):
        found.append(
            f"{len(few)} of {len(rows)} timings have too few rounds to be called stable; --seconds gives more."
        )
    if unstable := unstable_rows(rows):
        found.append(
            f"{len(unstable)} of {len(rows)} timings were not stable within the time: their medians still moved by "
            "more than 2 % from window to window."
        )
    over = sorted({row.name for row in rows if (times_floor(row) or 1) < 1})
    if over:
        found.append(
            f"Faster than the ceilings that were measured: {', '.join(over)}. Kernels that multiply less than the "
            "graph says (Winograd), or a machine that was busy while the ceilings were measured."
        )
    for bundle in report.bundles:
        strangers = sorted(
            {row.name for row in rows if row.bundle == bundle.name and _is_strange_to(bundle.target, row)}
        )
        if strangers:
            found.append(
                f"Graphs for {bundle.target} in another runtime: {', '.join(strangers)}. Right, and slower than what "
                "`x3ddeploy export --target` makes for it."
            )
    found += [
        f"{named(bundle.name, name)} was calibrated with made-up clips: its accuracy is not what real ones would give."
        for bundle in report.bundles
        for name in bundle.random_calibration
    ]
    return found
