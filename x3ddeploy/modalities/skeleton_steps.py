"""MMAction2 1.2.0's transforms of skeletons, one class each under its own name: its parameters, and the same numbers.

What they compute, and in which floating types, is that of mmaction/datasets/transforms: pose_transforms.py, loading.py
(`PoseDecode`) and formatting.py (`FormatGCNInput`). A parameter that a transform does not have, or a value that it
cannot mean, is a ValueError. Sampling is always that of testing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import DataError
from x3ddeploy.modalities.samplers import TEST_SEED, uniform_indices

Floats = npt.NDArray[np.floating]

_KEYPOINT, _SCORE = "keypoint", "keypoint_score"
# Joint -> the joint that its bone begins at (`JointToBone`); a joint that is its own has no bone.
BONES: dict[str, tuple[tuple[int, int], ...]] = {
    "nturgb+d": (
        (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10), (12, 0),
        (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 22), (20, 20), (22, 7), (23, 24),
        (24, 11),
    ),
    "openpose": (
        (0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 5), (12, 11),
        (13, 12), (14, 0), (15, 0), (16, 14), (17, 15),
    ),
    "coco": (
        (0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0), (7, 5), (8, 6), (9, 7), (10, 8), (11, 0), (12, 0),
        (13, 11), (14, 12), (15, 13), (16, 14),
    ),
}  # fmt: skip
# In these the third coordinate is a keypoint's score.
_SCORED = ("openpose", "coco")
FEATURES = ("j", "b", "jm", "bm")


@dataclass
class Skeleton:
    """A video's skeletons on their way through the steps.

    Attributes:
        arrays: 'keypoint' (M, T, V, C), 'keypoint_score' (M, T, V) where there is one, and what steps add.
        clips: number of clips to draw.
        image_size: height and width of the pictures, where they are known.
        drawn: frames of the clips, one clip behind the other, once they are drawn.
    """

    arrays: dict[str, Floats]
    clips: int = 1
    image_size: tuple[int, int] | None = None
    drawn: npt.NDArray[np.int64] | None = None

    @property
    def frames(self) -> int:
        return int(self.arrays[_KEYPOINT].shape[1])


class Step(Protocol):
    """One transform with its parameters."""

    def __call__(self, skeleton: Skeleton) -> None:
        """Change the skeleton's arrays. Raises DataError where the transform cannot take them."""


@dataclass(frozen=True)
class PreNormalize2D:
    """Pixels to -1..1 over the picture. `img_shape` (height, width) is for keypoints that say no size."""

    img_shape: Sequence[int] = (1080, 1920)

    def __post_init__(self) -> None:
        sides = self.img_shape
        _require(isinstance(sides, list | tuple) and len(sides) == 2 and all(map(_is_count, sides)), self, "img_shape")

    def __call__(self, skeleton: Skeleton) -> None:
        height, width = skeleton.image_size or self.img_shape
        keypoint = skeleton.arrays[_KEYPOINT].copy()
        for axis, half in ((0, width / 2), (1, height / 2)):
            keypoint[..., axis] = (keypoint[..., axis] - half) / half
        skeleton.arrays[_KEYPOINT] = keypoint


