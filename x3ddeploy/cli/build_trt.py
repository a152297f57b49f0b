"""`x3ddeploy build-trt`: TensorRT engines out of a bundle's graphs, proven before they are kept."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.next_steps import print_next
from x3ddeploy.cli.parameters import Capabilities, Count, Verb, precisions_chosen
from x3ddeploy.text import shell_word

if TYPE_CHECKING:
    from x3ddeploy.engines.build import Engines, StoredEngine


_MOST_MIB = 1 << 20  # a TiB


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option("--fp16", is_flag=True, help="From half-typed graphs; they are made first where the bundle has none.")
@click.option("--bf16", is_flag=True, help="From bfloat16-typed graphs, likewise.")
@click.option("--int8", is_flag=True, help="From quantized graphs, likewise, with --calib.  [default: float32]")
@click.option("--calib", type=click.Path(path_type=Path), help="Clips for INT8 graphs; see `x3ddeploy quantize`.")
@click.option("--calib-random", is_flag=True, help="Made-up clips instead, to try it out; the result is marked.")
@click.option("--rtx", is_flag=True, help="Build with TensorRT-RTX, for RTX cards.")
@click.option(
    "--compute-capability",
    "capabilities",
    type=Capabilities(),
    default=(),
    help="With --rtx: the GPUs to build for. None of them has to be here; nothing is run then.",
)
@click.option("--parts", metavar="PART,...", help="Some of the bundle's, by name: head,recognizer.  [default: all]")
@click.option(
    "--min-shapes", metavar="SHAPES", default="", help="As trtexec's: NAME:1x3x16x224x224,...  [default: 1 clip]"
)
@click.option("--opt-shapes", metavar="SHAPES", default="", help="What kernels are chosen for.  [default: the minimum]")
@click.option("--max-shapes", metavar="SHAPES", default="", help="Likewise the largest.  [default: 8 clips]")
@click.option("--workspace", type=Count(_MOST_MIB), metavar="MIB", help="Limit of scratch memory.")
@click.option(
    "--timing-cache", type=click.Path(path_type=Path, dir_okay=False), help="Of measured kernels.  [default: beside]"
)
@click.option(
    "--builder-optimization-level", type=Count(5, least=0), help="0 builds fast, 5 runs fast.  [default: TensorRT's]"
)
@click.option("--version-compatible", is_flag=True, help="Load in later versions of TensorRT, too.")
@click.option(
    "--hardware-compat",
    type=click.Choice(["ampere+", "sameComputeCapability"]),
    help="Load on other GPUs than the one that is here, too; may be slower.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    bundle: Path,
    fp16: bool,
    bf16: bool,
    int8: bool,
    calib: Path | None,
    calib_random: bool,
    rtx: bool,
    capabilities: tuple[str, ...],
    parts: str | None,
    min_shapes: str,
    opt_shapes: str,
    max_shapes: str,
    workspace: int | None,
    timing_cache: Path | None,
    builder_optimization_level: int | None,
    version_compatible: bool,
    hardware_compat: str | None,
    as_json: bool,
) -> None:
    """Build TensorRT engines of BUNDLE (default: deploy), for the GPU that is here.

    Each engine is built and loaded in a process of its own, asked what it computes in, and compared with PyTorch; only
    then it goes into the bundle. Exit code 3 where it is not what was asked for, 4 without a GPU or TensorRT.
    """
    from x3ddeploy.cli.output import Steps
    from x3ddeploy.errors import UsageError

    chosen = precisions_chosen(fp16=fp16, bf16=bf16, int8=int8)
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} are two sets of engines", hint="build one after the other")
    engines = x3ddeploy.build_trt(
        bundle,
        precision=chosen[0] if chosen else "fp32",
        calib=calib,
        calib_random=calib_random,
        rtx=rtx,
        compute_capabilities=capabilities,
        parts=[name.strip() for name in parts.split(",")] if parts else (),
        min_shapes=min_shapes,
        opt_shapes=opt_shapes,
        max_shapes=max_shapes,
        workspace_mib=workspace,
        timing_cache=timing_cache,
        builder_optimization_level=builder_optimization_level,
        version_compatible=version_compatible,
        hardware_compat=hardware_compat or "none",
        command=shlex.join(["x3ddeploy", *sys.argv[1:]]),
        progress=Steps(),
    )
    if as_json:
        print_json(engines.document())
    else:
        print_engines(engines)
        print_next(f"bench {shell_word(engines.bundle.path)}")


def print_engines(engines: Engines) -> None:
    """Each engine of a set, what it computes in and how far it is from PyTorch."""
    from x3ddeploy.cli.output import print_table, size_text

    host, batches = engines.host, engines.made[0].entry.options.batches
    gpu = host.gpu if engines.made[0].entry.gpu else ", ".join(engines.made[0].entry.compute_capabilities)
    print_table(
        f"{host.flavour.title} {host.version}, for {gpu}, {batches.minimum} to {batches.maximum} clips, best at "
        f"{batches.optimum}",
        ("part", "computes in", "told by", "layers", "reformats", "error", "size", "build s"),
        [_row(made, size_text(made.built.size_bytes)) for made in engines.made],
        right=(3, 4, 5, 6, 7),
    )
    if engines.together is not None:
        worst = max(row.difference.relative for row in engines.together.rows)
        echo(f"{engines.pieces}, as they are deployed: relative error at most {worst:.1e}")
    _print_outside_int8(engines.made)
    for line in dict.fromkeys(line for made in engines.made for line in made.unproven):
        echo(f"NOT proven: {line}")
    echo()
    echo(f"{engines.bundle.path}:")
    for made in engines.made:
        echo(f"  {made.name}")


def _row(made: StoredEngine, size: str) -> tuple[str, ...]:
    precision = made.built.precision
    counts = ", ".join(f"{count} {name}" for name, count in precision.counts.items())
    rows = made.check.rows if made.check else ()
    return (
        made.entry.part,
        counts,
        precision.source,
        str(precision.engine_layers or ""),
        "" if precision.reformats is None else str(precision.reformats),
        f"{max(row.difference.relative for row in rows):.1e}" if rows else "not run",
        size,
        f"{made.built.seconds:.1f}",
    )


def _print_outside_int8(all_made: tuple[StoredEngine, ...]) -> None:
    reasons: dict[str, list[str]] = {}
    for made in all_made:
        for layer in made.built.precision.outside_int8:
            names = reasons.setdefault(layer.reason, [])
            if layer.node not in names:
                names.append(layer.node)
    for reason, names in reasons.items():
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        echo(f"not in INT8: {', '.join(names[:2])}{more}: {reason}")
