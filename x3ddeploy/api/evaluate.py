"""`x3ddeploy.evaluate`: how accurate is a bundle, in every runtime and precision, beside PyTorch?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from x3ddeploy.atomic import explain_os_errors, write_json
from x3ddeploy.bundle import EVAL
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import UsageError
from x3ddeploy.evaluation.document import EvalReport
from x3ddeploy.evaluation.evaluate import Loading
from x3ddeploy.evaluation.evaluate import evaluate as evaluate_bundle
from x3ddeploy.evaluation.plot import INSTALL, can_plot, plot_evaluation, require_plot
from x3ddeploy.evaluation.report import eval_report
from x3ddeploy.places import REPORT_BYTES, require_place
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.runtimes.registry import REFERENCE, choose, is_usable
from x3ddeploy.terms import AnyPath, Precision


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
    plot: Literal["png", "svg"] | None = None,
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
        plot: format of the matrices in `output`; None for PNG where matplotlib is installed.
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
    opened = open_whole(Path(bundle))
    folder = opened.path if output is None else Path(output)
    require_place(folder, REPORT_BYTES)
    choice = choose(opened, runtimes, device, precisions)
    left_out = list(choice.left_out)
    if REFERENCE in choice.executions or is_usable(opened, REFERENCE.runtime, left_out):
        executions = tuple(dict.fromkeys([REFERENCE, *choice.executions]))
    else:  # the first of the others is what they are compared with
        executions = choice.executions
    left_out = list(dict.fromkeys(left_out))
    source = open_source(
        Path(data), opened.contract, split, None if videos is None else Path(videos), num_clips, min_keypoint_score
    )
    progress(f"evaluating {', '.join(map(str, executions))} on {source.name}")
    if output is not None:
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    loading = Loading(batch, workers, on_error, limit)
    found = evaluate_bundle(opened, source, executions, loading, partial(counting(progress).count, "videos"))
    report = eval_report(opened, source, found, loading, num_clips, left_out)
    write_json(folder / EVAL, report)
    files = [folder / EVAL]
    if output is not None and (plot or can_plot()):
        files += plot_evaluation(opened, found, report, folder, plot or "png")
    elif output is not None:
        progress(f"no confusion matrix is drawn: matplotlib is not installed ({INSTALL})")
    return Evaluated(report, tuple(files), tuple(opened.contract.logits))
