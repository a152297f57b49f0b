"""What of a video an input sees: which of its frames, which parts of them at which size, mirrored or not.

The steps of a contract's pipeline have MMAction2's names and parameters, and mean what they mean there. Whatever is not
understood, a step, a parameter or an order, is refused: what a network was not trained on looks like an answer all the
same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from x3ddeploy.contract import Input, Views
from x3ddeploy.errors import BundleError
from x3ddeploy.modalities.crop import INTERPOLATIONS, Crop, Cropping, Resizing
from x3ddeploy.modalities.samplers import (
    DenseSampleFrames,
    Indices,
    SampleFrames,
    Sampler,
    UniformSample,
    UniformSampleFrames,
)

SAMPLERS: dict[str, Any] = {
    kind.__name__: kind for kind in (UniformSampleFrames, SampleFrames, DenseSampleFrames, UniformSample)
}
RESIZE, FLIP, DRAW = "Resize", "Flip", "GeneratePoseTarget"
# The crop about the persons, of frames and keypoints and of keypoints alone: the same box.
COMPACTS = ("MMCompact", "PoseCompact")
# How many crops each makes, and whether each is seen mirrored as well.
CROPS: dict[str, tuple[int, bool]] = {"CenterCrop": (1, False), "ThreeCrop": (3, False), "TenCrop": (5, True)}
# Steps in their order; of each group a pipeline has one at most.
_ORDER: tuple[tuple[str, ...], ...] = (tuple(SAMPLERS), COMPACTS, (RESIZE,), tuple(CROPS), (FLIP,))
MOST_DRAWN = 1 << 16  # frames of a video, or of an interval
# What a sampling step says of training, or what is taken for granted in testing.
_SAMPLING: dict[str, Any] = {"test_mode": True, "temporal_jitter": False, "keep_tail_frames": None}

_COMPACT = {"hw_ratio": 1.0, "allow_imgpad": True, "padding": 0.25, "threshold": 10}

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """Steps that every kind of input has.

    Attributes:
        length: frames a clip.
        compact: whether pictures are cropped about the persons; else they are seen whole.
        height, width: size in pixels of what is seen in the end.
        sampler: draws the frames; left out, one clip of `length` frames is drawn uniformly.
        resizing: how the picture, or the crop about the persons, is resized; left out, to height and width.
        cropping: how the resized picture is cropped; left out, it is seen whole.
    """

    length: int
    compact: bool
    height: int
    width: int
    sampler: Sampler | None = None
    resizing: Resizing | None = None
    cropping: Cropping = field(default_factory=Cropping)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def views(self) -> Views:
        """How many rows of N one video takes: crops outermost, each beside its mirror image, and in it the clips."""
        clips = self._sampler.frames // self.length
        return Views(clips, self.cropping.crops, self.cropping.mirrored)

    def indices(self, frames: int, fps: float | None) -> Indices:
        """The frames of each clip of a video: (clips, length), from 0."""
        return self._sampler.draw(frames, fps).reshape(-1, self.length)

    def crop(self, box: Crop) -> Crop:
        """A box in pixels of the frame, scaled as the input sees it."""
        height, width = self.size if self.resizing is None else self.resizing.size(box.box_size)
        interpolation = "bilinear" if self.resizing is None else self.resizing.interpolation
        return Crop(box.left, box.top, box.right, box.bottom, height, width, interpolation)

    @property
    def _sampler(self) -> Sampler:
        return self.sampler or UniformSampleFrames(self.length)

    @classmethod
    def of(cls, name: str, value: Input, frames: int, own: Sequence[str]) -> View:
        """Read the pipeline of an input.

        Args:
            name: name of the input.
            value: value of the contract.
            frames: extent of the tensor's axis of the time.
            own: steps of the kind itself, which come after the common ones.

        Raises:
            BundleError: a step or a parameter is not understood, comes twice or in another order, or is missing.
        """
        _check_order(name, value, (*_ORDER, *((step,) for step in own)))
        sampler = _sampler(name, value, frames)
        compacts = [step for step in COMPACTS if parameters(name, value, step, _COMPACT) is not None]
        resizing = _resizing(name, value)
        cropping = _cropping(name, value)
        size = cropping.size or resizing.fixed
        if size is None:
            given = value.transform(RESIZE)
            raise refused(
                name,
                f"{RESIZE}.scale = {_scale_of(given)} with keep_ratio = True leaves the width or the height to the "
                "video, and no crop follows",
            )
        return cls(frames, bool(compacts), *size, sampler, resizing, cropping)


def parameters(name: str, value: Input, step: str, known: Mapping[str, Any]) -> Parameters | None:
    """Parameters of a step, None where the pipeline does not have it.

    Args:
        name: name of the input.
        value: value of the contract.
        step: its name.
        known: parameter -> the only value that is understood; None where any is.

    Raises:
        BundleError: there are others, or other values.
    """
    found = value.transform(step)
    if found is None:
        return None
    for key, given in found.parameters.items():
        if key not in known:
            raise refused(name, f"{step}.{key} is not understood", f"understood are {', '.join(known)}")
        if known[key] is not None and given != known[key]:
            raise refused(name, f"{step}.{key} = {given!r:.60}", f"only {known[key]!r} is understood")
    return found.parameters


def refused(name: str, reason: str, hint: str = "") -> BundleError:
    """The error of an input whose clips cannot be prepared as its network was trained on them."""
    return BundleError(f"clips for the input {name!r} cannot be prepared: {reason}", hint=hint)


def is_size(side: object) -> bool:
    """Whether it is a number of pixels or frames."""
    return isinstance(side, int) and not isinstance(side, bool) and side > 0


def sampling_step(value: Input) -> str | None:
    """The type of the step that samples."""
    return next((step.type for step in value.pipeline if step.type in SAMPLERS), None)


def cropping_step(value: Input) -> str | None:
    """The type of the step that crops."""
    return next((step.type for step in value.pipeline if step.type in CROPS), None)


def _check_order(name: str, value: Input, groups: Sequence[tuple[str, ...]]) -> None:
    place = {step: index for index, group in enumerate(groups) for step in group}
    found = [step.type for step in value.pipeline]
    unknown = [step for step in found if step not in place]
    if unknown:
        raise refused(name, f"the step {unknown[0]} is not understood", f"understood are {', '.join(place)}")
    places = [place[step] for step in found]
    if places != sorted(set(places)):
        order = ", ".join("/".join(group) for group in groups)
        raise refused(name, f"the steps {', '.join(found)} are not in the order {order}")


def _sampler(name: str, value: Input, frames: int) -> Sampler:
    step = sampling_step(value)
    if step is None:
        raise refused(name, f"there is no step {' or '.join(SAMPLERS)}")
    kind = SAMPLERS[step]
    types = {entry.name: str(entry.type) for entry in dataclasses.fields(kind)}
    given = parameters(name, value, step, {**dict.fromkeys(types), **_SAMPLING}) or {}
    values = {key: item for key, item in given.items() if key in types}
    values.setdefault("clip_len", frames)
    for key, item in values.items():
        if not _fits(key, types[key], item):
            raise refused(name, f"{step}.{key} = {item!r:.60}")
    if step != UniformSampleFrames.__name__ and given.get("test_mode") is not True:
        raise refused(name, f"{step}.test_mode = False", "frames drawn by chance give other scores each time")
    sampler: Sampler = kind(**values)
    if sampler.frames > MOST_DRAWN:
        raise refused(name, f"{step} draws {sampler.frames} frames of a video")
    if step == SampleFrames.__name__ and values["clip_len"] > 1 and values.get("twice_sample"):
        raise refused(name, f"{step}.twice_sample = True, with clip_len = {values['clip_len']}", "clip_len = 1 has it")
    if sampler.frames % frames:
        drawn = ", ".join(f"{key} = {item}" for key, item in values.items())
        raise refused(name, f"{step} ({drawn}) draws {sampler.frames} frames, which make no clips of {frames}")
    if sampler.frames // frames > 1 and values["clip_len"] > 1 and values["clip_len"] != frames:
        raise refused(name, f"{step}.clip_len = {values['clip_len']}, and the tensor has {frames} frames")
    return sampler


def _fits(key: str, annotation: str, value: object) -> bool:
    """Whether a parameter is of its field's type, and within bounds."""
    if annotation == "bool":
        return isinstance(value, bool)
    if annotation == "int":
        least, most = (0, (1 << 32) - 1) if key == "seed" else (1, MOST_DRAWN)
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    if annotation == "float | None":
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6)
    return value in ("loop", "repeat_last")


