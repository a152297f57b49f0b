"""Figures to frames: limbs as thick lines before a plain room, drawn with OpenCV far to near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.synth.actions import HeldObject, Shape
from x3ddeploy.data.synth.cast import Colour, Look, Room
from x3ddeploy.data.synth.skeleton import JOINTS, Floats
from x3ddeploy.modalities.opencv import require_opencv

_SUBPIXEL_BITS = 4  # OpenCV's fixed-point coordinates: 1/16 pixel
# Thickness of what is drawn, in metres. Arms, hands and heads are larger than life, so that small frames show them.
_ARM, _FOREARM, _THIGH, _SHIN, _FOOT, _WAIST = 0.13, 0.11, 0.16, 0.12, 0.09, 0.24
_HEAD_RADIUS, _HAND_RADIUS = 0.13, 0.09
_CUP, _PHONE, _BALL = (0.13, 0.15), (0.085, 0.19), 0.16  # half width and half height; radius
_OUTLINE = 0.75  # brightness of a limb's edge relative to its colour


@dataclass(frozen=True)
class Figure:
    """One person as the camera sees it.

    Attributes:
        joints: (T, 17, 2) pixels, x and y.
        depth: (T, 17) metres; larger is nearer to the camera.
        facing: the image's x of the body's forward direction, -1 to 1.
        hand: joint that holds `held`.
    """

    joints: Floats
    depth: Floats
    facing: float
    look: Look
    hand: str = "right_wrist"
    held: HeldObject | None = None


@dataclass(frozen=True)
class Scene:
    """All that a clip's frames show.

    Attributes:
        figures: the performer first.
        pixels_per_metre: scale of all that is drawn.
        floor: y of z = 0, in pixels.
        counter_top: y in pixels, where there is a counter.
        stool: x, top y and bottom y in pixels, where there is one.
    """

    figures: tuple[Figure, ...]
    pixels_per_metre: float
    floor: float
    counter_top: float | None
    stool: tuple[float, float, float] | None


def render(scene: Scene, room: Room, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw a scene.

    Returns:
        (T, H, W, 3) uint8, R, G, B.

    Raises:
        MissingRequirementError: OpenCV is not installed.
    """
    canvas = _Canvas(_empty(room, scene.floor, size), scene.pixels_per_metre)
    if scene.stool is not None:
        x, top, bottom = scene.stool
        half = 0.22 * scene.pixels_per_metre
        canvas.rectangle(x - half, top, x + half, bottom, room.stool)
    background = canvas.image
    frames = np.empty((scene.figures[0].joints.shape[0], *background.shape), np.uint8)
    for time, frame in enumerate(frames):
        frame[...] = background
        canvas = _Canvas(frame, scene.pixels_per_metre)
        for figure in reversed(scene.figures):
            _draw_figure(canvas, figure, time)
        for figure in scene.figures:
            if figure.held is not None:
                _draw_held(canvas, figure.held, *figure.joints[time, JOINTS[figure.hand]])
        if scene.counter_top is not None:
            canvas.rectangle(0, scene.counter_top, size[1], size[0], room.counter)
    return frames


class _Canvas:
    """One image with lengths in metres and places in pixels."""

    def __init__(self, image: npt.NDArray[np.uint8], pixels_per_metre: float) -> None:
        self._cv2 = require_opencv("drawing")
        self.image = image
        self.scale = pixels_per_metre

    def line(self, start: Floats, end: Floats, thickness: float, colour: Colour) -> None:
        pixels = max(1, round(thickness * self.scale))
        self._cv2.line(self.image, _fixed(*start), _fixed(*end), colour, pixels, self._cv2.LINE_AA, _SUBPIXEL_BITS)

    def disc(self, centre: Floats, radius: float, colour: Colour) -> None:
        pixels = max(1, round(radius * self.scale * 2**_SUBPIXEL_BITS))
        self._cv2.circle(self.image, _fixed(*centre), pixels, colour, -1, self._cv2.LINE_AA, _SUBPIXEL_BITS)

    def polygon(self, corners: Floats, colour: Colour) -> None:
        points = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
        self._cv2.fillConvexPoly(self.image, points, colour, self._cv2.LINE_AA, _SUBPIXEL_BITS)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        corners = (round(left), round(top)), (round(right) - 1, round(bottom) - 1)
        self._cv2.rectangle(self.image, *corners, colour, -1)


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(float(x) * 2**_SUBPIXEL_BITS), round(float(y) * 2**_SUBPIXEL_BITS)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(factor * part)) for part in colour)
    return red, green, blue


