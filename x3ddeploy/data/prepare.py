"""A video and its keypoints to the tensors that a network takes: MMAction2's test pipeline, number by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import check_size, left_out
from x3ddeploy.errors import DataError
from x3ddeploy.modalities import Frames, Heatmaps, Indices, Modality, Skeletons, modalities_of, needs_keypoints
from x3ddeploy.modalities.crop import Crop, Pixels, crop_about
from x3ddeploy.modalities.frames import RAW_FRAMES
from x3ddeploy.modalities.heatmaps import RAW_KEYPOINTS, RAW_SCORES

Floats = npt.NDArray[np.float32]
ClipTensors = dict[str, Floats]
# What a camera and a pose estimator give, by name.
RawTensors = dict[str, npt.NDArray[Any]]
# Ascending indices, each once, to that many frames: `partial(iter_pictures, path)`, or an array's `__getitem__`.
FrameReader = Callable[[Sequence[int]], Iterable[Pixels]]

WHOLE_VIDEO = slice(None)
# `prepare_clips`, or what takes its arguments in its place and gives the tensors of another session.
Preparation = Callable[..., Mapping[str, npt.NDArray[Any]]]


def prepare_clips(
    read_frames: FrameReader,
    annotation: Annotation | None,
    inputs: Mapping[str, Input],
    indices: Mapping[str, Indices],
    min_keypoint_score: float | None = None,
    without: int | None = None,
    within: slice = WHOLE_VIDEO,
) -> ClipTensors:
    """Read, crop, resize, normalise and draw the clips of one video, each of its views a row.

    Inputs and clips of one video share their crop: MMCompact's box is about the joints that are drawn. Where none is,
    it is about those of all frames, since MMDecode draws keypoints of a video's frames for heatmaps alone.

    Args:
        read_frames: gives the video's frames; not called where no input is made of frames.
        annotation: keypoints of the video. They are scaled where the video's frames are not of the annotation's size.
            None where the inputs need none.
        inputs: inputs of the network.
        indices: name of an input -> frames of each clip, (clips, T).
        min_keypoint_score: joints under this score, and such that are not finite, neither widen the crop nor are drawn;
            None counts all joints, as MMAction2 does.
        without: number of a joint of which nothing is shown: it is not drawn, and a skeleton has it in the middle of
            the person's other joints, frame by frame. The crop is the same as with it.
        within: frames of `annotation` that are the video, where it is a part of a longer one.

    Returns:
        Each input by its name, views first: all clips of the first crop, then those of the next one.

    Raises:
        BundleError: clips for an input cannot be prepared.
        DataError: a frame cannot be read, or is of a shape that the network's crops do not fit; there are other joints
            than the network takes; keypoints are infinite.
    """
    kinds = modalities_of(inputs)
    posed = {name: kind for name, kind in kinds.items() if isinstance(kind, Skeletons)}
    others = {name: value for name, value in inputs.items() if name not in posed}
    if posed and annotation is None:
        raise DataError(f"there are no keypoints, and {' and '.join(inputs)} need them")
    made: ClipTensors = {}
    if others:
        for name, raw in _raw_parts(read_frames, annotation, others, indices, min_keypoint_score, without, within):
            kind = kinds[name]
            made[name] = kind.from_raw(raw)
            if isinstance(kind, Heatmaps):
                made[name] = kind.with_twins(made[name])
    if annotation is not None:
        made |= {
            name: _skeletons(kind, annotation, indices[name], min_keypoint_score, without)
            for name, kind in posed.items()
        }
    return {name: made[name] for name in kinds}


def raw_clips(
    read_frames: FrameReader,
    annotation: Annotation | None,
    inputs: Mapping[str, Input],
    indices: Mapping[str, Indices],
    min_keypoint_score: float | None = None,
    without: int | None = None,
    within: slice = WHOLE_VIDEO,
) -> RawTensors:
    """As `prepare_clips`, up to what preprocessing graphs go on from: frames and keypoints, cropped and scaled.

    Args:
        read_frames: as `prepare_clips` takes it, and so the others.
        annotation: keypoints of the whole video.
        inputs: inputs of frames and heatmaps.
        indices: frames of each input's clips.
        min_keypoint_score: joints of a lower score are left out.
        without: number of a joint that is left out.
        within: frames of `annotation` that are the video.

    Returns:
        `frames` (N, T, H, W, 3) uint8, `keypoints` (N, M, T, K, 2) and `keypoint_scores` (N, M, T, K, 1) float32, as
        far as the inputs are made of them. Joints that are left out are infinite.
    """
    parts = _raw_parts(read_frames, annotation, inputs, indices, min_keypoint_score, without, within)
    return {tensor: value for _, part in parts for tensor, value in part.items()}


def _raw_parts(
    read_frames: FrameReader,
    annotation: Annotation | None,
    inputs: Mapping[str, Input],
    indices: Mapping[str, Indices],
    min_keypoint_score: float | None,
    without: int | None,
    within: slice,
) -> Iterator[tuple[str, RawTensors]]:
    """See `raw_clips`: each input's name and raw tensors, those of keypoints first: they wait for one frame alone."""
    needed = needs_keypoints(inputs)
    if needed and annotation is None:
        raise DataError(f"there are no keypoints, and {' and '.join(inputs)} need them")
    kinds = modalities_of(inputs)
    framed = {name: kind for name, kind in kinds.items() if isinstance(kind, Frames)}
    drawn = {name: kind for name, kind in kinds.items() if isinstance(kind, Heatmaps)}
    persons = None
    if needed and annotation is not None:
        persons = _Persons(annotation, drawn, indices, min_keypoint_score, within)
    every = frames_read(inputs, indices)
    frames = zip(every, read_frames(every) if framed else (), strict=True)
    first = list(islice(frames, 1))  # says how large they are
    if first:
        height, width = first[0][1].shape[:2]
        crops = _crops(kinds, persons, (height, width))
    else:
        assert persons is not None
        crops = _crops(kinds, persons, persons.image_size)
    for name, kind in drawn.items():
        assert persons is not None
        crop, each = crops[name], len(indices[name])
        keypoints, scores = persons.in_crop(name, crop)
        keypoints = kind.view.cropping.keypoints(keypoints, (crop.height, crop.width))
        if without is not None:
            keypoints[:, :, without] = np.inf  # draws nothing
        yield (
            name,
            {
                RAW_KEYPOINTS: np.stack(np.split(keypoints, each, 1)).astype(np.float32),
                RAW_SCORES: np.stack(np.split(scores, each, 1))[..., None],
            },
        )
    # Of each frame its crops, one frame at a time: memory stays that of the cropped clips.
    pictures: dict[str, list[list[npt.NDArray[np.uint8]]]] = {name: [] for name in framed}
    wanted = {name: frozenset(indices[name].ravel().tolist()) for name in framed}
    for number, frame in chain(first, frames):
        for name, taken in framed.items():
            if number in wanted[name]:
                seen = taken.view.cropping.pictures(crops[name].frame(frame))
                pictures[name].append([*map(np.ascontiguousarray, seen)])
    for name, shown in pictures.items():
        places = np.unique(indices[name], return_inverse=True)[1].reshape(indices[name].shape)
        clips = [np.stack([crop[place] for place in clip]) for crop in zip(*shown, strict=True) for clip in places]
        yield name, {RAW_FRAMES: np.stack(clips)}


