"""What every source of clips gives: labelled clips by index, and a description that a cache can be keyed with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Contract, Input, InputKind
from x3ddeploy.data.people import People, people_drawn
from x3ddeploy.data.prepare import Preparation
from x3ddeploy.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledClip:
    """The clips of one video, as the network takes them.

    Attributes:
        name: name of the video in its source.
        label: class, counted from 0, where it is known.
        inputs: the network's inputs by name, float32 and finite; or the raw tensors of a session that prepares them.
            The axis of the clips is always there (one clip unless asked otherwise), so they can be fed as they are; a
            video's scores are the mean over it.
        people: who is in it; None where nobody is looked for.
    """

    name: str
    label: int | None
    inputs: Mapping[str, npt.NDArray[Any]]
    people: People | None = None

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(next(iter(self.inputs.values())))


class ClipSource(Protocol):
    """Labelled clips by index. `load` may be called from several threads at once."""

    @property
    def name(self) -> str:
        """What messages call the source: its path."""

    @property
    def split(self) -> str | None:
        """The split that was chosen, where the source has splits."""

    @property
    def description(self) -> Mapping[str, Any]:
        """JSON-able; equal for equal clips, so that what was computed from them can be cached under it."""

    def __len__(self) -> int: ...

    def names(self) -> Sequence[str]:
        """Name of each clip, each once."""

    def labels(self) -> Sequence[int | None]:
        """Class of each clip, where it is known; nothing is decoded for it."""

    def load(self, index: int) -> LabelledClip:
        """Raises DataError where this clip cannot be read."""


@runtime_checkable
class PreparedSource(ClipSource, Protocol):
    """A source of videos, whose clips can be prepared for sessions of raw tensors."""

    def prepared_by(self, prepare: Preparation) -> ClipSource:
        """The same clips, as `prepare` makes them in the place of `prepare_clips`."""


def checked_inputs(
    arrays: Mapping[str, npt.NDArray[Any]], wanted: Mapping[str, Input], where: str
) -> dict[str, npt.NDArray[np.float32]]:
    """Ready tensors of one or more clips, with the axis of the clips in front, or an error that says what is wrong.

    Args:
        arrays: exactly the network's inputs, floating, with or without the axis of the clips.
        wanted: the inputs, which say the shapes.
        where: what errors call the clip.

    Raises:
        DataError: other names, types or shapes; NaN or infinity; unequal numbers of clips.
    """
    shapes = {name: value.clip_shape for name, value in wanted.items()}
    if set(arrays) != set(shapes):
        raise DataError(
            f"{where} holds {', '.join(sorted(arrays)) or 'nothing'}", hint=f"it must hold {' and '.join(shapes)}"
        )
    inputs = {}
    for name, shape in shapes.items():
        array = np.asarray(arrays[name])
        if array.dtype.kind != "f":
            raise DataError(
                f"{where}: {name} is of type {array.dtype}, and the network takes normalised floating values",
                hint="raw frames (uint8) and keypoints go under the names frames, keypoints and keypoint_scores",
            )
        value = array[None] if array.ndim == len(shape) else array
        if value.shape[1:] != shape or len(value) == 0:
            others = [other for other in shapes if other != name and array.shape[-len(shape) :] == shapes[other]]
            raise DataError(
                f"{where}: {name} has shape {array.shape}, and the network takes (clips, {', '.join(map(str, shape))})",
                hint=f"this is the shape of {others[0]}: the names are swapped" if others else "",
            )
        value = np.ascontiguousarray(value, np.float32)
        bad = value.size - int(np.isfinite(value).sum())
        if bad:
            raise DataError(f"{where}: {bad} of {value.size} values of {name} are NaN or infinite")
        inputs[name] = value
    counts = {name: len(value) for name, value in inputs.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{where}: unequal numbers of clips: {counts}")
    return inputs


def people_fed(inputs: Mapping[str, npt.NDArray[np.float32]], wanted: Mapping[str, Input]) -> People | None:
    """Who is in ready tensors, where heatmaps are among them."""
    heatmaps = next((name for name, value in wanted.items() if value.kind is InputKind.HEATMAPS), None)
    return None if heatmaps is None else people_drawn(inputs[heatmaps])


def check_labels(labels: Iterable[int | None], contract: Contract, where: str) -> None:
    """Raises DataError where a label is none of the network's classes."""
    outside = sorted({label for label in labels if label is not None and not 0 <= label < contract.classes})
    if outside:
        raise DataError(
            f"{where} has the label {outside[-1]}, and the network has {contract.classes} classes, counted from 0",
            hint="take the data set that the network was trained on",
        )


def described(min_keypoint_score: float | None) -> dict[str, Any]:
    """The part of a source's description that says which joints count; empty where all do."""
    return {} if min_keypoint_score is None else {"min_keypoint_score": min_keypoint_score}


def digest(lines: Iterable[str]) -> str:
    """sha256 over lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