def _empty(room: Room, floor: float, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A wall that darkens towards its edges, and a floor."""
    height, width = size
    across = np.linspace(-1, 1, width)[None, :, None]
    down = np.linspace(0, 1, height)[:, None, None]
    wall = np.array(room.wall) * (1 - 0.25 * across**2 - 0.1 * down)
    edge = int(floor - 0.1 * height)
    wall[edge:] = np.array(room.ground)
    return wall.astype(np.uint8)


def _draw_figure(canvas: _Canvas, figure: Figure, time: int) -> None:
    """Limbs, trunk and head of one person, the far ones first."""
    joints, depth, look = figure.joints[time], figure.depth[time], figure.look

    def at(name: str) -> Floats:
        return joints[JOINTS[name]]

    def leg(side: str) -> None:
        ankle = at(f"{side}_ankle")
        toe = ankle + np.array([0.12 * figure.facing, 0.05]) * canvas.scale
        canvas.line(ankle, toe, _FOOT, look.shoes)
        canvas.line(at(f"{side}_knee"), ankle, _SHIN, _shade(look.trousers, 0.9))
        canvas.line(at(f"{side}_hip"), at(f"{side}_knee"), _THIGH, look.trousers)

    def arm(side: str) -> None:
        elbow, wrist = at(f"{side}_elbow"), at(f"{side}_wrist")
        canvas.line(elbow, wrist, _FOREARM, look.skin)
        canvas.disc(wrist, _HAND_RADIUS, look.skin)
        canvas.line(at(f"{side}_shoulder"), elbow, _ARM, _shade(look.shirt, _OUTLINE))

    def trunk() -> None:
        corners = [at(name) for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
        canvas.polygon(np.stack(corners), look.shirt)
        shoulders, hips = (corners[0] + corners[1]) / 2, (corners[2] + corners[3]) / 2
        canvas.line(corners[0], corners[1], _ARM, look.shirt)
        canvas.line(shoulders, hips, _WAIST, look.shirt)

    def head() -> None:
        ears, eyes = (at("left_ear") + at("right_ear")) / 2, (at("left_eye") + at("right_eye")) / 2
        canvas.line((at("left_shoulder") + at("right_shoulder")) / 2, ears, 0.09, look.skin)
        canvas.disc(ears + np.array([-0.02 * figure.facing, -0.035]) * canvas.scale, _HEAD_RADIUS, look.hair)
        canvas.disc(ears + 0.4 * (eyes - ears) + np.array([0, 0.02]) * canvas.scale, 0.85 * _HEAD_RADIUS, look.skin)

    def near(*names: str) -> float:
        return float(np.mean([depth[JOINTS[name]] for name in names]))

    parts = [
        (near("left_hip", "right_hip", "left_shoulder", "right_shoulder"), trunk),
        (near("nose"), head),
        *((near(f"{side}_elbow", f"{side}_wrist"), lambda side=side: arm(side)) for side in ("left", "right")),
        *((near(f"{side}_hip") - 0.05, lambda side=side: leg(side)) for side in ("left", "right")),
    ]
    for _, draw in sorted(parts, key=lambda part: part[0]):
        draw()


def _draw_held(canvas: _Canvas, held: HeldObject, x: float, y: float) -> None:
    """The object on top of all else, so that no head or arm hides it."""
    scale = canvas.scale
    if held.shape is Shape.BALL:
        canvas.disc(np.array([x, y]), _BALL, held.colour)
        return
    half_width, half_height = (scale * half for half in (_CUP if held.shape is Shape.CUP else _PHONE))
    foot = 0.7 if held.shape is Shape.CUP else 1.0  # a cup is narrower below
    corners = [(-1.0, -1.0), (1.0, -1.0), (foot, 1.0), (-foot, 1.0)]
    canvas.polygon(np.array([(x + a * half_width, y + b * half_height) for a, b in corners]), held.colour)