def seen_of_frames(
    annotation: Annotation | None,
    inputs: Mapping[str, Input],
    indices: Mapping[str, Indices],
    shown: tuple[int, int],
    min_keypoint_score: float | None = None,
    within: slice = WHOLE_VIDEO,
) -> dict[str, tuple[float, float, float, float]]:
    """Which part of the pictures the inputs of frames see, where each has one crop.

    Args:
        annotation: keypoints of the video; None where the inputs need none.
        inputs: inputs of the network.
        indices: name of an input -> frames of its one clip.
        shown: height and width of the video's frames.
        min_keypoint_score: joints under this score do not widen the crop.
        within: frames of `annotation` that are the video.

    Returns:
        Left, top, right and bottom in pixels of the frame, by the input's name; they may lie outside of it.
    """
    kinds = modalities_of(inputs)
    drawn = {name: kind for name, kind in kinds.items() if isinstance(kind, Heatmaps)}
    persons = None
    if needs_keypoints(inputs) and annotation is not None and not annotation.in_space:
        persons = _Persons(annotation, drawn, indices, min_keypoint_score, within)
    seen = {}
    for name, crop in _crops(kinds, persons, shown).items():
        if isinstance(kind := kinds[name], Frames):
            (left, top), *_ = kind.view.cropping.corners((crop.height, crop.width))
            height, width = kind.view.size
            across, down = (crop.right - crop.left) / crop.width, (crop.bottom - crop.top) / crop.height
            seen[name] = (
                crop.left + left * across,
                crop.top + top * down,
                crop.left + (left + width) * across,
                crop.top + (top + height) * down,
            )
    return seen


def frames_read(inputs: Mapping[str, Input], indices: Mapping[str, Indices]) -> list[int]:
    """Frames of the video that its clips are made of, ascending, each once; none where no input is made of frames."""
    framed = [name for name, kind in modalities_of(inputs).items() if isinstance(kind, Frames)]
    return sorted({number for name in framed for number in indices[name].ravel().tolist()})


def looked_at(inputs: Mapping[str, Input], indices: Mapping[str, Indices]) -> Indices:
    """The frames whose persons the network sees: those that are drawn, or, where none is, all."""
    drawn = [name for name, kind in modalities_of(inputs).items() if isinstance(kind, Heatmaps)]
    return np.concatenate([indices[name].ravel() for name in drawn or indices])


