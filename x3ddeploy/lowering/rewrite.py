"""What every rewrite is made of: a copy of a module with parts exchanged, operators that graphs name, and its proof."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Rewrite:
    """One exact step of a lowering, by name."""

    name: str
    apply: Callable[[nn.Module], nn.Module]


def replaced(module: M, kind: type[nn.Module], rewrite: Callable[[nn.Module], nn.Module]) -> M:
    """A copy of `module` in which `rewrite(part)` stands for every part of type `kind`; the original is untouched."""
    result = copy.deepcopy(module)
    if isinstance(result, kind):
        return rewrite(result)  # type: ignore[return-value]
    for name, part in list(result.named_modules()):
        if isinstance(part, kind):
            parent, _, leaf = name.rpartition(".")
            result.get_submodule(parent).add_module(leaf, rewrite(part))
    return result


class Operation(nn.Module):
    """One call of a function; an exported graph names the node after this module, as it does for `nn.Linear`."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: Any) -> Tensor:
        return self.function(*arguments)


@torch.library.custom_op("x3ddeploy::total", mutates_args=())
def total(tensors: Sequence[Tensor]) -> Tensor:
    """Sum of at least two tensors, one broadcast to the other, as one operator: ONNX has `Sum`, and PyTorch has not."""
    return reduce(torch.add, tensors)


@total.register_fake
def _(tensors: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, tensors)


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
