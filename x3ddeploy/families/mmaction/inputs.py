"""Inputs of a contract as a config's test pipeline and preprocessor make them: clips of frames and of heatmaps."""

from __future__ import annotations

import math
from typing import Any

from x3ddeploy.checkpoint.rules import shown
from x3ddeploy.contract import BATCH_AXIS, Input, InputKind, Transform
from x3ddeploy.errors import CheckpointError, UsageError
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.pipeline import (
    DRAW,
    FORMAT,
    FRAMES_INPUT,
    HEATMAPS_INPUT,
    IMAGES_TOO,
    Clips,
    check_layout,
    clips_sampled,
    kinds_fed,
    size_seen,
    steps_of,
    views_of,
    wished_length,
    wished_size,
)
from x3ddeploy.families.mmaction.training_config import Config, Described, mmaction_class


def normalised(preprocessor: Config, layout: str) -> Transform | None:
    """What the data preprocessor does to frames, as the last step of a pipeline; None where it does nothing.

    Raises:
        CheckpointError: it normalises along another axis than that of the channels, or by what are no numbers.
    """
    mean, std = preprocessor.get("mean"), preprocessor.get("std")
    if mean is None:
        return None
    said = preprocessor.get("format_shape", "NCHW")
    said = "NCTHW" if said == IMAGES_TOO else said
    if said != layout:
        raise CheckpointError(
            f"data_preprocessor.format_shape = {said!r}, and the network takes {layout}",
            hint="the frames would be normalised along another axis than that of the channels",
        )
    return Transform("Normalize", {"mean": _by_channel(mean, "mean", -math.inf), "std": _by_channel(std, "std", 0.0)})


def _by_channel(values: Any, name: str, above: float) -> list[float]:
    numbers = isinstance(values, (list, tuple)) and len(values) == 3 and all(type(v) in (int, float) for v in values)
    if not numbers or not all(above < value < math.inf for value in values):
        raise CheckpointError(f"data_preprocessor.{name} = {shown(values)} is not a number a channel")
    return [float(value) for value in values]


def frames_input(described: Described, wishes: Wishes, *, flat: bool, segments: int | None = None) -> Input:
    """Clips of frames: (T, 3, H, W) for a 2-D network (`flat`), else (3, T, H, W); see `clips_sampled`."""
    kind = InputKind.FRAMES
    if flat and wishes.frames is not None:
        raise UsageError("the number of frames is part of a 2-D network", hint="leave --frames out")
    steps = wished_size(wished_length(steps_of(described), kind, wishes.frames), wishes.size)
    clips = clips_sampled(steps, kind, flat=flat, segments=segments)
    height, width = size_seen(steps)
    layout = "NCHW" if flat else "NCTHW"
    check_layout(described, layout)
    preprocessors = described.preprocessors
    normalise = normalised(preprocessors.get(FRAMES_INPUT, preprocessors.get("", {})), layout)
    shape = (clips.length, 3, height, width) if flat else (3, clips.length, height, width)
    pipeline = [_single(step, clips) for step in steps if step.type != DRAW] + ([normalise] if normalise else [])
    return Input(kind, (BATCH_AXIS, *shape), tuple(pipeline), views_of(steps, clips.count, kind))


def heatmaps_input(described: Described, wishes: Wishes, channels: int) -> Input:
    """Clips of heatmaps, (K, T, H, W)."""
    kind = InputKind.HEATMAPS
    length = wishes.pose_frames if FRAMES_INPUT in described.preprocessors else wishes.pose_frames or wishes.frames
    steps = wished_size(wished_length(steps_of(described), kind, length), wishes.size)
    clips = clips_sampled(steps, kind)
    alone = len(kinds_fed([mmaction_class(step.get("type")) for step in described.steps])) == 1
    check_layout(described, "NCTHW_Heatmap" if alone else "NCTHW")
    drawn = next(step for step in steps if step.type == DRAW).parameters
    scaling = drawn.get("scaling", 1.0)
    if type(scaling) not in (int, float) or not 0 < scaling <= 64:
        raise CheckpointError(f"{DRAW}.scaling = {shown(scaling)} is not a number above 0, up to 64")
    preprocessor = described.preprocessors.get(HEATMAPS_INPUT, described.preprocessors.get("", {}))
    if preprocessor.get("mean") is not None:
        raise CheckpointError(f"data_preprocessor.mean = {shown(preprocessor['mean'])}: heatmaps are fed as drawn")
    height, width = (int(side * scaling + 0.5) for side in size_seen(steps))
    named = drawn.get("skeletons", [None] * 17)
    limbs = len(named) if drawn.get("with_limb") and isinstance(named, list) else 0
    joints = channels - limbs if drawn.get("with_kp", True) else 17
    return Input(
        kind,
        (BATCH_AXIS, channels, clips.length, height, width),
        tuple(_single(step, clips) for step in steps if step.type != FORMAT),
        views_of(steps, clips.count, kind),
        keypoint_order="coco17" if joints == 17 else "dataset",
    )


def _single(step: Transform, clips: Clips) -> Transform:
    """A step that samples for several inputs as it is for one of them."""
    if step.type != "MMUniformSampleFrames":
        return step
    return Transform("UniformSampleFrames", {**step.parameters, "clip_len": clips.length})
