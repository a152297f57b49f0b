"""Heatmaps of limbs: the same numbers as MMAction2's GeneratePoseTarget(with_limb=True), all frames at once.

A limb is drawn about the line between two joints: exp(-d^2 / (2 sigma^2)) * the lesser of the two scores, d being the
distance from the segment, inside the box about both joints that reaches three sigma further. A limb shorter than a
pixel is drawn as its first joint (mmaction/datasets/transforms/pose_transforms.py, `generate_a_limb_heatmap`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Drawing = Callable[[Floats, Floats, Floats], None]


def draw_limbs(
    centres: Floats,
    peaks: Floats,
    limbs: Sequence[tuple[int, int]],
    size: tuple[int, int],
    sigma: float,
    reach: float,
    draw_joint: Drawing,
) -> Floats:
    """Draw the limbs of one person.

    Args:
        centres: (T, K, 2), x and y in heatmap pixels, finite.
        peaks: (T, K), 0 where nothing is drawn.
        limbs: pairs of joints.
        size: height and width of a heatmap.
        sigma: standard deviation, in heatmap pixels.
        reach: reach of a limb's box beyond its joints, in heatmap pixels.
        draw_joint: draws joints alone, into (T, H, W): (T, 2) and (T,).

    Returns:
        (limbs, T, H, W).
    """
    rows, columns = np.arange(size[0], dtype=np.float32)[:, None], np.arange(size[1], dtype=np.float32)
    drawn = np.zeros((len(limbs), len(centres), *size), np.float32)
    for index, (first, second) in enumerate(limbs):
        start, end = centres[:, first], centres[:, second]
        peak = np.minimum(peaks[:, first], peaks[:, second])
        length2 = ((start - end) ** 2).sum(-1)
        short = length2 < 1
        if short.any():
            alone = np.zeros((int(short.sum()), *size), np.float32)
            draw_joint(alone, start[short], np.where(peak > 0, peaks[:, first], np.float32(0))[short])
            drawn[index, short] = alone
        for time in np.flatnonzero(~short & (peak > 0)):
            low, high = np.minimum(start[time], end[time]), np.maximum(start[time], end[time])
            left, top = (max(int(value - np.float32(reach)), 0) for value in low)
            right, bottom = (int(value + np.float32(reach)) + 1 for value in high)
            x, y = columns[left : max(right, 0)], rows[top : max(bottom, 0)]
            if x.size and y.size:
                d2 = _distance2(x, y, start[time], end[time], length2[time])
                patch = np.exp(-d2 / 2.0 / sigma**2) * peak[time]
                drawn[index, time, top : max(bottom, 0), left : max(right, 0)] = patch
    return drawn


def _distance2(x: Floats, y: Floats, start: Floats, end: Floats, length2: np.float32) -> npt.NDArray[np.float64]:
    """Squared distance of each pixel from a segment, rounded to float32 where MMAction2 rounds."""
    from_start = (x - start[0]) ** 2 + (y - start[1]) ** 2
    from_end = (x - end[0]) ** 2 + (y - end[1]) ** 2
    share = (from_start - from_end + length2) / np.float32(2) / length2
    x_off = x + np.zeros_like(y) - (start[0] + share * (end[0] - start[0]))
    y_off = y + np.zeros_like(x) - (start[1] + share * (end[1] - start[1]))
    from_line = x_off**2 + y_off**2
    return np.where(share <= 0, from_start, np.where(share >= 1, from_end, from_line)).astype(np.float64)
