"""Faults of golden data: one tensor is not what it should be."""

from collections.abc import Callable

import numpy as np

INPUTS = ("imgs", "heatmap_imgs")
FEATURES = ("rgb_feat", "pose_feat")
LOGITS = ("rgb_logits", "pose_logits", "rgb_coarse_logits", "pose_coarse_logits")


def late(value):
    """One frame late; the first is shown twice."""
    return np.concatenate((value[:, :, :1], value[:, :, :-1]), 2)


def rolled(value):
    """Channels or classes moved on by one."""
    return np.roll(value, 1, 1)


def without_one_frame(value):
    return value[:, :, 1:]


def with_nan(value):
    value.flat[-1] = np.nan
    return value


EDITS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    **{f"{name} zeroed": (name, np.zeros_like) for name in (*INPUTS, *FEATURES, *LOGITS, "scores")},
    **{f"{name} one frame late": (name, late) for name in (*INPUTS, *FEATURES)},
    **{f"{name} rolled": (name, rolled) for name in (*INPUTS, *FEATURES, *LOGITS, "scores")},
    "imgs turned around in time": ("imgs", lambda value: value[:, :, ::-1]),
    "imgs upside down": ("imgs", lambda value: value[:, :, :, ::-1]),
    "rgb_feat lacks a frame": ("rgb_feat", without_one_frame),
    "rgb_logits 1 % off": ("rgb_logits", lambda value: value * np.float32(1.01)),
    "pose_feat not finite": ("pose_feat", with_nan),
    "scores not finite": ("scores", with_nan),
}
# What a lower precision keeps of its own; the inputs are float32's, and 1 % is within the rounding of INT8.
OUTPUT_EDITS = {name: fault for name, fault in EDITS.items() if fault[0] not in INPUTS and "1 %" not in name}
