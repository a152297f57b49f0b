"""`x3ddeploy bench`: how fast is this bundle here, next to others, and where does the time go?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import MOST_CLIPS_AT_A_TIME, MOST_THREADS, Count, Number

_MOST_SECONDS = 7 * 24 * 3600
_LARGEST_THRESHOLD = 10  # a tenfold time


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Time only these competitors, e.g. onnxruntime; may be repeated."
)
@click.option("--skip", multiple=True, metavar="NAME", help="Leave these competitors out; may be repeated.")
@click.option("--all", "with_slow", is_flag=True, help="Also those that take minutes to prepare (torch.compile).")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["compute", "with_copies", "pipeline"]),
    multiple=True,
    help="Time this scope alone, without parts, throughput and layers; may be repeated.  [default: all three]",
)
@click.option("--batch", type=Count(MOST_CLIPS_AT_A_TIME), help="Clips at a time.  [default: the bundle's, or 1]")
@click.option("--threads", type=Count(MOST_THREADS), help="CPU threads of each.  [default: all usable cores]")
@click.option("--seconds", type=Number(_MOST_SECONDS), default=75, show_default=True, help="Budget for timing.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for bench.json, report.html and report.md.  [default: the bundle]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="BEFORE AFTER",
    help="Measure nothing: compare two bench.json; exit code 3 where something became slower or is missing.",
)
@click.option(
    "--threshold",
    type=Number(_LARGEST_THRESHOLD),
    default=0.05,
    show_default=True,
    help="With --compare: the share by which a median may grow.",
)
@click.option("--unlike", is_flag=True, help="With --compare: also what differs in more than its time; it is labelled.")
def command(
    bundle: Path,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    with_slow: bool,
    scopes: tuple[str, ...],
    batch: int | None,
    threads: int | None,
    seconds: float,
    output: Path | None,
    as_json: bool,
    compare: tuple[Path, Path] | None,
    threshold: float,
    unlike: bool,
) -> None:
    """Time BUNDLE (default: deploy) in every runtime and precision, next to PyTorch and to RGBPoseConv3D.

    All competitors run in turn, round after round, with the same number of threads. Ctrl-C ends it and keeps what was
    measured. Who cannot take part is listed with the reason.

    A NAME is '<runtime>/<precision>' (onnxruntime/int8), '<torch>/<form>' (torch/eager), 'plain/<runtime>' for a plain
    torch.onnx.export or 'rgbposeconv3d/<runtime>'. Naming a group takes all of it: `--skip rgbposeconv3d`.
    """
    if compare:
        _compare(*compare, threshold, unlike, as_json)
        return
    from x3ddeploy.benchmarking.competitor import Scope
    from x3ddeploy.benchmarking.competitors import choose, without_slow
    from x3ddeploy.benchmarking.report import bench_report
    from x3ddeploy.benchmarking.run import run_benchmark
    from x3ddeploy.benchmarking.workbench import Setting, Workbench
    from x3ddeploy.bundle.check import open_whole
    from x3ddeploy.cli.bench_output import print_report
    from x3ddeploy.cli.output import Steps
    from x3ddeploy.errors import GateError, X3DDeployError
    from x3ddeploy.machine import usable_cores
    from x3ddeploy.places import REPORT_BYTES, require_place

    folder = _folder(output) or bundle
    names = choose(only, skip)
    names, left_out = (names, []) if with_slow or only else without_slow(names)
    opened = open_whole(bundle)
    require_place(folder, REPORT_BYTES)
    setting = Setting(batch or opened.manifest.batch or 1, threads or usable_cores())
    steps = Steps()
    bench = Workbench(opened, setting, steps)
    chosen = [scope for scope in Scope if not scopes or scope.value in scopes]
    with steps.bars():
        outcome = run_benchmark(bench, names, chosen, seconds, steps, comparison_only=bool(scopes))
    outcome.absent += left_out
    if outcome.comparison.rounds == 0:
        raise X3DDeployError("interrupted before one round was complete", hint="give it more time")
    report = bench_report(bench, outcome, chosen, seconds)
    written = _write(folder, report)
    if as_json:
        print_json(report)
    else:
        print_report(report)
        echo(f"written: {', '.join(map(str, written))}")
    failed = [f"{entry.name}: {entry.reason}" for entry in outcome.absent if entry.failed]
    if failed:
        raise GateError("some computed something else, or not where they were asked to", details=failed)


def _folder(output: Path | None) -> Path | None:
    """Made before anything is measured."""
    from x3ddeploy.atomic import explain_os_errors
    from x3ddeploy.errors import UsageError

    if output is None:
        return None
    if output.suffix:
        raise UsageError(f"-o {output} names a file", hint="give a folder; bench.json and the reports go into it")
    with explain_os_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    return output


def _write(folder: Path, report: dict[str, Any]) -> list[Path]:
    from x3ddeploy.atomic import write_bytes, write_json
    from x3ddeploy.bundle import BENCH, BENCH_REPORTS
    from x3ddeploy.report.page import render_html, render_markdown

    # The samples first: no fault of a page is to lose them.
    write_json(folder / BENCH, report)
    html, markdown = (folder / name for name in BENCH_REPORTS)
    write_bytes(html, render_html(report).encode())
    write_bytes(markdown, render_markdown(report).encode())
    return [folder / BENCH, html, markdown]


def _compare(before: Path, after: Path, threshold: float, unlike: bool, as_json: bool) -> None:
    from x3ddeploy.benchmarking.compare import compare_reports
    from x3ddeploy.benchmarking.reading import read_report
    from x3ddeploy.cli.bench_output import print_comparison

    comparison = compare_reports(read_report(before), read_report(after), threshold, unlike=unlike)
    if as_json:
        print_json(comparison.to_json())
    else:
        print_comparison(comparison, str(before), str(after))
    comparison.raise_for_regressions()
