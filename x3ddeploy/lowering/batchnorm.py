"""BatchNorm folded into the convolution before it.

At inference y = gamma * (conv(x) - mean) / sqrt(var + eps) + beta is affine in conv(x), so the scale goes into the
kernel and the rest becomes the bias (https://arxiv.org/abs/1712.05877, section 3.2). The arithmetic runs in float64 and
is rounded once.
"""

from __future__ import annotations

from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.replace import replaced
from x3ddeploy.models.x3d import ConvBN

M = TypeVar("M", bound=nn.Module)


class Conv(nn.Module):
    """A convolution with bias and optional ReLU; `conv` is Conv3d (1, k, k) or, on frames, Conv2d (k, k)."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.relu(x) if self.relu else x


def fold_batchnorm(module: M) -> M:
    """Every ConvBN becomes a Conv. Equal up to one rounding of each weight."""
    return replaced(module, ConvBN, lambda part: _fold(cast(ConvBN, part)))


def _fold(layer: ConvBN) -> Conv:
    conv, bn = layer.conv, layer.bn
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    folded = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        cast(tuple[int, int, int], conv.kernel_size),
        stride=cast(tuple[int, int, int], conv.stride),
        padding=cast(tuple[int, int, int], conv.padding),
        groups=conv.groups,
    )
    assert folded.bias is not None
    folded.weight.data = (conv.weight.double() * scale[:, None, None, None, None]).float()
    folded.bias.data = (bn.bias.double() - bn.running_mean.double() * scale).float()
    return Conv(folded, relu=layer.relu)
