"""Clips of keypoint heatmaps: the same numbers as MMAction2's GeneratePoseTarget, vectorised.

A keypoint draws a Gaussian exp(-((x - mu_x)^2 + (y - mu_y)^2) / (2 sigma^2)) * score inside a window of three sigma,
whose borders are cut to integers toward zero; the maximum over persons stays (mmaction/datasets/transforms/
pose_transforms.py, `generate_a_heatmap`). The Gaussian is separable: a row vector times a column vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input, Views
from x3ddeploy.modalities.view import View, parameters, refused

DRAW = "GeneratePoseTarget"
RAW_KEYPOINTS, RAW_SCORES = "keypoints", "keypoint_scores"

Floats = npt.NDArray[np.float32]

# Scores under this draw nothing, and a window reaches this many sigma.
MIN_SCORE = 1e-4
REACH = 3
_KNOWN = {"sigma": None, "scaling": None, "use_score": None, "with_kp": True, "with_limb": False, "double": False}


@dataclass(frozen=True)
class Heatmaps:
    """One clip: T frames of H x W, one channel a joint.

    Attributes:
        view: what of a video is seen; keypoints are in pixels of it.
        joints: channels.
        height, width: of a heatmap.
        sigma: standard deviation of a keypoint's Gaussian, in heatmap pixels.
        scaling: heatmap pixels a pixel of the view.
        use_score: whether a keypoint's score is its Gaussian's peak (else 1).
    """

    view: View
    joints: int
    height: int
    width: int
    sigma: float
    scaling: float
    use_score: bool

    raw = (RAW_KEYPOINTS, RAW_SCORES)
    settings = "sigma and scaling"

    @classmethod
    def of(cls, name: str, value: Input) -> Heatmaps:
        """Read an input of a contract. Raises BundleError where it cannot be prepared."""
        shape = value.clip_shape
        if len(shape) != 4:
            raise refused(name, f"heatmaps of shape {shape} are not (K, T, H, W)")
        view = View.of(name, value, shape[1], (DRAW,))
        if view.views.count != view.views.clips or view.cropping.flipped:
            raise refused(name, "keypoints are drawn in one crop of a picture, and not mirrored")
        drawn = parameters(name, value, DRAW, _KNOWN)
        if drawn is None:
            raise refused(name, f"there is no step {DRAW}")
        sigma, scaling = (float(drawn.get(key, default)) for key, default in (("sigma", 0.6), ("scaling", 1.0)))
        if not (sigma > 0 and scaling > 0):
            raise refused(name, f"{DRAW} sigma = {sigma}, scaling = {scaling}")
        return cls(view, shape[0], shape[2], shape[3], sigma, scaling, bool(drawn.get("use_score", True)))

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.view.length

    @property
    def views(self) -> Views:
        """How many rows of N one video takes."""
        return self.view.views

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(K, T, H, W)."""
        return self.joints, self.view.length, self.height, self.width

    def raw_shapes(self, clips: int, persons: int) -> dict[str, tuple[int, ...]]:
        """What a pose estimator gives: `keypoints` (N, M, T, K, 2) and `keypoint_scores` (N, M, T, K, 1)."""
        leading = clips, persons, self.view.length, self.joints
        return {RAW_KEYPOINTS: (*leading, 2), RAW_SCORES: (*leading, 1)}

    def draw(self, keypoints: Floats, scores: Floats) -> Floats:
        """Draw one clip.

        Args:
            keypoints: (M, T, K, 2), x and y in pixels of the view. A keypoint that is not finite draws nothing.
            scores: (M, T, K). A score that is not finite, or under 1e-4, draws nothing. Not looked at without
                `use_score`.

        Returns:
            (K, T, H, W).
        """
        persons, frames, joints = scores.shape
        centres = keypoints.astype(np.float32) * np.float32(self.scaling)
        # Without use_score MMAction2 puts ones in the place of all scores, before it looks at them.
        peaks = scores.astype(np.float32) if self.use_score else np.ones_like(scores, np.float32)
        drawn = (peaks >= MIN_SCORE) & np.isfinite(peaks) & np.isfinite(centres).all(-1)
        peaks = np.where(drawn, peaks, np.float32(0))
        centres = np.where(drawn[..., None], centres, np.float32(0))
        heatmaps = np.zeros((joints, frames, self.height, self.width), np.float32)
        for person in range(persons):  # one at a time: memory stays that of the result
            columns = _gaussian(centres[person, ..., 0], self.width, self.sigma)  # (T, K, W)
            rows = _gaussian(centres[person, ..., 1], self.height, self.sigma) * peaks[person, ..., None]  # (T, K, H)
            drawing = rows[..., :, None] * columns[..., None, :]
            np.maximum(heatmaps, drawing.swapaxes(0, 1), out=heatmaps)
        return heatmaps

    def from_raw(self, raw: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """The tensor of some clips, made of `keypoints` and `keypoint_scores`."""
        clips = zip(raw[RAW_KEYPOINTS], raw[RAW_SCORES][..., 0], strict=True)
        return np.stack([self.draw(keypoints, scores) for keypoints, scores in clips])

    def impulse(self, clips: int, frame: int) -> Floats:
        """One lit pixel of one joint in one frame of the middle clip, zeros elsewhere."""
        value = np.zeros((clips, *self.clip_shape), np.float32)
        value[clips // 2, self.joints // 2, frame, self.height // 2, self.width // 3] = 1
        return value


def _gaussian(centre: Floats, size: int, sigma: float) -> Floats:
    """(...,) centres to (..., size) values of the one-dimensional Gaussian inside its window."""
    pixels = np.arange(size, dtype=np.float32)
    reach = np.float32(REACH * sigma)
    # Far outside the map the window is empty whatever the exact centre; the bound keeps the integers in range.
    centre = np.clip(centre, -2 * reach - 2, size + 2 * reach + 2)[..., None]
    inside = (pixels >= np.trunc(centre - reach)) & (pixels < np.trunc(centre + reach) + 1)
    values = np.exp(-((pixels - centre) ** 2) / np.float32(2 * sigma**2))
    return np.where(inside, values, np.float32(0)).astype(np.float32)
