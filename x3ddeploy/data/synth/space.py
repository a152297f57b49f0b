"""What a depth camera would say of a scene: skeletons in metres, in the 25 joints of NTU RGB+D's Kinect.

The figure has 17 joints. Spine, neck and head lie between or above them; hands and feet, which it does not have, go on
where forearms and the body's forward direction lead. So these joints show where a limb points, and no motion of a hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.synth.render import Figure, Scene
from x3ddeploy.data.synth.skeleton import JOINTS, Floats

_DISTANCE_M = 3.0  # from the camera to the middle of the room
_JITTER_M = 0.01
# Lengths of what the figure lacks, in metres (shares of a forearm for hands).
_HAND, _TIP, _THUMB, _FOOT = 0.3, 0.6, 0.2, 0.15
_NECK = 0.6  # of the way from the shoulders to the head
NTU_JOINTS = 25


def in_space(scene: Scene, size: tuple[int, int], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """(M, T, 25, 3): to the camera's right, up, and away from it; the performer first."""
    joints = np.stack([_kinect(_metres(figure, scene, size), figure.facing) for figure in scene.figures])
    return (joints + random.normal(0, _JITTER_M, joints.shape)).astype(np.float32)


def _metres(figure: Figure, scene: Scene, size: tuple[int, int]) -> Floats:
    """(T, 17, 3) of the figure's own joints."""
    right = (figure.joints[..., 0] - size[1] / 2) / scene.pixels_per_metre
    up = (scene.floor - figure.joints[..., 1]) / scene.pixels_per_metre
    return np.stack([right, up, _DISTANCE_M - figure.depth], -1)


def _kinect(body: Floats, facing: float) -> Floats:
    """(T, 17, 3) in COCO's order to (T, 25, 3) in NTU's (Shahroudy et al., NTU RGB+D, 2016, figure 1)."""

    def joint(name: str) -> Floats:
        return np.asarray(body[:, JOINTS[name]])

    def middle(name: str) -> Floats:
        return (joint(f"left_{name}") + joint(f"right_{name}")) / 2

    hips, shoulders, head = middle("hip"), middle("shoulder"), middle("ear")
    forward = np.array([facing, 0.0, -np.sqrt(max(0.0, 1 - facing**2))])
    made = [hips, (hips + shoulders) / 2, shoulders + _NECK * (head - shoulders), head]
    for side in ("left", "right"):
        wrist = joint(f"{side}_wrist")
        hand = wrist + _HAND * (wrist - joint(f"{side}_elbow"))
        made += [joint(f"{side}_shoulder"), joint(f"{side}_elbow"), wrist, hand]
    for side in ("left", "right"):
        ankle = joint(f"{side}_ankle")
        made += [joint(f"{side}_hip"), joint(f"{side}_knee"), ankle, ankle + _FOOT * forward]
    made.append(shoulders)
    for side in ("left", "right"):
        wrist = joint(f"{side}_wrist")
        along = wrist - joint(f"{side}_elbow")
        made += [
            wrist + _TIP * along,
            wrist + _THUMB * (along + np.linalg.norm(along, axis=-1, keepdims=True) * forward),
        ]
    return np.stack(made, 1)
