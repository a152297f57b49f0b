"""`x3ddeploy export`: a trained checkpoint in, a verified bundle out."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.next_steps import after_quantizing, print_next
from x3ddeploy.cli.parameters import MOST_CLIPS_AT_A_TIME, Count, Number, Size, Verb, Weights, precisions_chosen
from x3ddeploy.terms import Target
from x3ddeploy.text import shell_word

if TYPE_CHECKING:
    from x3ddeploy.exporting.export import Exported
    from x3ddeploy.parity.metrics import Difference


_MOST_FRAMES = 4096  # of a clip, which is held in memory whole


@click.command(cls=Verb)
@click.argument("checkpoint", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="deploy",
    show_default=True,
    help="The bundle's directory.",
)
@click.option(
    "--config", help="A config FILE or a preset (ntu60, ma52, tiny), for values that the checkpoint does not carry."
)
@click.option(
    "--target",
    type=click.Choice([target.value for target in Target]),
    default=Target.TENSORRT.value,
    show_default=True,
    help="Lowering strategy: the runtime that the graphs are made for.",
)
@click.option("--batch", type=Count(MOST_CLIPS_AT_A_TIME), help="Fix the number of clips; left out, it is dynamic.")
@click.option("--frames", type=Count(_MOST_FRAMES), help="RGB frames of a clip, where they shall differ from training.")
@click.option("--pose-frames", type=Count(_MOST_FRAMES), help="Heatmap frames of a clip, likewise.")
@click.option(
    "--size", type=Size(), help="Height and width of the RGB frames, likewise; heatmaps follow by their scaling."
)
@click.option(
    "--fusion", type=Weights(), help="Weights of the streams in `scores`, in their order.  [default: all alike]"
)
@click.option("--preprocess", is_flag=True, help="Also write graphs that take camera frames and keypoints.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Text file of class names, one a line; left out, those in the checkpoint, if any.",
)
@click.option(
    "--verify-tol",
    type=Number(1, over=True),
    help="Largest error of any output against PyTorch's float64, relative to its range.  [default: a few times the "
    "rounding of PyTorch's own float32]",
)
@click.option("--ema", is_flag=True, help="Take the checkpoint's other copy of the weights (see docs/checkpoints.md).")
@click.option(
    "--trust-checkpoint",
    is_flag=True,
    help="Execute what the file asks for beyond weights. Only for files of your own.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle even if that loses engines or quantized graphs.")
@click.option("--fp16", is_flag=True, help="Also make half-typed graphs, as `x3ddeploy quantize` does.")
@click.option("--bf16", is_flag=True, help="Also make bfloat16-typed graphs, likewise.")
@click.option("--int8", is_flag=True, help="Also make quantized graphs, likewise, with --calib.")
@click.option("--calib", type=click.Path(path_type=Path), help="Clips that calibrate and judge; see its --help.")
@click.option("--calib-random", is_flag=True, help="Made-up clips instead, to try it out; the result is marked.")
@click.option("--trt", is_flag=True, help="Also build TensorRT engines of these, or of float32, as `build-trt` does.")
@click.option("--rtx", is_flag=True, help="Build them with TensorRT-RTX, for the RTX card that is here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    checkpoint: tuple[Path, ...],
    output: Path,
    config: str | None,
    target: str,
    batch: int | None,
    frames: int | None,
    pose_frames: int | None,
    size: tuple[int, int] | None,
    fusion: tuple[float, ...] | None,
    preprocess: bool,
    labels: Path | None,
    verify_tol: float | None,
    ema: bool,
    trust_checkpoint: bool,
    overwrite: bool,
    fp16: bool,
    bf16: bool,
    int8: bool,
    calib: Path | None,
    calib_random: bool,
    trt: bool,
    rtx: bool,
    as_json: bool,
) -> None:
    """Turn CHECKPOINT, a trained `.pth`, into a deployment bundle: each part of the network, and the whole of it, as
    ONNX, compared with PyTorch before anything is written.

    Several CHECKPOINTs are the streams of one network on skeletons (joints, bones and their motion, each trained on its
    own), fused by the weights of --fusion.

    With --fp16, --bf16, --int8, --trt or --rtx, `quantize` and `build-trt` follow at once. Where one of them fails, the
    bundle stays as it was before that step, and the exit code is that step's.
    """
    from x3ddeploy.api.one_step import OneStep
    from x3ddeploy.cli.build_trt import print_engines
    from x3ddeploy.cli.output import Steps
    from x3ddeploy.cli.quantize import print_quantized

    precisions = precisions_chosen(fp16=fp16, bf16=bf16, int8=int8)
    flavour = "tensorrt_rtx" if rtx else "tensorrt" if trt else None
    further = OneStep(precisions, calib, calib_random, flavour)
    steps = Steps()
    exported = x3ddeploy.export(
        checkpoint,
        output,
        target=target,
        batch=batch,
        config=config,
        frames=frames,
        pose_frames=pose_frames,
        size=size,
        fusion=fusion,
        preprocess=preprocess,
        labels=labels,
        tolerance=verify_tol,
        ema=ema,
        trust=trust_checkpoint,
        overwrite=overwrite,
        check=further.check,
        progress=steps,
    )
    path = exported.bundle.path
    if not as_json:
        _print(exported)
    word = shell_word(path)
    chosen_by = " ".join(f"--{name}" for name in precisions) + (f" --calib {shell_word(calib)}" if calib else "")
    with _bundle_stays(path, "quantized", f"quantize {word} {chosen_by}"), steps.bars() as progress:
        quantized = further.quantize(path, progress)
    if quantized and not as_json:
        print_quantized(quantized)
    with _bundle_stays(path, "built into all engines", f"build-trt {word}"):
        engines = further.build(path, shlex.join(["x3ddeploy", *sys.argv[1:]]), steps)
    if as_json:
        print_json(further.document(exported, quantized, engines))
        return
    for each in engines:
        print_engines(each)
    if engines:
        print_next(f"bench {word}")
    elif quantized:
        print_next(*after_quantizing(quantized))
    else:
        print_next(f"verify {word}", f"quantize {word} --fp16")


@contextlib.contextmanager
def _bundle_stays(path: Path, done: str, verb: str) -> Iterator[None]:
    """Where a step after the export fails, say what there is nevertheless, before the error itself is printed."""
    try:
        yield
    except BaseException:
        echo(f"{path} is exported and verified, and stays; it was not {done}", err=True)
        echo(f"this step alone, with more options: x3ddeploy {verb}", err=True)
        raise


def _print(exported: Exported) -> None:
    from x3ddeploy.cli.output import print_origins, print_table, size_text

    manifest = exported.bundle.manifest
    print_origins(exported.values, manifest.origins, manifest.notes)
    worst: dict[tuple[str, str], Difference] = {}
    for row in exported.rows:
        key = (row.part, row.output)
        if key not in worst or row.difference.relative > worst[key].relative:
            worst[key] = row.difference
    echo()
    print_table(
        f"Parity with PyTorch's float64, worst of {len(exported.rows)} comparisons ({exported.gate.describe()})",
        ("part", "output", "max", "mean", "relative", "allowed", "cosine", "top-1"),
        [
            (
                part,
                output,
                f"{difference.max_abs:.1e}",
                f"{difference.mean_abs:.1e}",
                f"{difference.relative:.1e}",
                f"{exported.gate.tolerance(part, output):.1e}",
                f"{difference.cosine:.7f}",
                "" if difference.top1_agreement is None else f"{difference.top1_agreement:.0%}",
            )
            for (part, output), difference in worst.items()
        ],
        right=(2, 3, 4, 5, 6, 7),
    )
    graphs = {name: entry for name, entry in manifest.files.items() if name.endswith(".onnx")}
    echo()
    echo(f"{exported.bundle.path}:")
    for name, entry in graphs.items():
        echo(f"  {name:24} {size_text(entry.size_bytes):>8}")
