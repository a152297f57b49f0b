"""What a data set is made of, and how its clips are named and split."""

from __future__ import annotations

from dataclasses import dataclass

from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.data.synth.cast import CAMERA_YAWS, HELD_OUT_CAMERA
from x3ddeploy.errors import UsageError

_SMALLEST, _LARGEST = 32, 1024  # pixels: under that a head is a dot; a figure has no more detail to show over it
_FEWEST_FRAMES = 8  # a motion of several cycles needs them


@dataclass(frozen=True)
class SynthOptions:
    """What the clips depend on; the same options give the same data set.

    Attributes:
        seed: seed of all draws, not negative.
        size: height and width of the frames in pixels, both even (H.264 with yuv420p needs that).
        frames: number of frames of each clip.
        clips_per_class: at least one for each performer.
        subjects: number of performers.
        together: number of videos of two performers, which no split has.

    Raises:
        UsageError: a value is out of its range.
    """

    seed: int = 0
    size: tuple[int, int] = (112, 112)
    frames: int = 32
    clips_per_class: int = 72
    subjects: int = 12
    together: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: seeds are not negative")
        for side in self.size:
            if side % 2 or not _SMALLEST <= side <= _LARGEST:
                raise UsageError(
                    f"frames of {self.size[0]}x{self.size[1]} pixels cannot be made",
                    hint=f"height and width are even numbers from {_SMALLEST} to {_LARGEST}",
                )
        if self.frames < _FEWEST_FRAMES:
            raise UsageError(f"{self.frames} frames cannot show an action", hint=f"at least {_FEWEST_FRAMES}")
        if not 2 <= self.subjects <= 999:
            raise UsageError(f"{self.subjects} subjects", hint="2 to 999: one is held out, and names have three digits")
        if self.clips_per_class < self.subjects:
            raise UsageError(
                f"{self.clips_per_class} clips of a class for {self.subjects} subjects",
                hint="every subject does every action at least once: raise --clips-per-class or lower --subjects",
            )


@dataclass(frozen=True)
class ClipName:
    """Which clip it is; every number counts from 1. As text in NTU RGB+D's form: S001C001P001R001A001."""

    camera: int
    performer: int
    repetition: int
    action: int

    def __str__(self) -> str:
        return f"S001C{self.camera:03}P{self.performer:03}R{self.repetition:03}A{self.action:03}"


def clip_names(options: SynthOptions) -> list[ClipName]:
    """All clips in the order of their names. Performers take turns, and each passes before the cameras in turn."""
    cameras = len(CAMERA_YAWS)
    names = []
    for index in range(options.clips_per_class):
        turn, performer = divmod(index, options.subjects)
        camera, repetition = (performer + turn) % cameras, turn // cameras
        names += [ClipName(camera + 1, performer + 1, repetition + 1, action + 1) for action in range(len(ACTIONS))]
    return sorted(names, key=str)


def last_in_training(subjects: int) -> int:
    """Number of the last performer who is not held out, counted from 1; a quarter is, at least one."""
    return subjects - max(1, subjects // 4)


def splits_of(options: SynthOptions, names: list[ClipName]) -> dict[str, list[str]]:
    """Names of the clips of each split, called as in MMAction2's annotations of NTU RGB+D.

    `xsub` holds the last quarter of the performers out (at least one), `xview` the first camera.
    """
    last = last_in_training(options.subjects)
    splits: dict[str, list[str]] = {"xsub_train": [], "xsub_val": [], "xview_train": [], "xview_val": []}
    for name in names:
        splits["xsub_train" if name.performer <= last else "xsub_val"].append(str(name))
        splits["xview_train" if name.camera != HELD_OUT_CAMERA else "xview_val"].append(str(name))
    return splits
