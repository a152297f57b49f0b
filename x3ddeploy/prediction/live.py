"""Answers about frames as they come: a window of the last seconds, every so many seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from x3ddeploy.contract import Contract
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import People
from x3ddeploy.data.prepare import FrameReader
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.modalities import needs_keypoints
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.pose.models import Persons
from x3ddeploy.pose.track import Tracker
from x3ddeploy.prediction.document import LiveLine
from x3ddeploy.prediction.estimated import network_joints
from x3ddeploy.prediction.predict import Prediction, scores_of
from x3ddeploy.prediction.sources import Frame
from x3ddeploy.prediction.windows import VideoWindows, Window

# Pictures of a window, at most: they are kept as they came until the window is answered.
_MOST_BYTES = 4 << 30


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """What the last seconds show.

    Attributes:
        prediction: prediction of the window; frames are counted from its first one.
        start_s, end_s: bounds of the window in seconds since the first frame.
        latency_s: from the moment in which the window's last frame came to the answer.
        dropped: frames since the source began that came too fast to be looked at.
    """

    prediction: Prediction
    start_s: float
    end_s: float
    latency_s: float
    dropped: int

    def line(self, top: int) -> LiveLine:
        """What is said of it; `top` classes are listed, of each kind of scores."""
        told = asdict(self.prediction.line(top))
        told |= {"start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3)}
        return LiveLine(**told, latency_s=round(self.latency_s, 4), dropped_frames=self.dropped)


@dataclass(frozen=True, eq=False)
class _Seen:
    frame: Frame
    persons: Persons | None
    numbers: Sequence[int]


class LiveWindows:
    """The last seconds of a stream, which are answered whenever `stride_s` has passed.

    Args:
        name: name of the stream, as answers call it.
        contract: contract of the network; `labels` of its classes; `scorer` runs it.
        estimator: finds the keypoints; None where the network needs none.
        window_s: length of a window in seconds, and `stride_s` from one to the next.
        clips: clips a window; None for the network's own number.
        min_keypoint_score: joints of a lower score are left out.

    Raises:
        UsageError: the network needs keypoints, and nobody finds them.
    """

    def __init__(
        self,
        name: str,
        contract: Contract,
        labels: Sequence[str],
        scorer: Scorer,
        estimator: PoseEstimator | None,
        *,
        window_s: float,
        stride_s: float,
        clips: int | None = None,
        min_keypoint_score: float | None = None,
    ) -> None:
        self._joints = 0
        if needs_keypoints(contract.inputs):
            if estimator is None:
                raise UsageError(
                    "the network needs keypoints, and a camera gives none", hint="name a pose model with --pose"
                )
            self._joints = network_joints(estimator, contract.inputs)
        self._name, self._contract, self._labels, self._scorer = name, contract, labels, scorer
        self._estimator = estimator if self._joints else None
        self._window_s, self._stride_s, self._clips, self._min_score = window_s, stride_s, clips, min_keypoint_score
        self._tracker, self._seen = Tracker(), deque[_Seen]()
        self._first_s: float | None = None
        self._due_s = 0.0

    def push(self, frame: Frame) -> tuple[Prediction, float, float] | None:
        """Look at a frame; the window's prediction, start and end in seconds, when one is due.

        Raises:
            DataError: frames of another size, or more than memory is allowed for.
            GateError: the network gives NaN or infinity.
        """
        if self._first_s is None:
            self._first_s, self._due_s = frame.time_s, frame.time_s + self._window_s
        self._check(frame)
        persons = numbers = None
        if self._estimator is not None:
            (persons,) = self._estimator.pictures([frame.picture])
            numbers = self._tracker.follow(persons.boxes)
        self._seen.append(_Seen(frame, persons, numbers or ()))
        while self._seen and frame.time_s - self._seen[0].frame.time_s > self._window_s:
            self._seen.popleft()
        if frame.time_s < self._due_s:
            return None
        # What a slow machine missed is not made up for.
        self._due_s += self._stride_s * (1 + (frame.time_s - self._due_s) // self._stride_s)
        start, end = self._seen[0].frame.time_s - self._first_s, frame.time_s - self._first_s
        return self._predicted(), start, end

    def _check(self, frame: Frame) -> None:
        if self._seen and frame.picture.shape != self._seen[-1].frame.picture.shape:
            raise DataError(f"{self._name} changes the size of its pictures", hint="open it again")
        if frame.picture.nbytes * len(self._seen) > _MOST_BYTES:
            raise DataError(
                f"{self._window_s:g} s of {self._name} are more than {_MOST_BYTES >> 30} GiB of pictures",
                hint="take a shorter window, or smaller pictures",
            )

    def _predicted(self) -> Prediction:
        seen = list(self._seen)
        pictures = [entry.frame.picture for entry in seen]
        passed = seen[-1].frame.time_s - seen[0].frame.time_s
        fps = (len(seen) - 1) / passed if passed > 0 else None

        def read(indices: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
            return (pictures[index] for index in indices)

        window = Window(0, len(seen))
        rate = None if fps is None else Fraction(fps).limit_denominator(1000)
        try:
            source = self._source(seen, window, fps, read)
        except DataError as error:  # what a pose model sees in a moment is no reason to end
            nobody, none = People(len(seen), 0, seen=False), np.zeros(len(self._labels))
            unknown = dict.fromkeys((self._contract.deployed, *self._contract.scores), none)
            return Prediction(self._name, window, rate, nobody, (error.message,), unknown, self._labels)
        clip = source.load(0)
        scores = scores_of(clip, self._contract, self._scorer)
        return Prediction(self._name, window, rate, clip.people, source.notes, scores, self._labels)

    def _source(self, seen: Sequence[_Seen], window: Window, fps: float | None, read: FrameReader) -> VideoWindows:
        return VideoWindows(
            Path(self._name),
            self._annotation(seen) if self._estimator is not None else None,
            len(seen),
            self._contract.inputs,
            [window],
            self._clips,
            self._min_score,
            fps,
            read,
        )

    def _annotation(self, seen: Sequence[_Seen]) -> Annotation:
        """Everybody in the window; one row of zeros where there is nobody."""
        everybody = sorted({number for entry in seen for number in entry.numbers})
        rows = {number: row for row, number in enumerate(everybody)}
        keypoints = np.zeros((max(1, len(rows)), len(seen), self._joints, 2), np.float32)
        scores = np.zeros(keypoints.shape[:3], np.float32)
        for frame, entry in enumerate(seen):
            for place, number in enumerate(entry.numbers):
                assert entry.persons is not None
                keypoints[rows[number], frame] = entry.persons.keypoints[place, : self._joints]
                scores[rows[number], frame] = entry.persons.scores[place, : self._joints]
        size = seen[0].frame.picture.shape[:2]
        return Annotation(self._name, 0, (size[0], size[1]), len(seen), keypoints, scores)


def answers(frames: Iterator[Frame], windows: LiveWindows, dropped: Callable[[], int]) -> Iterator[LiveAnswer]:
    """Answers about a stream, each as soon as it is known; `dropped` tells how many frames nobody looked at."""
    for frame in frames:
        found = windows.push(frame)
        if found is not None:
            prediction, start, end = found
            yield LiveAnswer(prediction, start, end, time.monotonic() - frame.time_s, dropped())
