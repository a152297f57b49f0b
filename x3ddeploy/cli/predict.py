"""`x3ddeploy predict`: which actions do these videos show?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from x3ddeploy.cli.echo import echo, echo_lines, print_json
from x3ddeploy.cli.parameters import (
    MOST_CLIPS_AT_A_TIME,
    MOST_FRAMES,
    MOST_THREADS,
    Count,
    min_keypoint_score,
    one_placement,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from x3ddeploy.bundle import Bundle
    from x3ddeploy.evaluation.scores import Scorer
    from x3ddeploy.prediction.predict import OpenedVideo, Prediction


_MOST_CLASSES = 100_000
_VIEWS_AT_A_TIME = 10  # of a window; memory stays that of so many


@click.command()
@click.argument("videos", metavar="VIDEO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--keypoints",
    type=click.Path(path_type=Path),
    help="File (.npz, COCO .json, MMAction2 .pkl), or folder of files of the videos' names.  [default: beside each]",
)
@click.option("--bundle", type=click.Path(path_type=Path), default="deploy", show_default=True)
@one_placement
@click.option("--window", type=Count(MOST_FRAMES), help="Frames a window.  [default: the whole video]")
@click.option("--stride", type=Count(MOST_FRAMES), help="Frames from window to window.  [default: half a window]")
@click.option(
    "--num-clips",
    type=Count(MOST_CLIPS_AT_A_TIME),
    help="Clips a window, averaged.  [default: as many as the network was tested with]",
)
@click.option("--top-k", type=Count(_MOST_CLASSES), default=3, show_default=True, help="Classes listed.")
@min_keypoint_score
@click.option("--workers", type=Count(MOST_THREADS), default=2, show_default=True, help="Threads that load clips.")
@click.option(
    "--on-error",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="What becomes of a video that cannot be read or has no keypoints; skipped ones are named.",
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    help="Write the video with skeletons and labels drawn in: an .mp4 file, or for several videos a folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one a window.")
def command(
    videos: tuple[Path, ...],
    keypoints: Path | None,
    bundle: Path,
    runtime: str,
    device: str | None,
    precision: str,
    window: int | None,
    stride: int | None,
    num_clips: int | None,
    top_k: int,
    min_keypoint_score: float | None,
    workers: int,
    on_error: Literal["raise", "skip"],
    annotate: Path | None,
    as_json: bool,
) -> None:
    """Name the action in each VIDEO, or in each window of it; a folder stands for all videos in it.

    Where the network needs keypoints, they come from a pose estimator of yours, for every frame of the video;
    docs/predict.md shows how to bring one.
    """
    from x3ddeploy.bundle.check import open_whole
    from x3ddeploy.errors import DataError, UsageError
    from x3ddeploy.evaluation.report import class_names
    from x3ddeploy.prediction.inputs import KeypointFiles, find_videos
    from x3ddeploy.prediction.predict import Windowing, open_video, predict_windows

    if stride is not None and window is None:
        raise UsageError("--stride goes from window to window, and there are none", hint="give --window, too")
    opened = open_whole(bundle)
    contract = opened.contract
    found = find_videos(videos, contract.inputs)
    files = KeypointFiles(keypoints, len(found))
    places = _annotated_files(annotate, found, several=len(found) > 1 or videos[0].is_dir())
    scorer = _scorer(opened, runtime, device, precision)
    names = class_names(opened)
    windowing = Windowing(window, stride, num_clips, min_keypoint_score)
    skipped = 0
    for path in found:
        try:
            video = open_video(path, files, contract.inputs)
            predictions = []
            for prediction in predict_windows(video, contract, scorer, windowing, workers):
                record = prediction.to_json(names, top_k)
                if as_json:
                    print_json(record, indent=None)
                else:
                    echo(_line(record, tuple(prediction.scores)))
                predictions.append(prediction)
            for note in predictions[0].notes:
                echo(f"note: {path}: {note}", err=True)
            if path in places:
                _annotate(video, predictions, names, places[path])
        except DataError as error:
            if on_error == "raise":
                raise
            skipped += 1
            echo_lines(f"skipped: {error}")
    if skipped == len(found):
        raise DataError(f"none of the {skipped} videos could be used")
    if skipped:
        echo(f"{skipped} of {len(found)} videos were skipped", err=True)


def _scorer(bundle: Bundle, runtime: str, device: str | None, precision: str) -> Scorer:
    from x3ddeploy.evaluation.scores import Scorer
    from x3ddeploy.runtimes.registry import Execution, open_part, runtime_named
    from x3ddeploy.terms import Precision

    execution = Execution(runtime, device or runtime_named(runtime).default_device, Precision(precision))
    return Scorer(open_part(bundle, execution), bundle.contract, _VIEWS_AT_A_TIME)


def _annotated_files(annotate: Path | None, videos: Sequence[Path], several: bool) -> dict[Path, Path]:
    """Where each video is written to with its skeletons and labels."""
    from x3ddeploy.atomic import explain_os_errors
    from x3ddeploy.errors import UsageError

    if annotate is None:
        return {}
    if not several:
        if annotate.suffix.lower() != ".mp4":
            raise UsageError(f"cannot write a video to {annotate}", hint="name a file that ends in .mp4")
        places = {videos[0]: annotate}
    else:
        if annotate.suffix.lower() == ".mp4":
            raise UsageError(f"{annotate} is one file, and there are {len(videos)} videos", hint="name a folder")
        places = {video: annotate / f"{video.stem}.mp4" for video in videos}
        if len(set(places.values())) < len(videos):
            raise UsageError("two of the videos have the same name", hint="annotate them one by one")
    if any(place.exists() and place.samefile(video) for video, place in places.items()):
        raise UsageError(f"--annotate {annotate} would write over a video that is read", hint="name another place")
    with explain_os_errors(annotate):
        (annotate if several else annotate.parent).mkdir(parents=True, exist_ok=True)
    return places


def _annotate(video: OpenedVideo, predictions: Sequence[Prediction], names: Sequence[str], output: Path) -> None:
    from x3ddeploy.cli.output import Steps
    from x3ddeploy.prediction.annotate import annotate_video

    with Steps().bars() as progress:
        annotate_video(video, predictions, names, output, partial(progress.count, f"drawing {output.name}"))
    echo(f"written: {output}", err=True)


def _line(record: dict[str, Any], scores: Sequence[str]) -> str:
    """One window for people: its place, the deployed score's classes, each other one's first."""
    place = f"{record['video']}  frames {record['start_frame']}-{record['end_frame'] - 1}"
    if record["start_s"] is not None:
        place += f"  {record['start_s']:.2f}-{record['end_s']:.2f} s"
    if record["label"] is None:
        return f"{place}  no person"
    deployed, *others = scores
    best = ", ".join(_class(entry) for entry in record[deployed])
    beside = "; ".join(f"{name} {_class(record[name][0])}" for name in others)
    return f"{place}  {best}" + (f"  ({beside})" if beside else "")


def _class(entry: dict[str, Any]) -> str:
    return f"{entry['label']} {entry['score']:.1%}"
