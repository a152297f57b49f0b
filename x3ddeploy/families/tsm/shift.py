"""The temporal shift of MMAction2's, and its non-local blocks, with N alone left to the caller; exact."""

from __future__ import annotations

import torch
from mmaction.models.backbones.resnet_tsm import NL3DWrapper, TemporalShift
from torch import Tensor, nn

from x3ddeploy.lowering.rewrite import Operation, Rewrite, replaced
from x3ddeploy.lowering.shift import SliceShift


class Shifted(nn.Module):
    """`TemporalShift`: what it wraps, on shifted frames (N*T, C, H, W)."""

    def __init__(self, wrapped: TemporalShift) -> None:
        super().__init__()
        self.shift, self.net = SliceShift(wrapped.shift_div, wrapped.num_segments), wrapped.net

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net(self.shift(x))
        return found


class NonLocal(nn.Module):
    """`NL3DWrapper`: a block, and attention over all places of a clip."""

    def __init__(self, wrapped: NL3DWrapper) -> None:
        super().__init__()
        self.block, self.non_local_block, self.frames = wrapped.block, wrapped.non_local_block, wrapped.num_segments
        self.to_clip, self.to_frames = Operation(torch.reshape), Operation(torch.reshape)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        clip = self.to_clip(x, (-1, self.frames, *x.shape[1:])).transpose(1, 2).contiguous()
        seen: Tensor = self.non_local_block(clip).transpose(1, 2).contiguous()
        found: Tensor = self.to_frames(seen, (-1, *x.shape[1:]))
        return found


def _shifts(module: nn.Module) -> nn.Module:
    return replaced(module, TemporalShift, Shifted)


def _non_local(module: nn.Module) -> nn.Module:
    return replaced(module, NL3DWrapper, NonLocal)


SHIFT_AS_SLICES = Rewrite("temporal shift as slices", _shifts)
NON_LOCAL_OF_CLIPS = Rewrite("non-local blocks on clips of fixed length", _non_local)
