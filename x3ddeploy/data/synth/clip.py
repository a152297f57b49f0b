"""One clip: from an action, a performer, a camera and a repetition to frames and keypoints.

All randomness comes from the seed and these four numbers, so a clip does not depend on the others of its data set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.synth.actions import ACTIONS, GROUPS, Action, Motion, Scenery
from x3ddeploy.data.synth.cast import Camera, Performer, Room, draw_camera, draw_look, draw_performer, draw_room
from x3ddeploy.data.synth.options import SynthOptions
from x3ddeploy.data.synth.render import Figure, Scene, render
from x3ddeploy.data.synth.skeleton import JOINTS, SEGMENTS, Body, Floats, angles_of, joints_in_space, posture
from x3ddeploy.data.synth.space import in_space

_BYSTANDER_SHARE = 0.25
_SWAY_DEGREES = 2.5  # nobody stands like a statue
_COUNTER_OVER_HIPS = 0.07  # of the body's height: over the thickest thigh, under the hands
_SEAT_UNDER_HIPS = 0.06  # likewise: about half a thigh
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
    what, who, where = ACTIONS[action - 1], _performer(options.seed, performer), _camera(options.seed, camera)
    random = np.random.default_rng([options.seed, 3, GROUPS.index(what.group), performer, camera, repetition])
    scene = _stage(random, options, what, who, where)
    keypoints, scores = _estimate(random, scene, options.size)
    frames = render(scene, _room(options.seed, performer, camera), options.size)
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


@lru_cache(maxsize=1024)
def _performer(seed: int, number: int) -> Performer:
    return draw_performer(np.random.default_rng([seed, 1, number]))


@lru_cache(maxsize=64)
def _camera(seed: int, number: int) -> Camera:
    return draw_camera(number, np.random.default_rng([seed, 2, number]))


@lru_cache(maxsize=1024)
def _room(seed: int, performer: int, camera: int) -> Room:
    return draw_room(np.random.default_rng([seed, 4, performer, camera]))


def _stage(
    random: np.random.Generator, options: SynthOptions, action: Action, performer: Performer, camera: Camera
) -> Scene:
    """Let the performer act. The draws do not depend on which of its group's classes the action is."""
    height, width = options.size
    scale = camera.scale * min(options.size)
    mirrored = random.random() < 0.5
    with_bystander = random.random() < _BYSTANDER_SHARE
    angles = _angles(random, action.motion, options.frames, performer.tempo, mirrored=mirrored)
    place = width / 2 + scale * (performer.place + random.uniform(-0.06, 0.06))
    joints = joints_in_space(angles, performer.body, feet_fixed=action.motion.feet_fixed)
    yaw = camera.yaw + random.uniform(-8, 8)

    def seen(space: Floats, x: float, turned: float) -> tuple[Floats, Floats]:
        """Pixels (..., 2) and depth (...) of points in a figure's space, the figure standing at x."""
        sine, cosine = np.sin(np.deg2rad(turned)), np.cos(np.deg2rad(turned))
        across, ahead = space[..., 0], space[..., 1]
        pixels = np.stack(
            [x + scale * (across * cosine + ahead * sine), camera.floor * height - scale * space[..., 2]], -1
        )
        return pixels, ahead * cosine - across * sine

    figures = [Figure(*seen(joints, place, yaw), np.sin(np.deg2rad(yaw)), performer.look)]
    if with_bystander:
        figures.append(_bystander(random, options, seen, width / 2, scale))
    hips = joints[:, [JOINTS["left_hip"], JOINTS["right_hip"]]].mean(1)
    counter = stool = None
    if action.scenery is Scenery.COUNTER:
        top = hips[:, 2].max() + _COUNTER_OVER_HIPS * performer.body.height
        counter = float(seen(np.array([0, 0, top]), place, yaw)[0][1])
    elif action.scenery is Scenery.STOOL:
        lowest = hips[hips[:, 2].argmin()]
        seat = seen(lowest - np.array([0, 0, _SEAT_UNDER_HIPS * performer.body.height]), place, yaw)[0]
        stool = (float(seat[0]), float(seat[1]), camera.floor * height)
    return Scene(
        figures=tuple(figures),
        pixels_per_metre=scale,
        floor=camera.floor * height,
        hand="left_wrist" if mirrored else "right_wrist",
        held=action.held,
        counter_top=counter,
        stool=stool,
    )


def _angles(random: np.random.Generator, motion: Motion, frames: int, tempo: float, *, mirrored: bool) -> Floats:
    """(T, segments, 2) degrees of a motion at its own pace within the clip, and of swaying arms and trunk.

    The course's draws are as likely as those of the course played backwards.
    """
    start, end = angles_of(motion.start, mirrored), angles_of(motion.end, mirrored)
    duration = tempo * random.uniform(0.9, 1.1)
    onset = (1 - duration) * random.uniform()
    extent = random.uniform(0.85, 1.05)
    time = np.linspace(0, 1, frames)
    progress = np.clip((time - onset) / duration, 0, 1)
    course = extent * (1 - np.cos(2 * np.pi * motion.cycles * progress)) / 2
    return start + course[:, None, None] * (end - start) + _sway(random, time)


def _sway(random: np.random.Generator, time: Floats) -> Floats:
    """(T, segments, 2) degrees. Legs stand firm: whoever stands behind a counter must not sink with a hidden leg."""
    sways = np.array(["thigh" not in name and "shin" not in name for name in SEGMENTS])[:, None]
    amplitude = _SWAY_DEGREES * random.uniform(0, 1, (len(SEGMENTS), 2)) * sways
    phase, rate = random.uniform(0, 2 * np.pi, amplitude.shape), random.uniform(0.5, 1.5, amplitude.shape)
    return amplitude * np.sin(2 * np.pi * rate * time[:, None, None] + phase)


def _bystander(
    random: np.random.Generator,
    options: SynthOptions,
    seen: Callable[[Floats, float, float], tuple[Floats, Floats]],
    middle: float,
    scale: float,
) -> Figure:
    """Somebody who stands at one side and does nothing."""
    body = Body(random.uniform(1.5, 1.85), *random.uniform(0.94, 1.06, 4))
    still = Motion(posture(), posture(), cycles=0)
    angles = _angles(random, still, options.frames, 1.0, mirrored=False)
    side = random.choice([-1, 1]) * random.uniform(0.7, 0.95)
    turned = random.uniform(-60, 60)
    pixels, depth = seen(joints_in_space(angles, body, feet_fixed=False), middle + scale * side, turned)
    return Figure(pixels, depth, np.sin(np.deg2rad(turned)), draw_look(random))


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
