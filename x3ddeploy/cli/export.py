"""`x3ddeploy export`: a trained checkpoint in, a verified bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import MOST_CLIPS_AT_A_TIME, Count, Number, Size, Weights
from x3ddeploy.text import shell_word

if TYPE_CHECKING:
    from x3ddeploy.exporting.export import Exported
    from x3ddeploy.parity.metrics import Difference


_MOST_FRAMES = 4096  # of a clip, which is held in memory whole


@click.command()
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
    type=click.Choice(["tensorrt", "onnxruntime", "openvino"]),
    default="tensorrt",
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
    as_json: bool,
) -> None:
    """Turn CHECKPOINT, a trained `.pth`, into a deployment bundle: each part of the network, and the whole of it, as
    ONNX, compared with PyTorch before anything is written.

    Several CHECKPOINTs are the streams of one network on skeletons (joints, bones and their motion, each trained on its
    own), fused by the weights of --fusion.
    """
    from x3ddeploy.cli.output import Steps

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
        progress=Steps(),
    )
    if as_json:
        print_json(exported.to_json())
    else:
        _print(exported)


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
    word = shell_word(exported.bundle.path)
    echo(f"next: x3ddeploy verify {word}    x3ddeploy bench {word}")
