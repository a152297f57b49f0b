"""BatchNorm folded into the convolution before it.

At inference y = gamma * (conv(x) - mean) / sqrt(var + eps) + beta is affine in conv(x), so the scale goes into the
kernel and the rest becomes the bias (https://arxiv.org/abs/1712.05877, section 3.2). The arithmetic runs in float64 and
is rounded once.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """A convolution with bias and optional ReLU, weights (O, I/groups, 1, k, k) or, on frames, (O, I/groups, k, k)."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        groups: int,
        relu: bool,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.stride, self.padding, self.groups, self.relu = stride, padding, groups, relu

    @property
    def in_channels(self) -> int:
        """Channels that it reads."""
        return self.weight.shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        """Channels that it gives."""
        return self.weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        convolve = F.conv3d if self.weight.dim() == 5 else F.conv2d
        x = convolve(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return F.relu(x) if self.relu else x


def affine(bn: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    """A BatchNorm at inference: factor and sum of each channel, in float64."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return scale, bn.bias.detach().double() - bn.running_mean.double() * scale


def folded(conv: nn.Conv3d, bn: nn.BatchNorm3d, *, relu: bool) -> Conv:
    """A convolution without bias and the BatchNorm behind it as one. Equal up to one rounding of each weight."""
    scale, shift = affine(bn)
    return Conv(
        (conv.weight.double() * scale[:, None, None, None, None]).float(),
        shift.float(),
        stride=cast("tuple[int, int, int]", conv.stride),
        padding=cast("tuple[int, int, int]", conv.padding),
        groups=conv.groups,
        relu=relu,
    )
