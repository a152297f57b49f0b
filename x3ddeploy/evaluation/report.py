"""eval.json: accuracies, what differs from the reference, on which data, how, and what was left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from x3ddeploy import __version__
from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import Average, Contract, Score
from x3ddeploy.data.sources import ClipSource
from x3ddeploy.evaluation.document import (
    SCHEMA_VERSION,
    Accuracies,
    BundleEntry,
    ClassVideos,
    Confusion,
    DataEntry,
    EvalReport,
    LoadingEntry,
    MachineEntry,
    NoteEntry,
    PersonsEntry,
    Result,
    SkippedVideos,
    ViewsEntry,
)
from x3ddeploy.evaluation.evaluate import Evaluation, ExecutionScores, Loading
from x3ddeploy.evaluation.metrics import (
    Classes,
    class_accuracy,
    compare_scores,
    confusion_matrix,
    mean1,
    mean_class_accuracy,
    top_k_accuracy,
)
from x3ddeploy.evaluation.scores import Reported, reported_scores
from x3ddeploy.machine import machine


def eval_report(
    bundle: Bundle,
    source: ClipSource,
    evaluation: Evaluation,
    loading: Loading,
    clips: int | None,
    left_out: Sequence[str],
) -> EvalReport:
    """The report as written to eval.json; see docs/eval.md. Accuracies and agreements are shares, 0 to 1.

    Args:
        bundle: what was evaluated.
        source: source of the clips.
        evaluation: the scores.
        loading: what it was run with.
        clips: clips a video that were asked for; None for the network's own number.
        left_out: runtimes and precisions that were not evaluated, with the reason.
    """
    reported = reported_scores(bundle.contract)
    views = next(iter(bundle.contract.inputs.values())).views
    views = views if clips is None else replace(views, clips=clips)
    names = class_names(bundle)
    reference = evaluation.outcomes[0]
    return EvalReport(
        schema_version=SCHEMA_VERSION,
        x3ddeploy=__version__,
        machine=MachineEntry(**machine()),
        bundle=BundleEntry(
            str(bundle.path), bundle.manifest.source, list(deployed_score(bundle.contract).weights.values())
        ),
        data=DataEntry(source.name, source.split, dict(source.description)),
        videos=len(evaluation.names),
        limit=loading.limit,
        num_clips=views.clips,
        views=ViewsEntry(views.count, views.clips, views.crops, views.flip),
        average_clips=_average(bundle.contract),
        batch=evaluation.batch,
        skipped=SkippedVideos(len(evaluation.skipped), list(evaluation.skipped)),
        persons=_persons(evaluation),
        loading=LoadingEntry(
            loading.workers, evaluation.time.waiting_s, evaluation.time.total_s, evaluation.time.waiting_share
        ),
        left_out=list(left_out),
        random_calibration=[
            name for name, precision in bundle.manifest.precisions.items() if precision.random_calibration
        ],
        deployed=reported.deployed,
        reference=str(reference.execution),
        results=[
            _result(outcome, evaluation, reported, None if outcome is reference else reference)
            for outcome in evaluation.outcomes
        ],
        classes=[
            ClassVideos(index, names[index], int(videos))
            for index, videos in enumerate(np.bincount(evaluation.labels, minlength=len(names)))
        ],
        against=None,
    )


def _persons(evaluation: Evaluation) -> PersonsEntry | None:
    """In how many frames persons were found, which videos show the network nobody, and what is odd about keypoints.

    None where nobody is looked for.
    """
    found = zip(evaluation.names, evaluation.people, strict=True)
    people = {name: entry for name, entry in found if entry is not None}
    if not people:
        return None
    return PersonsEntry(
        frames=sum(entry.frames for entry in people.values()),
        frames_with_persons=sum(entry.frames_with_persons for entry in people.values()),
        videos_without=[name for name, entry in people.items() if not entry.seen],
        notes=[NoteEntry(name, note) for name, entry in people.items() for note in entry.notes],
    )


def class_names(bundle: Bundle) -> list[str]:
    """The bundle's labels, or the classes' numbers in words where it has none."""
    return bundle.labels() or [f"class {index}" for index in range(bundle.contract.classes)]


def _average(contract: Contract) -> str:
    """How the views of a video were averaged for the deployed score, in MMAction2's words."""
    average = contract.outputs[next(iter(deployed_score(contract).weights))].average
    return (Average.PROB if average is Average.NONE else average).value


def deployed_score(contract: Contract) -> Score:
    """The score that the network's own `scores` hold."""
    return contract.scores[contract.deployed]


def confusions(evaluation: Evaluation, outcome: ExecutionScores, score: Score) -> Classes:
    """(classes, classes) of a score: rows are labels, columns what was predicted."""
    scores = outcome.scores.of(score)
    return confusion_matrix(scores.argmax(1), evaluation.labels, scores.shape[1])


def _result(
    outcome: ExecutionScores, evaluation: Evaluation, reported: Reported, reference: ExecutionScores | None
) -> Result:
    return Result(
        runtime=outcome.execution.place,
        precision=outcome.execution.precision.value,
        version=outcome.version,
        device=outcome.device,
        scores={name: _accuracies(outcome, evaluation, score) for name, score in reported.scores.items()},
        confusions=_off_diagonal(confusions(evaluation, outcome, reported.scores[reported.deployed])),
        against_reference=None
        if reference is None
        else {
            name: compare_scores(
                reference.scores.of(score), outcome.scores.of(score), evaluation.labels, evaluation.names
            )
            for name, score in reported.scores.items()
        },
    )


def _accuracies(outcome: ExecutionScores, evaluation: Evaluation, score: Score) -> Accuracies:
    scores = outcome.scores.of(score)
    counted = confusions(evaluation, outcome, score)
    return Accuracies(
        top1=top_k_accuracy(scores, evaluation.labels, 1),
        top5=top_k_accuracy(scores, evaluation.labels, 5),
        mean_class=mean_class_accuracy(counted),
        mean1=mean1(counted),
        by_class=[None if math.isnan(share) else share for share in class_accuracy(counted).tolist()],
    )


def _off_diagonal(counted: Classes) -> list[Confusion]:
    """Which class was taken for which, the most frequent first."""
    pairs = [
        Confusion(int(label), int(predicted), int(counted[label, predicted]))
        for label, predicted in np.argwhere(counted)
        if label != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair.videos)
