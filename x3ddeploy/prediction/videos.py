"""One video after the other: predicted, drawn where asked, skipped by name where it cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from x3ddeploy.atomic import explain_os_errors
from x3ddeploy.contract import Contract, Input
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.annotate import annotate_video
from x3ddeploy.prediction.inputs import KeypointFiles, KeypointSource, is_video
from x3ddeploy.prediction.persons import each_person
from x3ddeploy.prediction.pose_keypoints import EstimatedKeypoints
from x3ddeploy.prediction.predict import OpenedVideo, Prediction, Windowing, open_video, predict_windows
from x3ddeploy.progress import Progress
from x3ddeploy.terms import Decoder


@dataclass(frozen=True)
class SkippedVideo:
    """A video that could not be used, and why."""

    video: Path
    reason: DataError


@dataclass(frozen=True, eq=False)
class VideoPredictor:
    """A network and a source of keypoints, for one video after the other.

    Attributes:
        contract, labels, scorer: the network's.
        keypoints: where they come from.
        windowing: how videos are cut up.
        persons: an answer for each person; else one for all.
        workers: threads that load clips.
        decoder: decodes the videos.
    """

    contract: Contract
    labels: Sequence[str]
    scorer: Scorer
    keypoints: KeypointSource
    windowing: Windowing
    persons: bool
    workers: int
    decoder: Decoder = Decoder.PYAV

    def open(self, path: Path) -> OpenedVideo:
        """Raises DataError where the video or its keypoints cannot be used."""
        return open_video(path, self.keypoints, self.contract.inputs, self.decoder)

    def predictions(self, video: OpenedVideo) -> Iterator[Prediction]:
        """Predictions of the windows, see `predict_windows`; with `persons` see `predict_each_person`."""
        predicted = predict_each_person if self.persons else predict_windows
        return predicted(
            video,
            contract=self.contract,
            labels=self.labels,
            scorer=self.scorer,
            windowing=self.windowing,
            workers=self.workers,
        )


def predict_each_person(video: OpenedVideo, *, windowing: Windowing, **how: Any) -> Iterator[Prediction]:
    """Predictions for the first person's windows, then the next one's; where a person is not seen there is none."""
    for person, alone in each_person(video, windowing.min_keypoint_score):
        for prediction in predict_windows(alone, windowing=windowing, **how):
            if prediction.seen:
                yield replace(prediction, person=person)


Found = Prediction | SkippedVideo
# What is done with a video and its predictions when they are complete.
Finish = Callable[[OpenedVideo, Sequence[Prediction]], None]


def predict_video(
    path: Path, predictor: VideoPredictor, on_error: Literal["raise", "skip"], finish: Finish | None = None
) -> Iterator[Found]:
    """Predictions of a video in the order of its windows.

    Args:
        path: the video.
        predictor: opened.
        on_error: whether a SkippedVideo or the DataError itself ends the predictions of a video that cannot be used.
        finish: called after the last one.
    """
    try:
        video = predictor.open(path)
        predictions = []
        for prediction in predictor.predictions(video):
            yield prediction
            predictions.append(prediction)
        if finish is not None:
            finish(video, predictions)
    except DataError as error:
        if on_error == "raise":
            raise
        yield SkippedVideo(path, error)


def keypoint_source(
    keypoints: Path | PoseEstimator | None, inputs: Mapping[str, Input], videos: int, progress: Progress
) -> KeypointSource:
    """Files, or a pose model. Raises UsageError where they do not fit the network or so many videos."""
    if isinstance(keypoints, PoseEstimator):
        return EstimatedKeypoints(keypoints, inputs, progress)
    return KeypointFiles(keypoints, videos)


def none_only_skipped(videos: Iterable[Iterable[Found]]) -> Iterator[Found]:
    """What was found in one video after the other. At the end raises DataError where none of them could be used."""
    count = skipped = 0
    for found in videos:
        count += 1
        for item in found:
            skipped += isinstance(item, SkippedVideo)
            yield item
    if skipped and skipped == count:
        raise DataError(f"none of the {skipped} videos could be used")


def finishing(
    annotate: Path | None, html: Path | None, videos: Sequence[Path], several: bool, progress: Progress
) -> Finish:
    """Draw each video, and write its page, where asked.

    Args:
        annotate: see `x3ddeploy.Recognizer.predict_videos`.
        html: page to write, of one video alone.
        videos: all of them.
        several: whether `annotate` is a folder.
        progress: receives each file that is written.

    Raises:
        UsageError: `annotate` or `html` is no place for these videos.
    """
    drawn = _drawn_files(annotate, videos, several)
    if html is not None:
        _check_page(html, videos)

    def finish(video: OpenedVideo, predictions: Sequence[Prediction]) -> None:
        if video.path in drawn:
            output = drawn[video.path]
            annotate_video(video, predictions, output, partial(progress.count, f"drawing {output.name}"))
            progress(f"written: {output}")
        if html is not None:
            from x3ddeploy.prediction.page import write_page  # with jinja2, which nothing else here needs

            write_page(video, predictions, html)
            progress(f"written: {html}")

    return finish


def _drawn_files(annotate: Path | None, videos: Sequence[Path], several: bool) -> dict[Path, Path]:
    """Where each video is written to with its skeletons and labels."""
    if annotate is None:
        return {}
    if not several:
        if annotate.suffix.lower() != ".mp4" or annotate.is_dir():
            raise UsageError(f"cannot write a video to {annotate}", hint="name a file that ends in .mp4")
        places = {videos[0]: annotate}
    else:
        if annotate.suffix.lower() == ".mp4" and not annotate.is_dir():
            raise UsageError(f"{annotate} is one file, and there are {len(videos)} videos", hint="name a folder")
        places = {video: annotate / f"{video.stem}.mp4" for video in videos}
        if len(set(places.values())) < len(videos):
            raise UsageError("two of the videos have the same name", hint="annotate them one by one")
    if any(place.exists() and place.samefile(video) for video, place in places.items()):
        raise UsageError(f"--annotate {annotate} would write over a video that is read", hint="name another place")
    with explain_os_errors(annotate):
        (annotate if several else annotate.parent).mkdir(parents=True, exist_ok=True)
    return places


def _check_page(html: Path, videos: Sequence[Path]) -> None:
    """A page plays one video; makes the folder that the page goes to."""
    if html.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"cannot write a page to {html}", hint="name a file that ends in .html")
    if len(videos) > 1:
        raise UsageError(f"{html} is a page of one video, and there are {len(videos)}", hint="name one video a page")
    if not is_video(videos[0]):
        raise UsageError(f"{html} is to play {videos[0]}, which is no video", hint="name the video itself")
    with explain_os_errors(html):
        html.parent.mkdir(parents=True, exist_ok=True)
