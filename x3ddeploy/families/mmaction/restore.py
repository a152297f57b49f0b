"""The way back: an exported graph's float32 weights in the training form, by their names alone.

A BatchNorm that was folded into the convolution before it left its bias's name behind; one that stands alone is there
as product and sum. Both become a BatchNorm that computes just that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from x3ddeploy.families.network import stored_weight


def fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put the weights of an exported part, or of all of them, into the training form.

    Modules of parts that are not there stay as they are.

    Raises:
        BundleError: a weight is missing, or of another shape.
    """
    parts = {name.partition(".")[0] for name in weights}
    normalised = {first for module in network.modules() for first in _before_norms(module)}
    for path, module in network.named_modules():
        if path.partition(".")[0] not in parts:
            continue
        if isinstance(module, _BatchNorm):
            _normalisation(module, weights, path)
            continue
        for name, parameter in module.named_parameters(recurse=False):
            may_fold = isinstance(module, nn.modules.conv._ConvNd) or module in normalised
            folded = name == "bias" and may_fold and f"{path}.bias" not in weights
            parameter.data = (
                torch.zeros_like(parameter) if folded else stored_weight(weights, f"{path}.{name}", parameter)
            )


def _before_norms(module: nn.Module) -> Iterator[nn.Module]:
    """Modules of a sequence that a BatchNorm comes after."""
    steps = list(module.children()) if isinstance(module, nn.Sequential) else []
    yield from (first for first, second in pairwise(steps) if isinstance(second, _BatchNorm))


def _normalisation(bn: _BatchNorm, weights: Mapping[str, Tensor], path: str) -> None:
    assert bn.running_mean is not None
    bn.running_mean = torch.zeros_like(bn.running_mean)
    bn.running_var = torch.full_like(bn.running_mean, 1 - bn.eps)
    alone = f"{path}.weight" in weights
    bn.weight.data = stored_weight(weights, f"{path}.weight", bn.weight) if alone else torch.ones_like(bn.weight)
    bn.bias.data = stored_weight(weights, f"{path}.bias", bn.bias)
