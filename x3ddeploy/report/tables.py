"""Tables as data: a header and rows of text."""

from __future__ import annotations

from dataclasses import dataclass

from x3ddeploy.benchmarking.document import timed
from x3ddeploy.benchmarking.resources import GpuState
from x3ddeploy.benchmarking.view import Report, comparison, marks, ratio_text, timed_rows, times_floor, unlikeness
from x3ddeploy.report.competitors import Numbers
from x3ddeploy.report.scale import TIMES, number


@dataclass(frozen=True)
class Tile:
    """A figure that people quote, and what it says; it never stands without its scope, nor without `mark`."""

    figure: str
    says: str
    detail: str
    mark: str


def tiles(report: Report) -> list[Tile]:
    """The bundle's fastest float32 form, and how many times as fast as others it is."""
    found = []
    for entry in report.headlines:
        ratio = entry.times_as_fast
        unlike = f" {unlikeness(entry)}." if entry.unlike else ""
        detail = (
            f"{entry.faster} against {entry.slower}, scope {entry.scope}, float32; quartiles "
            f"{ratio.lower_quartile:.2f} to {ratio.upper_quartile:.2f}.{unlike}"
        )
        says = f"as fast {comparison(entry)} {entry.network}"
        found.append(Tile(f"{ratio_text(ratio)} {TIMES}", says, detail, marks(report, entry)))
    return found


def details(report: Report, numbers: Numbers) -> tuple[list[str], list[list[str]]]:
    """Everything that is known of every timed row."""
    header = ["#", "competitor", "what computes", "version", "device", "precision", "scope"]
    header += ["median ms", "p90", "p95", "p99", "mean", "min", "window cv", "x floor", "error"]
    header += ["ready s", "host MB", "device MB", "engine MB", "file MB"]
    rows = [
        [
            str(numbers[row.name]),
            *(row.name, row.network, row.version, row.device, row.precision, row.scope),
            *(f"{value:.2f}" for value in (of.median_ms, of.p90_ms, of.p95_ms, of.p99_ms, of.mean_ms, of.min_ms)),
            f"{row.window_cv:.1%}" if isinstance(row.window_cv, float) else "",
            "" if (over := times_floor(row)) is None else f"{over:.1f}",
            "" if row.relative_error is None else f"{row.relative_error:.0e}",
            f"{row.load_s:.1f}",
            *map(_megabytes, (memory.host_peak, memory.device, memory.engine, memory.file)),
        ]
        for scope in report.scopes
        for row in timed_rows(report, scope)
        for of, memory in ((timed(row), row.memory_bytes),)
    ]
    return header, rows


def environment(report: Report) -> list[tuple[str, str]]:
    """What the figures are of."""
    machine = report.machine
    found = [
        (
            f"bundle {bundle.name}".strip(),
            f"{bundle.source}, for {bundle.target}, checkpoint's sha256 {bundle.source_sha256[:16]}",
        )
        for bundle in report.bundles
    ]
    found += [
        ("measured", report.measured_at),
        ("processor", f"{machine.cpu}, {machine.cores} usable cores, {report.threads} threads"),
        ("system", f"{machine.os}, Python {machine.python}"),
        ("load average", " before, ".join(f"{load:.1f}" for load in machine.load_average) + " after"),
        ("batch", str(report.batch)),
        ("rounds", f"{report.rounds}, interleaved, in at most {report.seconds:g} s"),
        ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ]
    if report.video:
        found.append(("video of the pipeline", report.video))
    if machine.gpu:
        found += _gpu(machine.gpu)
    for ceilings in report.ceilings:
        rates = [f"{name} {number(rate / 1e9)} GOP/s" for name, rate in ceilings.gemm_flops.items() if rate]
        copies = f"copies {number(ceilings.copy_bytes_per_s / 1e9)} GB/s"
        found.append((f"ceilings, {ceilings.device}", ", ".join([*rates, copies])))
    return found


def _gpu(gpu: GpuState) -> list[tuple[str, str]]:
    found = [("GPU", f"{gpu.name}, driver {gpu.driver}")]
    for title, value, most, unit in (
        ("clock under load", gpu.clock_mhz, gpu.max_clock_mhz, "MHz"),
        ("power under load", gpu.power_w, gpu.power_limit_w, "W"),
    ):
        if value is not None:
            limit = "" if most is None else f" of {most:.0f}"
            found.append((title, f"{value:.0f}{limit} {unit}"))
    return found


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f}"
