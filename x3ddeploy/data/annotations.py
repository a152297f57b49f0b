"""Annotations of MMAction2's PoseDataset: which clips there are, their class, their keypoints and the splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.annotation_values import MOST, float_array, image_shape, leads_out, whole_number, word, words
from x3ddeploy.data.compressed import decompressed, is_compressed
from x3ddeploy.data.unpickling import unpickle_data
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.files import TEXT_LIMIT, read_file
from x3ddeploy.text import escaped, shortened

_LABEL_KEYS = ("frame_dir", "label")
_SKELETON_KEYS = (*_LABEL_KEYS, "total_frames", "keypoint")
_KEYS = (*_LABEL_KEYS, "img_shape", "total_frames", "keypoint")
_SEVERAL = "several classes a video: accuracy and calibration take one (average precision is not computed here)"
_MORE_CLASSES = re.compile(r"\.\w+( \d+)+$")  # behind a file's name
_PICTURES = (
    "a folder's pictures, as RawframeDataset lists them, are not read: list the videos that they were taken from"
)
_MORE_NUMBERS = re.compile(r"\S( \d+)+$")  # behind a folder's name
_LISTED = 20
_LONGEST_NAME = 1000  # bytes; a path of Linux has at most 4096


@dataclass(frozen=True, eq=False)
class LabelledVideo:
    """One labelled video.

    Attributes:
        name: `frame_dir`, the video's path in its folder without the suffix.
        label: class, counted from 0.
    """

    name: str
    label: int


@dataclass(frozen=True, eq=False)
class Annotation(LabelledVideo):
    """One labelled video, and the persons in it.

    Attributes:
        image_size: height and width, in pixels, of the frames that the keypoints were found in; None where the file
            does not say them, or the keypoints are in space.
        frames: length of the video.
        keypoints: (M, T, K, 2), x and y in pixels, or (M, T, K, 3) in space, in the floating type of the file; M
            persons, T = `frames`.
        scores: (M, T, K); ones where the file has none.
        squeezed: whether frames without a person were left out: then they are not the video's.
    """

    image_size: tuple[int, int] | None
    frames: int
    keypoints: npt.NDArray[np.floating]
    scores: npt.NDArray[np.floating]
    squeezed: bool = False

    @property
    def in_space(self) -> bool:
        """Whether the keypoints are no pixels."""
        return self.keypoints.shape[-1] == 3

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of the frames that the keypoints are pixels of. Raises DataError where there are none."""
        if self.image_size is None:
            raise DataError(
                f"{self.name} has keypoints {'in space' if self.in_space else 'of pictures of unknown size'}",
                hint="this network needs keypoints in pixels, and the size of the pictures",
            )
        return self.image_size


Sample = TypeVar("Sample", bound=LabelledVideo, covariant=True)


