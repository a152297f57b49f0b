"""Logits to probabilities, and several sets of them to one score, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Activation, Average, Output, Score

Logits = npt.NDArray[np.generic]
Probabilities = npt.NDArray[np.float64]


def probabilities(logits: Logits, activation: Activation | None) -> Probabilities:
    """(N, classes) logits to probabilities by an output's activation; by softmax where it states none."""
    return sigmoid(logits) if activation is Activation.SIGMOID else softmax(logits)


def softmax(logits: Logits) -> Probabilities:
    """(N, classes) logits to probabilities; each row adds up to 1."""
    values = logits.astype(np.float64)
    exponents = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(exponents / exponents.sum(1, keepdims=True), np.float64)


def sigmoid(logits: Logits) -> Probabilities:
    """(N, classes) logits to probabilities, each class on its own."""
    values = logits.astype(np.float64)
    with np.errstate(over="ignore"):  # e^710 is infinite, and one over it 0, which is right
        return np.asarray(1 / (1 + np.exp(-values)), np.float64)


def of_views(logits: Logits, output: Output) -> Probabilities:
    """(N, classes) of what the mean over a video's views is taken of: the logits, or their probabilities."""
    if output.average is Average.SCORE:
        return logits.astype(np.float64)
    return probabilities(logits, output.activation)


def fused(values: Mapping[str, Probabilities], score: Score, outputs: Mapping[str, Output]) -> Probabilities:
    """(N, classes) probabilities of a score; with softmax each row adds up to 1.

    Args:
        values: name of the logits -> (N, classes) of `of_views`, or means of such.
        score: says how they are weighed.
        outputs: outputs of the contract, by name of the logits.
    """
    shares = score.shares()
    output = outputs[next(iter(shares))]  # streams of one network are averaged alike
    weighted = [share * values[logits] for logits, share in shares.items()]
    total = np.asarray(sum(weighted[1:], weighted[0]), np.float64)
    return probabilities(total, output.activation) if output.average is Average.SCORE else total
