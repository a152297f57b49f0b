"""`x3ddeploy.evaluate`: how accurate is a bundle, in every runtime and precision, beside PyTorch?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from x3ddeploy.api.many_videos import cluster_of, identity
from x3ddeploy.atomic import explain_os_errors, write_json
from x3ddeploy.bundle import EVAL, Bundle
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.cluster import Cluster, on_cluster
from x3ddeploy.data.loader import LoadingTime, SkippedClip
from x3ddeploy.data.sources import ClipSource, open_source
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.changes import changes, read_earlier
from x3ddeploy.evaluation.document import EvalReport
from x3ddeploy.evaluation.evaluate import ClipScorer, Loading, Scored
from x3ddeploy.evaluation.evaluate import evaluate as evaluate_bundle
from x3ddeploy.evaluation.plot import INSTALL, can_plot, plot_evaluation, require_plot
from x3ddeploy.evaluation.report import eval_report
from x3ddeploy.evaluation.rows import WrittenClips
from x3ddeploy.places import REPORT_BYTES, require_place
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.rows import run_of
from x3ddeploy.runtimes.choice import choose, is_usable
from x3ddeploy.runtimes.registry import REFERENCE, Execution
from x3ddeploy.terms import AnyPath, Precision

_CLIPS_A_TASK = 16  # so that a worker loads clips while it computes


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation.

    Attributes:
        report: what eval.json holds (docs/eval.md).
        files: what was written, eval.json first.
        streams: names of the scores that are of one set of logits.
    """

    report: EvalReport
    files: tuple[Path, ...]
    streams: tuple[str, ...]


def evaluate(
    bundle: AnyPath = "deploy",
    *,
    data: AnyPath,
    split: str | None = None,
    videos: AnyPath | None = None,
    runtimes: Sequence[str] = (),
    device: str | None = None,
    precisions: Sequence[str | Precision] = (),
    num_clips: int | None = None,
    min_keypoint_score: float | None = None,
    batch: int | None = None,
    workers: int = 2,
    on_error: Literal["raise", "skip"] = "raise",
    limit: int | None = None,
    output: AnyPath | None = None,
    against: AnyPath | None = None,
    plot: Literal["png", "svg"] | None = None,
    scores: AnyPath | None = None,
    ray: str | None = None,
    ray_workers: int | None = None,
    progress: Step = QUIET,
) -> Evaluated:
    """Measure the accuracy of a bundle on labelled clips, and write eval.json.

    Args:
        bundle: directory.
        data: labelled clips: a data set, an annotation pickle, a folder of .npz files, or a list of videos.
        split: split of the annotations.
        videos: folder of the videos; None for the one beside the data.
        runtimes: names of runtimes; none takes all that are installed. PyTorch is always among them.
        device: a device of the runtimes that are named; None for the first of each.
        precisions: precisions to evaluate; none takes all that the bundle has.
        num_clips: clips of a video, which are averaged; None for as many as the network was tested with.
        min_keypoint_score: joints of a lower score are left out; None counts all, as MMAction2 does.
        batch: clips at a time; None for the bundle's own, or 1.
        workers: threads that load clips.
        on_error: 'skip' goes on after a clip that cannot be loaded, and names it in the report.
        limit: number of videos to evaluate, of all classes alike; None takes all.
        output: folder for eval.json and confusion matrices; None writes eval.json into the bundle, and no matrices.
        against: earlier eval.json of as many videos of each class; the report then says what changed.
        plot: format of the matrices in `output`; None for PNG where matplotlib is installed.
        scores: a file (.jsonl) or a folder of Parquet files (.parquet) that gets each clip's scores as they are
            known. Clips that are in it already are not run again, and count as if they were.
        ray: address of a Ray cluster whose workers evaluate; see `x3ddeploy.cluster.Cluster`. None evaluates here.
            `workers` are then the cores of each worker.
        ray_workers: how many workers; None for as many as there is room for.
        progress: receives each step as a line.

    Raises:
        DataError: clips without a label, or such that cannot be loaded.
        BundleError: the bundle is not what its manifest says, or lacks a precision that was named.
        UsageError: an argument makes no sense for this bundle or these clips.
        MissingRequirementError: a runtime that was named, its device or matplotlib is not here.
        GateError: a runtime gives NaN or infinity.
    """
    if plot is not None:
        if output is None:
            raise UsageError("--plot has no folder to write to", hint="name one with -o")
        require_plot()
    earlier = None if against is None else read_earlier(Path(against))
    opened = open_whole(Path(bundle))
    folder = opened.path if output is None else Path(output)
    require_place(folder, REPORT_BYTES)
    choice = choose(opened, runtimes, device, precisions, here=ray is None)
    left_out = list(choice.left_out)
    if REFERENCE in choice.executions or is_usable(opened, REFERENCE.runtime, left_out):
        executions = tuple(dict.fromkeys([REFERENCE, *choice.executions]))
    else:  # the first of the others is what they are compared with
        executions = choice.executions
    left_out = list(dict.fromkeys(left_out))
    cluster = cluster_of(ray, ray_workers, workers, executions)
    of_clips = _Clips(Path(data), split, None if videos is None else Path(videos), num_clips, min_keypoint_score)
    source = of_clips.open(opened)
    progress(f"evaluating {', '.join(map(str, executions))} on {source.name}")
    if output is not None:
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    loading = Loading(batch, workers, on_error, limit)
    scoring = None
    if cluster is not None:
        scoring = _Elsewhere(
            cluster, partial(_worker, opened.path, of_clips, executions, loading), source, loading, progress
        )
    with contextlib.ExitStack() as stack:
        written = None
        if scores is not None:
            settings = {**identity(opened, executions), "data": dict(source.description)}
            written = WrittenClips(Path(scores), run_of(settings), opened.contract)
            stack.enter_context(written.rows)
            if written.known:
                progress(f"{len(written.known)} videos are in {scores} already")
        found = evaluate_bundle(
            opened,
            source,
            executions,
            loading,
            partial(counting(progress).count, "videos"),
            scoring=scoring,
            written=written,
        )
    report = eval_report(opened, source, found, loading, num_clips, left_out)
    write_json(folder / EVAL, report)
    if against is not None and earlier is not None:
        report = msgspec.structs.replace(report, against=changes(Path(against), earlier, report))
        write_json(folder / EVAL, report)
    files = [folder / EVAL]
    if output is not None and (plot or can_plot()):
        files += plot_evaluation(opened, found, report, folder, plot or "png")
    elif output is not None:
        progress(f"no confusion matrix is drawn: matplotlib is not installed ({INSTALL})")
    return Evaluated(report, tuple(files), tuple(opened.contract.logits))


