"""Clips of RGB frames: normalised pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input, Views
from x3ddeploy.modalities.view import View, parameters, refused

FORMAT, NORMALISE = "FormatShape", "Normalize"
RAW_FRAMES = "frames"
_CHANNELS = 3
# What FormatShape makes -> whether the time comes before the channels.
_TIME_FIRST = {"NCHW": True, "NCTHW": False}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frames:
    """One clip: T frames of H x W; a pixel enters as (value - mean) / std, values in 0..255, channels R, G, B.

    Attributes:
        view: what of a video is seen.
        mean, std: mean and standard deviation of each channel.
        time_first: whether a clip is (T, 3, H, W), as 2-D networks take it, and not (3, T, H, W).
    """

    view: View
    mean: tuple[float, ...]
    std: tuple[float, ...]
    time_first: bool

    raw = (RAW_FRAMES,)
    settings = "mean and std"

    @classmethod
    def of(cls, name: str, value: Input) -> Frames:
        """Read an input of a contract. Raises BundleError where it cannot be prepared."""
        shape = value.clip_shape
        if len(shape) != 4 or _CHANNELS not in shape[:2]:
            raise refused(name, f"frames of shape {shape} are neither (3, T, H, W) nor (T, 3, H, W)")
        formatted = (parameters(name, value, FORMAT, {"input_format": None, "collapse": False}) or {}).get(
            "input_format"
        )
        if formatted not in (None, *_TIME_FIRST):
            raise refused(name, f"{FORMAT}.input_format = {formatted!r:.60}", f"one of {', '.join(_TIME_FIRST)}")
        time_first = shape[0] != _CHANNELS if formatted is None else _TIME_FIRST[formatted]
        if shape[1 if time_first else 0] != _CHANNELS:
            raise refused(name, f"{FORMAT}.input_format = {formatted!r}, and the tensor is {shape}")
        view = View.of(name, value, shape[0] if time_first else shape[1], (FORMAT, NORMALISE))
        if view.size != shape[2:]:
            raise refused(
                name, f"its steps give pictures of {view.width} x {view.height} pixels, and the tensor is {shape}"
            )
        found = parameters(name, value, NORMALISE, {"mean": None, "std": None}) or {}
        mean, std = (tuple(found.get(key, [default] * _CHANNELS)) for key, default in (("mean", 0.0), ("std", 1.0)))
        if len(mean) != _CHANNELS or len(std) != _CHANNELS or not min(std) > 0:
            raise refused(name, f"{NORMALISE} mean = {mean}, std = {std}")
        return cls(view, mean, std, time_first)

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
        """The tensor's shape, without the axis of the clips."""
        channels, *rest = _CHANNELS, *self.view.size
        return (self.view.length, channels, *rest) if self.time_first else (channels, self.view.length, *rest)

    def raw_shapes(self, clips: int, persons: int) -> dict[str, tuple[int, ...]]:
        """What a camera gives: `frames` (N, T, H, W, 3)."""
        return {RAW_FRAMES: (clips, self.view.length, *self.view.size, _CHANNELS)}

    def normalise(self, frames: npt.NDArray[np.uint8]) -> Floats:
        """(..., T, H, W, 3) R, G, B to clips, each channel in one pass and in its own place."""
        *leading, length, height, width, _ = frames.shape
        shape = (length, _CHANNELS) if self.time_first else (_CHANNELS, length)
        clips = np.empty((*leading, *shape, height, width), np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            made = clips[..., channel, :, :] if self.time_first else clips[..., channel, :, :, :]
            np.subtract(frames[..., channel], np.float32(mean), out=made)
            np.divide(made, np.float32(std), out=made)
        return clips

    def from_raw(self, raw: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """The tensor of some clips, made of `frames`."""
        return self.normalise(raw[RAW_FRAMES].astype(np.uint8, copy=False))

    def impulse(self, clips: int, frame: int) -> Floats:
        """One lit pixel in one channel of one frame of the middle clip, zeros elsewhere."""
        value = np.zeros((clips, *self.clip_shape), np.float32)
        place = (frame, _CHANNELS // 2) if self.time_first else (_CHANNELS // 2, frame)
        value[clips // 2, place[0], place[1], self.view.height // 2, self.view.width // 3] = 1
        return value
