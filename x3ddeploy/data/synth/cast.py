"""Who acts, where, and who looks on: performers, rooms and cameras, each drawn once from the data set's seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from x3ddeploy.data.synth.skeleton import Body

Colour = tuple[int, int, int]

# NTU RGB+D films with three cameras and holds the first one out for its cross-view split; here it stands in the middle.
CAMERA_YAWS = (0.0, -35.0, 35.0)
HELD_OUT_CAMERA = 1
# Metres along a frame's shorter side, at least: room for a tall figure with raised arms.
_VIEW_HEIGHT = 2.3


@dataclass(frozen=True)
class Look:
    """Colours of a figure, as R, G, B. Clothes are muted: only held objects are saturated."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour


@dataclass(frozen=True)
class Performer:
    """One subject.

    Attributes:
        tempo: part of a clip that a motion takes, before each clip's own variation.
        place: metres to the image's right of its middle where the performer likes to stand.
    """

    body: Body
    look: Look
    tempo: float
    place: float


@dataclass(frozen=True)
class Camera:
    """One orthographic camera.

    Attributes:
        yaw: degrees about the vertical; 0 sees a performer from the front.
        scale: pixels a metre, for frames whose shorter side has one pixel.
        floor: where z = 0 lies, from the top, as a part of the frame's height.
    """

    yaw: float
    scale: float
    floor: float


@dataclass(frozen=True)
class Room:
    """Colours of what is behind and around a performer. Each performer has another room before each camera: with one a
    camera, a network learns the few walls by heart and is lost before the held-out one.
    """

    wall: Colour
    ground: Colour
    counter: Colour
    stool: Colour


def draw_performer(random: np.random.Generator) -> Performer:
    """A new subject: proportions, clothes, tempo, place."""
    vary = random.uniform(0.94, 1.06, 4)
    return Performer(
        body=Body(random.uniform(1.5, 1.85), *vary),
        look=draw_look(random),
        tempo=random.uniform(0.6, 0.8),
        place=random.uniform(-0.12, 0.12),
    )


def draw_look(random: np.random.Generator) -> Look:
    """Clothes of any hue, skin and hair from dark to light."""
    skin = random.uniform(0.5, 0.95)
    hair = random.uniform(0.05, 0.5)
    return Look(
        skin=_rgb(random.uniform(0.05, 0.09), 0.45, skin),
        hair=_rgb(0.08, 0.4, hair),
        shirt=_muted(random, 0.6, 1.0),
        trousers=_muted(random, 0.5, 0.8),
        shoes=_muted(random, 0.05, 0.3),
    )


def draw_camera(number: int, random: np.random.Generator) -> Camera:
    """Camera `number` (from 1): its own direction and scale."""
    return Camera(
        yaw=CAMERA_YAWS[number - 1] + random.uniform(-5, 5),
        scale=random.uniform(0.92, 1.0) / _VIEW_HEIGHT,
        floor=random.uniform(0.92, 0.95),
    )


def draw_room(random: np.random.Generator) -> Room:
    """Muted colours of any hue, the walls dark: figures stand out."""
    return Room(
        wall=_muted(random, 0.1, 0.4),
        ground=_muted(random, 0.2, 0.4),
        counter=_muted(random, 0.55, 0.9),
        stool=_muted(random, 0.4, 0.7),
    )


def _muted(random: np.random.Generator, darkest: float, lightest: float) -> Colour:
    return _rgb(random.uniform(), random.uniform(0.05, 0.35), random.uniform(darkest, lightest))


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
