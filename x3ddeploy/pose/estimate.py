"""A video to the keypoints of its persons, who keep their number from frame to frame."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from x3ddeploy.atomic import write_bytes
from x3ddeploy.data.video import VideoInfo, iter_frames, probe
from x3ddeploy.errors import UsageError
from x3ddeploy.pose.models import ONE_STAGE, TOP_DOWN, Model, Persons
from x3ddeploy.pose.pictures import Floats, Picture
from x3ddeploy.pose.track import Tracker
from x3ddeploy.progress import QUIET, Progress
from x3ddeploy.terms import AnyPath, Pixels

_FRAMES_AT_A_TIME = 16


@dataclass(frozen=True, eq=False)
class Poses:
    """Everybody in a video.

    Attributes:
        keypoints: (M, T, K, 2), x and y in pixels; 0 where a person is not seen.
        scores: (M, T, K); 0 where a person is not seen.
        image_size: height and width of the frames.
    """

    keypoints: Floats
    scores: Floats
    image_size: tuple[int, int]

    def save(self, path: Path) -> None:
        """Write the `.npz` that `x3ddeploy predict --keypoints` reads; the file is whole or absent."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, keypoints=self.keypoints, keypoint_scores=self.scores, image_size=np.array(self.image_size)
        )
        write_bytes(path, buffer.getvalue())


class PoseEstimator(AbstractContextManager["PoseEstimator"]):
    """A pose model, with a detector in front of it where it sees one person at a time; `with` closes both.

    Without a detector, a top-down model sees the whole picture as one person. Pickled, it is opened anew elsewhere.

    Args:
        pose, detector: ONNX files.
        runtime, device, threads: where both run.
        pose_pixels, detector_pixels: what they take pixels as; None for what models of their kind do.

    Raises:
        UsageError: a file is no such model, or a one-stage model is given a detector.
        MissingRequirementError: the runtime is not here.
    """

    def __init__(
        self,
        pose: AnyPath,
        detector: AnyPath | None = None,
        *,
        runtime: str = "onnxruntime",
        device: str | None = None,
        threads: int | None = None,
        pose_pixels: str | Pixels | None = None,
        detector_pixels: str | Pixels | None = None,
    ) -> None:
        execution: dict[str, Any] = {"runtime": runtime, "device": device, "threads": threads}
        pixels: dict[str, Any] = {"pose_pixels": pose_pixels, "detector_pixels": detector_pixels}
        self._anew = partial(PoseEstimator, pose, detector, **execution, **pixels)
        self.pose = Model(Path(pose), pixels=pose_pixels, **execution)
        self.detector = None
        if self.pose.kind not in (*TOP_DOWN, *ONE_STAGE):
            raise UsageError(f"{pose} is a detector: it gives no keypoints", hint="--detector takes it")
        if detector is not None:
            if self.pose.kind in ONE_STAGE:
                raise UsageError(f"{pose} finds persons by itself", hint="leave --detector out")
            self.detector = Model(Path(detector), pixels=detector_pixels, **execution)
            if self.detector.kind in TOP_DOWN:
                raise UsageError(f"{detector} finds no persons: it gives {self.detector.kind.value}")

    def __reduce__(self) -> tuple[Callable[[], PoseEstimator], tuple[()]]:
        return self._anew, ()

    @property
    def joints(self) -> int:
        """Number of joints of each person."""
        return self.pose.joints

    def video(self, path: Path, progress: Progress = QUIET, info: VideoInfo | None = None) -> Poses:
        """Keypoints of everybody in every frame of a video.

        Args:
            path: the file.
            progress: counts frames.
            info: what the video says of itself, where that is known already.

        Raises:
            DataError: it cannot be decoded.
        """
        info = info or probe(path)
        tracker, seen = Tracker(), []
        for start, pictures in _groups(path, info):
            progress.count(f"keypoints of {path.name}", start, info.frames)
            seen += [(persons, tracker.follow(persons.boxes)) for persons in self.pictures(pictures)]
        progress.count(f"keypoints of {path.name}", info.frames, info.frames)
        keypoints = np.zeros((tracker.persons, info.frames, self.joints, 2), np.float32)
        scores = np.zeros(keypoints.shape[:3], np.float32)
        for frame, (persons, numbers) in enumerate(seen):
            for place, number in enumerate(numbers):
                keypoints[number, frame] = persons.keypoints[place]
                scores[number, frame] = persons.scores[place]
        return Poses(keypoints, scores, (info.height, info.width))

    def pictures(self, pictures: Sequence[Picture]) -> list[Persons]:
        """Persons of each picture, (H, W, 3) in R, G, B."""
        if self.pose.kind in ONE_STAGE:
            return self.pose.persons(pictures)
        if self.detector is None:
            boxes = [np.array([[0, 0, *picture.shape[1::-1]]], np.float32) for picture in pictures]
        else:
            boxes = [persons.boxes for persons in self.detector.persons(pictures)]
        return self.pose.in_boxes(pictures, boxes)

    def __exit__(self, *_: object) -> None:
        for model in (self.pose, self.detector):
            if model is not None:
                model.close()


def _groups(path: Path, info: VideoInfo) -> Iterator[tuple[int, list[Picture]]]:
    """First frame and pictures of each group."""
    group: list[Picture] = []
    for number, picture in enumerate(iter_frames(path, range(info.frames))):
        group.append(picture)
        if len(group) == _FRAMES_AT_A_TIME or number == info.frames - 1:
            yield number + 1 - len(group), group
            group = []
