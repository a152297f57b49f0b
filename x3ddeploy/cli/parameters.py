"""Kinds of option values that verbs take: every number is finite and has a least and a most."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from x3ddeploy.errors import UsageError
from x3ddeploy.terms import Decoder, Pixels, Precision

RUNTIME_NAMES = "torch, onnxruntime, openvino, tensorrt or tensorrt-rtx"
# What options of several verbs may be; far over what anyone needs, far under what would exhaust a machine unasked.
MOST_CLIPS_AT_A_TIME = 1024
MOST_CLIPS = 10_000_000
MOST_FRAMES = 100_000
MOST_THREADS = 1024
# NumPy and PyTorch take seeds of 32 bits.
LARGEST_SEED = 2**32 - 1
_LARGEST_SIDE = 8192
_LARGEST_WEIGHT = 1e6


def precisions_chosen(*, fp16: bool, bf16: bool, int8: bool) -> list[str]:
    """The precisions of `--fp16`, `--bf16` and `--int8`."""
    return [name for name, chosen in (("fp16", fp16), ("bf16", bf16), ("int8", int8)) if chosen]


class Verb(click.Command):
    """A command whose options and arguments are either left out or say something: '' is no value of any of them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.params:
            values = given.get(parameter.name)
            if values == "" or (isinstance(values, list | tuple) and "" in values):
                raise click.BadParameter("is empty.", ctx, parameter)
        return super().parse_args(ctx, args)


class Count(click.IntRange):
    """A whole number from `least` to `most`, both included."""

    def __init__(self, most: int, least: int = 1) -> None:
        super().__init__(least, most)


class Number(click.FloatRange):
    """A finite number from `least` to `most`; `over` leaves `least` itself out."""

    def __init__(self, most: float, least: float = 0, *, over: bool = False) -> None:
        super().__init__(least, most, min_open=over)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):  # no comparison with NaN is true
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Size(click.ParamType):
    """Height and width in pixels: '224x224'."""

    name = "HxW"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", str(value).lower())
        if found is None or max(map(int, found.groups())) > _LARGEST_SIDE:
            self.fail(f"{value!r} is not of the form 224x224, each side at most {_LARGEST_SIDE}", param, ctx)
        return int(found[1]), int(found[2])


class Weights(click.ParamType):
    """Weights of the streams in the fused scores: '2:1', '2:2:1:1'."""

    name = "A:B:..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            weights = tuple(float(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not of the form 2:1", param, ctx)
        if len(weights) < 2:
            self.fail(f"{value!r} is not of the form 2:1", param, ctx)
        allowed = all(weight == 0 or 1 / _LARGEST_WEIGHT <= weight <= _LARGEST_WEIGHT for weight in weights)
        if not (allowed and sum(weights) > 0):
            self.fail(
                f"{value!r}: weights are 0 or from {1 / _LARGEST_WEIGHT:g} to {_LARGEST_WEIGHT:g}, and one is over 0",
                param,
                ctx,
            )
        return weights


class Capabilities(click.ParamType):
    """Compute capabilities of GPUs: '8.9,12.0'."""

    name = "8.9,12.0"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        items = tuple(item.strip() for item in str(value).split(","))
        if not all(re.fullmatch(r"[1-9][0-9]?\.[0-9]", item) for item in items):
            self.fail(f"{value!r} is not of the form 8.9,12.0", param, ctx)
        return tuple(dict.fromkeys(items))


# Joints that the pose estimator is not sure of: without the option they count, as in MMAction2.
min_keypoint_score = click.option(
    "--min-keypoint-score",
    type=Number(1),
    help="Leave out joints under this score, and such that are not finite, from crop and heatmaps.  [default: none]",
)


def placement_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--runtime` and `--precision`, each of which may be repeated, and `--device`."""
    for option in (
        click.option("--device", help="Of the runtime: cpu, cuda, cuda:1, gpu, npu, ...  [default: its first]"),
        click.option(
            "--precision",
            "precisions",
            type=click.Choice([precision.value for precision in Precision]),
            multiple=True,
            help="May be repeated.  [default: all that the bundle has]",
        ),
        click.option(
            "--runtime",
            "runtimes",
            multiple=True,
            help=f"{RUNTIME_NAMES}; may be repeated.  [default: all that are installed, engines if there are any]",
        ),
    ):
        function = option(function)
    return function


decoder = click.option(
    "--decoder",
    type=click.Choice([name.value for name in Decoder]),
    default=Decoder.PYAV.value,
    show_default=True,
    help="Of video files: nvdec is that of an NVIDIA GPU.",
)


def one_placement(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--runtime`, `--device` and `--precision`, one each."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice([precision.value for precision in Precision]),
            default=Precision.FP32.value,
            show_default=True,
        ),
        click.option("--device", help="Of the runtime: cpu, cuda, cuda:1, gpu, npu, ...  [default: its first]"),
        click.option("--runtime", default="onnxruntime", show_default=True, help=f"{RUNTIME_NAMES}."),
    ):
        function = option(function)
    return function


def pose_models(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--pose`, `--detector` and what they take pixels as."""

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        model, pixels = click.Path(path_type=Path), click.Choice([pixels.value for pixels in Pixels])
        usual = "What the {} takes pixels as.  [default: as models of its kind do]"
        for option in (
            click.option("--detector-pixels", type=pixels, help=usual.format("detector")),
            click.option("--pose-pixels", type=pixels, help=usual.format("pose model")),
            click.option("--detector", type=model, metavar="DET.onnx", help="Finds the persons for a top-down model."),
            click.option("--pose", type=model, metavar="POSE.onnx", required=required, help="Finds the keypoints."),
        ):
            function = option(function)
        return function

    return decorated


def check_pose_models(keypoints: Path | None, pose: Path | None, *of_detector: object) -> None:
    """Keypoints come from one place, and a detector works for a pose model. Raises UsageError."""
    if pose is not None and keypoints is not None:
        raise UsageError("--keypoints and --pose both give keypoints", hint="leave one out")
    if pose is None and any(of_detector):
        raise UsageError("a detector works for a pose model, and there is none", hint="give --pose, too")


def ray_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--ray` and `--ray-workers`."""
    for option in (
        click.option(
            "--ray-workers", type=Count(MOST_THREADS), help="Workers.  [default: as many as there is room for]"
        ),
        click.option(
            "--ray",
            is_flag=False,
            flag_value="",
            metavar="[ADDRESS]",
            help="Work on a Ray cluster: HOST:PORT, or one that runs on this machine, or a new one; each worker takes "
            "--workers cores, and a GPU where --device is one (docs/many-machines.md).",
        ),
    ):
        function = option(function)
    return function