@dataclass(frozen=True)
class PreNormalize3D:
    """Into the first person's own system: centre of the body, spine upright, shoulders along x; empty frames go.

    Where both are there, the person in more frames comes first.
    """

    zaxis: Sequence[int] = (0, 1)
    xaxis: Sequence[int] = (8, 4)
    align_spine: bool = True
    align_shoulder: bool = True
    align_center: bool = True

    def __post_init__(self) -> None:
        for name in ("zaxis", "xaxis"):
            pair = getattr(self, name)
            _require(
                isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(joint, int) for joint in pair),
                self,
                name,
            )
        for name in ("align_spine", "align_shoulder", "align_center"):
            _require(isinstance(getattr(self, name), bool), self, name)

    def __call__(self, skeleton: Skeleton) -> None:
        keypoint = skeleton.arrays[_KEYPOINT]
        persons, _, joints, coordinates = keypoint.shape
        if coordinates != 3 or max(*self.zaxis, *self.xaxis) >= joints:
            raise DataError(f"skeletons of {joints} joints in {coordinates} coordinates cannot be turned upright")
        if keypoint.sum() == 0:
            return
        if persons not in (1, 2):
            raise DataError(
                f"there are {persons} skeletons, and the network was trained with one or two",
                hint="leave the two that matter",
            )
        found = [np.flatnonzero(~np.isclose(person, 0).all((1, 2))) for person in keypoint]
        if persons == 2 and len(found[0]) < len(found[1]):
            keypoint = keypoint[:, found[1]][[1, 0]]
        else:
            keypoint = keypoint[:, found[0]]
        if not keypoint.shape[1]:
            raise DataError("no skeleton has a joint away from the origin")
        if self.align_center:
            centre = keypoint[0, 0, 1 if joints == 25 else -1].copy()
            keypoint = (keypoint - centre) * ((keypoint != 0).sum(-1) > 0)[..., None]
        if self.align_spine:
            bottom, top = (keypoint[0, 0, joint] for joint in self.zaxis)
            keypoint = _turned(keypoint, top - bottom, [0, 0, 1])
        if self.align_shoulder:
            right, left = (keypoint[0, 0, joint] for joint in self.xaxis)
            keypoint = _turned(keypoint, right - left, [1, 0, 0])
        skeleton.arrays[_KEYPOINT] = keypoint


@dataclass(frozen=True)
class JointToBone:
    """Vectors from joint to joint; where a score is the third coordinate, the mean of both ends' scores."""

    dataset: str = "nturgb+d"
    target: str = _KEYPOINT

    def __post_init__(self) -> None:
        _require(_is_known(self.dataset, BONES), self, "dataset")
        _require(isinstance(self.target, str), self, "target")

    def __call__(self, skeleton: Skeleton) -> None:
        keypoint = skeleton.arrays[_KEYPOINT]
        persons, frames, joints, coordinates = keypoint.shape
        if joints < len(BONES[self.dataset]):
            raise DataError(f"skeletons of {joints} joints, and {self.dataset} has {len(BONES[self.dataset])}")
        bone = np.zeros((persons, frames, joints, coordinates), np.float32)
        ends, starts = map(list, zip(*BONES[self.dataset], strict=True))
        bone[..., ends, :] = keypoint[..., ends, :] - keypoint[..., starts, :]
        if coordinates == 3 and self.dataset in _SCORED:
            bone[..., ends, 2] = (keypoint[..., ends, 2] + keypoint[..., starts, 2]) / 2
        skeleton.arrays[self.target] = bone


@dataclass(frozen=True)
class ToMotion:
    """From each frame to the next, 0 in the last; a score becomes the mean of both frames' scores."""

    dataset: str = "nturgb+d"
    source: str = _KEYPOINT
    target: str = "motion"

    def __post_init__(self) -> None:
        _require(_is_known(self.dataset, BONES), self, "dataset")
        _require(isinstance(self.source, str), self, "source")
        _require(isinstance(self.target, str), self, "target")

    def __call__(self, skeleton: Skeleton) -> None:
        data = _array(skeleton, self.source, self)
        motion = np.zeros_like(data)
        motion[:, :-1] = np.diff(data, axis=1)
        if data.shape[-1] == 3 and self.dataset in _SCORED:
            motion[:, :-1, :, 2] = (data[:, :-1, :, 2] + data[:, 1:, :, 2]) / 2
        skeleton.arrays[self.target] = motion


@dataclass(frozen=True)
class MergeSkeFeat:
    """Features side by side."""

    feat_list: Sequence[str] = (_KEYPOINT,)
    target: str = _KEYPOINT
    axis: int = -1

    def __post_init__(self) -> None:
        _require(_are_names(self.feat_list), self, "feat_list")
        _require(isinstance(self.target, str), self, "target")
        _require(self.axis in (-1, 3), self, "axis")

    def __call__(self, skeleton: Skeleton) -> None:
        merged = np.concatenate([_array(skeleton, name, self) for name in self.feat_list], self.axis)
        for name in self.feat_list:
            del skeleton.arrays[name]
        skeleton.arrays[self.target] = merged


