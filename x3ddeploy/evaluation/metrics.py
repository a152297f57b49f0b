"""Accuracies of class scores against labels, and what a target's scores changed against the reference's.

Equal scores rank by class, lower first, as argmax does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from x3ddeploy.evaluation.document import Against, ChangedVideo, ClassChange
from x3ddeploy.evaluation.scores import Scores

Classes = npt.NDArray[np.int64]


def top_k_accuracy(scores: Scores, labels: Classes, k: int) -> float:
    """Share of videos whose class is among the `k` of the largest scores.

    Args:
        scores: (videos, classes).
        labels: (videos,).
        k: from 1; where there are no more classes than that, the share is 1.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(1).mean())


def confusion_matrix(predicted: Classes, labels: Classes, classes: int) -> Classes:
    """(classes, classes) numbers of videos; the row is the label, the column what was predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def class_accuracy(confusions: Classes) -> Scores:
    """(classes,) share of each class's videos that were predicted as it; NaN for a class without videos."""
    videos = confusions.sum(1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diag(confusions) / videos, np.float64)


def mean_class_accuracy(confusions: Classes) -> float:
    """The mean over the classes that have videos."""
    return float(np.nanmean(class_accuracy(confusions)))


def mean1(confusions: Classes) -> float:
    """MMAction2's `acc/mean1`: as `mean_class_accuracy`, and a class that was only predicted counts as 0."""
    met = (confusions.sum(0) + confusions.sum(1)) > 0
    return float(np.nan_to_num(class_accuracy(confusions)[met]).mean())


def compare_scores(reference: Scores, actual: Scores, labels: Classes, names: Sequence[str]) -> Against:
    """What differs between the (videos, classes) probabilities of a reference and of another."""
    before, after = reference.argmax(1), actual.argmax(1)
    classes = reference.shape[1]
    gained = np.bincount(labels[after == labels], minlength=classes)
    lost = np.bincount(labels[before == labels], minlength=classes)
    ordered = np.sort(reference, axis=1)
    second = ordered[:, -2] if classes > 1 else np.zeros(len(ordered))
    return Against(
        agreement=float((before == after).mean()),
        largest_difference=float(np.abs(reference - actual).max()),
        class_changes=[
            ClassChange(index, int(gained[index] - lost[index])) for index in np.flatnonzero(gained - lost).tolist()
        ],
        changed_videos=[
            ChangedVideo(
                names[index],
                int(labels[index]),
                int(before[index]),
                int(after[index]),
                float(ordered[index, -1] - second[index]),
            )
            for index in np.flatnonzero(before != after).tolist()
        ],
    )
