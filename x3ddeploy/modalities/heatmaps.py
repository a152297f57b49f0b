"""Clips of keypoint heatmaps: the same numbers as MMAction2's GeneratePoseTarget, vectorised.

A keypoint draws a Gaussian exp(-((x - mu_x)^2 + (y - mu_y)^2) / (2 sigma^2)) * score inside a window of three sigma,
whose borders are cut to integers toward zero; the maximum over persons stays (mmaction/datasets/transforms/
pose_transforms.py, `generate_a_heatmap`). The Gaussian is separable, a row vector times a column vector, and is
computed in its window alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import LARGEST_SIZE, Input, Views
from x3ddeploy.modalities.limbs import draw_limbs
from x3ddeploy.modalities.view import DRAW, View, parameters, refused

RAW_KEYPOINTS, RAW_SCORES = "keypoints", "keypoint_scores"

Floats = npt.NDArray[np.float32]

# Scores under this draw nothing, and a window reaches this many sigma.
MIN_SCORE = 1e-4
REACH = 3
_LIMBS = ((0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (5, 7), (7, 9), (0, 6), (6, 8), (8, 10), (5, 11), (11, 13),
          (13, 15), (6, 12), (12, 14), (14, 16), (11, 12))  # fmt: skip
# GeneratePoseTarget's parameters and their defaults.
_DEFAULTS: dict[str, Any] = {
    "sigma": 0.6,
    "scaling": 1.0,
    "use_score": True,
    "with_kp": True,
    "with_limb": False,
    "skeletons": _LIMBS,
    "double": False,
    "left_kp": (1, 3, 5, 7, 9, 11, 13, 15),
    "right_kp": (2, 4, 6, 8, 10, 12, 14, 16),
    "left_limb": (0, 2, 4, 5, 6, 10, 11, 12),
    "right_limb": (1, 3, 7, 8, 9, 13, 14, 15),
}


@dataclass(frozen=True)
class Heatmaps:
    """One clip: T frames of H x W, one channel a joint, or a limb.

    Attributes:
        view: what of a video is seen; keypoints are in pixels of it.
        joints: number of joints of a person.
        height, width: size of a heatmap.
        sigma: standard deviation of a keypoint's Gaussian, in heatmap pixels.
        scaling: heatmap pixels a pixel of the view.
        use_score: whether a keypoint's score is its Gaussian's peak (else 1).
        draws_joints: whether joints are drawn, one a channel.
        limbs: pairs of joints that are drawn as limbs. Where joints are drawn as well, limbs have channels of their own
            that stay empty, and are drawn over the joints of the same number: MMAction2 does so.
        twin: channel that each channel of the mirrored view is made of; None where there is no such view.
    """

    view: View
    joints: int
    height: int
    width: int
    sigma: float
    scaling: float
    use_score: bool
    draws_joints: bool = True
    limbs: tuple[tuple[int, int], ...] = ()
    twin: tuple[int, ...] | None = None

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
            raise refused(name, "keypoints are drawn in one crop of a picture; their mirror image is drawn by double")
        given = parameters(name, value, DRAW, dict.fromkeys(_DEFAULTS))
        if given is None:
            raise refused(name, f"there is no step {DRAW}")
        drawn = {**_DEFAULTS, **given}
        for key, default in _DEFAULTS.items():
            if isinstance(default, bool | float) and not _means(default, drawn[key]):
                raise refused(name, f"{DRAW}.{key} = {drawn[key]!r:.60}")
        sigma, scaling = float(drawn["sigma"]), float(drawn["scaling"])
        limbs = _pairs(name, "skeletons", drawn["skeletons"]) if drawn["with_limb"] else ()
        draws_joints = drawn["with_kp"]
        named = 1 + max((joint for limb in limbs for joint in limb), default=-1)
        joints = shape[0] - len(limbs) if draws_joints else named
        channels = len(limbs) + (joints if draws_joints else 0)
        if joints <= 0 or channels != shape[0] or named > joints:
            raise refused(name, f"{DRAW} draws {joints} joints and {len(limbs)} limbs, and the tensor is {shape}")
        sides = ("left_kp", "right_kp") if draws_joints else ("left_limb", "right_limb")
        twin = _mirrored(name, sides, drawn, channels) if drawn["double"] else None
        return cls(view, joints, shape[2], shape[3], sigma, scaling, drawn["use_score"], draws_joints, limbs, twin)

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.view.length

    @property
    def views(self) -> Views:
        """How many rows of N one video takes."""
        return replace(self.view.views, flip=self.twin is not None)

    @property
    def channels(self) -> int:
        """Joints and limbs that are drawn."""
        return len(self.limbs) + (self.joints if self.draws_joints else 0)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(K, T, H, W)."""
        return self.channels, self.view.length, self.height, self.width

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
        return self._clips(keypoints[None], scores[None])[0]

    def _clips(self, keypoints: Floats, scores: Floats) -> Floats:
        """(N, M, T, K, 2) and (N, M, T, K) to (N, K, T, H, W)."""
        count, _, frames, joints = scores.shape
        channels = len(self.limbs) + (joints if self.draws_joints else 0)
        clips = np.zeros((count, channels, frames, self.height, self.width), np.float32)
        for clip, places, peaks in zip(clips, keypoints, scores, strict=True):
            self._draw(clip, places, peaks)
        return clips

    def _draw(self, heatmaps: Floats, keypoints: Floats, scores: Floats) -> None:
        """See `draw`: into (K, T, H, W) of zeros."""
        persons, _, joints = scores.shape
        centres = keypoints.astype(np.float32) * np.float32(self.scaling)
        # Without use_score MMAction2 puts ones in the place of all scores, before it looks at them.
        peaks = scores.astype(np.float32) if self.use_score else np.ones_like(scores, np.float32)
        drawn = (peaks >= MIN_SCORE) & np.isfinite(peaks) & np.isfinite(centres).all(-1)
        peaks = np.where(drawn, peaks, np.float32(0))
        centres = np.where(drawn[..., None], centres, np.float32(0))
        for person in range(persons):  # one at a time: memory stays that of the result
            if self.draws_joints:
                self._draw_joints(heatmaps[:joints], centres[person].swapaxes(0, 1), peaks[person].swapaxes(0, 1))
            if self.limbs:
                size, reach = (self.height, self.width), REACH * self.sigma
                given = centres[person], peaks[person], self.limbs, size, self.sigma, reach
                drawing = draw_limbs(*given, self._draw_joints)
                np.maximum(heatmaps[: len(self.limbs)], drawing, out=heatmaps[: len(self.limbs)])

    def _draw_joints(self, heatmaps: Floats, centres: Floats, peaks: Floats) -> None:
        """Draw one Gaussian into each heatmap (..., H, W), where it is the greater: (..., 2) centres, (...,) peaks."""
        columns, across = _gaussian(centres[..., 0], self.width, self.sigma)
        rows, down = _gaussian(centres[..., 1], self.height, self.sigma)
        axes: tuple[npt.NDArray[np.int64], ...] = np.indices(peaks.shape, sparse=True)
        window = (*(axis[..., None, None] for axis in axes), rows[..., :, None], columns[..., None, :])
        drawing = (down * peaks[..., None])[..., :, None] * across[..., None, :]
        heatmaps[window] = np.maximum(heatmaps[window], drawing)

    def with_twins(self, clips: Floats) -> Floats:
        """(clips, K, T, H, W), and behind them their mirror images, left and right exchanged, where these are views."""
        if self.twin is None:
            return clips
        return np.concatenate([clips, clips[..., ::-1][:, list(self.twin)]])

    def from_raw(self, raw: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """The tensor of some clips, made of `keypoints` and `keypoint_scores`."""
        return self._clips(raw[RAW_KEYPOINTS], raw[RAW_SCORES][..., 0])

    def impulse(self, clips: int, frame: int) -> Floats:
        """One lit pixel of one joint in one frame of the middle clip, zeros elsewhere."""
        value = np.zeros((clips, *self.clip_shape), np.float32)
        value[clips // 2, self.channels // 2, frame, self.height // 2, self.width // 3] = 1
        return value


def _means(default: bool | float, value: Any) -> bool:
    """Whether a value can stand where the default is a yes or no, or a positive number."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _pairs(name: str, key: str, value: Any) -> tuple[tuple[int, int], ...]:
    if not (isinstance(value, list | tuple) and value and all(map(_is_pair, value))):
        raise refused(name, f"{DRAW}.{key} = {value!r:.60} is not pairs of joints")
    return tuple((first, second) for first, second in value)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(joint) is int and 0 <= joint < LARGEST_SIZE for joint in value)
    )


def _mirrored(name: str, sides: tuple[str, str], drawn: Mapping[str, Any], channels: int) -> tuple[int, ...]:
    """Channels of the mirrored view, left for right."""
    left, right = (drawn[side] for side in sides)
    for side in sides:
        known = isinstance(drawn[side], list | tuple) and all(
            type(index) is int and 0 <= index < channels for index in drawn[side]
        )
        if not known:
            raise refused(name, f"{DRAW}.{side} = {drawn[side]!r:.60} is not channels of {channels}")
    order = list(range(channels))
    for first, second in zip(left, right, strict=False):  # as MMAction2 pairs them
        order[first], order[second] = second, first
    return tuple(order)


def _gaussian(centre: Floats, size: int, sigma: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """The one-dimensional Gaussian about (...,) centres: pixels (..., P) that hold its window, each once, and values.

    They are 0 at pixels outside of the window, and where it lies outside of the map.
    """
    reach = np.float32(REACH * sigma)
    # Far outside the map the window is empty whatever the exact centre; the bound keeps the integers in range.
    centre = np.clip(centre, -2 * reach - 2, size + 2 * reach + 2)[..., None]
    first, last = np.trunc(centre - reach), np.trunc(centre + reach)
    pixels = np.arange(min(int(2 * reach) + 3, size), dtype=np.float32)
    pixels = np.clip(first, 0, size - len(pixels)) + pixels
    values = np.exp(-((pixels - centre) ** 2) / np.float32(2 * sigma**2))
    values = np.where((pixels >= first) & (pixels <= last), values, np.float32(0))
    return pixels.astype(np.int64), values.astype(np.float32)
