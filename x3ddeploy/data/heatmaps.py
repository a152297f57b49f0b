"""Keypoints to heatmaps: the same numbers as MMAction2's GeneratePoseTarget, vectorised.

A keypoint draws a Gaussian exp(-((x - mu_x)^2 + (y - mu_y)^2) / (2 sigma^2)) * score inside a window of three sigma,
whose borders are cut to integers toward zero; the maximum over persons stays (mmaction/datasets/transforms/
pose_transforms.py, `generate_a_heatmap`). The Gaussian is separable: a row vector times a column vector.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from x3ddeploy.families.two_stream_x3d.spec import PoseInput

Floats = npt.NDArray[np.float32]

# Scores under this draw nothing, and a window reaches this many sigma.
MIN_SCORE = 1e-4
REACH = 3


def keypoints_to_heatmaps(keypoints: Floats, scores: Floats, pose: PoseInput) -> Floats:
    """Draw one clip.

    Args:
        keypoints: (M, T, K, 2), x and y in frame pixels. A keypoint that is not finite draws nothing.
        scores: (M, T, K). A score that is not finite, or under 1e-4, draws nothing. Ignored where `pose` has no
            use_score.
        pose: size, sigma and scaling of the heatmaps.

    Returns:
        (K, T, H, W).
    """
    persons, frames, joints = scores.shape
    centres = keypoints.astype(np.float32) * np.float32(pose.scaling)
    # Without use_score MMAction2 puts ones in the place of all scores, before it looks at them.
    peaks = scores.astype(np.float32) if pose.use_score else np.ones_like(scores, np.float32)
    drawn = (peaks >= MIN_SCORE) & np.isfinite(peaks) & np.isfinite(centres).all(-1)
    peaks = np.where(drawn, peaks, np.float32(0))
    centres = np.where(drawn[..., None], centres, np.float32(0))
    heatmaps = np.zeros((joints, frames, pose.height, pose.width), np.float32)
    for person in range(persons):  # one at a time: memory stays that of the result
        columns = _gaussian(centres[person, ..., 0], pose.width, pose.sigma)  # (T, K, W)
        rows = _gaussian(centres[person, ..., 1], pose.height, pose.sigma) * peaks[person, ..., None]  # (T, K, H)
        drawing = rows[..., :, None] * columns[..., None, :]
        np.maximum(heatmaps, drawing.swapaxes(0, 1), out=heatmaps)
    return heatmaps


def _gaussian(centre: Floats, size: int, sigma: float) -> Floats:
    """(...,) centres to (..., size) values of the one-dimensional Gaussian inside its window."""
    pixels = np.arange(size, dtype=np.float32)
    reach = np.float32(REACH * sigma)
    # Far outside the map the window is empty whatever the exact centre; the bound keeps the integers in range.
    centre = np.clip(centre, -2 * reach - 2, size + 2 * reach + 2)[..., None]
    inside = (pixels >= np.trunc(centre - reach)) & (pixels < np.trunc(centre + reach) + 1)
    values = np.exp(-((pixels - centre) ** 2) / np.float32(2 * sigma**2))
    return np.where(inside, values, np.float32(0)).astype(np.float32)
