"""Logits to probabilities, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Activation

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