@dataclass(frozen=True)
class GenSkeFeat:
    """Joints (j), bones (b), and the motion of either (jm, bm), side by side; scores join two-dimensional joints."""

    dataset: str = "nturgb+d"
    feats: Sequence[str] = ("j",)
    axis: int = -1

    def __post_init__(self) -> None:
        _require(_is_known(self.dataset, BONES), self, "dataset")
        _require(_are_names(self.feats) and set(self.feats) <= set(FEATURES), self, "feats")
        _require(self.axis in (-1, 3), self, "axis")

    def __call__(self, skeleton: Skeleton) -> None:
        if _SCORE in skeleton.arrays:
            _join_scores(skeleton)
        if {"b", "bm"} & set(self.feats):
            JointToBone(self.dataset, "b")(skeleton)
        skeleton.arrays["j"] = skeleton.arrays.pop(_KEYPOINT)
        for source in ("j", "b"):
            if f"{source}m" in self.feats:
                ToMotion(self.dataset, source, f"{source}m")(skeleton)
        merged = np.concatenate([skeleton.arrays[name] for name in self.feats], self.axis)
        skeleton.arrays = {_KEYPOINT: merged}


@dataclass(frozen=True)
class UniformSampleFrames:
    """Which frames make the clips: one of each of `clip_len` equal parts; see `uniform_indices`."""

    clip_len: int = 0
    num_clips: int = 1
    test_mode: bool = True
    seed: int = TEST_SEED

    def __post_init__(self) -> None:
        _require(_is_count(self.clip_len), self, "clip_len")
        _require(_is_count(self.num_clips), self, "num_clips")
        _require(self.test_mode is True, self, "test_mode")
        _require(isinstance(self.seed, int), self, "seed")

    def __call__(self, skeleton: Skeleton) -> None:
        skeleton.drawn = uniform_indices(skeleton.frames, self.clip_len, skeleton.clips, seed=self.seed).ravel()


@dataclass(frozen=True)
class PadTo:
    """All frames, repeated from the start (loop) or followed by zeros, to `length`."""

    length: int = 0
    mode: str = "loop"

    def __post_init__(self) -> None:
        _require(_is_count(self.length), self, "length")
        _require(self.mode in ("loop", "zero"), self, "mode")

    def __call__(self, skeleton: Skeleton) -> None:
        frames = skeleton.frames
        if frames > self.length:
            raise DataError(
                f"{frames} frames, and the network takes at most {self.length}", hint="cut the video, or give --window"
            )
        keypoint = skeleton.arrays[_KEYPOINT][:, np.arange(self.length) % frames].copy()
        if self.mode == "zero":
            keypoint[:, frames:] = 0
        skeleton.arrays[_KEYPOINT] = keypoint


@dataclass(frozen=True)
class PoseDecode:
    """The frames that were drawn, in float32; all frames where none were."""

    def __call__(self, skeleton: Skeleton) -> None:
        drawn = np.arange(skeleton.frames) if skeleton.drawn is None else skeleton.drawn
        for name in (_KEYPOINT, _SCORE):
            if name in skeleton.arrays:
                skeleton.arrays[name] = skeleton.arrays[name][:, drawn].astype(np.float32)


