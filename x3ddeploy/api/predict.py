"""`x3ddeploy.predict`: the actions in many videos, written as they are known, here or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, overload

from x3ddeploy.api.many_videos import cluster_of, identity
from x3ddeploy.api.recognizer import Recognizer, opened_in
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.cluster import Cluster, on_cluster
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.files import sha256_of
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.inputs import find_videos
from x3ddeploy.prediction.predict import Prediction, Windowing
from x3ddeploy.prediction.rows import KEY, is_failed, row_schema, video_rows
from x3ddeploy.prediction.videos import (
    Found,
    SkippedVideo,
    VideoPredictor,
    finishing,
    keypoint_source,
    none_only_skipped,
    predict_video,
)
from x3ddeploy.progress import QUIET, Progress, Step, counting
from x3ddeploy.rows import Row, open_rows, run_of
from x3ddeploy.runtimes.registry import Execution, execution_named
from x3ddeploy.terms import AnyPath, Decoder, Precision, named

_Each = Iterable[tuple[Path, Iterable[Found]]]


@dataclass(frozen=True)
class _Job:
    """How videos are predicted, here or in a worker.

    Attributes:
        keypoints: file, folder or pose model.
        videos: how many there are in all.
        threads: CPU threads of the network; None leaves the runtime's own default.
    """

    execution: Execution
    keypoints: Path | PoseEstimator | None
    videos: int
    windowing: Windowing
    each_person: bool
    workers: int
    on_error: Literal["raise", "skip"]
    threads: int | None
    decoder: Decoder

    def open(self, bundle: Bundle, progress: Progress = QUIET) -> tuple[Recognizer, VideoPredictor]:
        recognizer = opened_in(bundle, self.execution, self.threads, self.decoder)
        return recognizer, recognizer.predictor(
            self.keypoints,
            self.videos,
            self.windowing,
            each_person=self.each_person,
            workers=self.workers,
            progress=progress,
        )


# fmt: off
@overload
def predict(
    videos: Sequence[AnyPath], keypoints: AnyPath | PoseEstimator | None = ..., *, bundle: AnyPath = ...,
    runtime: str = ..., device: str | None = ..., precision: str | Precision = ..., decoder: str | Decoder = ...,
    window: int | None = ..., stride: int | None = ..., num_clips: int | None = ...,
    min_keypoint_score: float | None = ..., each_person: bool = ..., workers: int = ...,
    on_error: Literal["raise"] = ..., annotate: AnyPath | None = ..., html: AnyPath | None = ...,
    output: AnyPath | None = ..., top_k: int = ..., ray: str | None = ..., ray_workers: int | None = ...,
    progress: Step = ...,
) -> Iterator[Prediction]: ...
@overload
def predict(
    videos: Sequence[AnyPath], keypoints: AnyPath | PoseEstimator | None = ..., *, bundle: AnyPath = ...,
    runtime: str = ..., device: str | None = ..., precision: str | Precision = ..., decoder: str | Decoder = ...,
    window: int | None = ..., stride: int | None = ..., num_clips: int | None = ...,
    min_keypoint_score: float | None = ..., each_person: bool = ..., workers: int = ...,
    on_error: Literal["raise", "skip"], annotate: AnyPath | None = ..., html: AnyPath | None = ...,
    output: AnyPath | None = ..., top_k: int = ..., ray: str | None = ..., ray_workers: int | None = ...,
    progress: Step = ...,
) -> Iterator[Found]: ...
# fmt: on
def predict(
    videos: Sequence[AnyPath],
    keypoints: AnyPath | PoseEstimator | None = None,
    *,
    bundle: AnyPath = "deploy",
    runtime: str = "onnxruntime",
    device: str | None = None,
    precision: str | Precision = Precision.FP32,
    decoder: str | Decoder = Decoder.PYAV,
    window: int | None = None,
    stride: int | None = None,
    num_clips: int | None = None,
    min_keypoint_score: float | None = None,
    each_person: bool = False,
    workers: int = 2,
    on_error: Literal["raise", "skip"] = "raise",
    annotate: AnyPath | None = None,
    html: AnyPath | None = None,
    output: AnyPath | None = None,
    top_k: int = 3,
    ray: str | None = None,
    ray_workers: int | None = None,
    progress: Step = QUIET,
) -> Iterator[Found]:
    """Predictions for the windows of many videos, one by one as they are known; see `Recognizer.predict_videos`.

    Args:
        videos: files, and folders of them.
        keypoints: file or folder with those of all videos; None for a file beside each; or an opened pose model.
        bundle: directory.
        runtime: as `x3ddeploy.open` takes it.
        device: device of the runtime; None for its first.
        precision: precision of the graphs or engines.
        decoder: decoder of video files: 'pyav' or 'nvdec'.
        window: length in frames; None takes each whole video.
        stride: frames from one window to the next; None for half a window.
        num_clips: clips of a window, which are averaged.
        min_keypoint_score: joints of a lower score are left out.
        each_person: an answer for each person and window; else one for all.
        workers: threads that load clips; on a cluster the cores of each worker.
        on_error: 'skip' gives a SkippedVideo where a video cannot be used, and goes on with the next.
        annotate: write the videos with skeletons and labels drawn in; not on a cluster.
        html: write a page that plays the one video; not on a cluster.
        output: a file (.jsonl) or a folder of Parquet files (.parquet) that gets a row for each window, and for each
            video that is skipped. Videos that are in it already are not looked at again. A video's rows are written
            before its first prediction is given.
        top_k: classes in a row, of each score.
        ray: address of a Ray cluster whose workers predict; see `x3ddeploy.cluster.Cluster`. None predicts here. The
            videos come in the order in which they are done.
        ray_workers: how many workers; None for as many as there is room for.
        progress: receives steps as lines.

    Raises:
        UsageError: a path is not there, or what was asked for does not fit together.
        DataError: a video cannot be used, or none can.
        GateError: the network gives NaN or infinity.
        MissingRequirementError: the runtime, Ray or pyarrow is not here; the hint says what to install.
    """
    paths = [Path(path) for path in videos]
    opened = open_whole(Path(bundle))
    found = find_videos(paths, opened.contract.inputs)
    execution, decodes = execution_named(runtime, device, precision), named(Decoder, decoder)
    if ray is not None and (annotate is not None or html is not None):
        raise UsageError("a cluster draws nothing", hint="leave --annotate and --html out, or --ray")
    cluster = cluster_of(ray, ray_workers, workers, [execution])
    given = keypoints if keypoints is None or isinstance(keypoints, PoseEstimator) else Path(keypoints)
    windowing = Windowing(window, stride, num_clips, min_keypoint_score)
    threads = None if cluster is None else workers
    job = _Job(execution, given, len(found), windowing, each_person, workers, on_error, threads, decodes)
    steps = counting(progress)
    several = len(found) > 1 or paths[0].is_dir()
    finish = finishing(
        None if annotate is None else Path(annotate), None if html is None else Path(html), found, several, steps
    )
    each: Callable[[Sequence[Path]], _Each]
    if cluster is None:
        each = partial(_here, bundle=opened, job=job, finish=finish, progress=steps)
    else:
        keypoint_source(given, opened.contract.inputs, len(found), steps)  # what does not fit is refused at once
        each = partial(_elsewhere, bundle=opened.path, job=job, cluster=cluster, progress=steps)
    if output is None:
        return none_only_skipped(found for _, found in each(found))
    settings = {
        **identity(opened, [execution]),
        "windowing": asdict(windowing),
        "keypoints": _named(given),
        "each_person": each_person,
        "decoder": decodes,
        "top_k": top_k,
    }
    schema = row_schema(opened.contract)
    return _written(each, found, Path(output), top_k, run_of(settings), schema, steps)


def _here(videos: Sequence[Path], bundle: Bundle, job: _Job, finish: Callable[..., None], progress: Progress) -> _Each:
    recognizer, predictor = job.open(bundle, progress)
    with recognizer:
        for path in videos:
            yield path, predict_video(path, predictor, job.on_error, finish)


def _elsewhere(videos: Sequence[Path], bundle: Path, job: _Job, cluster: Cluster, progress: Progress) -> _Each:
    done = 0
    for group, answers in on_cluster(cluster, partial(_worker, bundle, job), videos, progress):
        for path, found in zip(group, answers or [_lost(path, job) for path in group], strict=True):
            done += 1
            progress.count("videos", done, len(videos))
            yield path, found


def _worker(bundle: Path, job: _Job) -> Callable[[Sequence[Path]], list[list[Found]]]:
    _, predictor = job.open(open_whole(bundle))
    return lambda paths: [list(predict_video(path, predictor, job.on_error)) for path in paths]


def _lost(path: Path, job: _Job) -> list[Found]:
    error = DataError(f"{path}: every worker that looked at it died", hint="look at it alone, without --ray")
    if job.on_error == "raise":
        raise error
    return [SkippedVideo(path, error)]


def _written(
    each: Callable[[Sequence[Path]], _Each],
    videos: Sequence[Path],
    output: Path,
    top: int,
    run: str,
    schema: Callable[..., object],
    progress: Progress,
) -> Iterator[Found]:
    """Each video's rows are written, then it is passed on; those that are there already are left out."""
    failed: dict[str, bool] = {}

    def keep(name: str, rows: Sequence[Row]) -> None:
        failed[name] = is_failed(rows)

    wanted = list(dict.fromkeys(map(str, videos)))
    with open_rows(output, KEY, run, keep, schema) as written:
        missing = [Path(name) for name in wanted if name not in failed]
        if len(missing) < len(wanted):
            progress(f"{len(wanted) - len(missing)} of {len(wanted)} videos are in {output} already")
        for path, answers in each(missing) if missing else ():
            found = list(answers)
            rows = video_rows(path, found, top)
            written.add(rows)
            failed[str(path)] = is_failed(rows)
            yield from found
    if all(failed[name] for name in wanted):
        raise DataError(f"none of the {len(wanted)} videos could be used: {output} says why")


def _named(keypoints: Path | PoseEstimator | None) -> list[str]:
    """What says whether keypoints are the same."""
    if isinstance(keypoints, PoseEstimator):
        models = [model.path for model in (keypoints.pose, keypoints.detector) if model is not None]
        return [sha256_of(model) for model in models]
    return [] if keypoints is None else [str(keypoints)]