class _Persons:
    """The joints of some clips: those that are drawn, or, where none is, those of all frames.

    Attributes:
        image_size: height and width of the pictures that the keypoints are pixels of.
    """

    def __init__(
        self,
        annotation: Annotation,
        drawn: Mapping[str, Heatmaps],
        indices: Mapping[str, Indices],
        min_score: float | None,
        within: slice,
    ) -> None:
        found = annotation.keypoints.shape[2]
        for kind in drawn.values():
            if found != kind.joints:
                raise DataError(f"{annotation.name} has {found} joints, and the network takes {kind.joints}")
        self._name, self.image_size = annotation.name, annotation.picture
        self._keypoints: dict[str, npt.NDArray[np.floating]] = {}
        self._scores: dict[str, Floats] = {}
        times: dict[str, Indices | slice] = {name: indices[name].ravel() for name in drawn} or {"": within}
        for name, seen in times.items():
            # MMAction2's decoder makes float32 of what is drawn; a box about all frames is reckoned in the file's type.
            stored = annotation.keypoints[:, seen]
            keypoints = stored.astype(np.float32 if name else stored.dtype)
            scores = annotation.scores[:, seen].astype(np.float32)
            if min_score is not None:
                keypoints[left_out(keypoints, scores, min_score)] = np.inf
            elif np.isinf(keypoints).any():
                raise DataError(f"{annotation.name} has infinite keypoints")
            self._keypoints[name], self._scores[name] = keypoints, scores

    def scale_to(self, shown: tuple[int, int]) -> None:
        """Make the keypoints pixels of the pictures as they are shown."""
        if shown == self.image_size:
            return
        check_size(self._name, self.image_size, shown)
        factors = shown[1] / self.image_size[1], shown[0] / self.image_size[0]
        self._keypoints = {
            name: keypoints * np.array(factors, keypoints.dtype) for name, keypoints in self._keypoints.items()
        }
        self.image_size = shown

    def crop(self) -> Crop:
        """The box about all joints, not yet of any size."""
        every = np.concatenate([_found(keypoints) for keypoints in self._keypoints.values()], axis=1)
        return crop_about(every, self.image_size, (1, 1))

    def in_crop(self, name: str, crop: Crop) -> tuple[Floats, Floats]:
        """Keypoints in pixels of the crop's result, and their scores. Infinite ones stay infinite."""
        keypoints = self._keypoints[name]
        return np.where(np.isinf(keypoints), np.float32(np.inf), crop.keypoints(_found(keypoints))), self._scores[name]


def _skeletons(
    kind: Skeletons, annotation: Annotation, indices: Indices, min_score: float | None, without: int | None
) -> Floats:
    """Skeletons of the frames that all clips are drawn from."""
    frames = indices[0]
    keypoints, scores = annotation.keypoints[:, frames], annotation.scores[:, frames]
    if min_score is not None:
        lost = left_out(keypoints, scores, min_score)
        keypoints = np.where(lost[..., None], keypoints.dtype.type(0), keypoints)
        scores = np.where(lost, scores.dtype.type(0), scores)
    elif np.isinf(keypoints).any():
        raise DataError(f"{annotation.name} has infinite keypoints")
    if without is not None:
        keypoints = _folded(keypoints, without)
    try:
        return kind.prepare(keypoints, scores, annotation.image_size, len(indices))
    except DataError as error:
        raise DataError(f"{annotation.name}: {error.message}", hint=error.hint) from error


def _folded(keypoints: npt.NDArray[np.floating], joint: int) -> npt.NDArray[np.floating]:
    """(M, T, V, C) with a joint in the middle of the person's other joints, wherever it was found."""
    found = np.isfinite(keypoints).all(-1) & (keypoints != 0).any(-1)
    others = found & (np.arange(keypoints.shape[2]) != joint)
    total = np.where(others[..., None], keypoints, 0).sum(2)
    middle = total / np.maximum(others.sum(2), 1)[..., None]
    folded = keypoints.copy()
    folded[:, :, joint] = np.where(found[:, :, joint, None], middle, keypoints[:, :, joint])
    return folded


def _found(keypoints: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Joints that are not finite are 0, "not found"."""
    return np.where(np.isfinite(keypoints), keypoints, keypoints.dtype.type(0))


def _crops(kinds: Mapping[str, Modality], persons: _Persons | None, shown: tuple[int, int]) -> dict[str, Crop]:
    """What each input sees of pictures as they are `shown`."""
    whole = Crop(0, 0, shown[1], shown[0], 1, 1)
    about = whole
    if persons is not None:
        persons.scale_to(shown)
        about = persons.crop()
    views = {name: kind.view for name, kind in kinds.items() if isinstance(kind, Frames | Heatmaps)}
    return {name: view.crop(about if view.compact else whole) for name, view in views.items()}
