"""Convolutions zero-padded in width or in input channels, to a multiple that the kernels like.

A padded channel has zero weights into it, zero bias and zero weights out of it: it carries ReLU(0) = 0 through the
depthwise convolution, is gated to 0 * sigmoid(.) = 0, is swished to 0 and adds 0. The result is the same sum with
zeros added. CPU kernels work on blocks of 16 channels, and ONNX Runtime's leave their blocked layout altogether where
a channel count is not a multiple of 4, such as 54 or the pose stem's 17.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from x3ddeploy.lowering.batchnorm import Conv


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not under `value`."""
    return -(-value // multiple) * multiple


class PaddedInput(Conv):
    """Appends channels of zeros, then convolves."""

    def forward(self, x: Tensor) -> Tensor:
        missing = self.in_channels - x.shape[1]
        return super().forward(F.pad(x, (0, 0) * (x.dim() - 2) + (0, missing)))


def padded(layer: Conv, kind: type[Conv] = Conv, *, inputs: int | None = None, outputs: int | None = None) -> Conv:
    """A convolution with weights of zero for more input or output channels; a depthwise one gets as many of both."""
    depthwise = layer.groups > 1
    outputs = outputs or layer.out_channels
    inputs = 1 if depthwise else inputs or layer.in_channels
    return kind(
        grown(layer.weight, outputs, inputs),
        grown(layer.bias, outputs),
        stride=layer.stride,
        padding=layer.padding,
        groups=outputs if depthwise else 1,
        relu=layer.relu,
    )


def grown(tensor: Tensor, *sizes: int) -> Tensor:
    """`tensor` with zeros appended so that its leading axes have `sizes`."""
    grown = torch.zeros(*sizes, *tensor.shape[len(sizes) :])
    grown[tuple(slice(size) for size in tensor.shape[: len(sizes)])] = tensor.detach()
    return grown
