"""Two performers before one camera, each at an action of their own: what an answer for each person is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.synth.actions import ACTIONS, Scenery
from x3ddeploy.data.synth.cast import CAMERA_YAWS
from x3ddeploy.data.synth.options import SynthOptions, last_in_training
from x3ddeploy.data.synth.render import Scene, render
from x3ddeploy.data.synth.stage import camera_of, performer_of, room_of, stage

# A counter or a stool is one performer's and would stand before or behind the other.
_ACTIONS = tuple(number for number, action in enumerate(ACTIONS, 1) if action.scenery is Scenery.NONE)


class Performance(NamedTuple):
    """Who does what, both counted from 1 as in names of clips."""

    performer: int
    action: int


class Together(NamedTuple):
    """A video of two.

    Attributes:
        number: number of the video, from 1.
        parts: from left to right.
        frames: (T, H, W, 3) uint8, R, G, B; half as wide again as those of other clips.
    """

    number: int
    parts: tuple[Performance, Performance]
    frames: npt.NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Says who does what, from left to right: 'T001P010A003P012A011'."""
        return f"T{self.number:03}" + "".join(f"P{part.performer:03}A{part.action:03}" for part in self.parts)


def make_together(options: SynthOptions, number: int) -> Together:
    """Make a video of two performers; the held-out ones act where there are as many.

    Args:
        options: options of the data set.
        number: number of the video, from 1.

    Raises:
        MissingRequirementError: OpenCV is not installed.
    """
    random = np.random.default_rng([options.seed, 6, number])
    first = last_in_training(options.subjects) + 1
    parts = draw_parts(random, range(first if first < options.subjects else 1, options.subjects + 1))
    camera = int(random.integers(1, len(CAMERA_YAWS) + 1))
    options = wide(options)
    room = room_of(options.seed, parts[0].performer, camera)
    return Together(number, parts, render(stage_parts(random, options, parts, camera), room, options.size))


def wide(options: SynthOptions) -> SynthOptions:
    """Frames with room for two."""
    height, width = options.size
    return replace(options, size=(height, 2 * (3 * width // 4)))


def draw_parts(random: np.random.Generator, performers: Sequence[int]) -> tuple[Performance, Performance]:
    """Two performers at two actions that need nothing to stand with them."""
    (left, right), (one, other) = random.choice(performers, 2, replace=False), random.choice(_ACTIONS, 2, replace=False)
    return Performance(int(left), int(one)), Performance(int(right), int(other))


def stage_parts(random: np.random.Generator, options: SynthOptions, parts: Sequence[Performance], camera: int) -> Scene:
    """All performers at once, side by side."""
    seed, width = options.seed, options.size[1]
    scenes = [
        stage(
            random,
            options,
            ACTIONS[part.action - 1],
            performer_of(seed, part.performer),
            camera_of(seed, camera),
            width * (2 * place + 1) / (2 * len(parts)),
        )
        for place, part in enumerate(parts)
    ]
    return replace(scenes[0], figures=tuple(scene.figures[0] for scene in scenes))
