"""X3D backbone with temporal shift, in its training form: 5-D tensors, BatchNorm, the original layout's names.

X3D: https://arxiv.org/abs/2004.04730. Temporal shift: https://arxiv.org/abs/1811.08383.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, Nonlinearity


def temporal_shift(x: Tensor, fold_div: int) -> Tensor:
    """Shift channels along time; what leaves the clip is lost, what enters is zero.

    Args:
        x: (N, C, T, H, W).
        fold_div: with f = C // fold_div, channels [0, f) at t take t+1, channels [f, 2f) take t-1, the rest stay.

    Returns:
        A new tensor of x's shape.
    """
    fold = x.shape[1] // fold_div
    out = torch.zeros_like(x)
    out[:, :fold, :-1] = x[:, :fold, 1:]
    out[:, fold : 2 * fold, 1:] = x[:, fold : 2 * fold, :-1]
    out[:, 2 * fold :] = x[:, 2 * fold :]
    return out


class TemporalShift(nn.Module):
    """`temporal_shift` as a module, so that a rewrite can put another form in its place. It has no weights."""

    def __init__(self, fold_div: int) -> None:
        super().__init__()
        self.fold_div = fold_div

    def forward(self, x: Tensor) -> Tensor:
        return temporal_shift(x, self.fold_div)


class ConvBN(nn.Module):
    """Conv3d (1, k, k) without bias, BatchNorm3d, optional ReLU. Time is neither mixed nor strided."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            in_channels,
            out_channels,
            (1, kernel, kernel),
            stride=(1, stride, stride),
            padding=(0, kernel // 2, kernel // 2),
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-5)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self.relu else x


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from its mean over T, H and W."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(channels, squeeze, 1)
        self.fc2 = nn.Conv3d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3, 4), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(gate))))


class X3DBlock(nn.Module):
    """Inverted bottleneck: shift, expand, depthwise, squeeze-and-excitation, activation, project, add, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int,
        stride: int,
        squeeze: int,
        fold_div: int,
        downsample: bool,
        activation: Nonlinearity,
    ) -> None:
        super().__init__()
        self.shift: nn.Module = TemporalShift(fold_div)
        self.conv1: nn.Module = ConvBN(in_channels, width, relu=True)
        self.conv2: nn.Module = ConvBN(width, width, kernel=3, stride=stride, groups=width, relu=False)
        self.se_module: nn.Module | None = SqueezeExcitation(width, squeeze) if squeeze else None
        self.swish: nn.Module = nn.SiLU() if activation is Nonlinearity.SWISH else nn.Identity()
        self.conv3: nn.Module = ConvBN(width, out_channels, relu=False)
        self.downsample: nn.Module | None = (
            ConvBN(in_channels, out_channels, stride=stride, relu=False) if downsample else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W'); lowered, frames in the batch: (NT, C, H, W) -> (NT, C', H', W')."""
        out = self.conv2(self.conv1(self.shift(x)))
        if self.se_module is not None:
            out = self.se_module(out)
        out = self.conv3(self.swish(out))
        identity = x if self.downsample is None else self.downsample(x)
        return F.relu(out + identity)


class X3DBackbone(nn.Module):
    """One stream: stem `conv1_s`, stages `layer1`, `layer2`, ..., and `conv5`."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.conv1_s: nn.Module = ConvBN(
            spec.in_channels, spec.stem_channels, kernel=3, stride=spec.stem_stride, relu=True
        )
        channels = spec.stem_channels
        for index, stage in enumerate(spec.stages, 1):
            self.add_module(f"layer{index}", _make_stage(channels, index - 1, spec))
            channels = stage.channels
        self.conv5 = ConvBN(channels, spec.out_channels, relu=True)

    @property
    def stages(self) -> list[nn.Sequential]:
        return [self.get_submodule(f"layer{index}") for index in range(1, len(self.spec.stages) + 1)]  # type: ignore[misc]

    @property
    def blocks(self) -> list[str]:
        """Names of the modules that each give one tensor of the way: the stem, every block, `conv5`."""
        inner = [f"layer{number}.{index}" for number, stage in enumerate(self.stages, 1) for index in range(len(stage))]
        return ["conv1_s", *inner, "conv5"]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, T, H, W) -> (N, out_channels, T, H', W'), H' = spec.feature_size(H)."""
        x = self.conv1_s(x)
        for stage in self.stages:
            x = stage(x)
        return self.conv5(x)


def _make_stage(in_channels: int, number: int, spec: BackboneSpec) -> nn.Sequential:
    stage = spec.stages[number]
    return nn.Sequential(
        *(
            X3DBlock(
                in_channels if index == 0 else stage.channels,
                stage.channels,
                width=stage.width,
                stride=stage.stride if index == 0 else 1,
                squeeze=squeeze,
                fold_div=spec.fold_div,
                downsample=index == 0 and spec.downsamples[number],
                activation=spec.activation,
            )
            for index, squeeze in enumerate(stage.squeeze)
        )
    )
