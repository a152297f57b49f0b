"""Keypoints from an `.npz` file: what a short script around any pose estimator writes."""

from __future__ import annotations

from pathlib import Path

from x3ddeploy.data.arrays import KEYPOINTS_LIMIT, read_arrays
from x3ddeploy.prediction.keypoints import Keypoints, checked_keypoints

_NAMES = ("keypoints", "keypoint_scores")


def read_npz_keypoints(path: Path) -> Keypoints:
    """Read `keypoints` (M, T, K, 2), in pixels of the video's frames, and `keypoint_scores` (M, T, K).

    Raises:
        DataError: the file cannot be read, or lacks an array, or one has another shape.
    """
    arrays = read_arrays(path, KEYPOINTS_LIMIT, _NAMES)
    positions, scores = (arrays[name] for name in _NAMES)
    return checked_keypoints(str(path), positions, scores, None)
