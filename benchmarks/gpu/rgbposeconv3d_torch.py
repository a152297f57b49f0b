"""RGBPoseConv3D (https://arxiv.org/abs/2104.13586) in PyTorch alone, for hosts without MMAction2.

Layers and names are those of MMAction2's config skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py, so that its
state_dict loads here; a test holds the two against each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INPUT_SHAPES = {"imgs": (3, 8, 224, 224), "heatmap_imgs": (17, 32, 56, 56)}
_EXPANSION = 4
_SPEED = 4  # pose frames an RGB frame
BLOCKS = ((3, 4, 6, 3), (4, 6, 3))  # of each stage: frames, poses
# Kernel, stride and padding of what goes from one pathway to the other.
_FUSION = ((7, 1, 1), (_SPEED, 1, 1), (3, 0, 0))


class ConvBN(nn.Module):
    """Convolution, BatchNorm, and ReLU where asked; the padding keeps the extent."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int, int], *, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        frames, height, width = kernel
        padding = (frames // 2, height // 2, width // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class Fusion(nn.Module):
    """Frames of the other stream brought to this one's rate: (7, 1, 1), by a convolution without BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, *_FUSION, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class InverseFusion(nn.Module):
    """From fewer frames to more, by a transposed convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # Of the sizes that a stride of four allows, the one of exactly four times the frames.
        self.conv = nn.ConvTranspose3d(inputs, outputs, *_FUSION, output_padding=(_SPEED - 1, 0, 0), bias=False)
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """ResNet's bottleneck; inflated ones look at three frames in their first convolution."""

    def __init__(self, inputs: int, width: int, stride: int, *, inflated: bool, downsample: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(inputs, width, (3 if inflated else 1, 1, 1))
        self.conv2 = ConvBN(width, width, (1, 3, 3), stride=stride)
        self.conv3 = ConvBN(width, width * _EXPANSION, (1, 1, 1), relu=False)
        self.downsample = (
            ConvBN(inputs, width * _EXPANSION, (1, 1, 1), stride=stride, relu=False) if downsample else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x))


def stage(inputs: int, width: int, blocks: int, stride: int, *, inflated: bool) -> nn.Sequential:
    """The first block strides and widens."""
    first = Bottleneck(inputs, width, stride, inflated=inflated, downsample=True)
    rest = [Bottleneck(width * _EXPANSION, width, 1, inflated=inflated, downsample=False) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class RGBPath(nn.Module):
    """ResNet-50 whose last two stages are inflated and take the pose stream's features in."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = ConvBN(3, 64, (1, 7, 7), stride=2)
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.layer1 = stage(64, 64, blocks[0], 1, inflated=False)
        self.layer2 = stage(256, 128, blocks[1], 2, inflated=False)
        self.layer3 = stage(512 + 128, 256, blocks[2], 2, inflated=True)
        self.layer4 = stage(1024 + 256, 512, blocks[3], 2, inflated=True)
        self.layer2_lateral = Fusion(128)
        self.layer3_lateral = Fusion(256)


class PosePath(nn.Module):
    """Three stages of half the width on four times the frames."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = ConvBN(17, 32, (1, 7, 7))
        self.maxpool = nn.MaxPool3d((1, 3, 3), 1, (0, 1, 1))
        self.layer1 = stage(32, 32, blocks[0], 2, inflated=False)
        self.layer2 = stage(128 + 32, 64, blocks[1], 2, inflated=True)
        self.layer3 = stage(256 + 64, 128, blocks[2], 2, inflated=True)
        self.layer1_lateral = InverseFusion(512, 32)
        self.layer2_lateral = InverseFusion(1024, 64)


class Backbone(nn.Module):
    """Both paths, fused twice in both directions."""

    def __init__(self, blocks: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        super().__init__()
        self.rgb_path, self.pose_path = RGBPath(blocks[0]), PosePath(blocks[1])

    def forward(self, imgs: Tensor, heatmap_imgs: Tensor) -> tuple[Tensor, Tensor]:
        rgb, pose = self.rgb_path, self.pose_path
        x = rgb.layer2(rgb.layer1(rgb.maxpool(rgb.conv1(imgs))))
        y = pose.layer1(pose.maxpool(pose.conv1(heatmap_imgs)))
        x, y = torch.cat((x, rgb.layer2_lateral(y)), 1), torch.cat((y, pose.layer1_lateral(x)), 1)
        x, y = rgb.layer3(x), pose.layer2(y)
        x, y = torch.cat((x, rgb.layer3_lateral(y)), 1), torch.cat((y, pose.layer2_lateral(x)), 1)
        return rgb.layer4(x), pose.layer3(y)


class Head(nn.Module):
    """Average pooling and a classifier a stream."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc_rgb, self.fc_pose = nn.Linear(2048, classes), nn.Linear(512, classes)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.fc_rgb(x.mean((2, 3, 4))), self.fc_pose(y.mean((2, 3, 4)))


class RGBPoseConv3D(nn.Module):
    """(N, 3, 8, 224, 224) and (N, 17, 32, 56, 56) to (N, classes) of each stream."""

    def __init__(self, classes: int, blocks: tuple[tuple[int, ...], tuple[int, ...]] = BLOCKS) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(blocks), Head(classes)

    def forward(self, imgs: Tensor, heatmap_imgs: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(*self.backbone(imgs, heatmap_imgs))


def build(classes: int, blocks: tuple[tuple[int, ...], tuple[int, ...]] = BLOCKS) -> RGBPoseConv3D:
    """With random weights, in evaluation mode; kaiming's initialization keeps activations of order one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = RGBPoseConv3D(classes, blocks)
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in network.modules():
            if isinstance(module, Bottleneck):
                nn.init.constant_(module.conv3.bn.weight, 0.2)  # residual branches of a trained network are small
    return network.eval()