@dataclass(frozen=True, eq=False)
class Annotations(Generic[Sample]):
    """A file of annotations: samples by name, in the file's order, and the names of each split."""

    splits: Mapping[str, tuple[str, ...]]
    samples: Mapping[str, Sample]

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of a split in the order of the annotations, which is PoseDataset's.

        Raises:
            UsageError: there is no such split; the message lists those there are.
            DataError: names of the split have no annotation.
        """
        if name not in self.splits:
            raise UsageError(
                f"the annotations have no split {name!r}", hint=f"one of: {', '.join(self.splits) or '(none)'}"
            )
        wanted = frozenset(self.splits[name])
        missing = sorted(wanted.difference(self.samples))
        if missing:
            raise DataError(
                f"{len(missing)} names of the split {name!r} have no annotation",
                details=shortened(missing, _LISTED),
                hint="take the split and the annotations from the same data set",
            )
        return tuple(sample for sample in self.samples.values() if sample.name in wanted)


def read_annotations(path: Path, pictures: bool = True) -> Annotations[Annotation]:
    """Read the pickle of MMAction2's PoseDataset; nothing in it is executed.

    Args:
        path: the pickle.
        pictures: whether keypoints must be pixels of pictures whose size is known; else they may be in space.

    Raises:
        DataError: it cannot be read, is no such pickle, or samples are incomplete or contradict themselves; every
            such sample is listed.
    """
    return _read(path, _annotation if pictures else _skeleton)


def read_labels(path: Path) -> Annotations[LabelledVideo]:
    """Names, labels and splits of such a pickle; its keypoints, if there are any, are not looked at.

    Raises:
        DataError: as `read_annotations`.
    """
    return _read(path, _labelled)


def read_video_list(path: Path) -> tuple[LabelledVideo, ...]:
    """Read the list of MMAction2's VideoDataset: a line a video, its file and its class with a space between them.

    Raises:
        DataError: it cannot be read, or a line is of another form; every such line is listed.
    """
    try:
        lines = read_file(path, TEXT_LIMIT).decode().splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    videos: dict[str, LabelledVideo] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        name, _, label = line.strip().rpartition(" ")
        try:
            if not label.isdecimal():
                raise ValueError("no file and class with a space between them")
            if _MORE_CLASSES.search(name):
                raise ValueError(_SEVERAL)
            if _MORE_NUMBERS.search(name):
                raise ValueError(_PICTURES)
            video = LabelledVideo(_name(name.strip()), _class(int(label)))
            if video.name in videos:
                raise ValueError(f"{name} occurs twice")
            videos[video.name] = video
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems or not videos:
        raise DataError(
            f"{path}: {len(problems)} of {len(lines)} lines cannot be used",
            details=shortened(problems, _LISTED),
            hint="a line is a video's file and its class, counted from 0: `clips/a.mp4 3`",
        )
    return tuple(videos.values())


def _read(path: Path, sample_of: Callable[[Any], Sample]) -> Annotations[Sample]:
    content = unpickle_data(path)
    if not (
        isinstance(content, dict)
        and isinstance(content.get("annotations"), list)
        and isinstance(content.get("split"), dict)
    ):
        raise DataError(
            f"{path} holds no annotations",
            hint="MMAction2's form is {'split': {name: [frame_dir, ...]}, 'annotations': [{'frame_dir': ...}, ...]}",
        )
    samples: dict[str, Sample] = {}
    problems = []
    for index, item in enumerate(content["annotations"]):
        try:
            sample = sample_of(item)
            if sample.name in samples:
                raise ValueError("occurs twice")
            samples[sample.name] = sample
        except (ValueError, TypeError, OverflowError) as error:
            name = item.get("frame_dir") if isinstance(item, dict) else None
            problems.append(f"{name if isinstance(name, str) else index}: {error}")
    if problems:
        raise DataError(
            f"{path}: {len(problems)} of {len(content['annotations'])} annotations cannot be used",
            details=shortened(problems, _LISTED),
        )
    try:
        splits = {word("a split's name", name): words(names) for name, names in content["split"].items()}
    except TypeError as error:
        raise DataError(f"{path}: {error}", hint="a split is a list of names, each the frame_dir of one") from error
    return Annotations(splits, samples)


# Each raises ValueError or TypeError, whose text says what is wrong.
def _checked(item: Any, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise TypeError(f"not a dict but {type(item).__name__}")
    missing = [key for key in keys if key not in item]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    return item


def _name(name: str) -> str:
    if leads_out(name):
        raise ValueError("frame_dir leads out of the videos' folder")
    if escaped(name) != name or len(name.encode()) > _LONGEST_NAME:
        raise ValueError("frame_dir is no name of a file")
    return name


def _class(label: int) -> int:
    if not 0 <= label <= MOST:
        raise ValueError("its class is no number that can be meant")
    return label


def _labelled(item: Any) -> LabelledVideo:
    item = _checked(item, _LABEL_KEYS)
    return LabelledVideo(_name(word("frame_dir", item["frame_dir"])), _class(_label(item)))


def _label(item: dict[str, Any]) -> int:
    value = item["label"]
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        raise ValueError(_SEVERAL)
    return whole_number("label", value)


def _annotation(item: Any) -> Annotation:
    return _posed(_checked(item, _KEYS), (2,))


def _skeleton(item: Any) -> Annotation:
    return _posed(_checked(item, _SKELETON_KEYS), (2, 3))


def _posed(item: dict[str, Any], coordinates: tuple[int, ...]) -> Annotation:
    compressed = is_compressed(item)
    item = decompressed(item) if compressed else item
    name = _name(word("frame_dir", item["frame_dir"]))
    frames, label = whole_number("total_frames", item["total_frames"]), _label(item)
    if frames < 1 or label < 0:
        raise ValueError(f"total_frames {frames}, label {label}")
    keypoints = float_array("keypoint is", item["keypoint"])
    if keypoints.ndim != 4 or keypoints.shape[3] not in coordinates or keypoints.shape[1] != frames:
        wanted = " or ".join(map(str, coordinates))
        raise ValueError(f"keypoint {keypoints.shape} is not (persons, {frames} frames, joints, {wanted})")
    size = image_shape(item["img_shape"]) if "img_shape" in item and keypoints.shape[3] == 2 else None
    scores = item.get("keypoint_score")
    scores = np.ones(keypoints.shape[:3], np.float32) if scores is None else float_array("keypoint_score is", scores)
    if scores.shape != keypoints.shape[:3]:
        raise ValueError(f"keypoint_score {scores.shape} and keypoint {keypoints.shape} do not agree")
    return Annotation(name, label, size, frames, keypoints, scores, compressed)
