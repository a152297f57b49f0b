"""Annotations of MMAction2's PoseDataset: which clips there are, their class, their keypoints and the splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.checkpoint.listing import shortened
from x3ddeploy.data.unpickling import unpickle_data
from x3ddeploy.errors import DataError, UsageError

_KEYS = ("frame_dir", "label", "img_shape", "total_frames", "keypoint")
_LISTED = 20


@dataclass(frozen=True, eq=False)
class Annotation:
    """One labelled video.

    Attributes:
        name: `frame_dir`, the video's path in its folder without the suffix.
        label: class, counted from 0.
        image_size: height and width, in pixels, of the frames that the keypoints were found in.
        frames: length of the video.
        keypoints: (M, T, K, 2), x and y in pixels, in the floating type of the file; M persons, T = `frames`.
        scores: (M, T, K); ones where the file has none.
    """

    name: str
    label: int
    image_size: tuple[int, int]
    frames: int
    keypoints: npt.NDArray[np.floating]
    scores: npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Annotations:
    """A file of annotations: samples by name, in the file's order, and the names of each split."""

    splits: Mapping[str, tuple[str, ...]]
    samples: Mapping[str, Annotation]

    def split(self, name: str) -> tuple[Annotation, ...]:
        """The samples of a split in the order of the annotations, which is PoseDataset's.

        Raises:
            UsageError: there is no such split; the message lists those there are.
            DataError: names of the split have no annotation.
        """
        if name not in self.splits:
            raise UsageError(
                f"the annotations have no split {name!r}", hint=f"one of: {', '.join(self.splits) or '(none)'}"
            )
        wanted = frozenset(self.splits[name])
        missing = sorted(wanted.difference(self.samples))
        if missing:
            raise DataError(
                f"{len(missing)} names of the split {name!r} have no annotation",
                details=shortened(missing, _LISTED),
                hint="take the split and the annotations from the same data set",
            )
        return tuple(sample for sample in self.samples.values() if sample.name in wanted)


def read_annotations(path: Path) -> Annotations:
    """Read the pickle of MMAction2's PoseDataset; nothing in it is executed.

    Raises:
        DataError: it cannot be read, is no such pickle, or samples are incomplete or contradict themselves; every
            such sample is listed.
    """
    try:
        with path.open("rb") as file:
            content = unpickle_data(file, str(path))
    except OSError as error:
        raise DataError(f"cannot read the annotations {path}: {error.strerror or error}") from error
    if not (
        isinstance(content, dict)
        and isinstance(content.get("annotations"), list)
        and isinstance(content.get("split"), dict)
    ):
        raise DataError(
            f"{path} holds no annotations",
            hint="MMAction2's form is {'split': {name: [frame_dir, ...]}, 'annotations': [{'frame_dir': ...}, ...]}",
        )
    samples: dict[str, Annotation] = {}
    problems = []
    for index, item in enumerate(content["annotations"]):
        try:
            sample = _sample(item)
            if sample.name in samples:
                raise ValueError("occurs twice")
            samples[sample.name] = sample
        except (ValueError, TypeError, OverflowError) as error:
            name = item.get("frame_dir") if isinstance(item, dict) else None
            problems.append(f"{index if name is None else name}: {error}")
    if problems:
        raise DataError(
            f"{path}: {len(problems)} of {len(content['annotations'])} annotations cannot be used",
            details=shortened(problems, _LISTED),
        )
    return Annotations({str(name): tuple(map(str, names)) for name, names in content["split"].items()}, samples)


def _sample(item: Any) -> Annotation:
    """Raises ValueError or TypeError, whose text says what is wrong."""
    if not isinstance(item, dict):
        raise TypeError(f"not a dict but {type(item).__name__}")
    missing = [key for key in _KEYS if key not in item]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    name = str(item["frame_dir"])
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError("frame_dir leads out of the videos' folder")
    frames, label = _whole("total_frames", item["total_frames"]), _whole("label", item["label"])
    if frames < 1 or label < 0:
        raise ValueError(f"total_frames {frames}, label {label}")
    size = tuple(_whole("img_shape", side) for side in item["img_shape"])
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"img_shape {size} is not (height, width)")
    keypoints = _floats("keypoint", item["keypoint"])
    if keypoints.ndim != 4 or keypoints.shape[3] != 2 or keypoints.shape[1] != frames:
        raise ValueError(f"keypoint {keypoints.shape} is not (persons, {frames} frames, joints, 2)")
    scores = item.get("keypoint_score")
    scores = np.ones(keypoints.shape[:3], np.float32) if scores is None else _floats("keypoint_score", scores)
    if scores.shape != keypoints.shape[:3]:
        raise ValueError(f"keypoint_score {scores.shape} and keypoint {keypoints.shape} do not agree")
    return Annotation(name, label, (size[0], size[1]), frames, keypoints, scores)


def _whole(key: str, value: object) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{key} {value!r} is not a whole number")
    return int(value)


def _floats(key: str, value: object) -> npt.NDArray[np.floating]:
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        return array.astype(np.float32)
    if array.dtype.kind != "f":
        raise TypeError(f"{key} is of type {array.dtype}")
    return array
