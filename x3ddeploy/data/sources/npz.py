"""Clips from a folder of `.npz` files, one a clip: ready tensors, or frames and keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Contract, Input
from x3ddeploy.data.annotation_values import image_shape
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.arrays import CLIP_LIMIT, read_arrays
from x3ddeploy.data.people import (
    People,
    check_keypoints,
    people_in,
    persons_by_frame,
    repeated_frames,
)
from x3ddeploy.data.prepare import looked_at, prepare_clips
from x3ddeploy.data.sources.base import LabelledClip, check_labels, checked_inputs, described, digest, people_fed
from x3ddeploy.errors import DataError
from x3ddeploy.files import sha256_of
from x3ddeploy.modalities import (
    Frames,
    Indices,
    Skeletons,
    modalities_of,
    needs_frames,
    needs_keypoints,
    sample_clips,
    views_of,
    with_clips,
)
from x3ddeploy.modalities.frames import RAW_FRAMES
from x3ddeploy.modalities.heatmaps import RAW_KEYPOINTS, RAW_SCORES

# Height and width of the pictures that keypoints are pixels of, where no frames say them.
_IMAGE_SIZE = "image_size"
_LABEL_LIMIT = 1 << 10  # bytes


class NpzClips:
    """Clips in the order of their files' names. A file holds the inputs as the network takes them, or what they are
    made of: `frames` (T, H, W, 3) uint8 in R, G, B, `keypoints` (M, T', K, 2) in pixels of these frames and
    `keypoint_scores` (M, T', K), and, for a network that takes no frames, their `image_size` (height and width);
    skeletons in space are `keypoints` (M, T', K, 3) alone. It may hold `label`, a whole number. Raw clips of more or
    fewer frames than the network takes are sampled, cropped and resized as videos are.

    Args:
        folder: holds the files; others in it are ignored.
        contract: what the network takes.
        clips: clips a file, of raw ones; ready ones must hold as many views. None for the network's own number.
        min_keypoint_score: lowest score of a joint of raw keypoints that counts, see `prepare_clips`.

    Raises:
        DataError: a file's label cannot be read, or is none of the network's classes.
    """

    split = None

    def __init__(self, folder: Path, contract: Contract, clips: int | None, min_keypoint_score: float | None) -> None:
        self.name = str(folder)
        self._paths = sorted(folder.glob("*.npz"))
        if not self._paths:
            raise DataError(f"{folder} holds no .npz files")
        self._wanted = contract.inputs if clips is None else with_clips(contract.inputs, clips)
        self._views, self._min_score = views_of(self._wanted), min_keypoint_score
        self._labels = [_label(path, read_arrays(path, _LABEL_LIMIT, optional=("label",))) for path in self._paths]
        check_labels(self._labels, contract, self.name)
        self._digest: str | None = None

    @property
    def description(self) -> Mapping[str, Any]:
        if self._digest is None:
            self._digest = digest(f"{path.name} {sha256_of(path)}" for path in self._paths)
        return {"kind": "npz", "files_sha256": self._digest, "clips": self._views, **described(self._min_score)}

    def __len__(self) -> int:
        return len(self._paths)

    def names(self) -> Sequence[str]:
        return [path.stem for path in self._paths]

    def labels(self) -> Sequence[int | None]:
        return self._labels

    def load(self, index: int) -> LabelledClip:
        path = self._paths[index]
        arrays = read_arrays(path, CLIP_LIMIT)
        arrays.pop("label", None)
        if RAW_FRAMES in arrays or RAW_KEYPOINTS in arrays:
            inputs, people = self._prepared(path, arrays)
        else:
            inputs = checked_inputs(arrays, self._wanted, str(path))
            people = people_fed(inputs, self._wanted)
            if self._min_score is not None and people is not None:
                raise DataError(
                    f"{path} holds heatmaps, whose joints are drawn already", hint="leave --min-keypoint-score out"
                )
        clip = LabelledClip(path.stem, self._labels[index], inputs, people)
        if clip.clips != self._views:
            raise DataError(
                f"{path} holds {clip.clips} clips, and {self._views} were asked for",
                hint="a network is tested with as many views of a video as its pipeline makes",
            )
        return clip

    def _prepared(
        self, path: Path, arrays: dict[str, npt.NDArray[Any]]
    ) -> tuple[dict[str, npt.NDArray[np.float32]], People | None]:
        kinds = modalities_of(self._wanted)
        framed, posed = needs_frames(self._wanted), needs_keypoints(self._wanted)
        in_space = all(isinstance(kind, Skeletons) and kind.in_space for kind in kinds.values())
        raw = (RAW_FRAMES,) * framed + (RAW_KEYPOINTS,) * posed + (RAW_SCORES,) * (posed and not in_space)
        raw += (_IMAGE_SIZE,) * (not framed and not in_space)
        if set(arrays) != set(raw):
            raise DataError(f"{path} holds {', '.join(sorted(arrays))}", hint=f"raw clips hold {', '.join(raw)}")
        frames = _frames(path, arrays[RAW_FRAMES]) if framed else np.zeros((0, 0, 0, 3), np.uint8)
        size = None if in_space else (frames.shape[1], frames.shape[2]) if framed else _image_size(path, arrays)
        annotation = _annotation(path, arrays, size) if posed else None
        # Each input by its own length: frames and keypoints that are sampled already stay as they are.
        lengths = {
            name: len(frames) if isinstance(kind, Frames) or annotation is None else annotation.frames
            for name, kind in kinds.items()
        }
        indices = {name: _indices(name, value, lengths[name]) for name, value in self._wanted.items()}
        people = None
        if annotation is not None:
            notes = check_keypoints(annotation, self._min_score)
            notes += repeated_frames(next(iter(lengths.values())), self._wanted)
            persons = persons_by_frame(annotation, self._min_score)
            people = people_in(persons, 0, annotation.frames, looked_at(self._wanted, indices), notes)
        return prepare_clips(frames.__getitem__, annotation, self._wanted, indices, self._min_score), people


def _indices(name: str, value: Input, frames: int) -> Indices:
    """The frames of each clip; as many as one clip takes are that clip."""
    if frames == modalities_of({name: value})[name].length and value.views.clips == 1:
        return np.arange(frames)[None]
    return sample_clips(frames, {name: value})[name]


def _frames(path: Path, frames: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise DataError(f"{path}: frames are {frames.dtype} {frames.shape}, and not uint8 (T, H, W, 3)")
    return frames


def _image_size(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> tuple[int, int]:
    try:
        return image_shape(arrays[_IMAGE_SIZE])
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {_IMAGE_SIZE} is not height and width in pixels") from error


def _annotation(path: Path, arrays: dict[str, npt.NDArray[Any]], size: tuple[int, int] | None) -> Annotation:
    keypoints, form = arrays[RAW_KEYPOINTS], (3 if size is None else 2)
    if keypoints.dtype.kind != "f" or keypoints.ndim != 4 or keypoints.shape[3] != form or not keypoints.shape[1]:
        raise DataError(
            f"{path}: keypoints are {keypoints.dtype} {keypoints.shape}, and not floating (M, T, K, {form})"
        )
    scores = arrays.get(RAW_SCORES, np.ones(keypoints.shape[:3], np.float32))
    if scores.dtype.kind != "f" or scores.shape != keypoints.shape[:3]:
        raise DataError(f"{path}: keypoint_scores are {scores.shape}, and keypoints {keypoints.shape}")
    return Annotation(str(path), 0, size, keypoints.shape[1], keypoints, scores)


def _label(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> int | None:
    if "label" not in arrays:
        return None
    label = arrays["label"]
    if label.dtype.kind not in "iu" or label.size != 1:
        raise DataError(f"{path}: label is {label.dtype} {label.shape}, and not one whole number")
    return int(label.item())
