"""Keypoints of one video, checked against it; from an `.npz` file, what a short script around any estimator writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.annotation_values import LARGEST_SIDE_PX, float_array, image_shape
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.arrays import KEYPOINTS_LIMIT, read_arrays
from x3ddeploy.data.video import VideoInfo
from x3ddeploy.errors import DataError

_KEYPOINTS, _SCORES, _SIZE = "keypoints", "keypoint_scores", "image_size"


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Every person in every frame of a video.

    Attributes:
        where: what messages call them: the file, and the entry where it holds several.
        positions: (M, T, K, 2), x and y in pixels, or (M, T, K, 3) in space; 0 or NaN where a joint was not found.
        scores: (M, T, K).
        image_size: height and width of the frames that they were found in; None where that is the video's own, or they
            are in space.
    """

    where: str
    positions: npt.NDArray[np.floating]
    scores: npt.NDArray[np.floating]
    image_size: tuple[int, int] | None

    @property
    def frames(self) -> int:
        return int(self.positions.shape[1])

    @property
    def in_space(self) -> bool:
        return self.positions.shape[-1] == 3

    def of_video(self, video: Path, info: VideoInfo) -> Annotation:
        """What the data pipeline takes.

        Raises:
            DataError: the video has another number of frames.
        """
        if self.frames != info.frames:
            raise DataError(
                f"{video} has {info.frames} frames, and {self.where} has keypoints of {self.frames}",
                hint="run the pose estimator over every frame of this very file",
            )
        size = None if self.in_space else self.image_size or (info.height, info.width)
        return Annotation(self.where, 0, size, self.frames, self.positions, self.scores)


def checked_keypoints(
    where: str, positions: object, scores: object | None, image_size: tuple[int, int] | None
) -> Keypoints:
    """Keypoints from arrays that a file gave.

    Args:
        where: what messages call them.
        positions: should be (M, T, K, 2), or in space (M, T, K, 3), numbers.
        scores: should be (M, T, K) numbers; None for ones.
        image_size: height and width, where the file says them.

    Raises:
        DataError: other shapes or types, no frames, a picture without a size; the message says which.
    """
    places = _numbers(where, "keypoints", positions)
    if places.ndim != 4 or places.shape[3] not in (2, 3):
        raise DataError(f"{where}: keypoints have shape {places.shape}, and not (persons, frames, joints, 2 or 3)")
    if not places.shape[1]:
        raise DataError(f"{where} has keypoints of no frame")
    peaks = np.ones(places.shape[:3], np.float32) if scores is None else _numbers(where, "keypoint scores", scores)
    if peaks.shape != places.shape[:3]:
        raise DataError(f"{where}: keypoint scores have shape {peaks.shape}, and keypoints {places.shape}")
    if image_size is not None and not 1 <= min(image_size) <= max(image_size) <= LARGEST_SIDE_PX:
        raise DataError(f"{where}: pictures of height {image_size[0]} and width {image_size[1]}")
    return Keypoints(where, places, peaks, image_size)


def read_npz_keypoints(path: Path) -> Keypoints:
    """Read `keypoints` (M, T, K, 2), in pixels of the video's frames, and `keypoint_scores` (M, T, K); or in space,
    (M, T, K, 3), alone. `image_size` (height and width) is for keypoints whose video is not there.

    Raises:
        DataError: the file cannot be read, or lacks an array, or one has another shape.
    """
    arrays = read_arrays(path, KEYPOINTS_LIMIT, (_KEYPOINTS,), (_SCORES, _SIZE))
    if _SCORES not in arrays and arrays[_KEYPOINTS].shape[-1:] != (3,):
        raise DataError(
            f"{path} lacks {_SCORES}", hint=f"write it with numpy.savez(FILE, {_KEYPOINTS}=..., {_SCORES}=...)"
        )
    try:
        size = image_shape(arrays[_SIZE]) if _SIZE in arrays else None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {_SIZE} is not height and width in pixels") from error
    return checked_keypoints(str(path), arrays[_KEYPOINTS], arrays.get(_SCORES), size)


def _numbers(where: str, name: str, value: object) -> npt.NDArray[np.floating]:
    try:
        return float_array(f"{name} are", value)
    except TypeError as error:
        raise DataError(f"{where}: {error}") from error
