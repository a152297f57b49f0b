"""Logits of a video's views to its class probabilities.

An output of the contract says how its views are averaged, in MMAction2's words: 'prob' is the mean of their
probabilities, 'score' their mean logits. Several sets of logits are fused as they were averaged, which is what
MMAction2's metric does: probabilities are weighed, or mean logits, and then made probabilities. Where an output says
nothing, several views are averaged by 'prob'.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import Contract, Output, Score
from x3ddeploy.data.feeding import can_be_fed_raw, one_behind_the_other
from x3ddeploy.data.prepare import Preparation, prepare_clips
from x3ddeploy.errors import BundleError, GateError, UsageError
from x3ddeploy.probabilities import fused, of_views
from x3ddeploy.runtimes.base import Array, FallbackError, Session
from x3ddeploy.runtimes.registry import Execution, open_raw

Scores = npt.NDArray[np.float64]
Logits = npt.NDArray[np.generic]

# Two streams are weighed in these ways, beside the deployed one, in what is always reported.
_WEIGHTS = ((1, 1), (2, 1), (1, 2))


@dataclass(frozen=True)
class Reported:
    """The scores that an evaluation reports.

    Attributes:
        scores: scores by name; each set of logits alone comes first.
        deployed: name of the one that the network gives.
    """

    scores: dict[str, Score]
    deployed: str


def reported_scores(contract: Contract) -> Reported:
    """The scores of a contract; for a network with two sets of logits, these fused 1:1, 2:1, 1:2 and as deployed."""
    deployed = contract.scores[contract.deployed]
    if len(contract.logits) != 2 or len(deployed.weights) != 2:
        return Reported(dict(contract.scores), contract.deployed)
    scores = {name: Score({logits: 1.0}) for name, logits in contract.logits.items()}
    for pair in _WEIGHTS:
        scores[_fused(contract, pair)] = Score(dict(zip(deployed.weights, map(float, pair), strict=True)))
    for name, score in scores.items():
        if all(math.isclose(score.shares().get(key, 0), share) for key, share in deployed.shares().items()):
            return Reported(scores, name)
    own = _fused(contract, tuple(deployed.weights.values()))
    return Reported({**scores, own: deployed}, own)


def _fused(contract: Contract, weights: Sequence[float]) -> str:
    return f"{contract.deployed} {':'.join(f'{weight:g}' for weight in weights)}"


@dataclass(frozen=True, eq=False)
class VideoScores:
    """Class scores of some videos.

    Attributes:
        by_logits: name of the logits -> (videos, classes): mean probabilities or mean logits (`averaged`).
        outputs: outputs of the contract, by name of the logits.
    """

    by_logits: Mapping[str, Scores]
    outputs: Mapping[str, Output]

    def video(self, place: int) -> VideoScores:
        """The scores of one of the videos."""
        return VideoScores({name: scores[place : place + 1] for name, scores in self.by_logits.items()}, self.outputs)

    def of(self, score: Score) -> Scores:
        """(videos, classes) probabilities; with softmax each row adds up to 1."""
        return fused(self.by_logits, score, self.outputs)


def joined(parts: Sequence[VideoScores]) -> VideoScores:
    """Scores of more videos, in order."""
    first = parts[0]
    values = {name: np.concatenate([part.by_logits[name] for part in parts]) for name in first.by_logits}
    return VideoScores(values, first.outputs)


def averaged(logits: Logits, output: Output) -> Scores:
    """(views, classes) logits of one video to (1, classes) mean logits or probabilities, by the output's average."""
    return of_views(logits, output).mean(0, keepdims=True)


def open_preparing(bundle: Bundle, execution: Execution, threads: int | None = None) -> Session | None:
    """A session that prepares clips on its GPU; None where the host does: see `open_raw`.

    A GPU that leaves a part of the preparation to the CPU is reported by a warning.
    """
    if not execution.on_gpu or not can_be_fed_raw(bundle.contract.inputs):
        return None
    try:
        return open_raw(bundle, execution, threads=threads)
    except (BundleError, UsageError):
        return None  # the bundle, or the runtime, has no such way
    except FallbackError as error:
        logging.getLogger("x3ddeploy").warning("clips are prepared on the CPU: %s", error.message)
        return None


class Scorer:
    """Runs a network over the clips of videos.

    Args:
        session: session of a bundle's `recognizer`, with or without its preprocessing.
        contract: the network's.
        batch: clips a run, at most. Where the contract fixes it, the last run is filled up with its last clip, whose
            results are dropped.
        prepare: makes the tensors of a video that the session takes.
    """

    def __init__(self, session: Session, contract: Contract, batch: int, prepare: Preparation = prepare_clips) -> None:
        self.session, self.prepare = session, prepare
        self._batch, self._fixed = contract.batch or batch, contract.batch
        wanted = dict.fromkeys(logits for score in contract.scores.values() for logits in score.weights)
        self._outputs = {name: contract.outputs[name] for name in wanted}

    def __call__(self, videos: Sequence[Mapping[str, Array]]) -> VideoScores:
        """Scores of videos.

        Args:
            videos: the session's inputs by name, each (clips, ...).

        Raises:
            GateError: a logit is NaN or infinite.
        """
        counts = [len(next(iter(video.values()))) for video in videos]
        clips = one_behind_the_other(videos)
        runs = [self._run(clips, start, sum(counts)) for start in range(0, sum(counts), self._batch)]
        ends = np.cumsum(counts)[:-1]
        return VideoScores(
            {
                name: np.concatenate(
                    [averaged(views, output) for views in np.split(np.concatenate([run[name] for run in runs]), ends)]
                )
                for name, output in self._outputs.items()
            },
            self._outputs,
        )

    def _run(self, clips: Mapping[str, Array], start: int, total: int) -> dict[str, Logits]:
        count = min(self._batch, total - start)
        places: slice | npt.NDArray[np.int64] = slice(start, start + count)
        if self._fixed and count < self._fixed:
            places = np.arange(start, start + self._fixed).clip(max=total - 1)
        outputs = self.session.run({name: value[places] for name, value in clips.items()})
        logits = {name: outputs[name][:count] for name in self._outputs}
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise GateError(
                f"{self.session.runtime} gives NaN or infinite logits", hint="`x3ddeploy verify` shows in which part"
            )
        return logits
