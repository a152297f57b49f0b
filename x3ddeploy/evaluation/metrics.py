"""Accuracies of class scores against labels. Equal scores rank by class, lower first, as argmax does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
    """The mean over the classes that have videos (MMAction2 counts classes that were only predicted, too, as 0)."""
    return float(np.nanmean(class_accuracy(confusions)))
