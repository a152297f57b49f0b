"""Bottleneck widths and input channels zero-padded to a multiple that the kernels like.

A padded channel has zero weights into it, zero bias and zero weights out of it: it carries ReLU(0) = 0 through the
depthwise convolution, is gated to 0 * sigmoid(.) = 0, is swished to 0 and adds 0. The result is the same sum with
zeros added. CPU kernels work on blocks of 16 channels, and ONNX Runtime's leave their blocked layout altogether where
a channel count is not a multiple of 4, such as 54 or the pose stem's 17.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.families.two_stream_x3d.x3d import Backbone, Block, SqueezeExcitation
from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.replace import replaced


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not under `value`."""
    return -(-value // multiple) * multiple


def pad_widths(backbone: nn.Module, multiple: int) -> nn.Module:
    """Pad every bottleneck of a BatchNorm-folded backbone to a multiple of `multiple` channels. Exact."""
    return replaced(backbone, Block, lambda part: _pad_block(cast(Block, part), multiple))


def pad_input(backbone: nn.Module, multiple: int) -> nn.Module:
    """Widen the stem to a multiple of `multiple` input channels and feed the added ones zeros. Exact."""
    result = cast(Backbone, copy.deepcopy(backbone))
    stem = cast(Conv, result.conv1_s)
    channels = round_up(stem.in_channels, multiple)
    result.conv1_s = _padded(stem, PaddedInput, inputs=channels)
    return result


class PaddedInput(Conv):
    """Appends channels of zeros, then convolves."""

    def forward(self, x: Tensor) -> Tensor:
        missing = self.in_channels - x.shape[1]
        return super().forward(F.pad(x, (0, 0) * (x.dim() - 2) + (0, missing)))


def _pad_block(block: Block, multiple: int) -> Block:
    width = round_up(cast(Conv, block.conv1).out_channels, multiple)
    block.conv1 = _padded(cast(Conv, block.conv1), outputs=width)
    block.conv2 = _padded(cast(Conv, block.conv2), outputs=width)
    block.conv3 = _padded(cast(Conv, block.conv3), inputs=width)
    if isinstance(block.se_module, SqueezeExcitation):
        squeeze = block.se_module.fc1.out_channels
        padded = SqueezeExcitation(width, squeeze)
        padded.fc1.weight.data = _grown(block.se_module.fc1.weight, squeeze, width)
        padded.fc1.bias = block.se_module.fc1.bias
        padded.fc2.weight.data = _grown(block.se_module.fc2.weight, width, squeeze)
        assert padded.fc2.bias is not None
        assert block.se_module.fc2.bias is not None
        padded.fc2.bias.data = _grown(block.se_module.fc2.bias, width)
        block.se_module = padded
    return block


def _padded(layer: Conv, kind: type[Conv] = Conv, *, inputs: int | None = None, outputs: int | None = None) -> Conv:
    depthwise = layer.groups > 1
    outputs = outputs or layer.out_channels
    inputs = 1 if depthwise else inputs or layer.in_channels
    return kind(
        _grown(layer.weight, outputs, inputs),
        _grown(layer.bias, outputs),
        stride=layer.stride,
        padding=layer.padding,
        groups=outputs if depthwise else 1,
        relu=layer.relu,
    )


def _grown(tensor: Tensor, *sizes: int) -> Tensor:
    """`tensor` with zeros appended so that its leading axes have `sizes`."""
    grown = torch.zeros(*sizes, *tensor.shape[len(sizes) :])
    grown[tuple(slice(size) for size in tensor.shape[: len(sizes)])] = tensor.detach()
    return grown
