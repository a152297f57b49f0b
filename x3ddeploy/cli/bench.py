"""`x3ddeploy bench`: how fast is this bundle here?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option("--only", multiple=True, metavar="NAME", help="Time only this competitor; may be repeated.")
@click.option("--skip", multiple=True, metavar="NAME", help="Leave this competitor out; may be repeated.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=None, help="Clips at a time.  [default: the bundle's, or 1]"
)
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads.  [default: all usable cores]")
@click.option("--seconds", type=click.FloatRange(min=0), default=60, show_default=True, help="Budget for timing.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to write bench.json.  [default: the bundle]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    bundle: Path,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    batch: int | None,
    threads: int | None,
    seconds: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Time BUNDLE (default: deploy) in every runtime, next to PyTorch and to RGBPoseConv3D.

    All competitors run in turn, round after round, with the same number of threads. The timing scope is `compute`: from
    ready float32 tensors in host memory to outputs in host memory. Ctrl-C ends it and keeps what was measured.

    A NAME is a runtime (torch, onnxruntime, openvino), a part in one (onnxruntime/rgb_backbone) or the baseline in one
    (rgbposeconv3d/torch). Naming a group takes all of it: `--skip rgbposeconv3d`.
    """
    from x3ddeploy.atomic import write_json
    from x3ddeploy.bench.competitors import prepare
    from x3ddeploy.bench.measure import measure
    from x3ddeploy.bench.report import bench_report, usable_cores
    from x3ddeploy.bundle import BENCH, Bundle
    from x3ddeploy.cli.output import Steps, print_json
    from x3ddeploy.errors import MissingRequirementError, X3DDeployError

    opened = Bundle.open(bundle)
    batch, threads = batch or opened.manifest.batch or 1, threads or usable_cores()
    steps = Steps()
    competitors, absent = prepare(opened, _chosen(only, skip), batch, threads, steps)
    if not competitors:
        raise MissingRequirementError(
            "nothing that was asked for can be timed here",
            details=[f"{entry.name}: {entry.reason}" for entry in absent],
        )
    steps(f"timing {len(competitors)} competitors in turn for {seconds:g} s, batch {batch}, {threads} threads")
    with _progress() as on_round:
        measurement = measure({entry.name: entry.run for entry in competitors}, seconds, on_round)
    if measurement.rounds == 0:
        raise X3DDeployError("interrupted before one round was complete", hint="give it more time")
    report = bench_report(opened, competitors, absent, measurement, batch, threads)
    path = output or bundle / BENCH
    write_json(path, report)
    if as_json:
        print_json(report)
    else:
        _print(report)
        click.echo(f"written to {path}")


def _chosen(only: tuple[str, ...], skip: tuple[str, ...]) -> list[str]:
    from x3ddeploy.bench.competitors import NAMES
    from x3ddeploy.errors import UsageError

    def matches(name: str, patterns: tuple[str, ...]) -> bool:
        return any(name == pattern or name.startswith(f"{pattern}/") for pattern in patterns)

    unknown = [pattern for pattern in (*only, *skip) if not any(matches(name, (pattern,)) for name in NAMES)]
    if unknown:
        raise UsageError(f"no competitor named {unknown[0]!r}", hint=f"one of: {', '.join(NAMES)}")
    return [name for name in NAMES if (not only or matches(name, only)) and not matches(name, skip)]


def _progress() -> Any:
    """A bar on stderr where that is a terminal; gives what is to be told each round's share."""
    import contextlib
    import sys
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress

    @contextlib.contextmanager
    def bar() -> Iterator[Callable[[float], None]]:
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
            task = progress.add_task("timing", total=1.0)
            yield lambda share: progress.update(task, completed=share)

    return bar()


def _print(report: dict[str, Any]) -> None:
    from x3ddeploy.cli.output import print_table

    machine = report["machine"]
    # Whole networks first, by time; then the parts of ours.
    rows = sorted(report["competitors"], key=lambda row: ("_backbone" in row["name"], float(row["median_ms"])))
    print_table(
        f"scope {report['scope']}, batch {report['batch']}, fp32, {report['threads']} threads of {machine['cpu']}, "
        f"{report['rounds']} interleaved rounds, bundle for {report['bundle']['target']}",
        ("competitor", "what computes", "version", "median ms", "p90 ms", f"time / {report['reference']}"),
        [
            (
                row["name"],
                row["network"],
                row["version"],
                f"{row['median_ms']:.1f}",
                f"{row['p90_ms']:.1f}",
                f"{row['ratio']['median']:.2f}",
            )
            for row in rows
        ],
        right=(3, 4, 5),
    )
    if report["interrupted"]:
        click.echo("interrupted: only complete rounds are counted")
    for entry in report["absent"]:
        click.echo(f"not measured: {entry['name']}: {entry['reason']}")
