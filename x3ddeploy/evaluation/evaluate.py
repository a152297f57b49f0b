"""One pass over labelled clips: each is loaded once and run in every runtime and precision."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from x3ddeploy.bundle import Bundle
from x3ddeploy.data.feeding import feeding
from x3ddeploy.data.loader import LoadingTime, SkippedClip, iterate_clips
from x3ddeploy.data.people import People
from x3ddeploy.data.sources import ClipSource, LabelledClip, PreparedSource
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import DataError, GateError, UsageError
from x3ddeploy.evaluation.metrics import Classes
from x3ddeploy.evaluation.scores import Scorer, VideoScores, joined, open_preparing
from x3ddeploy.runtimes.base import Session
from x3ddeploy.runtimes.registry import Execution, open_part
from x3ddeploy.text import shortened

if TYPE_CHECKING:
    from x3ddeploy.evaluation.rows import WrittenClips

PREPARES = " (prepares clips, too)"  # behind the name of a device
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
class ScoredClip:
    """One video: who is in it, and what each runtime and precision gave; the reference's first."""

    name: str
    label: int
    people: People | None
    outcomes: tuple[ExecutionScores, ...]


Scored = ScoredClip | SkippedClip


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


class Scoring(Protocol):
    """Scores videos of a source.

    Attributes:
        time: how long the runtimes waited for clips so far.
    """

    time: LoadingTime

    def __call__(self, indices: Sequence[int]) -> Iterator[Scored]:
        """Each of these videos once, in any order."""


class ClipScorer:
    """A bundle in several runtimes and precisions; see `Scoring`.

    Where a GPU prepares clips (`open_raw`), those of videos go up to it as bytes and keypoints.

    Args:
        bundle, source, executions, loading: as `evaluate` takes them.
        threads: CPU threads; None leaves each runtime's own default.

    Raises:
        UsageError: a batch that the bundle does not take.
    """

    def __init__(
        self,
        bundle: Bundle,
        source: ClipSource,
        executions: Sequence[Execution],
        loading: Loading,
        threads: int | None = None,
    ) -> None:
        self.time = LoadingTime()
        self._loading = loading
        self._batch = batch_of(bundle, loading.batch)
        videos = source if isinstance(source, PreparedSource) else None
        self._preparing: dict[Execution, Session] = {}
        for each in executions if videos is not None else ():
            if (session := open_preparing(bundle, each, threads)) is not None:
                self._preparing[each] = session
        self._scorers = {
            each: Scorer(
                self._preparing.get(each) or open_part(bundle, each, threads=threads), bundle.contract, self._batch
            )
            for each in executions
        }
        if videos is not None and self._preparing:
            taken = {name for session in self._preparing.values() for name in session.inputs}
            ready = bundle.contract.inputs if len(self._preparing) < len(self._scorers) else None
            source = videos.prepared_by(feeding(taken, ready))
        self._source = source

    def __call__(self, indices: Sequence[int]) -> Iterator[Scored]:
        loading = self._loading
        clips = iterate_clips(
            self._source,
            indices,
            workers=loading.workers,
            prefetch=max(4, 2 * loading.workers),
            on_error=loading.on_error,
        )
        told = 0
        started = time.perf_counter()
        with contextlib.closing(clips):
            for group in _groups(clips, self._batch):
                outcomes = [
                    _scored(execution, scorer, group, execution in self._preparing)
                    for execution, scorer in self._scorers.items()
                ]
                for place, clip in enumerate(group):
                    if clip.label is None:
                        raise DataError(f"{clip.name} has no label")
                    alone = tuple(replace(outcome, scores=outcome.scores.video(place)) for outcome in outcomes)
                    yield ScoredClip(clip.name, clip.label, clip.people, alone)
                yield from clips.skipped[told:]
                told = len(clips.skipped)
            yield from clips.skipped[told:]
        self.time.waiting_s += clips.time.waiting_s
        self.time.total_s += time.perf_counter() - started


