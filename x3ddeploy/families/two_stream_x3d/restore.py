"""The way back: an exported float32 graph's weights into the training-form network.

A folded convolution w, b is the training form's convolution w with a BatchNorm of gamma 1, mean 0, variance 1 - eps
and beta b; channels that were only padded on are cut off again. What comes out computes what the checkpoint did.
"""

from __future__ import annotations

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.errors import BundleError
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.x3d import ConvBN


def rebuild(model: onnx.ModelProto) -> TwoStreamX3D:
    """The training-form network with the weights of one part (or, from the recognizer, of all three).

    Modules whose weights the part does not hold keep their random initialisation.

    Raises:
        BundleError: the file is not ours, not float32, or its weights do not fit its own specification.
    """
    metadata = PartMetadata.of(model)
    if metadata.precision != "fp32":
        raise BundleError(
            f"the torch runtime rebuilds float32 graphs only, and this one is {metadata.precision}",
            hint="give the float32 file of the same bundle",
        )
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer
    }
    network = TwoStreamX3D(metadata.spec, metadata.fusion).eval()
    prefixes = {name.partition(".")[0] for name in weights}
    for path, module in network.named_modules():
        if path.partition(".")[0] not in prefixes:
            continue
        if isinstance(module, ConvBN):
            _unfold(module, weights, path)
        elif not isinstance(module, nn.BatchNorm3d) and not path.endswith(".conv"):
            for name, parameter in module.named_parameters(recurse=False):
                parameter.data = _take(weights, f"{path}.{name}", parameter)
    return network


def _unfold(module: ConvBN, weights: dict[str, Tensor], path: str) -> None:
    conv, bn = module.conv, module.bn
    conv.weight.data = _take(weights, f"{path}.weight", conv.weight)
    bn.bias.data = _take(weights, f"{path}.bias", bn.bias)
    bn.weight.data = torch.ones_like(bn.weight)
    bn.running_mean = torch.zeros_like(bn.bias)
    bn.running_var = torch.full_like(bn.bias, 1 - bn.eps)


def _take(weights: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
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
