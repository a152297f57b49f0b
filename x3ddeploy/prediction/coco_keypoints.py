"""Keypoints of one video from COCO-style JSON: an image a frame, an annotation a person in a frame.

    {"images": [{"id": 7, "frame_index": 0, "height": 1080, "width": 1920}, ...],
     "annotations": [{"image_id": 7, "keypoints": [x, y, v, x, y, v, ...]}, ...]}

`frame_index` counts from 0; where no image has it, the images are the frames in the order of their ids. v is COCO's
visibility (0, 1, 2) or a score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import DataError
from x3ddeploy.files import read_json
from x3ddeploy.prediction.keypoints import Keypoints, checked_keypoints
from x3ddeploy.text import printable

# An hour at 30 frames a second with 3 persons in each takes about 150 MB.
_LIMIT = 256 << 20
# Of the arrays: persons x frames x joints x 3. The same hour with 10 persons takes 55 million.
_MOST_NUMBERS = 1 << 27
_FORM = 'the form is {"images": [{"id", "frame_index", "height", "width"}], "annotations": [{"image_id", "keypoints"}]}'

Identity = int | str


class _Image(msgspec.Struct):
    id: Identity
    frame_index: int | None = None
    height: int | None = None
    width: int | None = None


class _Person(msgspec.Struct):
    image_id: Identity
    keypoints: list[float]


class _Content(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Person]


def read_coco_keypoints(path: Path) -> Keypoints:
    """Read the keypoints of all persons. Which of them is who does not matter: heatmaps take the maximum over persons.

    Raises:
        DataError: the file cannot be read, is of another form, or its images are not the frames of one video.
    """
    try:
        content: _Content = read_json(path, _Content, _LIMIT)
        frames = _frame_of_image(content.images)
        persons = _persons_by_frame(content.annotations, frames)
        size = _image_size(content.images)
        places, scores = _stacked(persons, len(frames))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} holds no COCO keypoints of a video: {printable(str(error))}", hint=_FORM) from error
    return checked_keypoints(str(path), places, scores, size)


def _frame_of_image(images: Sequence[_Image]) -> dict[Identity, int]:
    """Image id -> frame. Raises ValueError where the images are not each frame once."""
    if not images:
        raise ValueError("it has no images")
    identities = [image.id for image in images]
    if len(set(identities)) != len(identities):
        raise ValueError("an image's id occurs twice")
    if all(image.frame_index is None for image in images):
        if len({type(identity) for identity in identities}) > 1:
            raise ValueError("ids are numbers and words, so the order of the frames is not known")
        return {identity: frame for frame, identity in enumerate(sorted(identities))}
    frames = {image.id: image.frame_index for image in images}
    absent = set(range(len(frames))).difference(frame for frame in frames.values() if frame is not None)
    if absent:
        raise ValueError(
            f"the {len(frames)} images have no frame_index {min(absent)}: each frame from 0 on is an image, also "
            "without a person"
        )
    return {identity: frame for identity, frame in frames.items() if frame is not None}


def _image_size(images: Sequence[_Image]) -> tuple[int, int] | None:
    sizes = {(image.height, image.width) for image in images} - {(None, None)}
    if len(sizes) > 1:
        raise ValueError(f"images of unequal sizes, {' and '.join(map(str, list(sizes)[:2]))}")
    for height, width in sizes:
        if height is None or width is None:
            raise ValueError("an image has a height or a width, and not both")
        return height, width
    return None


def _persons_by_frame(
    annotations: Sequence[_Person], frames: Mapping[Identity, int]
) -> dict[int, list[npt.NDArray[np.float32]]]:
    """Frame -> (K, 3) of each person."""
    persons: dict[int, list[npt.NDArray[np.float32]]] = {}
    for number, annotation in enumerate(annotations):
        with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and refused as that
            values = np.array(annotation.keypoints, np.float32)
        if annotation.image_id not in frames:
            raise ValueError(f"annotation {number} is of the image {annotation.image_id!r}, which is not there")
        if not values.size or values.size % 3:
            raise ValueError(f"annotation {number} has {values.size} keypoint values, and not x, y, v by joint")
        persons.setdefault(frames[annotation.image_id], []).append(values.reshape(-1, 3))
    if not persons:
        raise ValueError("no annotation, so there is no person in any frame")
    joints = {len(person) for people in persons.values() for person in people}
    if len(joints) > 1:
        raise ValueError(f"persons of unequal numbers of joints: {', '.join(map(str, sorted(joints)))}")
    return persons


def _stacked(
    persons: Mapping[int, list[npt.NDArray[np.float32]]], frames: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(M, T, K, 2) and (M, T, K); zero, "not found", where a frame has fewer persons."""
    joints = len(next(iter(persons.values()))[0])
    shape = max(map(len, persons.values())), frames, joints, 3
    if math.prod(shape) > _MOST_NUMBERS:
        raise ValueError(f"{shape[0]} persons in one of {frames} frames, of {joints} joints, are too many to draw")
    values = np.zeros(shape, np.float32)
    for frame, people in persons.items():
        values[: len(people), frame] = people
    third = values[..., 2]
    # COCO's ground truth: 0 not labelled, 1 labelled and hidden, 2 labelled and visible.
    visibility = bool((third == 2).any()) and bool(np.isin(third, (0, 1, 2)).all())
    return values[..., :2], np.minimum(third, 1) if visibility else third
