"""Clips of videos with an annotation pickle: MMAction2's PoseDataset and its test pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from x3ddeploy.bundle import sha256_of
from x3ddeploy.checkpoint.listing import shortened
from x3ddeploy.data.annotations import Annotations, read_annotations
from x3ddeploy.data.people import check_keypoints, people_in, persons_by_frame, repeated_frames
from x3ddeploy.data.pipeline import prepare_clips
from x3ddeploy.data.sampling import sample_clips
from x3ddeploy.data.sources.base import LabelledClip, check_labels, described, digest
from x3ddeploy.data.video import iter_frames
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec


class AnnotatedVideos:
    """A split of an annotation pickle, and the folder of its videos `<frame_dir>.mp4`.

    A single video that is missing or damaged is told when it is loaded; a folder without any of them at once.

    Args:
        annotations: the pickle.
        videos: the folder.
        spec: what the clips are prepared for.
        split: may be left out where there is only one.
        clips: clips a video.
        min_keypoint_score: see `prepare_clips`.

    Raises:
        DataError: the annotations cannot be used or have more classes than the network, or there are no videos.
        UsageError: there is no such split, or none was chosen of several.
    """

    def __init__(
        self,
        annotations: Path,
        videos: Path,
        spec: ModelSpec,
        split: str | None,
        clips: int,
        min_keypoint_score: float | None,
    ) -> None:
        self.name = str(annotations)
        self.annotations: Annotations = read_annotations(annotations)
        self.split = _only_split(annotations, self.annotations) if split is None else split
        self._samples = self.annotations.split(self.split)
        if not self._samples:
            raise DataError(f"{annotations}: the split {self.split!r} is empty")
        check_labels(self.labels(), spec, self.name)
        self._videos, self._spec, self._clips, self._min_score = videos, spec, clips, min_keypoint_score
        sizes = [_size(self._path(sample.name)) for sample in self._samples]
        if not any(sizes):
            raise DataError(
                f"none of the {len(sizes)} videos of the split {self.split!r} is in {videos}",
                details=shortened([f"{sample.name}.mp4" for sample in self._samples], 3),
                hint="name the videos' folder with --videos",
            )
        self._description = {
            "kind": "annotations",
            "annotations_sha256": sha256_of(annotations),
            "split": self.split,
            "videos_sha256": digest(f"{s.name} {size}" for s, size in zip(self._samples, sizes, strict=True)),
            "clips": clips,
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
        indices = sample_clips(sample.frames, self._spec, self._clips)
        notes = check_keypoints(sample, self._min_score) + repeated_frames(sample.frames, self._spec.rgb_input.frames)
        persons = persons_by_frame(sample, self._min_score)
        people = people_in(persons, 0, sample.frames, indices.pose, notes)
        reader = partial(iter_frames, self._inside(self._path(sample.name)))
        inputs = prepare_clips(reader, sample, self._spec, indices, self._min_score)
        return LabelledClip(sample.name, sample.label, inputs, people)

    def _path(self, name: str) -> Path:
        return self._videos / f"{name}.mp4"

    def _inside(self, path: Path) -> Path:
        """The video, unless a link on the way to it leads out of the folder: annotations choose what is read."""
        if not path.resolve().is_relative_to(self._videos.resolve()):
            raise DataError(
                f"{path} is a link that leads out of the folder of the videos",
                hint=f"name the folder of the videos themselves with --videos: {path.resolve().parent}",
            )
        return path


def _only_split(path: Path, annotations: Annotations) -> str:
    if len(annotations.splits) != 1:
        raise UsageError(
            f"{path} has {len(annotations.splits)} splits",
            hint=f"choose one with --split: {', '.join(annotations.splits)}",
        )
    return next(iter(annotations.splits))


def _size(path: Path) -> int:
    """In bytes; 0 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
