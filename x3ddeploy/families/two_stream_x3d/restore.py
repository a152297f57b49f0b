"""The way back: an exported float32 graph's weights into the training-form network.

A folded convolution w, b is the training form's convolution w with a BatchNorm of gamma 1, mean 0, variance 1 - eps
and beta b; channels that were only padded on are cut off again. What comes out computes what the checkpoint did.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from x3ddeploy.families.network import stored_weight
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
                parameter.data = stored_weight(weights, f"{path}.{name}", parameter, padded=True)


def _unfold(module: ConvBN, weights: Mapping[str, Tensor], path: str) -> None:
    conv, bn = module.conv, module.bn
    conv.weight.data = stored_weight(weights, f"{path}.weight", conv.weight, padded=True)
    bn.bias.data = stored_weight(weights, f"{path}.bias", bn.bias, padded=True)
    bn.weight.data = torch.ones_like(bn.weight)
    bn.running_mean = torch.zeros_like(bn.bias)
    bn.running_var = torch.full_like(bn.bias, 1 - bn.eps)
