"""Frames in the batch: what a 5-D network is made of, on frames.

A convolution with a (1, k, k) kernel is a Conv2d on each frame. With (N, C, T, H, W) laid out as (N*T, C, H, W) only
what looks across time needs to know T: the shift and squeeze-and-excitation.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.rewrite import Operation


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


def on_frames(layer: Conv) -> Conv:
    """A convolution with a (1, k, k) kernel as a Conv2d. Raises ValueError where it mixes or strides time."""
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
