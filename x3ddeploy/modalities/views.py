"""Other views of a video than a network was tested with: another number of clips, or one view alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from x3ddeploy.contract import Input, Transform, Views
from x3ddeploy.errors import UsageError
from x3ddeploy.modalities.samplers import DenseSampleFrames, SampleFrames
from x3ddeploy.modalities.view import CROPS, DRAW, SAMPLERS

_TWICE = "twice_sample"


def with_clips(inputs: Mapping[str, Input], clips: int) -> dict[str, Input]:
    """The inputs with another number of clips along the time; crops stay.

    Raises:
        UsageError: the clips are segments that the network takes together, and there are as many as it takes.
    """
    changed = {}
    for name, value in inputs.items():
        if value.views.clips != clips:
            if not any(step.type in SAMPLERS for step in value.pipeline):
                raise UsageError(f"{name} is made of every frame of a video, so there are not {clips} clips of it")
            value = replace(
                value,
                views=replace(value.views, clips=clips),
                pipeline=tuple(
                    _drawing(step, clips, value.views.clips) if step.type in SAMPLERS else step
                    for step in value.pipeline
                ),
            )
        changed[name] = value
    return changed


def one_view(inputs: Mapping[str, Input]) -> dict[str, Input]:
    """The inputs with one view of a video: one clip, of its frames the middle, not mirrored."""
    return {name: _one_view(value) for name, value in inputs.items()}


def _one_view(value: Input) -> Input:
    steps = []
    for step in value.pipeline:
        if step.type in SAMPLERS and value.views.clips > 1:
            step = _drawing(step, 1, value.views.clips)
        elif step.type in CROPS:
            step = Transform("CenterCrop", step.parameters)
        elif step.type == DRAW:
            step = Transform(DRAW, {key: value for key, value in step.parameters.items() if key != "double"})
        steps.append(step)
    return replace(value, views=Views(), pipeline=tuple(steps))


def _drawing(step: Transform, clips: int, before: int) -> Transform:
    """A sampling step that draws so many clips, where it drew `before`."""
    known = step.parameters
    if known.get("clip_len") != 1 or step.type not in (SampleFrames.__name__, DenseSampleFrames.__name__):
        positions = {"num_sample_positions": 1} if step.type == DenseSampleFrames.__name__ else {}
        return Transform(step.type, {**known, **positions, "num_clips": clips})
    if step.type == DenseSampleFrames.__name__:
        positions_before = known.get("num_sample_positions", DenseSampleFrames.num_sample_positions)
        segments = known.get("num_clips", 1) * positions_before // before
        return Transform(step.type, {**known, "num_clips": segments, "num_sample_positions": clips})
    segments = known.get("num_clips", 1) * (2 if known.get(_TWICE) else 1) // before
    if clips > 2:
        raise UsageError(
            f"the network takes {segments} frames from all over the video, so there are not {clips} clips of it",
            hint="leave --num-clips out",
        )
    return Transform(step.type, {**known, "num_clips": segments, _TWICE: clips == 2})
