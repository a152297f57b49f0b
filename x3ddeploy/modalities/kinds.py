"""From the inputs of a contract to the modalities that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input, InputKind, Views
from x3ddeploy.modalities.frames import Frames
from x3ddeploy.modalities.heatmaps import Heatmaps
from x3ddeploy.modalities.skeletons import Skeletons
from x3ddeploy.modalities.view import refused

Floats = npt.NDArray[np.float32]


class Modality(Protocol):
    """How one input tensor comes about."""

    @property
    def length(self) -> int:
        """Frames of a clip."""

    @property
    def views(self) -> Views:
        """How many rows of N one video takes."""

    @property
    def raw(self) -> tuple[str, ...]:
        """Names of the tensors that a camera or a pose estimator gives."""

    @property
    def settings(self) -> str:
        """What the input depends on beside the raw tensors, in words."""

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The input's shape, without the axis of the clips."""

    def raw_shapes(self, clips: int, persons: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the raw tensors."""

    def from_raw(self, raw: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """The input, made of raw tensors of clips that are cropped and scaled already."""

    def impulse(self, clips: int, frame: int) -> Floats:
        """One lit value in one frame (negative: from the end) of the middle clip, zeros elsewhere."""


_KINDS: dict[InputKind, Callable[[str, Input], Modality]] = {
    InputKind.FRAMES: Frames.of,
    InputKind.HEATMAPS: Heatmaps.of,
    InputKind.SKELETON: Skeletons.of,
}


def modalities_of(inputs: Mapping[str, Input]) -> dict[str, Modality]:
    """The modality of each input, by name.

    Raises:
        BundleError: clips of that kind, or of that pipeline, cannot be prepared; two inputs are of one kind; or a video
            has other views than the contract says, or not as many of one input as of another.
    """
    for name, value in inputs.items():
        others = [other for other in inputs if other != name and inputs[other].kind is value.kind]
        if others:
            raise refused(name, f"{others[0]!r} is of the same kind, {value.kind.value}")
    kinds = {name: _KINDS[value.kind](name, value) for name, value in inputs.items()}
    for name, kind in kinds.items():
        views = kind.views
        if views != inputs[name].views:
            raise refused(name, f"its steps give {views}, and {inputs[name].views} are stated")
        if views.count != next(iter(kinds.values())).views.count:
            raise refused(name, f"a video has {views.count} views of it, and not as many of {next(iter(kinds))!r}")
    return kinds


def with_own_views(name: str, value: Input) -> Input:
    """The input, which states the views that its steps give. Raises BundleError where it cannot be prepared."""
    return replace(value, views=_KINDS[value.kind](name, value).views)


def views_of(inputs: Mapping[str, Input]) -> int:
    """How many rows of N one video takes."""
    return next(iter(inputs.values())).views.count


def needs_frames(inputs: Mapping[str, Input]) -> bool:
    """Whether videos are decoded for these inputs."""
    return any(value.kind is InputKind.FRAMES for value in inputs.values())


def needs_rate(inputs: Mapping[str, Input]) -> bool:
    """Whether it matters how many frames a second a video has."""
    return any(step.parameters.get("target_fps") for value in inputs.values() for step in value.pipeline)


def needs_keypoints(inputs: Mapping[str, Input]) -> bool:
    """Whether keypoints are needed: as they are, to be drawn, or to crop about the persons."""
    kinds = modalities_of(inputs)
    return any(not isinstance(kind, Frames) or kind.view.compact for kind in kinds.values())


def needs_pictures(inputs: Mapping[str, Input]) -> bool:
    """Whether the size of the pictures must be known: frames are seen, or keypoints are pixels that are drawn."""
    return any(not isinstance(kind, Skeletons) for kind in modalities_of(inputs).values())
