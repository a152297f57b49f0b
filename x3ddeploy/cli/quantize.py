"""`x3ddeploy quantize`: graphs of lower precision beside a bundle's float32 ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.next_steps import after_quantizing, print_next
from x3ddeploy.cli.parameters import (
    LARGEST_SEED,
    MOST_CLIPS,
    Count,
    Number,
    Verb,
    min_keypoint_score,
    precisions_chosen,
)

if TYPE_CHECKING:
    from x3ddeploy.precision.quantize import Quantized
    from x3ddeploy.precision.request import MadePrecision
    from x3ddeploy.precision.verdict import Verdict

_MOST_SENSITIVE = 12


@click.command(cls=Verb)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option("--fp16", is_flag=True, help="Half-typed graphs. The default is --fp16 --int8.")
@click.option("--bf16", is_flag=True, help="bfloat16-typed graphs, for TensorRT and OpenVINO.")
@click.option("--int8", is_flag=True, help="Quantized graphs with explicit Q/DQ.")
@click.option("--recipe", type=click.Path(path_type=Path), help="TOML file of the options below; they override it.")
@click.option(
    "--calib",
    type=click.Path(path_type=Path),
    help="Clips: a data set, an annotation pickle, a folder of .npz files, or a script, which is executed.",
)
@click.option("--videos", type=click.Path(path_type=Path), help="Folder of an annotation pickle's videos.")
@click.option("--calib-split", help="Split that calibrates.  [default: the training split]")
@min_keypoint_score
@click.option("--calib-clips", type=Count(MOST_CLIPS), help="How many clips calibrate.  [default: 200]")
@click.option("--calib-random", is_flag=True, help="Calibrate with made-up clips; the result is marked, not judged.")
@click.option("--calib-cache", type=click.Path(path_type=Path), help="Ranges of an earlier calibration of the same.")
@click.option(
    "--method", type=click.Choice(["max", "percentile", "mse", "entropy"]), help="Of choosing ranges.  [default: mse]"
)
@click.option("--seed", type=Count(LARGEST_SEED, least=0), help="Of the choice of clips.  [default: 0]")
@click.option("--eval-split", help="Split that judges.  [default: the held-out split of the same protocol]")
@click.option("--eval-clips", type=Count(MOST_CLIPS, least=0), help="How many clips judge; 0 takes all.  [default: 0]")
@click.option(
    "--max-drop",
    type=Number(100),
    help="Points of top-1 that may be lost, in each stream and fused.  [default: 0.5]",
)
@click.option(
    "--opset",
    type=click.Choice(["17", "19"]),
    default="19",
    show_default=True,
    help="Of INT8 graphs for TensorRT: 19 types the rest float16 (TensorRT 10, 11, RTX), 17 leaves it float32 (8.6).",
)
@click.option("--runtime", help="What graphs are judged in.  [default: the runtime of the bundle's target]")
@click.option("--device", help="Of that runtime: cpu, cuda, gpu, ...  [default: its first]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    bundle: Path,
    fp16: bool,
    bf16: bool,
    int8: bool,
    recipe: Path | None,
    calib: Path | None,
    videos: Path | None,
    calib_split: str | None,
    min_keypoint_score: float | None,
    calib_clips: int | None,
    calib_random: bool,
    calib_cache: Path | None,
    method: str | None,
    seed: int | None,
    eval_split: str | None,
    eval_clips: int | None,
    max_drop: float | None,
    opset: str,
    runtime: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Add graphs of lower precision to BUNDLE (default: deploy).

    The precision is written into the graphs: half-typed tensors, explicit Q/DQ. INT8 ranges come from clips of the
    training split; accuracy is measured on clips that did not calibrate, and layers stay in the higher precision until
    it keeps within --max-drop. Exit code 3 where it cannot; what was in the bundle then stays.

    Interrupted, calibration and search go on where they were when the same command is given again.
    """
    from x3ddeploy.cli.output import Steps

    wanted = precisions_chosen(fp16=fp16, bf16=bf16, int8=int8)
    with Steps().bars() as progress:
        quantized = x3ddeploy.quantize(
            bundle,
            precisions=wanted or ("fp16", "int8"),
            recipe=recipe,
            calib=calib,
            calib_random=calib_random,
            calib_cache=calib_cache,
            videos=videos,
            calib_split=calib_split,
            calib_clips=calib_clips,
            min_keypoint_score=min_keypoint_score,
            method=method,
            seed=seed,
            eval_split=eval_split,
            eval_clips=eval_clips,
            max_drop=max_drop,
            opset=17 if opset == "17" else 19,
            runtime=runtime,
            device=device,
            progress=progress,
        )
    if as_json:
        print_json(quantized.document())
    else:
        print_quantized(quantized)
        print_next(*after_quantizing(quantized))


