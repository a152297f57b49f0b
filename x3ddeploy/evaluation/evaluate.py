"""One pass over labelled clips: each is loaded once and run in every runtime and precision."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from x3ddeploy.bundle import Bundle
from x3ddeploy.checkpoint.listing import shortened
from x3ddeploy.data.loader import LoadingTime, SkippedClip, iterate_clips
from x3ddeploy.data.people import People
from x3ddeploy.data.sources import ClipSource, LabelledClip
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import DataError, GateError, UsageError
from x3ddeploy.evaluation.metrics import Classes
from x3ddeploy.evaluation.scores import Scorer, VideoScores, joined
from x3ddeploy.runtimes.registry import Execution, open_part

_CHOICE_SEED = 0
_LISTED = 8


@dataclass(frozen=True)
class Loading:
    """How clips are loaded.

    Attributes:
        batch: clips a run; None for the bundle's own, or 1.
        workers: threads that load.
        on_error: whether a clip that cannot be loaded ends the run.
        limit: videos at most, of all classes alike; None for all.
    """

    batch: int | None = None
    workers: int = 2
    on_error: Literal["raise", "skip"] = "raise"
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class ExecutionScores:
    """What one runtime and precision gave for the videos of an Evaluation."""

    execution: Execution
    version: str
    device: str
    scores: VideoScores


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of every runtime and precision.

    Attributes:
        names: names of the videos that were evaluated.
        labels: (videos,).
        people: who is in each video; None where nobody is looked for.
        outcomes: the reference's first.
        skipped: videos that could not be loaded.
        batch: clips a run, at most.
        time: how long the runtimes waited for clips.
    """

    names: tuple[str, ...]
    labels: Classes
    people: tuple[People | None, ...]
    outcomes: tuple[ExecutionScores, ...]
    skipped: tuple[SkippedClip, ...]
    batch: int
    time: LoadingTime


def evaluate(
    bundle: Bundle,
    source: ClipSource,
    executions: Sequence[Execution],
    loading: Loading,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Run every runtime and precision over the source.

    Args:
        bundle: an opened bundle.
        source: every clip of it is labelled.
        executions: where and in what the network runs, the reference first.
        loading: batch, threads, what becomes of clips that fail, how many.
        progress: receives how many videos are done, and of how many.

    Raises:
        DataError: clips without a label; a clip that cannot be loaded, unless they are to be skipped; none is left,
            or none shows a person.
        UsageError: a batch that the bundle does not take.
        GateError: a runtime gives NaN or infinity.
    """
    indices = _chosen(source, loading.limit)
    scorers = _scorers(bundle, executions, loading.batch)
    batch = loading.batch or bundle.contract.batch or 1
    clips = iterate_clips(
        source, indices, workers=loading.workers, prefetch=max(4, 2 * loading.workers), on_error=loading.on_error
    )
    collected: dict[Execution, list[VideoScores]] = {execution: [] for execution in executions}
    names: list[str] = []
    labels: list[int] = []
    people: list[People | None] = []
    started = time.perf_counter()
    with contextlib.closing(clips):
        for group in _groups(clips, batch):
            for execution, scorer in scorers.items():
                collected[execution].append(_scored(execution, scorer, group))
            names += [clip.name for clip in group]
            people += [clip.people for clip in group]
            labels += [clip.label for clip in group if clip.label is not None]
            progress(len(names) + len(clips.skipped), len(indices))
    total_s = time.perf_counter() - started
    if not names:
        raise DataError(
            f"none of the {len(indices)} videos of {source.name} could be loaded",
            details=shortened([f"{clip.name}: {clip.reason}" for clip in clips.skipped], _LISTED),
        )
    if not any(entry is None or entry.seen for entry in people):
        raise DataError(
            f"none of the {len(names)} videos of {source.name} shows a person", hint="check where the keypoints are"
        )
    return Evaluation(
        names=tuple(names),
        people=tuple(people),
        labels=np.array(labels, np.int64),
        outcomes=tuple(
            ExecutionScores(execution, scorer.session.version, scorer.session.device, joined(collected[execution]))
            for execution, scorer in scorers.items()
        ),
        skipped=tuple(clips.skipped),
        batch=batch,
        time=LoadingTime(clips.time.waiting_s, total_s),
    )


def _chosen(source: ClipSource, limit: int | None) -> list[int]:
    labels = source.labels()
    unlabelled = [name for name, label in zip(source.names(), labels, strict=True) if label is None]
    if unlabelled:
        raise DataError(
            f"{len(unlabelled)} of the {len(labels)} clips of {source.name} have no label",
            details=shortened(unlabelled, _LISTED),
            hint="accuracy needs labels: annotations have them, and .npz clips may hold `label`; "
            "`x3ddeploy predict` needs none",
        )
    if limit is None:
        return list(range(len(labels)))
    return sorted(balanced_choice(labels, min(limit, len(labels)), _CHOICE_SEED))


def _scorers(bundle: Bundle, executions: Sequence[Execution], batch: int | None) -> dict[Execution, Scorer]:
    fixed = bundle.contract.batch
    if fixed is not None and batch not in (None, fixed):
        raise UsageError(
            f"{bundle.path} takes {fixed} clips at a time, not {batch}", hint="leave --batch out, or export without it"
        )
    return {
        execution: Scorer(open_part(bundle, execution), bundle.contract, batch or fixed or 1)
        for execution in executions
    }


def _groups(clips: Iterator[LabelledClip], batch: int) -> Iterator[list[LabelledClip]]:
    """Videos in groups that fill a batch with their clips."""
    group: list[LabelledClip] = []
    for clip in clips:
        group.append(clip)
        if sum(video.clips for video in group) >= batch:
            yield group
            group = []
    if group:
        yield group


def _scored(execution: Execution, scorer: Scorer, group: list[LabelledClip]) -> VideoScores:
    try:
        return scorer([clip.inputs for clip in group])
    except GateError as error:
        raise GateError(
            f"{execution}: NaN or infinity where logits should be",
            details=shortened([f"in {clip.name}" for clip in group], _LISTED),
            hint=error.hint,
        ) from error
