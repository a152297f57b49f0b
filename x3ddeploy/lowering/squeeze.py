"""Squeeze-and-excitation with its mean over T, H and W taken in two steps, frames first: frames are of one size."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.rewrite import Operation


class FramesSE(nn.Module):
    """On (N*T, C, H, W). One mean over (T, HW) at once falls off ONNX Runtime's contiguous reduction."""

    def __init__(self, fc1: nn.Conv3d, fc2: nn.Conv3d, frames: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = _linear(fc1), _linear(fc2)
        self.frames = frames
        self.to_clip, self.to_gate, self.to_frames = (Operation(torch.reshape) for _ in range(3))
        self.mean_of_frame, self.mean_of_clip = Operation(torch.mean), Operation(torch.mean)

    def forward(self, x: Tensor) -> Tensor:
        channels, *space = x.shape[1:]
        clip = self.to_clip(x, (-1, self.frames, channels, prod(space)))
        mean = self.mean_of_clip(self.mean_of_frame(clip, 3), 1)
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))
        scaled = clip * self.to_gate(gate, (-1, 1, channels, 1))
        return self.to_frames(scaled, (-1, channels, *space))


class ClipSE(nn.Module):
    """On (N, C, T, H, W), by average pooling.

    OpenVINO sums a mean over all three one term after the other, and over the 50,000 terms of a wide layer loses half
    of float32's digits where a clip is flat (docs/lowering.md).
    """

    def __init__(self, fc1: nn.Conv3d, fc2: nn.Conv3d) -> None:
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2
        self.mean_of_frame, self.mean_of_clip = Operation(F.avg_pool3d), Operation(F.avg_pool3d)

    def forward(self, x: Tensor) -> Tensor:
        frames, *space = x.shape[2:]
        mean = self.mean_of_clip(self.mean_of_frame(x, (1, *space), 1), (frames, 1, 1), 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


def _linear(conv: nn.Conv3d) -> nn.Linear:
    linear = nn.Linear(conv.in_channels, conv.out_channels)
    linear.weight.data = conv.weight.detach().flatten(1)
    assert conv.bias is not None
    linear.bias.data = conv.bias.detach()
    return linear
