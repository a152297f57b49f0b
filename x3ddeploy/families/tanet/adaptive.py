"""MMAction2's temporal adaptive module (TAM) as products with matrices over frames; exact up to float rounding.

It convolves over time with a kernel of its own for each clip and channel: a convolution in N * C groups, which no graph
has for any N. Frame t of the result is a sum over the frames of the clip, y[t] = sum_s band[t, s] x[s], where
band[t, s] is the tap at s - t + padding times the activation of frame s: one small product lays the taps out in the
band, one product with the clip sums. As shifted multiply-adds it takes 22 nodes, and two to three times as long.
"""

from __future__ import annotations

from math import prod

import torch
from mmaction.models.common import TAM
from torch import Tensor, nn

from x3ddeploy.lowering.rewrite import Operation, Rewrite, replaced


class AdaptiveKernel(nn.Module):
    """`TAM` on frames (N*T, C, H, W). Raises ValueError where its convolution changes the number of frames."""

    def __init__(self, module: TAM) -> None:
        super().__init__()
        self.G, self.L, self.frames = module.G, module.L, module.num_segments
        taps, padding = module.adaptive_kernel_size, module.adaptive_convolution_padding
        if module.adaptive_convolution_stride != 1 or taps != 2 * padding + 1:
            raise ValueError(f"a kernel of {taps} taps with padding {padding} gives another number of frames")
        self.register_buffer("places", _places(taps, self.frames).flatten(1))
        self.places: Tensor
        self.to_clip, self.to_band, self.to_frames = (Operation(torch.reshape) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        (channels, *space), frames = x.shape[1:], self.frames
        clip = self.to_clip(x, (-1, frames, channels, prod(space)))
        means = clip.mean(3).transpose(1, 2)
        taps = self.G(means.reshape(-1, frames))
        band = self.to_band(taps @ self.places, (-1, channels, frames, frames)) * self.L(means).unsqueeze(2)
        summed = (band @ clip.transpose(1, 2)).transpose(1, 2)
        found: Tensor = self.to_frames(summed, (-1, channels, *space))
        return found


def _places(taps: int, frames: int) -> Tensor:
    """(taps, frames, frames): one where a tap joins a frame of the clip to a frame of the result."""
    shifts = torch.arange(frames) - torch.arange(frames)[:, None] + taps // 2
    return (shifts == torch.arange(taps)[:, None, None]).float()


def kernels_as_bands(module: nn.Module) -> nn.Module:
    """Every temporal adaptive module of a backbone as an AdaptiveKernel."""
    return replaced(module, TAM, AdaptiveKernel)


KERNELS_AS_BANDS = Rewrite("adaptive kernels as bands", kernels_as_bands)
