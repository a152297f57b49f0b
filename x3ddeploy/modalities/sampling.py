"""Which frames of a video the clips of each input are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from x3ddeploy.contract import Input
from x3ddeploy.modalities.kinds import modalities_of
from x3ddeploy.modalities.samplers import Indices, uniform_indices
from x3ddeploy.modalities.skeletons import Skeletons


def sample_clips(
    frames: int, inputs: Mapping[str, Input], clips: int = 1, random: np.random.RandomState | None = None
) -> dict[str, Indices]:
    """Draw the clips of each input from a video of `frames` frames, as MMUniformSampleFrames does; in their order.

    Skeletons draw their own clips, after steps that look at all frames: each of their clips is drawn from every frame.

    Returns:
        Name of the input -> (clips, T), from 0.
    """
    return {
        name: np.broadcast_to(np.arange(frames), (clips, frames))
        if isinstance(kind, Skeletons)
        else uniform_indices(frames, kind.length, clips, random)
        for name, kind in modalities_of(inputs).items()
    }
