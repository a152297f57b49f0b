"""`x3ddeploy bench`: how fast is this bundle here, next to others, and where does the time go?"""

from __future__ import annotations

from pathlib import Path

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import MOST_CLIPS_AT_A_TIME, MOST_THREADS, Count, Number, Verb, decoder, placement_options

_MOST_SECONDS = 7 * 24 * 3600
_LARGEST_THRESHOLD = 10  # a tenfold time


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), nargs=-1, metavar="[BUNDLE]...")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Time only these competitors, e.g. onnxruntime; may be repeated."
)
@click.option("--skip", multiple=True, metavar="NAME", help="Leave these competitors out; may be repeated.")
@placement_options
@click.option("--all", "with_slow", is_flag=True, help="Also those that take minutes to prepare (docs/bench.md).")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["compute", "with_copies", "pipeline"]),
    multiple=True,
    help="Time this scope alone, without parts, throughput and layers; may be repeated.  [default: all three]",
)
@click.option("--batch", type=Count(MOST_CLIPS_AT_A_TIME), help="Clips at a time.  [default: the bundle's, or 1]")
@click.option("--threads", type=Count(MOST_THREADS), help="CPU threads of each.  [default: all usable cores]")
@decoder
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
    bundle: tuple[Path, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    runtimes: tuple[str, ...],
    device: str | None,
    precisions: tuple[str, ...],
    with_slow: bool,
    scopes: tuple[str, ...],
    batch: int | None,
    threads: int | None,
    decoder: str,
    seconds: float,
    output: Path | None,
    as_json: bool,
    compare: tuple[Path, Path] | None,
    threshold: float,
    unlike: bool,
) -> None:
    """Time BUNDLE (default: deploy) in every runtime and precision, next to PyTorch and to RGBPoseConv3D.

    Several bundles are compared with each other, accuracy beside latency: `x3ddeploy bench A B -o compared`.

    All competitors run in turn, round after round, with the same number of threads. Ctrl-C ends it and keeps what was
    measured. Who cannot take part is listed with the reason.

    A NAME is '<runtime>/<precision>' (onnxruntime/int8), '<torch>/<form>' (torch/eager), 'plain/<runtime>' for a plain
    torch.onnx.export, 'converted/openvino' and the like for what a runtime's own tools make, or
    'rgbposeconv3d/<runtime>'. Naming a group takes all of it: `--skip rgbposeconv3d`.
    """
    if compare:
        _compare(*compare, threshold, unlike, as_json)
        return
    from x3ddeploy.cli.bench_output import print_report
    from x3ddeploy.cli.output import Steps

    with Steps().bars() as progress:
        benchmark = x3ddeploy.bench(
            bundle or Path("deploy"),
            only=only,
            skip=skip,
            runtimes=runtimes,
            device=device,
            precisions=precisions,
            with_slow=with_slow,
            scopes=scopes,
            batch=batch,
            threads=threads,
            decoder=decoder,
            seconds=seconds,
            output=output,
            progress=progress,
        )
    if as_json:
        print_json(benchmark.report)
    else:
        print_report(benchmark.report)
        echo(f"written: {', '.join(map(str, benchmark.files))}")
    benchmark.raise_for_failures()


def _compare(before: Path, after: Path, threshold: float, unlike: bool, as_json: bool) -> None:
    from x3ddeploy.cli.bench_output import print_comparison

    comparison = x3ddeploy.compare_benchmarks(before, after, threshold=threshold, unlike=unlike)
    if as_json:
        print_json(comparison)
    else:
        print_comparison(comparison, str(before), str(after))
    comparison.raise_for_regressions()
