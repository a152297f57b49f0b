"""The temporal shift without index assignment: as slices, or as a depthwise convolution over time."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.replace import replaced
from x3ddeploy.models.x3d import Block, TemporalShift


class SliceShift(nn.Module):
    """Shift on (N*T, C, H, W): slice the folds, move each by one frame with a zero frame behind it, concatenate."""

    def __init__(self, fold_div: int, frames: int) -> None:
        super().__init__()
        self.fold_div = fold_div
        self.frames = frames

    def fold(self, channels: int) -> int:
        """Channels that move each way."""
        return channels // self.fold_div

    def forward(self, x: Tensor) -> Tensor:
        fold = self.fold(x.shape[1])
        clip = x.unflatten(0, (-1, self.frames))
        ahead = F.pad(clip[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
        back = F.pad(clip[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
        return torch.cat((ahead, back, clip[:, :, 2 * fold :]), 2).flatten(0, 1)


class TapShift(nn.Module):
    """Shift on (N, C, T, H, W) as a depthwise (3, 1, 1) convolution whose kernels have a single one.

    Exact for finite values: each output is one input times one, plus zeros.
    """

    def __init__(self, fold_div: int, channels: int) -> None:
        super().__init__()
        self.fold_div = fold_div
        fold = channels // fold_div
        taps = torch.zeros(channels, 1, 3, 1, 1)
        taps[:fold, :, 2] = 1  # t takes t+1
        taps[fold : 2 * fold, :, 0] = 1  # t takes t-1
        taps[2 * fold :, :, 1] = 1
        self.register_buffer("taps", taps)
        self.taps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self.taps, padding=(1, 0, 0), groups=x.shape[1])


def tap_shift(backbone: nn.Module) -> nn.Module:
    """Every shift of a 5-D, BatchNorm-folded backbone becomes a TapShift."""
    return replaced(backbone, Block, lambda part: _with_taps(cast(Block, part)))


def _with_taps(block: Block) -> Block:
    channels = cast(Conv, block.conv1).conv.in_channels
    block.shift = TapShift(cast(TemporalShift, block.shift).fold_div, channels)
    return block
