"""Logits of clips to a video's class probabilities: softmax, then the mean over its clips (average_clips='prob')."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import GateError
from x3ddeploy.runtimes.base import Array, Session

Scores = npt.NDArray[np.float64]
Fusion = tuple[float, float]

# How the streams are weighed, RGB and pose, in what is always reported; each stream alone is one way of it.
FUSIONS: Mapping[str, Fusion] = {
    "rgb": (1, 0),
    "pose": (0, 1),
    "fused 1:1": (1, 1),
    "fused 2:1": (2, 1),
    "fused 1:2": (1, 2),
}


def reported_fusions(deployed: Fusion) -> tuple[dict[str, Fusion], str]:
    """FUSIONS, and the bundle's own where it is none of them; and the name of the bundle's own."""
    for name, weights in FUSIONS.items():
        if math.isclose(weights[0] * deployed[1], weights[1] * deployed[0]):
            return dict(FUSIONS), name
    own = f"fused {deployed[0]:g}:{deployed[1]:g}"
    return {**FUSIONS, own: deployed}, own


@dataclass(frozen=True, eq=False)
class VideoScores:
    """Class probabilities of both streams.

    Attributes:
        rgb: (videos, classes), each row adds up to 1.
        pose: alike.
    """

    rgb: Scores
    pose: Scores

    def fused(self, weights: Fusion) -> Scores:
        """The streams' weighted mean, (videos, classes)."""
        total = weights[0] + weights[1]
        return weights[0] / total * self.rgb + weights[1] / total * self.pose


def joined(parts: Sequence[VideoScores]) -> VideoScores:
    """Scores of more videos, in order."""
    return VideoScores(np.concatenate([part.rgb for part in parts]), np.concatenate([part.pose for part in parts]))


def softmax(logits: npt.NDArray[np.generic]) -> Scores:
    """(N, classes) logits to probabilities, in float64."""
    values = logits.astype(np.float64)
    exponents = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(exponents / exponents.sum(1, keepdims=True), np.float64)


class Scorer:
    """Runs a recognizer over the clips of videos.

    Args:
        session: of a bundle's `recognizer`.
        batch: clips a run, at most.
        fixed: whether the graph takes exactly `batch` clips. The last run is then filled up with its last clip, whose
            results are dropped.
    """

    def __init__(self, session: Session, batch: int, fixed: bool) -> None:
        self.session = session
        self._batch, self._fixed = batch, fixed

    def __call__(self, videos: Sequence[Mapping[str, Array]]) -> VideoScores:
        """Scores of videos.

        Args:
            videos: each `imgs` (clips, 3, T, H, W) and `heatmap_imgs` (clips, K, T', H', W').

        Raises:
            GateError: a logit is NaN or infinite.
        """
        counts = [len(video["imgs"]) for video in videos]
        clips = {name: np.concatenate([video[name] for video in videos]) for name in ("imgs", "heatmap_imgs")}
        runs = [self._run(clips, start, sum(counts)) for start in range(0, sum(counts), self._batch)]
        ends = np.cumsum(counts)[:-1]
        rgb, pose = (
            np.stack([part.mean(0) for part in np.split(np.concatenate(probabilities), ends)])
            for probabilities in zip(*runs, strict=True)
        )
        return VideoScores(rgb, pose)

    def _run(self, clips: Mapping[str, Array], start: int, total: int) -> tuple[Scores, Scores]:
        count = min(self._batch, total - start)
        places = np.arange(start, start + (self._batch if self._fixed else count)).clip(max=total - 1)
        outputs = self.session.run({name: value[places] for name, value in clips.items()})
        logits = [outputs[f"{stream}_logits"][:count] for stream in ("rgb", "pose")]
        if not all(np.isfinite(values).all() for values in logits):
            raise GateError(
                f"{self.session.runtime} gives NaN or infinite logits", hint="`x3ddeploy verify` shows in which part"
            )
        return softmax(logits[0]), softmax(logits[1])
