"""Two small networks of pictures: where persons are, and where a person's joints are.

What they take and give is what `x3ddeploy.pose` knows of others' models: top-down heatmaps, and YOLO's rows of boxes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

STRIDE = 8  # pixels between the detector's candidates
_USUAL_SIDE = 32.0  # pixels; sides of boxes are learned as multiples of it, by their logarithm
_LOGARITHMS = 4.0  # most that they may be: no exponential overflows


class Trunk(nn.Module):
    """(N, 3, H, W) to (N, C, H/2, W/2), (N, 2C, H/4, W/4) and (N, 4C, H/8, W/8), by two convolutions each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels)
        self.stages = nn.ModuleList(
            nn.Sequential(_layer(before, after, 2), _layer(after, after, 1)) for before, after in pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class HeatmapNetwork(nn.Module):
    """A person's window (N, 3, H, W), pixels less ImageNet's mean over its deviation, to heatmaps (N, K, H/2, W/2).

    Coarse features see the whole person; on the way back up they are joined with finer ones (https://arxiv.org/abs/1505.04597).

    Args:
        joints: K.
        channels: number of channels of the finest features; coarser ones have twice and four times as many.
    """

    def __init__(self, joints: int, channels: int) -> None:
        super().__init__()
        self.trunk = Trunk(channels)
        self.whole = nn.Sequential(*(_layer(4 * channels, 4 * channels, 1) for _ in range(2)))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, 2, bias=False) for width in (2 * channels, channels)
        )
        self.joined = nn.ModuleList(_layer(2 * width, width, 1) for width in (2 * channels, channels))
        self.heatmaps = nn.Conv2d(channels, joints, 1)

    def forward(self, window: Tensor) -> Tensor:
        fine, middle, coarse = self.trunk(window)
        x = self.whole(coarse)
        for up, joined, other in zip(self.up, self.joined, (middle, fine), strict=True):
            x = joined(torch.cat((up(x), other), 1))
        heatmaps: Tensor = self.heatmaps(x)
        return heatmaps


class BoxNetwork(nn.Module):
    """A picture (N, 3, H, W), R, G, B in 0..1, to YOLO's rows (N, 5, A): centre x, centre y, width, height, score.

    One candidate for every 8 x 8 pixels; boxes in pixels, scores in 0..1.

    Args:
        size: height and width, multiples of 8.
        channels: see HeatmapNetwork.
    """

    places: Tensor

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.trunk = Trunk(channels)
        self.whole = nn.Sequential(*(_layer(4 * channels, 4 * channels, 1) for _ in range(2)))
        self.rows = nn.Conv2d(4 * channels, 5, 1)
        assert self.rows.bias is not None
        nn.init.constant_(self.rows.bias[4:], -3.0)  # nearly all candidates are nobody
        y, x = torch.meshgrid(*(torch.arange(side // STRIDE) for side in size), indexing="ij")
        self.register_buffer("places", (torch.stack([x, y]).flatten(1) + 0.5) * STRIDE, persistent=False)

    def raw(self, picture: Tensor) -> Tensor:
        """(N, 5, A): shifts of the centre in strides, logarithms of width and height, and the score's logit."""
        rows: Tensor = self.rows(self.whole(self.trunk(picture)[-1]))
        return rows.flatten(2)

    def boxes(self, raw: Tensor) -> Tensor:
        """(N, 4, A), centre x, centre y, width, height in pixels."""
        centres = self.places + raw[:, :2] * STRIDE
        sides = torch.exp(torch.clamp(raw[:, 2:4], -_LOGARITHMS, _LOGARITHMS)) * _USUAL_SIDE
        return torch.cat((centres, sides), 1)

    def forward(self, picture: Tensor) -> Tensor:
        raw = self.raw(picture)
        return torch.cat((self.boxes(raw), torch.sigmoid(raw[:, 4:])), 1)


def _layer(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
