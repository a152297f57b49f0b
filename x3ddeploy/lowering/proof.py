"""The proof of a rewrite on given inputs: what it made computes what it was made from."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from x3ddeploy.lowering.replace import Rewrite


@dataclass(frozen=True)
class Proof:
    """Largest difference that a rewrite made, over the largest magnitude of the output before it."""

    rewrite: str
    relative_error: float


def relative_error(before: nn.Module, after: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Largest relative error of `after` against `before` over all inputs, each (N, C, T, H, W); computed in float64.

    An output of another shape, or one that is not finite, counts as infinitely far, and so does a proof on no inputs.
    """
    if not inputs:
        return float("inf")
    worst = 0.0
    before, after = copy.deepcopy(before).double(), copy.deepcopy(after).double()
    with torch.inference_mode():
        for x in inputs:
            expected, actual = before(x.double()), after(x.double())
            if expected.shape != actual.shape or not torch.isfinite(actual).all():
                return float("inf")
            error, scale = float((expected - actual).abs().max()), float(expected.abs().max())
            worst = max(worst, error / scale if scale else (0.0 if error == 0 else float("inf")))
    return worst


def prove(module: nn.Module, rewrites: Iterable[Rewrite], inputs: Sequence[Tensor]) -> list[Proof]:
    """Each step of a lowering against the step before it, on the same inputs; rewritten and computed in float64."""
    proofs = []
    form: nn.Module = copy.deepcopy(module).eval().double()
    for rewrite in rewrites:
        lowered = rewrite.apply(form)
        proofs.append(Proof(rewrite.name, relative_error(form, lowered, inputs)))
        form = lowered
    return proofs
