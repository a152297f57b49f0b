"""A figure of 17 joints: postures as angles of its segments, and from those the joints in space.

Space is in metres: x to the figure's left, y forward, z up; the figure stands at the origin, its lower foot on z = 0.
A segment hangs straight down at (0, 0). Abduction lifts it away from the body's midline, then flexion swings it
forward about the body's left-right axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.modalities.keypoints import COCO_17

Floats = npt.NDArray[np.float64]
Posture = Mapping[str, tuple[float, float]]

JOINTS = {name: index for index, name in enumerate(COCO_17)}
LIMBS = ("arm", "forearm", "thigh", "shin")
SIDES = ("left", "right")
SEGMENTS = ("torso", *(f"{side}_{limb}" for side in SIDES for limb in LIMBS))

# Segments' lengths as parts of the body's height: R. Drillis and R. Contini, Body Segment Parameters, 1966.
_ARM, _FOREARM, _THIGH, _SHIN = 0.186, 0.146, 0.245, 0.246
_TORSO = 0.288  # hips (0.530 of the height) to shoulders (0.818)
_SHOULDER, _HIP, _ANKLE = 0.129, 0.070, 0.039  # half the shoulders' width, half the hips', the ankle's height
# The face about the middle of the shoulders: (left, forward, up).
_FACE = {
    "nose": (0.0, 0.060, 0.105),
    "left_eye": (0.022, 0.045, 0.125),
    "right_eye": (-0.022, 0.045, 0.125),
    "left_ear": (0.048, 0.0, 0.115),
    "right_ear": (-0.048, 0.0, 0.115),
}


@dataclass(frozen=True)
class Body:
    """Proportions of one performer.

    Attributes:
        height: height in metres.
        legs, torso, arms, girth: lengths (girth: widths) relative to the average body of that height.
    """

    height: float
    legs: float
    torso: float
    arms: float
    girth: float


def posture(**angles: tuple[float, float]) -> Posture:
    """Standing, arms slightly off the body, except for the segments given as (flexion, abduction) in degrees."""
    unknown = set(angles) - set(SEGMENTS)
    if unknown:
        raise ValueError(f"no such segment: {sorted(unknown)}")
    standing = {segment: (4.0, 8.0) if "arm" in segment else (0.0, 2.0) for segment in SEGMENTS}
    return {**standing, "torso": (0.0, 0.0), **angles}


def angles_of(figure: Posture, mirrored: bool) -> Floats:
    """(segments, 2) degrees of a posture; mirrored, left and right change places."""
    swap = {"left": "right", "right": "left"}

    def source(segment: str) -> str:
        side, _, limb = segment.partition("_")
        return f"{swap[side]}_{limb}" if mirrored and limb else segment

    return np.array([figure[source(segment)] for segment in SEGMENTS], np.float64)


def joints_in_space(angles: Floats, body: Body, *, feet_fixed: bool) -> Floats:
    """Forward kinematics.

    Args:
        angles: (T, segments, 2), flexion and abduction in degrees.
        body: lengths.
        feet_fixed: keep the feet in place and let the hips move (sitting down), instead of the other way round.

    Returns:
        (T, 17, 3) metres; the lower ankle stays at its height over the floor.
    """
    lengths = {
        "arm": _ARM * body.arms,
        "forearm": _FOREARM * body.arms,
        "thigh": _THIGH * body.legs,
        "shin": _SHIN * body.legs,
    }
    joints = np.zeros((len(angles), len(JOINTS), 3))
    lean = np.deg2rad(angles[:, SEGMENTS.index("torso"), 0])
    forward = np.stack([np.zeros_like(lean), np.cos(lean), -np.sin(lean)], -1)
    up = np.stack([np.zeros_like(lean), np.sin(lean), np.cos(lean)], -1)
    left = np.array([1.0, 0.0, 0.0])
    neck = _TORSO * body.torso * up
    for name, (aside, ahead, above) in _FACE.items():
        joints[:, JOINTS[name]] = neck + aside * left + ahead * forward + above * up
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder = neck + sign * _SHOULDER * body.girth * left
        hip = np.broadcast_to(sign * _HIP * body.girth * left, shoulder.shape)
        for start, chain in ((shoulder, ("shoulder", "elbow", "wrist")), (hip, ("hip", "knee", "ankle"))):
            joints[:, JOINTS[f"{side}_{chain[0]}"]] = end = start
            for name, limb in zip(chain[1:], LIMBS[:2] if chain[0] == "shoulder" else LIMBS[2:], strict=True):
                end = end + lengths[limb] * _direction(angles[:, SEGMENTS.index(f"{side}_{limb}")], sign)
                joints[:, JOINTS[f"{side}_{name}"]] = end
    ankles = joints[:, [JOINTS["left_ankle"], JOINTS["right_ankle"]]]
    joints[..., 2] += _ANKLE - ankles[..., 2].min(1, keepdims=True)
    if feet_fixed:
        joints[..., 1] -= ankles[..., 1].mean(1, keepdims=True)
    return joints * body.height


def _direction(angles: Floats, sign: float) -> Floats:
    """(T, 2) degrees to (T, 3) unit vectors; `sign` is the side of the body, 1 for left."""
    flexion, abduction = np.deg2rad(angles).T
    return np.stack(
        [sign * np.sin(abduction), np.cos(abduction) * np.sin(flexion), -np.cos(abduction) * np.cos(flexion)], -1
    )
