"""Several videos, one after the other: predicted, drawn where asked, skipped by name where they cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from x3ddeploy.atomic import explain_os_errors
from x3ddeploy.contract import Contract
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.annotate import annotate_video
from x3ddeploy.prediction.estimated import EstimatedKeypoints
from x3ddeploy.prediction.inputs import KeypointFiles, KeypointSource, find_videos, is_video
from x3ddeploy.prediction.persons import each_person
from x3ddeploy.prediction.predict import OpenedVideo, Prediction, Windowing, open_video, predict_windows
from x3ddeploy.progress import Progress


@dataclass(frozen=True)
class SkippedVideo:
    """A video that could not be used, and why."""

    video: Path
    reason: DataError


def predict_videos(
    paths: Sequence[Path],
    keypoints: Path | PoseEstimator | None,
    contract: Contract,
    labels: Sequence[str],
    scorer: Scorer,
    windowing: Windowing,
    *,
    persons: bool,
    workers: int,
    on_error: Literal["raise", "skip"],
    annotate: Path | None,
    html: Path | None,
    progress: Progress,
) -> Iterator[Prediction | SkippedVideo]:
    """Predictions in the order of the videos and their windows; see `x3ddeploy.Recognizer.predict_videos`."""
    videos = find_videos(paths, contract.inputs)
    files: KeypointSource
    if isinstance(keypoints, PoseEstimator):
        files = EstimatedKeypoints(keypoints, contract.inputs, progress)
    else:
        files = KeypointFiles(keypoints, len(videos))
    drawn = _drawn_files(annotate, videos, several=len(videos) > 1 or paths[0].is_dir())
    if html is not None:
        _check_page(html, videos)
    predicted = partial(
        predict_each_person if persons else predict_windows,
        contract=contract,
        labels=labels,
        scorer=scorer,
        windowing=windowing,
        workers=workers,
    )
    opened = partial(open_video, keypoints=files, inputs=contract.inputs)
    return _predictions(videos, opened, predicted, on_error, drawn, html, progress)


def predict_each_person(video: OpenedVideo, *, windowing: Windowing, **how: Any) -> Iterator[Prediction]:
    """Predictions for the first person's windows, then the next one's; where a person is not seen there is none."""
    for person, alone in each_person(video, windowing.min_keypoint_score):
        for prediction in predict_windows(alone, windowing=windowing, **how):
            if prediction.seen:
                yield replace(prediction, person=person)


def _predictions(
    videos: Sequence[Path],
    opened: Callable[[Path], OpenedVideo],
    predicted: Callable[[OpenedVideo], Iterator[Prediction]],
    on_error: Literal["raise", "skip"],
    drawn: Mapping[Path, Path],
    html: Path | None,
    progress: Progress,
) -> Iterator[Prediction | SkippedVideo]:
    skipped = 0
    for path in videos:
        try:
            video = opened(path)
            predictions = []
            for prediction in predicted(video):
                yield prediction
                predictions.append(prediction)
            if path in drawn:
                output = drawn[path]
                annotate_video(video, predictions, output, partial(progress.count, f"drawing {output.name}"))
                progress(f"written: {output}")
            if html is not None:
                from x3ddeploy.prediction.page import write_page  # with jinja2, which nothing else here needs

                write_page(video, predictions, html)
                progress(f"written: {html}")
        except DataError as error:
            if on_error == "raise":
                raise
            skipped += 1
            yield SkippedVideo(path, error)
    if skipped == len(videos):
        raise DataError(f"none of the {skipped} videos could be used")


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
