"""Clips of skeletons: joints of persons over the time, and the features that graph convolutions are fed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input, Views
from x3ddeploy.errors import DataError, X3DDeployError
from x3ddeploy.modalities.heatmaps import RAW_KEYPOINTS, RAW_SCORES
from x3ddeploy.modalities.skeleton_steps import (
    FEATURES,
    FormatGCNInput,
    GenSkeFeat,
    JointToBone,
    MergeSkeFeat,
    PadTo,
    PreNormalize2D,
    PreNormalize3D,
    Skeleton,
    Step,
    UniformSampleFrames,
    step_of,
)
from x3ddeploy.modalities.view import MOST_DRAWN, refused

Floats = npt.NDArray[np.float32]

# Of all clips of a video: more than a thousand times those of any network here, and a gigabyte in float32.
_MOST_VALUES = 1 << 28
# Height and width of the pictures that raw keypoints of one clip are pixels of: PreNormalize2D's own.
PICTURE = (1080, 1920)


@dataclass(frozen=True)
class Skeletons:
    """One clip: T frames of M persons with V joints of C values.

    A coordinate that is not finite, and its joint, are zeros: "not found", as pose estimators write it.

    Attributes:
        persons, length, joints, channels: M, T, V and C.
        steps: steps of the pipeline; they draw the clips themselves, after what looks at every frame.
        in_space: whether keypoints are three coordinates (metres) and not pixels.
        scored: whether keypoints of two coordinates are joined by their scores.
    """

    persons: int
    length: int
    joints: int
    channels: int
    steps: tuple[Step, ...]
    in_space: bool
    scored: bool

    settings = "pipeline"

    @classmethod
    def of(cls, name: str, value: Input) -> Skeletons:
        """Read an input of a contract. Raises BundleError where it cannot be prepared."""
        shape = value.clip_shape
        if len(shape) != 4:
            raise refused(name, f"skeletons of shape {shape} are not (M, T, V, C)")
        persons, length, joints, channels = shape
        try:
            steps = tuple(step_of(step.type, step.parameters) for step in value.pipeline)
        except ValueError as error:
            raise refused(name, str(error)) from error
        lengths, persons_taken, features = [0], [0], [1]
        for step in steps:
            match step:
                case UniformSampleFrames(clip_len=taken) | PadTo(length=taken):
                    lengths.append(taken)
                case FormatGCNInput(num_person=taken):
                    persons_taken.append(taken)
                case GenSkeFeat(feats=names) | MergeSkeFeat(feat_list=names):
                    features.append(len(names))
        values, rest = divmod(channels, features[-1])
        if (lengths[-1], persons_taken[-1]) != (length, persons) or rest or values not in (2, 3):
            raise refused(
                name,
                f"its steps make {features[-1]} features of {persons_taken[-1]} persons in {lengths[-1]} frames, and "
                f"the tensor is {shape}",
            )
        drawn = length * value.views.count
        if drawn > MOST_DRAWN or drawn * persons * joints * channels > _MOST_VALUES:
            raise refused(name, f"its steps draw {drawn} frames of a video, with {persons} persons of {joints} joints")
        ntu = any(isinstance(step, GenSkeFeat | JointToBone) and step.dataset == "nturgb+d" for step in steps)
        in_space = any(isinstance(step, PreNormalize3D) for step in steps) or (ntu and values == 3)
        made = cls(persons, length, joints, channels, steps, in_space, values == 3 and not in_space)
        try:
            made.try_steps()
        except (ArithmeticError, LookupError, TypeError, ValueError, X3DDeployError) as error:
            raise refused(name, f"its steps do not go one after the other: {error}") from error
        return made

    def try_steps(self) -> None:
        """Take a made-up video through the steps, whatever they raise where one cannot take what another gives.

        It has more frames than all clips together, where the steps do not take them all.
        """
        padded = any(isinstance(step, PadTo) for step in self.steps)
        frames = max(self.length - 1, 1) if padded else self.length * self.views.count + 1
        shape = min(self.persons, 2), frames, self.joints, self.coordinates
        self.prepare(np.random.default_rng(0).uniform(1, 2, shape), None, PICTURE, self.views.count)

    @property
    def views(self) -> Views:
        """How many rows of N one video takes."""
        drawn = [step.num_clips for step in self.steps if isinstance(step, UniformSampleFrames)]
        return Views(drawn[-1] if drawn else 1)

    @property
    def raw(self) -> tuple[str, ...]:
        """`keypoints`, and `keypoint_scores` where they are channels."""
        return (RAW_KEYPOINTS, RAW_SCORES) if self.scored else (RAW_KEYPOINTS,)

    @property
    def coordinates(self) -> int:
        """Number of coordinates of a raw keypoint."""
        return 3 if self.in_space else 2

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(M, T, V, C)."""
        return self.persons, self.length, self.joints, self.channels

    @property
    def features(self) -> tuple[str, ...]:
        """What the channels hold, in their order: of j, b, jm and bm (joints, bones, and the motion of either)."""
        found = [step.feats for step in self.steps if isinstance(step, GenSkeFeat)]
        return tuple(found[-1]) if found else FEATURES[:1]

    def raw_shapes(self, clips: int, persons: int) -> dict[str, tuple[int, ...]]:
        """What a pose estimator gives: `keypoints` (N, M, T, V, 2 or 3) and `keypoint_scores` (N, M, T, V, 1)."""
        leading = clips, persons, self.length, self.joints
        shapes = {RAW_KEYPOINTS: (*leading, self.coordinates), RAW_SCORES: (*leading, 1)}
        return {name: shapes[name] for name in self.raw}

    def prepare(
        self,
        keypoints: npt.NDArray[np.floating],
        scores: npt.NDArray[np.floating] | None,
        image_size: tuple[int, int] | None,
        clips: int = 1,
    ) -> Floats:
        """Clips of one video.

        Args:
            keypoints: (M, T', V, 2), pixels, or (M, T', V, 3); in any floating type, which the steps keep.
            scores: (M, T', V); None for keypoints of three coordinates.
            image_size: height and width that 2-D keypoints are pixels of; None for those that PreNormalize2D says.
            clips: number of clips to draw.

        Returns:
            (clips, M, T, V, C).

        Raises:
            DataError: other joints or coordinates than the network takes, or skeletons that a step cannot take.
        """
        joints, coordinates = keypoints.shape[2:]
        if joints != self.joints:
            raise DataError(f"there are {joints} joints, and the network takes {self.joints}")
        if coordinates not in (self.coordinates, 3 if self.scored else self.coordinates):
            raise DataError(
                f"keypoints have {coordinates} coordinates, and the network takes {self.coordinates}",
                hint="it was trained with the other kind of skeleton, in pixels or in space",
            )
        lost = ~np.isfinite(keypoints).all(-1)
        arrays = {"keypoint": np.where(lost[..., None], keypoints.dtype.type(0), keypoints)}
        if self.scored and coordinates == 2:
            given = np.ones(lost.shape, np.float32) if scores is None else scores
            arrays["keypoint_score"] = np.where(lost | ~np.isfinite(given), given.dtype.type(0), given)
        skeleton = Skeleton(arrays, clips, image_size)
        for step in self.steps:
            step(skeleton)
        made = np.asarray(skeleton.arrays["keypoint"], np.float32)
        if made.shape != (clips, *self.clip_shape):
            raise DataError(f"the pipeline makes clips of {made.shape}, and the network takes {self.clip_shape}")
        return made

    def from_raw(self, raw: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """The tensor of some clips, each made of a video of as many frames; pixels are those of `picture`."""
        size = None if self.in_space else self.picture
        scores = raw[RAW_SCORES][..., 0] if self.scored else [None] * len(raw[RAW_KEYPOINTS])
        return np.concatenate([self.prepare(*clip, size) for clip in zip(raw[RAW_KEYPOINTS], scores, strict=True)])

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of the pictures that raw keypoints are pixels of."""
        height, width = next((step.img_shape for step in self.steps if isinstance(step, PreNormalize2D)), PICTURE)
        return height, width

    def impulse(self, clips: int, frame: int) -> Floats:
        """One lit value of one joint of the last person in one frame of the middle clip, zeros elsewhere."""
        value = np.zeros((clips, *self.clip_shape), np.float32)
        value[clips // 2, -1, frame, self.joints // 2, self.channels // 2] = 1
        return value
