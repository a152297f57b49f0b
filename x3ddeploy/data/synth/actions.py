"""The classes, as data: what each one moves, what it is seen with, and what tells it apart from the others.

Classes of one group share every random draw: the clips with the same performer, camera and repetition differ in what
tells the classes apart, and in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from x3ddeploy.data.synth.skeleton import Posture, posture


class Cue(Enum):
    """What tells a class apart from the others of its group."""

    TIME_ORDER = "time order"  # the group's other class played backwards
    APPEARANCE = "appearance"  # same keypoints, another held object in the frames
    POSE = "pose"  # same frames, other keypoints behind a counter
    BOTH = "frames and keypoints"  # a group of its own


class Shape(Enum):
    """Outline of a held object."""

    CUP = "cup"
    PHONE = "phone"
    BALL = "ball"


class Scenery(Enum):
    """What stands with the performer."""

    NONE = "none"
    STOOL = "stool"  # behind the figure, where the hips come down
    COUNTER = "counter"  # in front, opaque, from over the hips down


@dataclass(frozen=True)
class HeldObject:
    """What the performer's hand holds: drawn in the frames, absent from the keypoints. Colour as R, G, B."""

    shape: Shape
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Motion:
    """From one posture to another and back, `cycles` times, smoothly (a cosine); half a cycle goes there and stays.

    The cosine is its own reversal, so half a cycle played backwards is as smooth as forwards.

    Attributes:
        feet_fixed: the hips move over the feet (sitting down), instead of the feet under the hips.
    """

    start: Posture
    end: Posture
    cycles: float
    feet_fixed: bool = False


@dataclass(frozen=True)
class Action:
    """One class.

    Attributes:
        group: classes that share their random draws.
        reversed: the clip runs backwards.
    """

    name: str
    group: str
    told_apart_by: Cue
    motion: Motion
    reversed: bool = False
    held: HeldObject | None = None
    scenery: Scenery = Scenery.NONE


# One side is written down, the other one comes from mirroring half of the clips. Angles in degrees.
_STANDING = posture()
_SIT = Motion(
    _STANDING,
    posture(
        torso=(12, 0), left_thigh=(85, 6), right_thigh=(85, 6), left_arm=(25, 8), right_arm=(25, 8),
        left_forearm=(70, 4), right_forearm=(70, 4),
    ),
    cycles=0.5,
    feet_fixed=True,
)  # fmt: skip
_RAISE_ARMS = Motion(
    _STANDING,
    posture(left_arm=(10, 165), left_forearm=(10, 172), right_arm=(10, 165), right_forearm=(10, 172)),
    cycles=0.5,
)
_HAND_TO_HEAD = Motion(
    posture(right_arm=(10, 12), right_forearm=(55, 15)), posture(right_arm=(60, 30), right_forearm=(190, -35)), cycles=1
)
_WAVE = Motion(
    posture(left_arm=(5, 115), left_forearm=(5, 130), right_arm=(5, 115), right_forearm=(5, 130)),
    posture(left_arm=(5, 140), left_forearm=(5, 215), right_arm=(5, 140), right_forearm=(5, 215)),
    cycles=3,
)
_STAR_JUMP = Motion(
    posture(left_thigh=(0, 3), left_shin=(0, 3), right_thigh=(0, 3), right_shin=(0, 3)),
    posture(
        left_arm=(0, 150), left_forearm=(0, 158), right_arm=(0, 150), right_forearm=(0, 158),
        left_thigh=(0, 30), left_shin=(0, 30), right_thigh=(0, 30), right_shin=(0, 30),
    ),
    cycles=2,
)  # fmt: skip
# Hands on the counter so far apart, and the idle foot so far off the floor, that no hidden motion moves the figure's
# outline: a crop to the keypoints, as MMAction2's MMCompact makes, must not tell the frames' stream what the legs do.
_ARMS_APART = dict.fromkeys(("left_arm", "left_forearm", "right_arm", "right_forearm"), (0.0, 65.0))
_AT_COUNTER = posture(**_ARMS_APART, right_thigh=(15, 2), right_shin=(-40, 2))
_KICK_SIDEWAYS = Motion(_AT_COUNTER, posture(**_ARMS_APART, right_thigh=(0, 40), right_shin=(0, 40)), cycles=2)
_LIFT_KNEE = Motion(_AT_COUNTER, posture(**_ARMS_APART, right_thigh=(80, 2), right_shin=(-15, 2)), cycles=2)
_STAND_STILL = Motion(_AT_COUNTER, _AT_COUNTER, cycles=0)

_RED, _BLUE, _YELLOW = (225, 25, 25), (25, 50, 230), (245, 215, 20)

ACTIONS = (
    Action("sit_down", "sit", Cue.TIME_ORDER, _SIT, scenery=Scenery.STOOL),
    Action("stand_up", "sit", Cue.TIME_ORDER, _SIT, reversed=True, scenery=Scenery.STOOL),
    Action("raise_arms", "arms", Cue.TIME_ORDER, _RAISE_ARMS),
    Action("lower_arms", "arms", Cue.TIME_ORDER, _RAISE_ARMS, reversed=True),
    Action("drink", "hand to head", Cue.APPEARANCE, _HAND_TO_HEAD, held=HeldObject(Shape.CUP, _RED)),
    Action("phone_call", "hand to head", Cue.APPEARANCE, _HAND_TO_HEAD, held=HeldObject(Shape.PHONE, _BLUE)),
    Action("eat", "hand to head", Cue.APPEARANCE, _HAND_TO_HEAD, held=HeldObject(Shape.BALL, _YELLOW)),
    Action("kick_sideways", "counter", Cue.POSE, _KICK_SIDEWAYS, scenery=Scenery.COUNTER),
    Action("lift_knee", "counter", Cue.POSE, _LIFT_KNEE, scenery=Scenery.COUNTER),
    Action("stand_still", "counter", Cue.POSE, _STAND_STILL, scenery=Scenery.COUNTER),
    Action("wave_hands", "wave", Cue.BOTH, _WAVE),
    Action("star_jump", "star jump", Cue.BOTH, _STAR_JUMP),
)
GROUPS = tuple(dict.fromkeys(action.group for action in ACTIONS))


def ceiling(blind_to: Cue) -> float:
    """Largest accuracy of a model that cannot see one cue: of each group told apart by it alone, one class is right."""
    groups = {action.group for action in ACTIONS if action.told_apart_by is blind_to}
    lost = sum(action.group in groups for action in ACTIONS) - len(groups)
    return 1 - lost / len(ACTIONS)