def print_quantized(quantized: Quantized) -> None:
    """Each precision, what it costs and what it is worth here."""
    for made in quantized.made:
        _print_made(made)
        if made.sensitivities:
            _print_sensitivities(made, quantized)
        _print_kept(made)
    _print_verdict(quantized.verdict)


def _print_made(made: MadePrecision) -> None:
    from x3ddeploy.cli.output import print_table

    worst = max(made.golden_error, key=lambda name: made.golden_error[name])
    echo()
    echo(f"{made.precision}: largest error on the golden clip {made.golden_error[worst]:.1e} of the range ({worst})")
    if made.random:
        echo("calibrated with MADE-UP clips: do not deploy this")
    if made.accuracy is None:
        echo("accuracy: NOT measured, no clips judge")
    else:
        print_table(
            f"{made.precision} against fp32, on the judging clips",
            ("", "top-1 fp32", f"top-1 {made.precision}", "keep their class", "flips"),
            [
                (
                    name,
                    _percent(entry.top1_before),
                    _percent(entry.top1_after),
                    f"{entry.agreement:.1%}",
                    str(len(entry.flips)),
                )
                for name, entry in made.accuracy.items()
            ],
            right=(1, 2, 3, 4),
        )


def _print_sensitivities(made: MadePrecision, quantized: Quantized) -> None:
    """The most sensitive units, and every block that stays float; what INT8 does to a block's time."""
    from x3ddeploy.cli.output import print_table

    times = {entry.block: entry for entry in quantized.block_times}
    ordered = sorted(made.sensitivities, key=lambda entry: entry.agreement.kl, reverse=True)
    shown = [
        entry for index, entry in enumerate(ordered) if index < _MOST_SENSITIVE or entry.unit.name in made.float_layers
    ]
    rows = []
    for entry in shown:
        unit, found = entry.unit, entry.agreement
        timed = times.get(unit.name)
        rows.append(
            (
                unit.name,
                "float" if unit.name in made.float_layers else "int8",
                f"{found.kl:.1e}",
                f"{found.cosine:.5f}",
                str(found.flips),
                f"{unit.multiply_adds / 1e6:.1f} M",
                *((f"{timed.fp32_ms:.2f}", f"{timed.int8_ms:.2f}") if timed else ("", "")),
            )
        )
    print_table(
        f"The {_MOST_SENSITIVE} most sensitive, each quantized alone; time of a block in {quantized.runtime}'s profile",
        ("layers", "now", "KL", "cosine", "flips", "multiply-adds", "fp32 ms", "int8 ms"),
        rows,
        right=(2, 3, 4, 5, 6, 7),
    )


def _print_kept(made: MadePrecision) -> None:
    reasons: dict[str, list[str]] = {}
    for name, reason in made.float_layers.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        echo(f"stays in higher precision: {shown}: {reason}")


def _print_verdict(verdict: Verdict) -> None:
    from x3ddeploy.cli.output import print_table, size_text

    echo()
    print_table(
        f"Is it worth it here? Whole recognizer, batch 1, scope compute, interleaved{verdict.mark}",
        ("runtime", "precision", "median ms", "speed to fp32", "size", "convolutions in INT8"),
        [
            (
                timing.runtime,
                timing.precision,
                f"{timing.median_ms:.1f}",
                f"{timing.speedup:.2f}",
                size_text(timing.size_bytes),
                f"{timing.convolutions.int8} of {timing.convolutions.convolutions}" if timing.convolutions else "",
            )
            for timing in verdict.timings
        ],
        right=(2, 3, 4, 5),
    )
    for line in verdict.sentences:
        echo(line)
    for line in verdict.absent:
        echo(f"not timed: {line}")


def _percent(value: float | None) -> str:
    return "unlabelled" if value is None else f"{value:.2f} %"
