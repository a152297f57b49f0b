"""The temporal shift with the expand convolution behind it, in four forms that compute the same.

`slices`: slice, pad, concatenate, then the 1x1 convolution, on (N*T, C, H, W): the deploy form.
`split`: the 1x1 convolution cut into one for each fold; the folds' outputs are moved by a frame and added up.
`folded`: one (3, 1) convolution over time, on (N, C, T, H*W), whose taps hold the shift and the expand weights.
`taps`: a depthwise (3, 1) convolution with one-hot taps, then the 1x1 convolution, on (N, C, T, H*W).
"""

from __future__ import annotations

from typing import Protocol

import host  # noqa: F401 (puts x3ddeploy on the path)
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.shift import SliceShift


class ShiftForm(Protocol):
    """A form of the shift and the convolution behind it; `layout` is 'frames' or 'clip', see `to_layout`."""

    layout: str

    def __call__(self, weight: Tensor, fold_div: int, frames: int) -> nn.Module:
        """Make the module."""


class Slices(nn.Module):
    """(N*T, C, H, W) to (N*T, width, H, W)."""

    layout = "frames"

    def __init__(self, weight: Tensor, fold_div: int, frames: int) -> None:
        super().__init__()
        self.shift = SliceShift(fold_div, frames)
        self.weight = nn.Parameter(weight[:, :, None, None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.shift(x), self.weight)


class Split(nn.Module):
    """(N*T, C, H, W) to (N*T, width, H, W)."""

    layout = "frames"

    def __init__(self, weight: Tensor, fold_div: int, frames: int) -> None:
        super().__init__()
        self.frames, self.fold = frames, weight.shape[1] // fold_div
        self.weight = nn.Parameter(weight[:, :, None, None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        fold, weight = self.fold, self.weight
        ahead = F.conv2d(x[:, :fold], weight[:, :fold]).unflatten(0, (-1, self.frames))
        back = F.conv2d(x[:, fold : 2 * fold], weight[:, fold : 2 * fold]).unflatten(0, (-1, self.frames))
        rest = F.conv2d(x[:, 2 * fold :], weight[:, 2 * fold :])
        moved = F.pad(ahead[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1)) + F.pad(back[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
        return rest + moved.flatten(0, 1)


class Folded(nn.Module):
    """(N, C, T, H*W) to (N, width, T, H*W)."""

    layout = "clip"

    def __init__(self, weight: Tensor, fold_div: int, frames: int) -> None:
        super().__init__()
        fold = weight.shape[1] // fold_div
        taps = torch.zeros(*weight.shape, 3, 1)
        taps[:, :fold, 2, 0] = weight[:, :fold]  # t takes t+1
        taps[:, fold : 2 * fold, 0, 0] = weight[:, fold : 2 * fold]  # t takes t-1
        taps[:, 2 * fold :, 1, 0] = weight[:, 2 * fold :]
        self.weight = nn.Parameter(taps, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=(1, 0))


class Taps(nn.Module):
    """(N, C, T, H*W) to (N, width, T, H*W)."""

    layout = "clip"

    def __init__(self, weight: Tensor, fold_div: int, frames: int) -> None:
        super().__init__()
        channels = weight.shape[1]
        fold = channels // fold_div
        taps = torch.zeros(channels, 1, 3, 1)
        taps[:fold, :, 2] = 1
        taps[fold : 2 * fold, :, 0] = 1
        taps[2 * fold :, :, 1] = 1
        self.taps = nn.Parameter(taps, requires_grad=False)
        self.weight = nn.Parameter(weight[:, :, None, None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, self.taps, padding=(1, 0), groups=x.shape[1]), self.weight)


SHIFT_FORMS: dict[str, ShiftForm] = {"slices": Slices, "split": Split, "folded": Folded, "taps": Taps}


def to_layout(clip: Tensor, layout: str) -> Tensor:
    """(N, C, T, H, W) to what a form takes."""
    if layout == "frames":
        return clip.transpose(1, 2).flatten(0, 1).contiguous()
    return clip.flatten(3).contiguous()


def from_layout(value: Tensor, layout: str, shape: torch.Size) -> Tensor:
    """What a form gives back as (N, width, T, H, W); `shape` is the clip's."""
    batch, _, frames, height, width = shape
    if layout == "frames":
        return value.unflatten(0, (batch, frames)).transpose(1, 2)
    return value.unflatten(3, (height, width))
