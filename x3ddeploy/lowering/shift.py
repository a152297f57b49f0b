"""The temporal shift without index assignment: as slices, as one Gather, or as a depthwise convolution over time."""

from __future__ import annotations

from math import prod
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.rewrite import Operation


def _cut(clip: Tensor, frames: tuple[int, int], channels: tuple[int, int]) -> Tensor:
    """`clip[:, start:end, start:end]`, both axes cut even where one stays whole: three slices of one form."""
    return cast(Tensor, torch.ops.aten.slice(torch.ops.aten.slice(clip, 1, *frames), 2, *channels))


class SliceShift(nn.Module):
    """Shift on (N*T, C, H, W): slice the folds, move each by one frame with a zero frame behind it, concatenate."""

    def __init__(self, fold_div: int, frames: int) -> None:
        super().__init__()
        self.fold_div = fold_div
        self.frames = frames
        self.to_clip, self.to_frames = Operation(torch.reshape), Operation(torch.reshape)
        self.ahead, self.after_last = Operation(_cut), Operation(F.pad)
        self.back, self.before_first = Operation(_cut), Operation(F.pad)
        self.stay = Operation(_cut)

    def forward(self, x: Tensor) -> Tensor:
        (channels, *space), frames = x.shape[1:], self.frames
        fold = channels // self.fold_div
        if fold == 0:
            return x
        clip = self.to_clip(x, (-1, frames, channels, prod(space)))
        ahead = self.after_last(self.ahead(clip, (1, frames), (0, fold)), (0, 0, 0, 0, 0, 1))
        back = self.before_first(self.back(clip, (0, frames - 1), (fold, 2 * fold)), (0, 0, 0, 0, 1, 0))
        stay = self.stay(clip, (0, frames), (2 * fold, channels))
        return self.to_frames(torch.cat((ahead, back, stay), 2), (-1, channels, *space))


class GatherShift(nn.Module):
    """Shift on (N*T, C, H, W): one Gather of the (frame, channel) rows, and a mask where no frame is to be taken.

    Two passes over the tensor, where slices, zero frames and their concatenation take two and a quarter or more. Exact
    for finite values.
    """

    def __init__(self, fold_div: int, frames: int, channels: int) -> None:
        super().__init__()
        fold = channels // fold_div
        rows = torch.arange(frames * channels).view(frames, channels)
        places, mask = rows.clone(), torch.ones(frames, channels)
        places[:-1, :fold], mask[-1, :fold] = rows[1:, :fold], 0  # t takes t+1
        places[1:, fold : 2 * fold], mask[0, fold : 2 * fold] = rows[:-1, fold : 2 * fold], 0  # t takes t-1
        self.register_buffer("places", places.flatten())
        self.mask = nn.Parameter(mask.view(1, -1, 1), requires_grad=False)
        self.fold = fold
        self.to_clip, self.to_frames = Operation(torch.reshape), Operation(torch.reshape)
        self.take = Operation(lambda rows, places: rows[:, places])
        self.only_frames = Operation(torch.mul)

    def forward(self, x: Tensor) -> Tensor:
        if self.fold == 0:
            return x
        rows = self.to_clip(x, (-1, self.mask.numel(), prod(x.shape[2:])))
        taken = self.only_frames(self.take(rows, self.places), self.mask)
        return self.to_frames(taken, (-1, *x.shape[1:]))


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
        self.taps = nn.Parameter(taps, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self.taps, padding=(1, 0, 0), groups=x.shape[1])
