"""Keypoints of one video from COCO-style JSON: an image a frame, an annotation a person in a frame.

    {"images": [{"id": 7, "frame_index": 0, "height": 1080, "width": 1920}, ...],
     "annotations": [{"image_id": 7, "keypoints": [x, y, v, x, y, v, ...]}, ...]}

`frame_index` counts from 0; where no image has it, the images are the frames in the order of their ids. v is COCO's
visibility (0, 1, 2) or a score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import DataError
from x3ddeploy.prediction.keypoints import Keypoints, checked_keypoints

_FORM = 'the form is {"images": [{"id", "frame_index", "height", "width"}], "annotations": [{"image_id", "keypoints"}]}'


def read_coco_keypoints(path: Path) -> Keypoints:
    """Read the keypoints of all persons. Which of them is who does not matter: heatmaps take the maximum over persons.

    Raises:
        DataError: the file cannot be read, is of another form, or its images are not the frames of one video.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    images, annotations = (content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations"))
    if not isinstance(images, list) or not isinstance(annotations, list) or not images:
        raise DataError(f"{path} holds no COCO keypoints of a video", hint=_FORM)
    try:
        frames = _frame_of_image(images)
        persons = _persons_by_frame(annotations, frames)
        size = _image_size(images)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"an entry lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: {reason}", hint=_FORM) from error
    places, scores = _stacked(persons, len(frames))
    return checked_keypoints(str(path), places, scores, size)


def _frame_of_image(images: list[Mapping[str, Any]]) -> dict[Any, int]:
    """Image id -> frame. Raises ValueError where the images are not each frame once."""
    identities = [image["id"] for image in images]
    if len(set(identities)) != len(identities):
        raise ValueError("an image's id occurs twice")
    if not any("frame_index" in image for image in images):
        return {identity: frame for frame, identity in enumerate(sorted(identities))}
    frames = {image["id"]: image["frame_index"] for image in images}
    if not all(type(frame) is int for frame in frames.values()):
        raise ValueError("a frame_index is no whole number")
    absent = sorted(set(range(len(frames))).difference(frames.values()))
    if absent:
        raise ValueError(
            f"the {len(frames)} images have no frame_index {absent[0]}: each frame from 0 on is an image, also without "
            "a person"
        )
    return frames


def _image_size(images: list[Mapping[str, Any]]) -> tuple[int, int] | None:
    sizes = {(image["height"], image["width"]) for image in images if "height" in image or "width" in image}
    if len(sizes) > 1:
        raise ValueError(f"images of unequal sizes: {', '.join(map(str, sorted(sizes)[:3]))}")
    for height, width in sizes:
        if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
            raise ValueError(f"height {height!r} and width {width!r} of an image")
    return next(iter(sizes), None)


def _persons_by_frame(
    annotations: list[Mapping[str, Any]], frames: Mapping[Any, int]
) -> dict[int, list[npt.NDArray[np.float32]]]:
    """Frame -> (K, 3) of each person."""
    persons: dict[int, list[npt.NDArray[np.float32]]] = {}
    for number, annotation in enumerate(annotations):
        identity, values = annotation["image_id"], np.asarray(annotation["keypoints"], np.float32)
        if identity not in frames:
            raise ValueError(f"annotation {number} is of the image {identity!r}, which is not there")
        if values.ndim != 1 or not values.size or values.size % 3:
            raise ValueError(f"annotation {number} has keypoints of shape {values.shape}, and not x, y, v by joint")
        persons.setdefault(frames[identity], []).append(values.reshape(-1, 3))
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
    values = np.zeros((max(map(len, persons.values())), frames, joints, 3), np.float32)
    for frame, people in persons.items():
        values[: len(people), frame] = people
    third = values[..., 2]
    # COCO's ground truth: 0 not labelled, 1 labelled and hidden, 2 labelled and visible.
    visibility = bool((third == 2).any()) and bool(np.isin(third, (0, 1, 2)).all())
    return values[..., :2], np.minimum(third, 1) if visibility else third
