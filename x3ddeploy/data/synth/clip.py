"""One clip: from an action, a performer, a camera and a repetition to frames and keypoints.

All randomness comes from the seed and these four numbers, so a clip does not depend on the others of its data set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.synth.actions import ACTIONS, GROUPS
from x3ddeploy.data.synth.options import SynthOptions
from x3ddeploy.data.synth.render import Scene, render
from x3ddeploy.data.synth.skeleton import Floats
from x3ddeploy.data.synth.space import in_space
from x3ddeploy.data.synth.stage import camera_of, performer_of, room_of, stage

# The pose estimator: error in parts of the frame's shorter side, share of joints that it loses, scores.
_JITTER, _LOST_JITTER, _LOST_SHARE = 0.005, 0.015, 0.03
_SEEN_SCORE, _HIDDEN_SCORE, _LOST_SCORE = 0.9, 0.65, 0.1


class SynthClip(NamedTuple):
    """One clip.

    Attributes:
        frames: (T, H, W, 3) uint8, R, G, B.
        keypoints: (M, T, 17, 2) float32, x and y in pixels; the performer first, then a bystander if there is one.
        scores: (M, T, 17) float32, in 0..1.
        space: (M, T, 25, 3) float32, the same persons as a depth camera sees them, in metres; see `space.py`.
    """

    frames: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    space: npt.NDArray[np.float32]


def make_clip(options: SynthOptions, action: int, performer: int, camera: int, repetition: int) -> SynthClip:
    """Make one clip; the four numbers count from 1, as in the clip's name.

    Raises:
        MissingRequirementError: OpenCV is not installed.
    """
    what, who, where = ACTIONS[action - 1], performer_of(options.seed, performer), camera_of(options.seed, camera)
    random = np.random.default_rng([options.seed, 3, GROUPS.index(what.group), performer, camera, repetition])
    scene = stage(random, options, what, who, where)
    keypoints, scores = _estimate(random, scene, options.size)
    frames = render(scene, room_of(options.seed, performer, camera), options.size)
    # A stream of its own: keypoints and frames are what they were before there were skeletons in space.
    sensor = np.random.default_rng([options.seed, 5, GROUPS.index(what.group), performer, camera, repetition])
    space = in_space(scene, options.size, sensor)
    if what.reversed:
        frames, keypoints, scores, space = frames[::-1], keypoints[:, ::-1], scores[:, ::-1], space[:, ::-1]
    return SynthClip(
        np.ascontiguousarray(frames),
        np.ascontiguousarray(keypoints, np.float32),
        np.ascontiguousarray(scores, np.float32),
        np.ascontiguousarray(space, np.float32),
    )


def _estimate(random: np.random.Generator, scene: Scene, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """What a pose estimator would say of a scene: (M, T, 17, 2) pixels and (M, T, 17) scores."""
    joints = np.stack([figure.joints for figure in scene.figures])
    lost = random.random(joints.shape[:-1]) < _LOST_SHARE
    error = np.where(lost, _LOST_JITTER, _JITTER) * min(size)
    keypoints = joints + error[..., None] * random.normal(size=joints.shape)
    expected = np.full(joints.shape[:-1], _SEEN_SCORE)
    if scene.counter_top is not None:
        expected[joints[..., 1] > scene.counter_top] = _HIDDEN_SCORE
    expected[lost] = _LOST_SCORE
    scores = expected + 0.04 * random.normal(size=expected.shape)
    return np.clip(keypoints, 0, np.array(size[::-1]) - 1), np.clip(scores, 0.01, 1)
