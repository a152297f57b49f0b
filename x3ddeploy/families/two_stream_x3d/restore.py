"""The way back: an exported float32 graph's weights into the training-form network.

A folded convolution w, b is the training form's convolution w with a BatchNorm of gamma 1, mean 0, variance 1 - eps
and beta b; channels that were only padded on are cut off again. What comes out computes what the checkpoint did.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from x3ddeploy.errors import BundleError
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.x3d import ConvBN


def fill(network: TwoStreamX3D, weights: Mapping[str, Tensor]) -> None:
    """Put the weights of one exported part (or, from the recognizer, of all three) into the training form.

    Modules whose weights the part does not hold stay as they are.

    Raises:
        BundleError: the weights do not fit the network.
    """
    prefixes = {name.partition(".")[0] for name in weights}
    for path, module in network.named_modules():
        if path.partition(".")[0] not in prefixes:
            continue
        if isinstance(module, ConvBN):
            _unfold(module, weights, path)
        elif not isinstance(module, nn.BatchNorm3d) and not path.endswith(".conv"):
            for name, parameter in module.named_parameters(recurse=False):
                parameter.data = _take(weights, f"{path}.{name}", parameter)


def _unfold(module: ConvBN, weights: Mapping[str, Tensor], path: str) -> None:
    conv, bn = module.conv, module.bn
    conv.weight.data = _take(weights, f"{path}.weight", conv.weight)
    bn.bias.data = _take(weights, f"{path}.bias", bn.bias)
    bn.weight.data = torch.ones_like(bn.weight)
    bn.running_mean = torch.zeros_like(bn.bias)
    bn.running_var = torch.full_like(bn.bias, 1 - bn.eps)


def _take(weights: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    """The stored weight, without padding and with the training form's axes (a kernel (k, k) back to (1, k, k))."""
    stored = weights.get(name)
    if stored is None or stored.dtype != torch.float32:
        raise BundleError(f"the graph lacks the float32 weight {name!r}", hint="export the checkpoint again")
    crop = stored[tuple(slice(size) for size in like.shape[:2])]
    if crop.numel() != like.numel():
        raise BundleError(
            f"weight {name!r} has shape {tuple(stored.shape)}, and the specification asks for {tuple(like.shape)}",
            hint="the file was altered: export the checkpoint again",
        )
    return crop.reshape(like.shape).contiguous()
