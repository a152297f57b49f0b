"""Frames in the batch: the 5-D network as a 4-D one.

Every convolution has a (1, k, k) kernel, so it is a Conv2d on each frame. With (N, C, T, H, W) laid out as
(N*T, C, H, W) only the two places that look across time need to know T: the shift and squeeze-and-excitation.
"""

from __future__ import annotations

from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.replace import replaced
from x3ddeploy.lowering.shift import SliceShift
from x3ddeploy.models.x3d import SqueezeExcitation, TemporalShift

M = TypeVar("M", bound=nn.Module)


def frames_in_batch(backbone: nn.Module, frames: int) -> FramesBackbone:
    """Rewrite a BatchNorm-folded backbone to Conv2d on frames. Exact: the same products in the same sums."""
    body: nn.Module = replaced(backbone, Conv, lambda part: _to_conv2d(cast(Conv, part)))
    body = replaced(body, TemporalShift, lambda part: SliceShift(cast(TemporalShift, part).fold_div, frames))
    body = replaced(body, SqueezeExcitation, lambda part: FramesSE(cast(SqueezeExcitation, part), frames))
    return FramesBackbone(body, frames)


class FramesBackbone(nn.Module):
    """A 4-D backbone behind a 5-D door: (N, C, T, H, W) in, (N, C', T, H', W') out."""

    def __init__(self, body: nn.Module, frames: int) -> None:
        super().__init__()
        self.body = body
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x.transpose(1, 2).flatten(0, 1))
        return y.unflatten(0, (-1, self.frames)).transpose(1, 2)


class FramesSE(nn.Module):
    """Squeeze-and-excitation on (N*T, C, H, W): the mean of the frames' means is the mean over T, H and W."""

    def __init__(self, module: SqueezeExcitation, frames: int) -> None:
        super().__init__()
        self.fc1 = _linear(module.fc1)
        self.fc2 = _linear(module.fc2)
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        clip = x.unflatten(0, (-1, self.frames))
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(clip.mean((3, 4)).mean(1)))))
        return (clip * gate[:, None, :, None, None]).flatten(0, 1)


def _linear(conv: nn.Conv3d) -> nn.Linear:
    linear = nn.Linear(conv.in_channels, conv.out_channels)
    linear.weight.data = conv.weight.detach().flatten(1)
    assert conv.bias is not None
    linear.bias.data = conv.bias.detach()
    return linear


def _to_conv2d(layer: Conv) -> Conv:
    old = cast(nn.Conv3d, layer.conv)
    if (old.kernel_size[0], old.stride[0], old.padding[0]) != (1, 1, 0):
        raise ValueError(f"a convolution that mixes or strides time is no Conv2d on frames: {old}")
    new = nn.Conv2d(
        old.in_channels,
        old.out_channels,
        cast(tuple[int, int], old.kernel_size[1:]),
        stride=cast(tuple[int, int], old.stride[1:]),
        padding=cast(tuple[int, int], old.padding[1:]),
        groups=old.groups,
    )
    new.weight.data = old.weight.detach()[:, :, 0]
    new.bias = old.bias
    return Conv(new, relu=layer.relu)
