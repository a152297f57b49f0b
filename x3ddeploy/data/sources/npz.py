"""Clips from a folder of `.npz` files, one a clip: ready tensors, or frames and keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.bundle import sha256_of
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.arrays import CLIP_LIMIT, read_arrays
from x3ddeploy.data.people import (
    People,
    check_keypoints,
    people_drawn,
    people_in,
    persons_by_frame,
    repeated_frames,
)
from x3ddeploy.data.pipeline import prepare_clips
from x3ddeploy.data.sampling import ClipIndices, uniform_indices
from x3ddeploy.data.sources.base import LabelledClip, check_labels, checked_inputs, described, digest
from x3ddeploy.errors import DataError
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

_RAW = ("frames", "keypoints", "keypoint_scores")
_LABEL_LIMIT = 1 << 10  # bytes


class NpzClips:
    """Clips in the order of their files' names. A file holds `imgs` and `heatmap_imgs` as the network takes them, or
    `frames` (T, H, W, 3) uint8 in R, G, B, `keypoints` (M, T', K, 2) in pixels of these frames and `keypoint_scores`
    (M, T', K); and may hold `label`, a whole number. Raw clips of more or fewer frames than the network takes are
    sampled, cropped and resized as videos are.

    Args:
        folder: holds the files; others in it are ignored.
        spec: what the clips are prepared for.
        clips: clips a file, of raw ones; ready ones must hold as many.
        min_keypoint_score: of raw ones, see `prepare_clips`.

    Raises:
        DataError: a file's label cannot be read, or is none of the network's classes.
    """

    split = None

    def __init__(self, folder: Path, spec: ModelSpec, clips: int, min_keypoint_score: float | None) -> None:
        self.name = str(folder)
        self._paths = sorted(folder.glob("*.npz"))
        if not self._paths:
            raise DataError(f"{folder} holds no .npz files")
        self._spec, self._clips, self._min_score = spec, clips, min_keypoint_score
        self._labels = [_label(path, read_arrays(path, _LABEL_LIMIT, optional=("label",))) for path in self._paths]
        check_labels(self._labels, spec, self.name)
        self._digest: str | None = None

    @property
    def description(self) -> Mapping[str, Any]:
        if self._digest is None:
            self._digest = digest(f"{path.name} {sha256_of(path)}" for path in self._paths)
        return {"kind": "npz", "files_sha256": self._digest, "clips": self._clips, **described(self._min_score)}

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
        if "frames" in arrays:
            inputs, people = self._prepared(path, arrays)
        else:
            inputs = checked_inputs(arrays, self._spec, str(path))
            people = people_drawn(inputs["heatmap_imgs"])
            if self._min_score is not None:
                raise DataError(
                    f"{path} holds heatmaps, whose joints are drawn already", hint="leave --min-keypoint-score out"
                )
        found = len(inputs["imgs"])
        if found != self._clips:
            raise DataError(f"{path} holds {found} clips, and {self._clips} were asked for")
        return LabelledClip(path.stem, self._labels[index], inputs, people)

    def _prepared(
        self, path: Path, arrays: dict[str, npt.NDArray[Any]]
    ) -> tuple[dict[str, npt.NDArray[np.float32]], People]:
        if set(arrays) != set(_RAW):
            raise DataError(f"{path} holds {', '.join(sorted(arrays))}", hint=f"raw clips hold {', '.join(_RAW)}")
        frames, keypoints, scores = (arrays[name] for name in _RAW)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
            raise DataError(f"{path}: frames are {frames.dtype} {frames.shape}, and not uint8 (T, H, W, 3)")
        if keypoints.dtype.kind != "f" or keypoints.ndim != 4 or keypoints.shape[3] != 2 or not keypoints.shape[1]:
            raise DataError(f"{path}: keypoints are {keypoints.dtype} {keypoints.shape}, and not floating (M, T, K, 2)")
        if scores.dtype.kind != "f" or scores.shape != keypoints.shape[:3]:
            raise DataError(f"{path}: keypoint_scores are {scores.shape}, and keypoints {keypoints.shape}")
        annotation = Annotation(str(path), 0, (frames.shape[1], frames.shape[2]), keypoints.shape[1], keypoints, scores)
        # Each stream by its own length: frames and keypoints that are sampled already stay as they are.
        indices = ClipIndices(
            rgb=uniform_indices(len(frames), self._spec.rgb_input.frames, self._clips),
            pose=uniform_indices(annotation.frames, self._spec.pose_input.frames, self._clips),
        )
        notes = check_keypoints(annotation, self._min_score) + repeated_frames(len(frames), self._spec.rgb_input.frames)
        people = people_in(persons_by_frame(annotation, self._min_score), 0, annotation.frames, indices.pose, notes)
        return prepare_clips(frames.__getitem__, annotation, self._spec, indices, self._min_score), people


def _label(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> int | None:
    if "label" not in arrays:
        return None
    label = arrays["label"]
    if label.dtype.kind not in "iu" or label.size != 1:
        raise DataError(f"{path}: label is {label.dtype} {label.shape}, and not one whole number")
    return int(label.item())
