"""Answers about frames as they come: a window of the last seconds, every so many seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from x3ddeploy.contract import Contract
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import People
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.modalities import needs_keypoints
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.pose.models import Persons
from x3ddeploy.pose.track import Tracker
from x3ddeploy.prediction.document import LiveLine
from x3ddeploy.prediction.persons import no_persons
from x3ddeploy.prediction.pose_keypoints import network_joints
from x3ddeploy.prediction.predict import Prediction, scores_of
from x3ddeploy.prediction.sources import Frame
from x3ddeploy.prediction.windows import VideoWindows, Window

# Pictures of a window, at most: they are kept as they came until the window is answered.
_MOST_BYTES = 4 << 30


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """What the last seconds show.

    Attributes:
        prediction: prediction of the window; frames are counted from its first one, or in a video of a folder from the
            video's. Its person, where there is an answer for each, has the same number as long as he is tracked.
        start_s, end_s: bounds of the window in seconds since the first frame; None where a video does not say its rate.
        latency_s: from the moment in which the window's last frame came, or a video was whole, to the answer.
        dropped: frames since the source began that came too fast to be looked at.
        dropped_videos: videos of a folder that were left out since then.
    """

    prediction: Prediction
    start_s: float | None
    end_s: float | None
    latency_s: float
    dropped: int = 0
    dropped_videos: int = 0

    def line(self, top: int) -> LiveLine:
        """What is said of it; `top` classes are listed, of each kind of scores."""
        told = asdict(self.prediction.line(top))
        for name, seconds in {"start_s": self.start_s, "end_s": self.end_s}.items():
            told[name] = None if seconds is None else round(seconds, 3)
        late = round(self.latency_s, 4)
        return LiveLine(**told, latency_s=late, dropped_frames=self.dropped, dropped_videos=self.dropped_videos)


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
        each_person: an answer for each person; else one for all.

    Raises:
        UsageError: the network needs keypoints, and nobody finds them; or it needs none, and persons are asked for.
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
        each_person: bool = False,
    ) -> None:
        self._joints = 0
        if needs_keypoints(contract.inputs):
            if estimator is None:
                raise UsageError(
                    "the network needs keypoints, and a camera gives none", hint="name a pose model with --pose"
                )
            self._joints = network_joints(estimator, contract.inputs)
        elif each_person:
            raise no_persons()
        self._name, self._contract, self._labels, self._scorer = name, contract, labels, scorer
        self._estimator = estimator if self._joints else None
        self._window_s, self._stride_s, self._clips, self._min_score = window_s, stride_s, clips, min_keypoint_score
        self._each_person, self._tracker, self._seen = each_person, Tracker(), deque[_Seen]()
        self._first_s: float | None = None
        self._due_s = 0.0

    def push(self, frame: Frame) -> tuple[list[Prediction], float, float] | None:
        """Look at a frame; the window's predictions, start and end in seconds, when one is due.

        There is one prediction, or one for each person who is seen; where nobody is, it is of nobody.

        Raises:
            DataError: frames of another size, or more than memory is allowed for.
            GateError: the network gives NaN or infinity.
        """
        if self._first_s is None:
            self._first_s = frame.time_s
        if not self._seen or frame.time_s - self._seen[-1].frame.time_s > self._window_s:
            # The first frame, or the first after a gap that no window spans: one frame is no answer.
            self._due_s = frame.time_s + self._window_s
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
        return list(self._predicted()), start, end

    def _check(self, frame: Frame) -> None:
        if self._seen and frame.picture.shape != self._seen[-1].frame.picture.shape:
            raise DataError(f"{self._name} changes the size of its pictures", hint="open it again")
        if frame.picture.nbytes * len(self._seen) > _MOST_BYTES:
            raise DataError(
                f"{self._window_s:g} s of {self._name} are more than {_MOST_BYTES >> 30} GiB of pictures",
                hint="take a shorter window, or smaller pictures",
            )

    def _predicted(self) -> Iterator[Prediction]:
        seen = list(self._seen)
        passed = seen[-1].frame.time_s - seen[0].frame.time_s
        fps = (len(seen) - 1) / passed if passed > 0 else None
        found = False
        for person, annotation in self._persons(seen):
            prediction = replace(self._about(seen, fps, annotation), person=person)
            if person is None or prediction.seen:
                found = True
                yield prediction
        if not found:
            yield self._nobody(len(seen), fps, ())

    def _persons(self, seen: Sequence[_Seen]) -> Iterator[tuple[int | None, Annotation | None]]:
        """Whom answers are about: None for all, or each one by his number."""
        if self._estimator is None:
            yield None, None
            return
        everybody = sorted({number for entry in seen for number in entry.numbers})
        if not self._each_person:
            yield None, self._annotation(seen, everybody)
        for number in everybody if self._each_person else ():
            yield number, self._annotation(seen, [number])

    def _about(self, seen: Sequence[_Seen], fps: float | None, annotation: Annotation | None) -> Prediction:
        pictures = [entry.frame.picture for entry in seen]

        def read(indices: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
            return (pictures[index] for index in indices)

        window = Window(0, len(seen))
        try:
            source = VideoWindows(
                Path(self._name),
                annotation,
                len(seen),
                self._contract.inputs,
                [window],
                self._clips,
                self._min_score,
                fps,
                read,
                prepare=self._scorer.prepare,
            )
        except DataError as error:  # what a pose model sees in a moment is no reason to end
            return self._nobody(len(seen), fps, (error.message,))
        clip = source.load(0)
        scores = scores_of(clip, self._contract, self._scorer)
        return Prediction(self._name, window, _rate(fps), clip.people, source.notes, scores, self._labels)

    def _nobody(self, frames: int, fps: float | None, notes: tuple[str, ...]) -> Prediction:
        """What is said of a window in which nobody is."""
        none = np.zeros(len(self._labels))
        scores = dict.fromkeys((self._contract.deployed, *self._contract.scores), none)
        people = People(frames, 0, seen=False)
        return Prediction(self._name, Window(0, frames), _rate(fps), people, notes, scores, self._labels)

    def _annotation(self, seen: Sequence[_Seen], persons: Sequence[int]) -> Annotation:
        """Some persons in the window; one row of zeros where there is nobody."""
        rows = {number: row for row, number in enumerate(persons)}
        keypoints = np.zeros((max(1, len(rows)), len(seen), self._joints, 2), np.float32)
        scores = np.zeros(keypoints.shape[:3], np.float32)
        for frame, entry in enumerate(seen):
            for place, number in enumerate(entry.numbers):
                if number not in rows:
                    continue
                assert entry.persons is not None
                keypoints[rows[number], frame] = entry.persons.keypoints[place, : self._joints]
                scores[rows[number], frame] = entry.persons.scores[place, : self._joints]
        size = seen[0].frame.picture.shape[:2]
        return Annotation(self._name, 0, (size[0], size[1]), len(seen), keypoints, scores)


def _rate(fps: float | None) -> Fraction | None:
    return None if fps is None else Fraction(fps).limit_denominator(1000)


def answers(frames: Iterator[Frame], windows: LiveWindows, dropped: Callable[[], int]) -> Iterator[LiveAnswer]:
    """Answers about a stream, each as soon as it is known; `dropped` tells how many frames nobody looked at."""
    for frame in frames:
        found = windows.push(frame)
        if found is not None:
            predictions, start, end = found
            late = time.monotonic() - frame.time_s
            yield from (LiveAnswer(prediction, start, end, late, dropped()) for prediction in predictions)
