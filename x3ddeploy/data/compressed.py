"""Compressed keypoints, a row a person found: MMAction2's DecompressPose, with its defaults.

Frames without a person are left out, and at most ten persons a frame are kept: those with the highest scores, where
more were found in any frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FRAMES = "frame_inds"
MOST_PERSONS = 10  # a frame; what DecompressPose has where a config does not say


def is_compressed(item: Mapping[str, Any]) -> bool:
    """Whether a sample's keypoints are a row a person."""
    return FRAMES in item


def decompressed(item: Mapping[str, Any]) -> dict[str, Any]:
    """A sample with `keypoint` (persons, frames, joints, 2), `keypoint_score` and `total_frames`.

    Args:
        item: `keypoint` (rows, joints, 3), x, y and score; `frame_inds` (rows,), ascending; where `anno_inds` are
            given, these rows alone count.

    Raises:
        ValueError: it is not of that form.
    """
    rows, frames = np.asarray(item["keypoint"]), np.asarray(item[FRAMES])
    if rows.ndim != 3 or rows.shape[2] != 3 or not np.issubdtype(rows.dtype, np.floating):
        raise ValueError(f"compressed keypoint {rows.shape} is not (rows, joints, 3) of x, y and score")
    if frames.shape != rows.shape[:1] or not np.issubdtype(frames.dtype, np.integer) or not len(frames):
        raise ValueError(f"{FRAMES} {frames.shape} is not the frame of each of {len(rows)} rows")
    if item.get("anno_inds") is not None:
        kept = np.asarray(item["anno_inds"])
        if kept.ndim != 1 or not len(kept) or kept.dtype.kind not in "iub":
            raise ValueError("anno_inds are no rows")
        try:
            rows, frames = rows[kept], frames[kept]
        except IndexError as error:
            raise ValueError(f"anno_inds: {error}") from error
    if not len(frames) or (np.diff(frames.astype(np.int64)) < 0).any():
        raise ValueError(f"{FRAMES} do not ascend")
    return {**item, **_by_frame(rows.astype(np.float16), frames)}


def _by_frame(rows: npt.NDArray[np.float16], frames: npt.NDArray[np.integer]) -> dict[str, Any]:
    starts = np.unique(frames, return_index=True)[1].tolist()
    ends = [*starts[1:], len(frames)]
    persons = max(end - start for start, end in zip(starts, ends, strict=True))
    shape = (min(persons, MOST_PERSONS), len(starts), rows.shape[1])
    keypoints, scores = np.zeros((*shape, 2), np.float16), np.zeros(shape, np.float16)
    for frame, (start, end) in enumerate(zip(starts, ends, strict=True)):
        found = rows[start:end]
        if persons > MOST_PERSONS:
            found = found[np.argsort(-found[..., 2].sum(-1), kind="stable")[:MOST_PERSONS]]
        keypoints[: len(found), frame], scores[: len(found), frame] = found[..., :2], found[..., 2]
    return {"keypoint": keypoints, "keypoint_score": scores, "total_frames": len(starts)}
