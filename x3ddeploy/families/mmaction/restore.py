"""The way back: an exported graph's float32 weights in the training form, by their names alone.

A BatchNorm that was folded into the convolution before it left its bias's name behind; one that stands alone is there
as product and sum. Both become a BatchNorm that computes just that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise, takewhile

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from x3ddeploy.families.mmaction.model import BACKBONE
from x3ddeploy.families.network import Network, stored_weight


def fill(network: Network, weights: Mapping[str, Tensor]) -> None:
    """Put the weights of an exported part, or of all of them, into the training form.

    Modules of parts that are not there stay as they are, and so do the last blocks of a backbone whose features are
    taken before them: no graph computes these.

    Raises:
        BundleError: a weight is missing, or of another shape.
    """
    parts = {name.partition(".")[0] for name in weights}
    idle = set(_behind_features(network, weights))
    normalised = {first for module in network.modules() for first in _before_norms(module)}
    for path, module in network.named_modules():
        if path.partition(".")[0] not in parts or module in idle:
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


def _behind_features(network: Network, weights: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """Modules of the blocks behind the last one that has weights in the graph."""
    paths = {module: path for path, module in network.named_modules()}

    def is_absent(block: nn.Module) -> bool:
        return not any(name.startswith(f"{paths[block]}.") for name in weights)

    for block in takewhile(is_absent, reversed(network.blocks(BACKBONE).values())):
        yield from block.modules()


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
