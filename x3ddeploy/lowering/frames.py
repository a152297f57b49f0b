"""Frames in the batch: the 5-D network as a 4-D one.

Every convolution has a (1, k, k) kernel, so it is a Conv2d on each frame. With (N, C, T, H, W) laid out as
(N*T, C, H, W) only the two places that look across time need to know T: the shift and squeeze-and-excitation.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn

from x3ddeploy.families.two_stream_x3d.x3d import SqueezeExcitation, TemporalShift
from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.operation import Operation
from x3ddeploy.lowering.replace import replaced
from x3ddeploy.lowering.shift import SliceShift
from x3ddeploy.lowering.squeeze import FramesSE


def frames_in_batch(backbone: nn.Module, frames: int) -> nn.Sequential:
    """Rewrite a BatchNorm-folded backbone to Conv2d on frames. Exact: the same products in the same sums.

    Args:
        backbone: its children one after the other are its forward pass.
        frames: T of the clips that it will see.

    Returns:
        (N, C, T, H, W) in, (N, C', T, H', W') out; the backbone's children between `frames` and `clips`.
    """
    body: nn.Module = replaced(backbone, Conv, lambda part: _on_frames(cast(Conv, part)))
    body = replaced(body, TemporalShift, lambda part: SliceShift(cast(TemporalShift, part).fold_div, frames))
    body = replaced(body, SqueezeExcitation, lambda part: FramesSE(cast(SqueezeExcitation, part), frames))
    steps = [("frames", ToFrames()), *body.named_children(), ("clips", ToClips(frames))]
    return nn.Sequential(OrderedDict(steps))


class ToFrames(nn.Module):
    """(N, C, T, H, W) to (N*T, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.to_frames = Operation(torch.reshape)

    def forward(self, x: Tensor) -> Tensor:
        channels, _, *space = x.shape[1:]
        return cast(Tensor, self.to_frames(x.transpose(1, 2), (-1, channels, *space)))


class ToClips(nn.Module):
    """(N*T, C, H, W) to (N, C, T, H, W)."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.frames, *x.shape[1:]).transpose(1, 2)


def _on_frames(layer: Conv) -> Conv:
    if (layer.weight.shape[2], layer.stride[0], layer.padding[0]) != (1, 1, 0):
        kernel = tuple(layer.weight.shape[2:])
        raise ValueError(f"a convolution that mixes or strides time is no Conv2d on frames: {kernel}, {layer.stride}")
    return type(layer)(
        layer.weight[:, :, 0],
        layer.bias,
        stride=layer.stride[1:],
        padding=layer.padding[1:],
        groups=layer.groups,
        relu=layer.relu,
    )