def evaluate(
    bundle: Bundle,
    source: ClipSource,
    executions: Sequence[Execution],
    loading: Loading,
    progress: Callable[[int, int], None],
    *,
    scoring: Scoring | None = None,
    written: WrittenClips | None = None,
) -> Evaluation:
    """Run every runtime and precision over the source.

    Args:
        bundle: an opened bundle.
        source: every clip of it is labelled.
        executions: where and in what the network runs, the reference first.
        loading: batch, threads, what becomes of clips that fail, how many.
        progress: receives how many videos are done, and of how many.
        scoring: scores the videos; None for a ClipScorer here.
        written: keeps what is known of each video, and knows those of an earlier run.

    Raises:
        DataError: clips without a label; a clip that cannot be loaded, unless they are to be skipped; none is left,
            or none shows a person.
        UsageError: a batch that the bundle does not take.
        GateError: a runtime gives NaN or infinity.
    """
    indices = _chosen(source, loading.limit)
    batch = batch_of(bundle, loading.batch)
    names = source.names()
    known = {} if written is None else {**written.known}
    missing = [index for index in indices if names[index] not in known]
    if missing:
        scoring = scoring or ClipScorer(bundle, source, executions, loading)
        for found in scoring(missing):
            if written is not None:
                written.add(found)
            known[found.name] = found
            progress(len(known), len(indices))
    everything = [known[names[index]] for index in indices]
    scored = [found for found in everything if isinstance(found, ScoredClip)]
    skipped = [found for found in everything if isinstance(found, SkippedClip)]
    if not scored:
        raise DataError(
            f"none of the {len(indices)} videos of {source.name} could be loaded",
            details=shortened([f"{clip.name}: {clip.reason}" for clip in skipped], _LISTED),
        )
    if not any(clip.people is None or clip.people.seen for clip in scored):
        raise DataError(
            f"none of the {len(scored)} videos of {source.name} shows a person", hint="check where the keypoints are"
        )
    return Evaluation(
        names=tuple(clip.name for clip in scored),
        people=tuple(clip.people for clip in scored),
        labels=np.array([clip.label for clip in scored], np.int64),
        outcomes=tuple(map(_of_all, zip(*(clip.outcomes for clip in scored), strict=True))),
        skipped=tuple(skipped),
        batch=batch,
        time=LoadingTime() if scoring is None else scoring.time,
    )


def _of_all(outcomes: Sequence[ExecutionScores]) -> ExecutionScores:
    """One runtime and precision over all videos, which may have been computed on several devices."""
    return ExecutionScores(
        outcomes[0].execution,
        ", ".join(dict.fromkeys(outcome.version for outcome in outcomes)),
        ", ".join(dict.fromkeys(outcome.device for outcome in outcomes)),
        joined([outcome.scores for outcome in outcomes]),
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


def batch_of(bundle: Bundle, batch: int | None) -> int:
    """Clips a run: those asked for, the bundle's own number, or 1. Raises UsageError where the bundle takes another."""
    fixed = bundle.contract.batch
    if fixed is not None and batch not in (None, fixed):
        raise UsageError(
            f"{bundle.path} takes {fixed} clips at a time, not {batch}", hint="leave --batch out, or export without it"
        )
    return batch or fixed or 1


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


def _scored(execution: Execution, scorer: Scorer, group: list[LabelledClip], prepares: bool) -> ExecutionScores:
    try:
        scores = scorer([{name: clip.inputs[name] for name in scorer.session.inputs} for clip in group])
    except GateError as error:
        raise GateError(
            f"{execution}: NaN or infinity where logits should be",
            details=shortened([f"in {clip.name}" for clip in group], _LISTED),
            hint=error.hint,
        ) from error
    device = scorer.session.device + (PREPARES if prepares else "")
    # PyTorch's version is of a class of its own.
    return ExecutionScores(execution, str(scorer.session.version), device, scores)
