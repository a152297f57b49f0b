"""Keypoints from an `.npz` file: what a short script around any pose estimator writes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from x3ddeploy.errors import DataError
from x3ddeploy.prediction.keypoints import Keypoints, checked_keypoints

_NAMES = ("keypoints", "keypoint_scores")


def read_npz_keypoints(path: Path) -> Keypoints:
    """Read `keypoints` (M, T, K, 2), in pixels of the video's frames, and `keypoint_scores` (M, T, K).

    Raises:
        DataError: the file cannot be read, or lacks an array, or one has another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in _NAMES if name not in file.files]
            if missing:
                raise DataError(
                    f"{path} lacks {' and '.join(missing)}: it holds {', '.join(file.files) or 'nothing'}",
                    hint="write it with numpy.savez(FILE, keypoints=..., keypoint_scores=...)",
                )
            positions, scores = (file[name] for name in _NAMES)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"{path} cannot be read as arrays: {error}", hint="write it with numpy.savez") from error
    return checked_keypoints(str(path), positions, scores, None)
