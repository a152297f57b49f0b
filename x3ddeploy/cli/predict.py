"""`x3ddeploy predict`: which actions do these videos show?"""

from __future__ import annotations

import contextlib
from io import FileIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, echo_lines, other_threads_on_stderr, print_json
from x3ddeploy.cli.parameters import (
    MOST_CLIPS_AT_A_TIME,
    MOST_FRAMES,
    MOST_THREADS,
    Count,
    Number,
    Verb,
    check_pose_models,
    decoder,
    min_keypoint_score,
    one_placement,
    pose_models,
    ray_options,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from x3ddeploy.api.recognizer import Recognizer
    from x3ddeploy.pose.estimate import PoseEstimator
    from x3ddeploy.prediction.document import PredictionLine, RankedClass
    from x3ddeploy.prediction.live import LiveAnswer

_MOST_CLASSES = 100_000
_MOST_SECONDS = 3600
_SECONDS = (3.0, 1.0)
_OF_FILES = ("keypoints", "window", "stride", "workers", "on_error", "annotate", "html", "output", "ray", "ray_workers")
_OF_LIVE = ("seconds", "raw")


@click.command(cls=Verb)
@click.argument("videos", metavar="VIDEO...", nargs=-1, required=True)  # text: a Path would spoil 'rtsp://'
@click.option(
    "--keypoints",
    type=click.Path(path_type=Path),
    help="File (.npz, COCO .json, MMAction2 .pkl), or folder of files of the videos' names.  [default: beside each]",
)
@pose_models(required=False)
@click.option("--bundle", type=click.Path(path_type=Path), default="deploy", show_default=True)
@one_placement
@decoder
@click.option("--window", type=Count(MOST_FRAMES), help="Frames a window.  [default: the whole video]")
@click.option(
    "--seconds",
    nargs=2,
    type=Number(_MOST_SECONDS),
    metavar="WINDOW STRIDE",
    help="Of live input: length of a window, and from one to the next.  [default: 3 1]",
)
@click.option("--watch", is_flag=True, help="VIDEO is a folder that fills, with videos or with pictures.")
@click.option("--raw", metavar="WIDTHxHEIGHT", help="Of a pipe of R, G, B pictures, which '-' reads.")
@click.option("--stride", type=Count(MOST_FRAMES), help="Frames from window to window.  [default: half a window]")
@click.option(
    "--num-clips",
    type=Count(MOST_CLIPS_AT_A_TIME),
    help="Clips a window, averaged.  [default: as many as the network was tested with]",
)
@click.option("--top-k", type=Count(_MOST_CLASSES), default=3, show_default=True, help="Classes listed.")
@min_keypoint_score
@click.option("--each-person", is_flag=True, help="An answer for each person; without it one for all of them.")
@click.option("--workers", type=Count(MOST_THREADS), default=2, show_default=True, help="Threads that load clips.")
@click.option(
    "--on-error",
    type=click.Choice(["raise", "skip"]),
    help="What becomes of a video that cannot be read or has no keypoints; skipped ones are named.  "
    "[default: raise; with -o or --ray, skip]",
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    help="Write the video with skeletons and labels drawn in: an .mp4 file, or for several videos a folder.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write a page that plays the one VIDEO, with skeletons, labels and scores over time.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write JSON lines to a file .jsonl, or Parquet to a folder .parquet; videos that are in it are left out.",
)
@ray_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one a window.")
def command(
    videos: tuple[str, ...],
    keypoints: Path | None,
    pose: Path | None,
    detector: Path | None,
    pose_pixels: str | None,
    detector_pixels: str | None,
    bundle: Path,
    runtime: str,
    device: str | None,
    precision: str,
    decoder: str,
    window: int | None,
    seconds: tuple[float, float] | None,
    watch: bool,
    raw: str | None,
    stride: int | None,
    num_clips: int | None,
    top_k: int,
    min_keypoint_score: float | None,
    each_person: bool,
    workers: int,
    on_error: Literal["raise", "skip"] | None,
    annotate: Path | None,
    html: Path | None,
    output: Path | None,
    ray: str | None,
    ray_workers: int | None,
    as_json: bool,
) -> None:
    """Name the action in each VIDEO, or in each window of it; a folder stands for all videos in it.

    Live, VIDEO is a camera's number (0), an address (rtsp://...), - for a pipe of raw pictures (--raw), or a folder
    that fills (--watch): an answer about the last seconds, every so many seconds, until Ctrl-C (docs/live.md).

    Where the network needs keypoints, they come from files, one of every frame of the video (docs/predict.md), or
    from a pose model of yours that looks at the video here: `--pose POSE.onnx` (docs/pose.md).
    """
    from x3ddeploy.cli.next_steps import after_predicting, print_next
    from x3ddeploy.cli.output import Steps
    from x3ddeploy.errors import UsageError

    if stride is not None and window is None:
        raise UsageError("--stride goes from window to window, and there are none", hint="give --window, too")
    check_pose_models(keypoints, pose, detector, pose_pixels, detector_pixels)
    from x3ddeploy.api.recognizer import SkippedVideo, is_live

    live = watch or any(map(is_live, videos))
    if live and len(videos) > 1:
        raise UsageError("live input is one source", hint="see docs/live.md")
    if misplaced := _given(_OF_FILES if live else _OF_LIVE):
        what = "is of files, and this is live input" if live else "is of live input, and these are files"
        raise UsageError(f"{misplaced[0]} {what}", hint="leave it out; docs/live.md")
    if output is not None and as_json:
        raise UsageError("--json prints lines, and -o writes them", hint="leave one out")
    many = output is not None or ray is not None
    told: dict[Path | str, None] = {}  # in order
    skipped = 0
    with contextlib.ExitStack() as opened, Steps().bars() as progress, other_threads_on_stderr():
        recognizer = None
        if live:
            recognizer = opened.enter_context(
                x3ddeploy.open(bundle, runtime=runtime, device=device, precision=precision, decoder=decoder)
            )
        estimator = None
        if pose is not None:
            estimator = opened.enter_context(
                x3ddeploy.PoseEstimator(
                    pose,
                    detector,
                    pose_pixels=pose_pixels,
                    detector_pixels=detector_pixels,
                    threads=None if ray is None else workers,
                )
            )
        if recognizer is not None:
            source = Path(videos[0]) if watch else videos[0]
            answers = _stream(
                recognizer,
                source,
                raw,
                estimator,
                seconds or _SECONDS,
                num_clips=num_clips,
                min_keypoint_score=min_keypoint_score,
                each_person=each_person,
                progress=progress,
            )
            _print_live(answers, top_k, as_json)
            return
        for found in x3ddeploy.predict(
            videos,
            estimator or keypoints,
            bundle=bundle,
            runtime=runtime,
            device=device,
            precision=precision,
            decoder=decoder,
            window=window,
            stride=stride,
            num_clips=num_clips,
            min_keypoint_score=min_keypoint_score,
            each_person=each_person,
            workers=workers,
            on_error=on_error or ("skip" if many else "raise"),
            annotate=annotate,
            html=html,
            output=output,
            top_k=top_k,
            ray=ray,
            ray_workers=ray_workers,
            progress=progress,
        ):
            if isinstance(found, SkippedVideo):
                skipped += 1
                echo_lines(f"skipped: {found.reason}")
                continue
            if output is None:
                line = found.line(top_k)
                if as_json:
                    print_json(line.to_json(), indent=None)
                else:
                    echo(_line(line))
            if found.video not in told:
                told[found.video] = None
                for note in found.notes:
                    echo(f"note: {found.video}: {note}", err=True)
    if skipped:
        echo(f"{skipped} of {skipped + len(told)} videos were skipped", err=True)
    if output is not None:
        echo(f"written: {output}")
    if told and not as_json:
        following = after_predicting(
            next(iter(told)),
            bundle=bundle,
            keypoints=keypoints,
            pose=pose,
            detector=detector,
            min_keypoint_score=min_keypoint_score,
        )
        print_next(following, err=True)


def _given(names: tuple[str, ...]) -> list[str]:
    """Options, of those given by their parameters' names, that were typed."""
    context = click.get_current_context()
    typed = click.core.ParameterSource.COMMANDLINE
    return [f"--{name.replace('_', '-')}" for name in names if context.get_parameter_source(name) is typed]


def _stream(
    recognizer: Recognizer,
    source: str | Path,
    raw: str | None,
    estimator: PoseEstimator | None,
    seconds: tuple[float, float],
    **options: Any,
) -> Iterator[LiveAnswer]:
    from x3ddeploy.api.recognizer import raw_size
    from x3ddeploy.errors import UsageError

    if (source == "-") != (raw is not None):
        raise UsageError("- and --raw WIDTHxHEIGHT go together", hint="give both, or neither")
    return recognizer.stream(
        # Not sys.stdin: a thread that waits in a buffered reader would hold its lock when the interpreter ends.
        source if raw is None else FileIO(0, closefd=False),
        estimator,
        window_s=seconds[0],
        stride_s=seconds[1],
        size=None if raw is None else raw_size(raw),
        **options,
    )


def _print_live(answers: Iterator[LiveAnswer], top_k: int, as_json: bool) -> None:
    """Each answer as it comes; at the end, or at Ctrl-C, how many there were and how late."""
    late, dropped = [], ""
    with contextlib.suppress(KeyboardInterrupt):
        for answer in answers:
            late.append(answer.latency_s)
            dropped = f"{answer.dropped_videos} videos" if answer.dropped_videos else f"{answer.dropped} frames"
            line = answer.line(top_k)
            if as_json:
                print_json(line.to_json(), indent=None)
            else:
                echo(f"{_line(line)}  {1e3 * answer.latency_s:.0f} ms after its last frame, {dropped} dropped")
    if late:
        echo(
            f"{len(late)} answers, {1e3 * median(late):.0f} ms after the last frame (worst "
            f"{1e3 * max(late):.0f} ms), {dropped} dropped",
            err=True,
        )
    else:
        echo("no window was full", err=True)


def _line(line: PredictionLine) -> str:
    """One window for people: its place, the deployed score's classes, each other one's first."""
    place = f"{line.video}  frames {line.start_frame}-{line.end_frame - 1}"
    if line.start_s is not None:
        place += f"  {line.start_s:.2f}-{line.end_s:.2f} s"
    if isinstance(line.person, int):
        place += f"  person {line.person}"
    if line.label is None:
        return f"{place}  no person"
    deployed, *_ = line.scores.values()
    best = ", ".join(map(_class, deployed))
    beside = "; ".join(f"{name} {_class(classes[0])}" for name, classes in list(line.scores.items())[1:])
    return f"{place}  {best}" + (f"  ({beside})" if beside else "")


def _class(found: RankedClass) -> str:
    return f"{found.label} {found.score:.1%}"
