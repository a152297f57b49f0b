"""Clips of labelled videos: MMAction2's data sets and its test pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from x3ddeploy.contract import Contract
from x3ddeploy.data.annotations import (
    Annotation,
    Annotations,
    LabelledVideo,
    Sample,
    read_annotations,
    read_labels,
    read_video_list,
)
from x3ddeploy.data.folder import inside, video_of
from x3ddeploy.data.people import check_keypoints, people_in, persons_by_frame, repeated_frames
from x3ddeploy.data.prepare import Preparation, looked_at, prepare_clips
from x3ddeploy.data.sources.base import LabelledClip, check_labels, described, digest
from x3ddeploy.data.video import count_frames, frame_rate, iter_pictures
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.files import sha256_of
from x3ddeploy.modalities import (
    needs_frames,
    needs_keypoints,
    needs_pictures,
    needs_rate,
    sample_clips,
    views_of,
    with_clips,
)
from x3ddeploy.text import shortened

VIDEO_LIST = ".txt"


class AnnotatedVideos:
    """A split of an annotation pickle, or a list of videos, and the folder of these videos.

    A pickle's videos are `<frame_dir>.mp4`, or of another suffix (`data/folder.py`); a list names its files. Keypoints
    are read where the network needs them, and videos where it takes frames. A single video that is missing or damaged
    is reported when it is loaded; a folder without any of them at once.

    Args:
        annotations: the pickle, or the list (`.txt`) for a network that needs no keypoints.
        videos: the folder.
        contract: what the network takes.
        split: may be left out where there is only one; None for a list.
        clips: clips a video; None for the network's own number.
        min_keypoint_score: see `prepare_clips`.

    Raises:
        DataError: the annotations cannot be used or have more classes than the network, or there are no videos.
        UsageError: there is no such split, or none was chosen of several.
    """

    def __init__(
        self,
        annotations: Path,
        videos: Path,
        contract: Contract,
        split: str | None,
        clips: int | None,
        min_keypoint_score: float | None,
    ) -> None:
        self.name = str(annotations)
        self._inputs = contract.inputs if clips is None else with_clips(contract.inputs, clips)
        self._listed = annotations.suffix == VIDEO_LIST
        self.split: str | None = None
        self._samples: Sequence[LabelledVideo]
        if self._listed:
            self._samples = read_video_list(annotations)
        else:
            posed = needs_keypoints(self._inputs)
            self.split, self._samples = (
                _chosen(annotations, read_annotations(annotations, needs_pictures(self._inputs)), split)
                if posed
                else _chosen(annotations, read_labels(annotations), split)
            )
        squeezed = [each.name for each in self._samples if isinstance(each, Annotation) and each.squeezed]
        if squeezed and needs_frames(self._inputs):
            raise DataError(
                f"{len(squeezed)} of {len(self._samples)} samples of {self.name} have compressed keypoints, "
                "without the frames that show nobody",
                hint="this network sees the video's frames as well: it needs keypoints of every frame",
            )
        check_labels(self.labels(), contract, self.name)
        self._videos, self._min_score = videos, min_keypoint_score
        self._prepare: Preparation = prepare_clips
        self._description = {
            "kind": "annotations",
            "annotations_sha256": sha256_of(annotations),
            "split": self.split,
            **({"videos_sha256": self._sizes()} if needs_frames(self._inputs) else {}),
            "clips": views_of(self._inputs),
            **described(min_keypoint_score),
        }

    @property
    def description(self) -> Mapping[str, Any]:
        return self._description

    def __len__(self) -> int:
        return len(self._samples)

    def names(self) -> Sequence[str]:
        return [sample.name for sample in self._samples]

    def labels(self) -> Sequence[int | None]:
        return [sample.label for sample in self._samples]

    def load(self, index: int) -> LabelledClip:
        sample = self._samples[index]
        path = self._path(sample.name)
        annotation = sample if isinstance(sample, Annotation) else None
        frames = count_frames(self._inside(path)) if annotation is None else annotation.frames
        fps = frame_rate(self._inside(path)) if needs_rate(self._inputs) else None
        indices = sample_clips(frames, self._inputs, fps=fps)
        people = None
        if annotation is not None:
            notes = check_keypoints(annotation, self._min_score) + repeated_frames(frames, self._inputs)
            persons = persons_by_frame(annotation, self._min_score)
            people = people_in(persons, 0, frames, looked_at(self._inputs, indices), notes)
        reader = partial(iter_pictures, self._inside(path)) if needs_frames(self._inputs) else _no_frames
        inputs = self._prepare(reader, annotation, self._inputs, indices, self._min_score)
        return LabelledClip(sample.name, sample.label, inputs, people)

    def prepared_by(self, prepare: Preparation) -> AnnotatedVideos:
        """The same clips, as `prepare` makes them in the place of `prepare_clips`."""
        other = copy(self)
        other._prepare = prepare
        return other

    def _path(self, name: str) -> Path:
        return self._videos / name if self._listed else video_of(self._videos, name)

    def _inside(self, path: Path) -> Path:
        return inside(self._videos, path)

    def _sizes(self) -> str:
        """Digest of the videos' names and sizes in bytes. Raises DataError where none of them is there."""
        sizes = [_size(self._path(sample.name)) for sample in self._samples]
        if not any(sizes):
            of_split = "" if self.split is None else f" of the split {self.split!r}"
            raise DataError(
                f"none of the {len(sizes)} videos{of_split} is in {self._videos}",
                details=shortened([self._path(sample.name).name for sample in self._samples], 3),
                hint="name the videos' folder with --videos",
            )
        return digest(f"{sample.name} {size}" for sample, size in zip(self._samples, sizes, strict=True))


def _chosen(path: Path, annotations: Annotations[Sample], split: str | None) -> tuple[str, tuple[Sample, ...]]:
    """The split's name and samples."""
    if split is None:
        if len(annotations.splits) != 1:
            raise UsageError(
                f"{path} has {len(annotations.splits)} splits",
                hint=f"choose one with --split: {', '.join(annotations.splits)}",
            )
        split = next(iter(annotations.splits))
    samples = annotations.split(split)
    if not samples:
        raise DataError(f"{path}: the split {split!r} is empty")
    return split, samples


def _no_frames(indices: Sequence[int]) -> Sequence[Any]:
    raise AssertionError("no input is made of frames")


def _size(path: Path) -> int:
    """Size of a file in bytes; 0 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
