"""What a target's scores changed against the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from x3ddeploy.evaluation.metrics import Classes
from x3ddeploy.evaluation.scores import Scores


@dataclass(frozen=True)
class ChangedVideo:
    """A video whose class changed.

    Attributes:
        margin: the reference's probability of its class less that of its second; small ones are coin tosses.
    """

    name: str
    label: int
    before: int
    after: int
    margin: float


@dataclass(frozen=True)
class Comparison:
    """One kind of scores against the reference's.

    Attributes:
        agreement: share of videos with the same class.
        largest_difference: of any probability.
        class_changes: class -> videos gained (positive) or lost; only classes that changed.
        changed: every video whose class changed.
    """

    agreement: float
    largest_difference: float
    class_changes: dict[int, int]
    changed: tuple[ChangedVideo, ...]


def compare_scores(reference: Scores, actual: Scores, labels: Classes, names: Sequence[str]) -> Comparison:
    """Compare (videos, classes) probabilities."""
    before, after = reference.argmax(1), actual.argmax(1)
    classes = reference.shape[1]
    gained = np.bincount(labels[after == labels], minlength=classes)
    lost = np.bincount(labels[before == labels], minlength=classes)
    ordered = np.sort(reference, axis=1)
    second = ordered[:, -2] if classes > 1 else np.zeros(len(ordered))
    return Comparison(
        agreement=float((before == after).mean()),
        largest_difference=float(np.abs(reference - actual).max()),
        class_changes={index: int(gained[index] - lost[index]) for index in np.flatnonzero(gained - lost).tolist()},
        changed=tuple(
            ChangedVideo(
                names[index],
                int(labels[index]),
                int(before[index]),
                int(after[index]),
                float(ordered[index, -1] - second[index]),
            )
            for index in np.flatnonzero(before != after).tolist()
        ),
    )
