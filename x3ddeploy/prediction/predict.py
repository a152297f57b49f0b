"""The network over the windows of one video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.people import People
from x3ddeploy.data.video import VideoInfo, probe
from x3ddeploy.evaluation.scores import Fusion, Scorer, Scores
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec
from x3ddeploy.prediction.inputs import KeypointFiles
from x3ddeploy.prediction.windows import VideoWindows, Window, sliding_windows

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Prediction:
    """One window's class probabilities, the mean over its clips.

    Attributes:
        fps: frames a second of the video, where it says so.
        people: who is in the window. Where the network saw nobody, its scores are no answer.
        fused: (classes,), both streams in the bundle's weights.
        rgb: (classes,).
        pose: (classes,).
    """

    video: Path
    window: Window
    fps: Fraction | None
    people: People
    fused: Scores
    rgb: Scores
    pose: Scores

    def seconds(self) -> tuple[float, float] | None:
        """Start and end of the window, where the video says how many frames a second it has."""
        if not self.fps:
            return None
        return float(self.window.start / self.fps), float(self.window.end / self.fps)

    def label(self, names: Sequence[str]) -> str | None:
        """Name of the best class; None where the network saw nobody."""
        return names[int(self.fused.argmax())] if self.people.seen else None

    def to_json(self, names: Sequence[str], top: int) -> dict[str, Any]:
        """One line of `--json`; see docs/predict.md. Without a person there is no label, and no class is listed.

        Args:
            names: of the classes.
            top: classes listed, of each kind of scores.
        """
        seconds = self.seconds()
        return {
            "schema_version": SCHEMA_VERSION,
            "video": str(self.video),
            "start_frame": self.window.start,
            "end_frame": self.window.end,
            "start_s": None if seconds is None else round(seconds[0], 3),
            "end_s": None if seconds is None else round(seconds[1], 3),
            "frames_with_persons": self.people.frames_with_persons,
            "notes": list(self.people.notes),
            "label": self.label(names),
            **{
                stream: [
                    {"class": index, "label": names[index], "score": float(scores[index])}
                    for index in (ranked(scores, top) if self.people.seen else [])
                ]
                for stream, scores in (("fused", self.fused), ("rgb", self.rgb), ("pose", self.pose))
            },
        }


def ranked(scores: Scores, top: int) -> list[int]:
    """The `top` classes of the largest scores, largest first."""
    return [int(index) for index in np.argsort(-scores, kind="stable")[:top]]


@dataclass(frozen=True)
class Windowing:
    """How a video is cut up: see `sliding_windows`; clips a window; and which joints count: see `prepare_clips`."""

    length: int | None = None
    stride: int | None = None
    clips: int = 1
    min_keypoint_score: float | None = None


@dataclass(frozen=True, eq=False)
class OpenedVideo:
    """A video that agrees with its keypoints."""

    path: Path
    info: VideoInfo
    annotation: Annotation


def open_video(path: Path, keypoints: KeypointFiles) -> OpenedVideo:
    """Find a video's keypoints.

    Raises:
        DataError: they are missing, or of another number of frames; or one of both cannot be read.
    """
    found = keypoints.of(path)
    info = probe(path)
    return OpenedVideo(path, info, found.of_video(path, info))


def predict_windows(
    video: OpenedVideo, spec: ModelSpec, scorer: Scorer, fusion: Fusion, windowing: Windowing, workers: int
) -> Iterator[Prediction]:
    """Predictions in the order of the windows, which are loaded ahead.

    Raises:
        DataError: a frame cannot be decoded, there are other joints than the network takes, or the keypoints cannot be
            persons in the picture.
        GateError: the network gives NaN or infinity.
    """
    windows = sliding_windows(video.info.frames, windowing.length, windowing.stride)
    source = VideoWindows(video.path, video.annotation, spec, windows, windowing.clips, windowing.min_keypoint_score)
    with contextlib.closing(iterate_clips(source, workers=workers)) as clips:
        for window, clip in zip(windows, clips, strict=True):
            scores = scorer([clip.inputs])
            assert clip.people is not None
            yield Prediction(
                video.path, window, video.info.fps, clip.people, scores.fused(fusion)[0], scores.rgb[0], scores.pose[0]
            )
