"""A scene: performers who act before a camera, each at their own pace, and perhaps a bystander."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from x3ddeploy.data.synth.actions import Action, Motion, Scenery
from x3ddeploy.data.synth.cast import Camera, Performer, Room, draw_camera, draw_look, draw_performer, draw_room
from x3ddeploy.data.synth.options import SynthOptions
from x3ddeploy.data.synth.render import Figure, Scene
from x3ddeploy.data.synth.skeleton import JOINTS, SEGMENTS, Body, Floats, angles_of, joints_in_space, posture

_BYSTANDER_SHARE = 0.25
_SWAY_DEGREES = 2.5  # nobody stands like a statue
_COUNTER_OVER_HIPS = 0.07  # of the body's height: over the thickest thigh, under the hands
_SEAT_UNDER_HIPS = 0.06  # likewise: about half a thigh


@lru_cache(maxsize=1024)
def performer_of(seed: int, number: int) -> Performer:
    """Performer `number` (from 1) of every data set of that seed."""
    return draw_performer(np.random.default_rng([seed, 1, number]))


@lru_cache(maxsize=64)
def camera_of(seed: int, number: int) -> Camera:
    """Camera `number` (from 1) of every data set of that seed."""
    return draw_camera(number, np.random.default_rng([seed, 2, number]))


@lru_cache(maxsize=1024)
def room_of(seed: int, performer: int, camera: int) -> Room:
    """The room of a performer before a camera."""
    return draw_room(np.random.default_rng([seed, 4, performer, camera]))


def stage(
    random: np.random.Generator,
    options: SynthOptions,
    action: Action,
    performer: Performer,
    camera: Camera,
    middle: float | None = None,
) -> Scene:
    """Let the performer act. The draws do not depend on which of its group's classes the action is.

    Args:
        random: generator of all draws.
        options: size and number of the frames.
        action: what is shown.
        performer: number of the performer.
        camera: number of the camera.
        middle: x in pixels about which the performer stands; None for the frames' middle.
    """
    height, width = options.size
    middle = width / 2 if middle is None else middle
    scale = camera.scale * min(options.size)
    mirrored = random.random() < 0.5
    with_bystander = random.random() < _BYSTANDER_SHARE
    angles = _angles(random, action.motion, options.frames, performer.tempo, mirrored=mirrored)
    place = middle + scale * (performer.place + random.uniform(-0.06, 0.06))
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

    hand = "left_wrist" if mirrored else "right_wrist"
    figures = [Figure(*seen(joints, place, yaw), np.sin(np.deg2rad(yaw)), performer.look, hand, action.held)]
    if with_bystander:
        figures.append(_bystander(random, options, seen, middle, scale))
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
