"""What `x3ddeploy bench` shows in a terminal: a bar while it runs, tables when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from x3ddeploy.benchmarking.document import timed
from x3ddeploy.benchmarking.view import (
    absent_by_reason,
    bundles_text,
    busy,
    headline_text,
    timed_rows,
    times_floor,
    unstable_rows,
    with_few_rounds,
)
from x3ddeploy.cli.echo import echo
from x3ddeploy.cli.output import print_table

if TYPE_CHECKING:
    from x3ddeploy.benchmarking.compare import Comparison
    from x3ddeploy.benchmarking.document import BenchReport


def print_report(report: BenchReport) -> None:
    """The figures; what is drawn is in report.html."""
    for scope in report.scopes:
        _print_scope(report, scope)
    _print_throughput(report)
    _print_parts(report)
    for entry in report.headlines:
        echo(headline_text(report, entry))
    if report.interrupted:
        echo("interrupted: only complete rounds are counted")
    for reason, names in absent_by_reason(report).items():
        echo(f"not measured: {', '.join(names)}: {reason}")


def _print_scope(report: BenchReport, scope: str) -> None:
    rows = timed_rows(report, scope)
    if not rows:
        return
    machine = report.machine
    print_table(
        f"scope {scope}, batch {report.batch}, {report.threads} threads of {machine.cpu}, "
        f"{report.rounds} interleaved rounds, {bundles_text(report)}"
        f"{', BUSY MACHINE' if busy(report) else ''}",
        ("competitor", "median ms", "p90", "p95", "p99", f"x {report.reference}", "x floor", "error", "host MB"),
        [
            (
                row.name,
                *(f"{value:.1f}" for value in (of.median_ms, of.p90_ms, of.p95_ms, of.p99_ms)),
                f"{row.ratio.median:.2f}{'*' if row.unlike else ''}" if row.ratio else "",
                "" if (over := times_floor(row)) is None else f"{over:.1f}",
                "" if row.relative_error is None else f"{row.relative_error:.0e}",
                "" if row.memory_bytes.host_peak is None else f"{row.memory_bytes.host_peak / 1e6:.0f}",
            )
            for row in rows
            for of in (timed(row),)
        ],
        right=range(1, 9),
    )
    for text in dict.fromkeys("; ".join(row.unlike) for row in rows if row.unlike):
        echo(f"* {text}")
    if with_few_rounds(rows):
        echo(f"too few rounds to tell what is stable: {report.rounds}; --seconds gives more")
    if unstable := unstable_rows(rows):
        echo(f"not stable within the time: {', '.join(row.name for row in unstable)}")
    echo()


def _print_throughput(report: BenchReport) -> None:
    rates: dict[str, dict[int, float]] = {}
    for entry in report.throughput:
        rates.setdefault(entry.name, {})[entry.batch] = entry.clips_per_s
    if not rates:
        return
    batches = sorted({batch for values in rates.values() for batch in values})
    print_table(
        "Clips per second by batch, scope with_copies",
        ("competitor", *map(str, batches)),
        [
            (name, *(f"{values[batch]:.1f}" if batch in values else "" for batch in batches))
            for name, values in rates.items()
        ],
        right=range(1, len(batches) + 1),
    )
    echo()


def _print_parts(report: BenchReport) -> None:
    if not report.parts:
        return
    print_table(
        "Parts, one clip, fp32",
        ("part", "median ms", "p90"),
        [(part.name, f"{part.median_ms:.2f}", f"{part.p90_ms:.2f}") for part in report.parts],
        right=(1, 2),
    )
    echo()


def print_comparison(comparison: Comparison, before: str, after: str) -> None:
    """What changed from one report to the other."""
    print_table(
        f"{after} against {before}; slower is by more than {comparison.threshold:.0%} with an interval above 1",
        ("competitor", "scope", "before ms", "after ms", "after / before", "95 % interval", ""),
        [
            (
                change.name,
                change.scope,
                f"{change.before_ms:.2f}",
                f"{change.after_ms:.2f}",
                f"{change.ratio:.3f}",
                f"{change.lower:.3f} to {change.upper:.3f}",
                f"{change.verdict}{' (UNLIKE)' if change.unlike else ''}",
            )
            for change in comparison.changes
        ],
        right=(2, 3, 4),
    )
    for line in dict.fromkeys(line for change in comparison.changes for line in change.unlike):
        echo(f"unlike: {line}")
    for name, gain in comparison.machine.items():
        echo(f"the machine itself: {name} {gain:.2f} times the rate")
    for name in comparison.only_before:
        echo(f"not compared: {name} is only in {before}")
    for name in comparison.only_after:
        echo(f"not compared: {name} is only in {after}")
