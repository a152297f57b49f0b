"""Which frames of a video the clips of each input are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from x3ddeploy.contract import Input
from x3ddeploy.modalities.frames import Frames
from x3ddeploy.modalities.heatmaps import Heatmaps
from x3ddeploy.modalities.kinds import Modality, modalities_of
from x3ddeploy.modalities.samplers import Indices, uniform_indices
from x3ddeploy.modalities.views import with_clips

__all__ = ["Indices", "sample_clips", "uniform_indices"]


def sample_clips(
    frames: int,
    inputs: Mapping[str, Input],
    clips: int | None = None,
    random: np.random.RandomState | None = None,
    fps: float | None = None,
) -> dict[str, Indices]:
    """Draw the clips of each input from a video of `frames` frames, as its pipeline says; in their order.

    Skeletons draw their own clips, after steps that look at all frames: each of their clips is drawn from every frame.

    Args:
        frames: number of frames of the video.
        inputs: inputs of the network.
        clips: number of clips instead of the pipeline's.
        random: whether frames are drawn at random, for training and uniform sampling alone: see `uniform_indices`.
        fps: frames a second of the video, where it says them.

    Returns:
        Name of the input -> (clips, T), from 0.

    Raises:
        UsageError: another number of clips cannot be drawn.
    """
    kinds = modalities_of(inputs if clips is None else with_clips(inputs, clips))
    if random is not None:
        return {name: uniform_indices(frames, kind.length, clips or 1, random) for name, kind in kinds.items()}
    return {name: _drawn(kind, frames, fps) for name, kind in kinds.items()}


def _drawn(kind: Modality, frames: int, fps: float | None) -> Indices:
    if isinstance(kind, Frames | Heatmaps):
        return kind.view.indices(frames, fps)
    return np.broadcast_to(np.arange(frames), (kind.views.clips, frames))
