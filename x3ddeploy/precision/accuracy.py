"""What a lower precision changed: agreement with float32, labelled accuracy, and the clips whose class flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Contract
from x3ddeploy.precision.streams import Logits, streams_of
from x3ddeploy.probabilities import fused, of_views, softmax

# Of the clips, how many must keep their class whatever the labels say: gains that make up for losses are luck.
MIN_AGREEMENT = 0.95

Labels = Sequence[int | None]


@dataclass(frozen=True)
class Agreement:
    """One stream's logits against float32's, over N clips.

    Attributes:
        kl: mean Kullback-Leibler divergence of the class probabilities, float32's from these, in nats.
        cosine: mean over clips, of the logits.
        flips: clips whose largest class changed.
    """

    kl: float
    cosine: float
    flips: int


@dataclass(frozen=True)
class Flip:
    """A clip whose class changed.

    Attributes:
        margin: float32's probability of its first class less that of its second: small ones are coin tosses.
    """

    clip: str
    label: int | None
    before: int
    after: int
    margin: float


@dataclass(frozen=True)
class StreamAccuracy:
    """One stream, or the fused scores, before and after.

    Attributes:
        agreement: share of clips that keep their class.
        top1_before, top1_after: top-1 in percent of the labelled clips; None where none is labelled.
        class_changes: class -> correct clips gained (positive) or lost; classes that changed only.
        flips: every clip whose class changed.
    """

    agreement: float
    top1_before: float | None
    top1_after: float | None
    class_changes: dict[int, int]
    flips: tuple[Flip, ...]

    @property
    def drop(self) -> float | None:
        """Loss of top-1 in percentage points; negative where it rose."""
        return None if self.top1_before is None or self.top1_after is None else self.top1_before - self.top1_after

    def failures(self, name: str, max_drop: float) -> list[str]:
        """Why this is not good enough, in words; empty where it is.

        Without labels nothing but the clips that changed can be counted: they bound the drop from above. What is no
        number is not good enough.
        """
        problems = []
        if self.drop is None:
            if not (1 - self.agreement) * 100 <= max_drop:
                problems.append(
                    f"{name}: {1 - self.agreement:.1%} of the clips change their class, and none is labelled"
                )
        elif not self.drop <= max_drop:
            problems.append(f"{name}: top-1 falls by {self.drop:.2f} points, from {self.top1_before:.2f} %")
        if not self.agreement >= MIN_AGREEMENT:
            problems.append(f"{name}: only {self.agreement:.1%} of the clips keep their class")
        return problems


def agreement(reference: Logits, actual: Logits) -> Agreement:
    """Compare (N, classes) logits."""
    p, q = softmax(reference), softmax(actual)
    kl = (p * (np.log(p + 1e-12) - np.log(q + 1e-12))).sum(1).mean()
    norms = np.linalg.norm(reference, axis=1) * np.linalg.norm(actual, axis=1)
    cosine = ((reference * actual).sum(1) / np.maximum(norms, 1e-12)).mean()
    return Agreement(float(kl), float(cosine), int((p.argmax(1) != q.argmax(1)).sum()))


def accuracies(
    before: Mapping[str, Logits],
    after: Mapping[str, Logits],
    labels: Labels,
    names: Sequence[str],
    contract: Contract,
) -> dict[str, StreamAccuracy]:
    """Every score of the network, by name.

    Args:
        before: float32 logits by stream.
        after: those of the lower precision.
        labels: class of each clip, or None.
        names: names of the clips.
        contract: says which streams each score is of.
    """
    first, second = (_scores(logits, contract) for logits in (before, after))
    return {name: _stream_accuracy(first[name], second[name], labels, names) for name in contract.scores}


def _scores(logits: Mapping[str, Logits], contract: Contract) -> dict[str, npt.NDArray[np.float64]]:
    """(N, classes) of each score, from the logits of each stream: each clip is a view, fused as `eval` fuses them."""
    outputs = contract.outputs
    values = {tensor: of_views(logits[stream], outputs[tensor]) for stream, tensor in streams_of(contract).items()}
    return {name: fused(values, score, outputs) for name, score in contract.scores.items()}


def _stream_accuracy(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], labels: Labels, names: Sequence[str]
) -> StreamAccuracy:
    first, second = before.argmax(1), after.argmax(1)
    ordered = np.sort(before, 1)
    margins = ordered[:, -1] - ordered[:, -2] if ordered.shape[1] > 1 else ordered[:, -1]
    flips = tuple(
        Flip(names[index], labels[index], int(first[index]), int(second[index]), round(float(margins[index]), 4))
        for index in map(int, np.flatnonzero(first != second))
    )
    known = [index for index, label in enumerate(labels) if label is not None]
    if not known:
        return StreamAccuracy(float((first == second).mean()), None, None, {}, flips)
    wanted = np.array([labels[index] for index in known])
    right_before, right_after = first[known] == wanted, second[known] == wanted
    changes = {
        int(label): int(right_after[wanted == label].sum()) - int(right_before[wanted == label].sum())
        for label in np.unique(wanted)
    }
    return StreamAccuracy(
        agreement=float((first == second).mean()),
        top1_before=float(right_before.mean() * 100),
        top1_after=float(right_after.mean() * 100),
        class_changes={label: change for label, change in changes.items() if change},
        flips=flips,
    )