@dataclass(frozen=True)
class _Clips:
    """What names a source of clips, here and in a worker; see `open_source`."""

    data: Path
    split: str | None
    videos: Path | None
    num_clips: int | None
    min_keypoint_score: float | None

    def open(self, bundle: Bundle) -> ClipSource:
        return open_source(self.data, bundle.contract, self.split, self.videos, self.num_clips, self.min_keypoint_score)


def _worker(
    bundle: Path, clips: _Clips, executions: Sequence[Execution], loading: Loading
) -> Callable[[Sequence[int]], tuple[list[Scored], LoadingTime]]:
    """Opened once; gives what came of some videos, and the time that they took."""
    opened = open_whole(bundle)
    scorer = ClipScorer(opened, clips.open(opened), executions, loading, threads=loading.workers)

    def score(indices: Sequence[int]) -> tuple[list[Scored], LoadingTime]:
        scorer.time = LoadingTime()
        return list(scorer(indices)), scorer.time

    return score


class _Elsewhere:
    """Scoring by the workers of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        worker: Callable[[], Callable[[Sequence[int]], tuple[list[Scored], LoadingTime]]],
        source: ClipSource,
        loading: Loading,
        progress: Step,
    ) -> None:
        self.time = LoadingTime()
        self._cluster, self._worker, self._names = cluster, worker, source.names()
        self._loading, self._progress = loading, progress

    def __call__(self, indices: Sequence[int]) -> Iterator[Scored]:
        batch = self._loading.batch or 1
        at_a_time = batch * -(-_CLIPS_A_TASK // batch)
        for group, answer in on_cluster(self._cluster, self._worker, indices, self._progress, at_a_time=at_a_time):
            if answer is None:
                names = ", ".join(self._names[index] for index in group)
                reason = "every worker that looked at it died"
                if self._loading.on_error == "raise":
                    raise DataError(f"{names}: {reason}", hint="--on-error skip leaves it out")
                yield from (SkippedClip(self._names[index], reason) for index in group)
                continue
            found, time = answer
            self.time.waiting_s += time.waiting_s
            self.time.total_s += time.total_s
            yield from found
