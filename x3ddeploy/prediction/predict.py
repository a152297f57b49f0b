"""The network over the windows of one video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from msgspec import UNSET

from x3ddeploy.contract import Contract, Input
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.decoders import opened_by
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.people import People
from x3ddeploy.data.prepare import FrameReader
from x3ddeploy.data.sources import LabelledClip
from x3ddeploy.data.video import VideoInfo, probe
from x3ddeploy.errors import DataError
from x3ddeploy.evaluation.scores import Scorer, Scores
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities import needs_frames, needs_keypoints
from x3ddeploy.prediction.document import SCHEMA_VERSION, PredictionLine, RankedClass
from x3ddeploy.prediction.inputs import KeypointSource, is_video
from x3ddeploy.prediction.windows import VideoWindows, Window, sliding_windows
from x3ddeploy.terms import Decoder


@dataclass(frozen=True, eq=False)
class Prediction:
    """One window's class probabilities, the mean over its clips.

    Attributes:
        video: file, or the name of a live source.
        fps: frames a second of the video, where it says so.
        people: who is in the window; None where nobody is looked for. Where the network saw nobody, its scores are no
            answer.
        notes: what is odd about the keypoints or the window, and was taken all the same.
        scores: name of a score -> (classes,), the deployed one first.
        labels: names of the classes.
        person: number of the person whom the answer is about; None where it is about all.
    """

    video: Path | str
    window: Window
    fps: Fraction | None
    people: People | None
    notes: tuple[str, ...]
    scores: Mapping[str, Scores]
    labels: Sequence[str]
    person: int | None = None

    @property
    def deployed(self) -> Scores:
        """(classes,), as the network itself gives them."""
        return next(iter(self.scores.values()))

    @property
    def seen(self) -> bool:
        """False where persons are looked for, and the network saw nobody."""
        return self.people is None or self.people.seen

    def seconds(self) -> tuple[float, float] | None:
        """Start and end of the window, where the video says how many frames a second it has."""
        if not self.fps:
            return None
        return float(self.window.start / self.fps), float(self.window.end / self.fps)

    @property
    def label(self) -> str | None:
        """Name of the best class; None where the network saw nobody."""
        return self.labels[int(self.deployed.argmax())] if self.seen else None

    def line(self, top: int) -> PredictionLine:
        """What is said of it.

        Args:
            top: classes listed, of each kind of scores.
        """
        seconds = self.seconds()
        return PredictionLine(
            schema_version=SCHEMA_VERSION,
            video=str(self.video),
            start_frame=self.window.start,
            end_frame=self.window.end,
            start_s=None if seconds is None else round(seconds[0], 3),
            end_s=None if seconds is None else round(seconds[1], 3),
            person=UNSET if self.person is None else self.person,
            frames_with_persons=None if self.people is None else self.people.frames_with_persons,
            notes=list(self.notes),
            label=self.label,
            scores={
                name: [
                    RankedClass(index, self.labels[index], float(scores[index]))
                    for index in (ranked(scores, top) if self.seen else [])
                ]
                for name, scores in self.scores.items()
            },
        )


def ranked(scores: Scores, top: int) -> list[int]:
    """The `top` classes of the largest scores, largest first."""
    return [int(index) for index in np.argsort(-scores, kind="stable")[:top]]


@dataclass(frozen=True)
class Windowing:
    """How a video is cut up: see `sliding_windows`; clips a window; and which joints count: see `prepare_clips`."""

    length: int | None = None
    stride: int | None = None
    clips: int | None = None
    min_keypoint_score: float | None = None


@dataclass(frozen=True, eq=False)
class OpenedVideo:
    """A video that agrees with its keypoints, which are None where the network needs none.

    Attributes:
        read: gives its frames for the network; None for who needs none.
    """

    path: Path
    info: VideoInfo
    annotation: Annotation | None
    read: FrameReader | None = None


def open_video(
    path: Path, keypoints: KeypointSource, inputs: Mapping[str, Input], decoder: Decoder = Decoder.PYAV
) -> OpenedVideo:
    """Find a video's keypoints, where the network needs any.

    Where it takes no frames the video itself may be absent: `path` is then a file of keypoints, or the name of the
    video that they lie beside, and they must say the size of its frames.

    Raises:
        DataError: they are missing, or of another number of frames; or one of both cannot be read.
    """
    shown: VideoInfo | None = None
    read: FrameReader | None = None
    if needs_frames(inputs):
        shown, read = opened_by(decoder, path, usable_cores())
    elif is_video(path) or not needs_keypoints(inputs):
        shown = probe(path)
    if shown is not None and not needs_keypoints(inputs):
        return OpenedVideo(path, shown, None, read)
    found = keypoints.of(path, shown)
    if shown is not None:
        info = shown
    elif found.in_space:
        info = VideoInfo(found.frames, 0, 0, None)  # there are no pictures
    elif found.image_size is None:
        raise DataError(
            f"{found.where} does not say how large the frames of {path} are, and there is no such video",
            hint="name the video, or keypoints that say the size: COCO .json, MMAction2 .pkl, .npz with image_size",
        )
    else:
        info = VideoInfo(found.frames, *found.image_size, None)
    return OpenedVideo(path, info, found.of_video(path, info), read)


def predict_windows(
    video: OpenedVideo, contract: Contract, labels: Sequence[str], scorer: Scorer, windowing: Windowing, workers: int
) -> Iterator[Prediction]:
    """Predictions in the order of the windows, which are loaded ahead.

    Raises:
        DataError: a frame cannot be decoded, there are other joints than the network takes, or the keypoints cannot be
            persons in the picture.
        GateError: the network gives NaN or infinity.
    """
    windows = sliding_windows(video.info.frames, windowing.length, windowing.stride)
    return predict_chosen(video, windows, contract, labels, scorer, windowing, workers)


def predict_chosen(
    video: OpenedVideo,
    windows: Sequence[Window],
    contract: Contract,
    labels: Sequence[str],
    scorer: Scorer,
    windowing: Windowing,
    workers: int,
) -> Iterator[Prediction]:
    """As `predict_windows`, of windows that are chosen already: `windowing` says only what is seen of each."""
    source = VideoWindows(
        video.path,
        video.annotation,
        video.info.frames,
        contract.inputs,
        windows,
        windowing.clips,
        windowing.min_keypoint_score,
        None if video.info.fps is None else float(video.info.fps),
        decode=video.read,
        prepare=scorer.prepare,
    )
    with contextlib.closing(iterate_clips(source, workers=workers)) as clips:
        for window, clip in zip(windows, clips, strict=True):
            scores = scores_of(clip, contract, scorer)
            yield Prediction(video.path, window, video.info.fps, clip.people, source.notes, scores, labels)


def scores_of(clip: LabelledClip, contract: Contract, scorer: Scorer) -> dict[str, Scores]:
    """Name of a score -> (classes,) of a window, the deployed one first. Raises GateError for NaN or infinity."""
    found = scorer([clip.inputs])
    return {name: found.of(contract.scores[name])[0] for name in dict.fromkeys((contract.deployed, *contract.scores))}