def _resizing(name: str, value: Input) -> Resizing:
    known = {"scale": None, "keep_ratio": None, "interpolation": None, "lazy": False}
    given = parameters(name, value, RESIZE, known)
    if given is None:
        raise refused(name, f"there is no step {RESIZE}")
    scale, keep_ratio = given.get("scale"), given.get("keep_ratio", True)
    interpolation = given.get("interpolation", "bilinear")
    if not isinstance(interpolation, str) or interpolation not in INTERPOLATIONS:
        raise refused(name, f"{RESIZE}.interpolation = {interpolation!r:.60}", f"one of {', '.join(INTERPOLATIONS)}")
    if not isinstance(keep_ratio, bool):
        raise refused(name, f"{RESIZE}.keep_ratio = {keep_ratio!r:.60}")
    if isinstance(scale, float) and keep_ratio and 0 < scale < MOST_DRAWN:
        return Resizing(scale, keep_ratio, interpolation)
    if isinstance(scale, list | tuple) and len(scale) == 2:
        bounds = [side for side in scale if side != -1 or not keep_ratio]
        if bounds and all(map(is_size, bounds)):
            return Resizing((scale[0], scale[1]), keep_ratio, interpolation)
    raise refused(name, f"{RESIZE}.scale = {scale!r:.60} is not width and height in pixels")


def _cropping(name: str, value: Input) -> Cropping:
    flipping = parameters(name, value, FLIP, {"flip_ratio": None, "direction": "horizontal", "lazy": False})
    ratio = 0 if flipping is None else flipping.get("flip_ratio", 0.5)
    if ratio not in (0, 1):
        raise refused(name, f"{FLIP}.flip_ratio = {ratio!r:.60}", "0 and 1 are understood: chance is none in testing")
    step = cropping_step(value)
    if step is None:
        return Cropping(flipped=ratio == 1)
    given = parameters(name, value, step, {"crop_size": None, **({"lazy": False} if step == "CenterCrop" else {})})
    size = (given or {}).get("crop_size")
    pair = [size, size] if is_size(size) else size
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_size, pair))):
        raise refused(name, f"{step}.crop_size = {size!r:.60} is not width and height in pixels")
    crops, mirrored = CROPS[step]
    if ratio == 1 and crops > 1:
        raise refused(name, f"{FLIP}.flip_ratio = 1 after {step}", "MMAction2 turns crops that overlap twice")
    return Cropping((pair[1], pair[0]), crops, mirrored, ratio == 1)


def _scale_of(step: Any) -> str:
    return f"{step.parameters.get('scale')!r:.60}"