@dataclass(frozen=True)
class FormatGCNInput:
    """(M, clips * T, V, C) to (clips, num_person, T, V, C): absent persons are zeros, or (loop) the only one again."""

    num_person: int = 2
    mode: str = "zero"

    def __post_init__(self) -> None:
        _require(_is_count(self.num_person), self, "num_person")
        _require(self.mode in ("zero", "loop"), self, "mode")

    def __call__(self, skeleton: Skeleton) -> None:
        if _SCORE in skeleton.arrays:
            _join_scores(skeleton)
        keypoint = skeleton.arrays[_KEYPOINT][: self.num_person]
        persons, frames, joints, coordinates = keypoint.shape
        absent = np.zeros((self.num_person - persons, *keypoint.shape[1:]), keypoint.dtype)
        if self.mode == "loop" and persons == 1:
            absent[:] = keypoint
        keypoint = np.concatenate((keypoint, absent))
        clips = 1 if skeleton.drawn is None else skeleton.clips
        keypoint = keypoint.reshape(self.num_person, clips, frames // clips, joints, coordinates)
        skeleton.arrays[_KEYPOINT] = np.ascontiguousarray(keypoint.swapaxes(0, 1))


STEPS: dict[str, type[Step]] = {
    step.__name__: step
    for step in (
        PreNormalize2D,
        PreNormalize3D,
        JointToBone,
        ToMotion,
        MergeSkeFeat,
        GenSkeFeat,
        UniformSampleFrames,
        PadTo,
        PoseDecode,
        FormatGCNInput,
    )
}


def step_of(type_: str, parameters: Mapping[str, Any]) -> Step:
    """A transform of a pipeline. Raises ValueError, which says what is not understood."""
    if type_ not in STEPS:
        raise ValueError(f"the step {type_} is not understood; understood are {', '.join(STEPS)}")
    known = [value.name for value in fields(STEPS[type_])]  # type: ignore[arg-type]
    for name in parameters:
        if name not in known:
            raise ValueError(f"{type_} {name} is not understood; understood are {', '.join(known) or 'none'}")
    return STEPS[type_](**parameters)


def _require(holds: bool, step: object, name: str) -> None:
    if not holds:
        raise ValueError(f"{type(step).__name__} {name} = {getattr(step, name)!r:.60} is not understood")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_known(value: object, names: Collection[str]) -> bool:
    return isinstance(value, str) and value in names


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(name, str) for name in value)


def _array(skeleton: Skeleton, name: str, step: object) -> Floats:
    if name not in skeleton.arrays:
        raise DataError(f"{type(step).__name__} reads {name!r}, which no step before it made")
    return skeleton.arrays[name]


def _join_scores(skeleton: Skeleton) -> None:
    scores = skeleton.arrays.pop(_SCORE)[..., None]
    skeleton.arrays[_KEYPOINT] = np.concatenate([skeleton.arrays[_KEYPOINT], scores], -1)


def _turned(keypoint: Floats, direction: Floats, onto: Sequence[int]) -> Floats:
    """All joints, turned as `direction` is turned onto an axis; as they are where it is too short to say."""
    matrix = _rotation(np.cross(direction, onto), _angle(direction, np.asarray(onto)))
    return np.asarray(np.einsum("abcd,kd->abck", keypoint, matrix))


def _angle(first: Floats, second: npt.NDArray[Any]) -> float:
    if np.abs(first).sum() < 1e-6 or np.abs(second).sum() < 1e-6:
        return 0
    cosine = np.dot(first / np.linalg.norm(first), second / np.linalg.norm(second))
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _rotation(axis: Floats, angle: float) -> npt.NDArray[Any]:
    """Counterclockwise about an axis (Euler and Rodrigues), as MMAction2 writes it."""
    if np.abs(axis).sum() < 1e-6 or np.abs(angle) < 1e-6:
        return np.eye(3)
    axis = axis / np.sqrt(np.dot(axis, axis))
    a = np.cos(angle / 2.0)
    b, c, d = -axis * np.sin(angle / 2.0)
    aa, bb, cc, dd = a * a, b * b, c * c, d * d
    bc, ad, ac, ab, bd, cd = b * c, a * d, a * c, a * b, b * d, c * d
    return np.array(
        [
            [aa + bb - cc - dd, 2 * (bc + ad), 2 * (bd - ac)],
            [2 * (bc - ad), aa + cc - bb - dd, 2 * (cd + ab)],
            [2 * (bd + ac), 2 * (cd - ab), aa + dd - bb - cc],
        ]
    )
