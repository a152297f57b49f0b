"""The whole network in its training form: both backbones, the attention between them, and the head.

Source of the attention's form: the public code of EPAM-Net (ahmed-nady/Multimodal-Action-Recognition,
actionModels/attention_module.py, `CBAMSpatialEfficientTemporalAttention` in its nested form).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from x3ddeploy.contract import WHOLE, Contract, Output, OutputKind, Part
from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.contract import EQUAL_FUSION, two_stream_contract
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

FAMILY = "epamnet"
ATTENTION, ATTENDED = "attention", "attended_feat"
_KERNEL = 7


class Spatial(nn.Module):
    """Two maps to one: a (1, 7, 7) convolution without bias, and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        half = _KERNEL // 2
        self.conv = nn.Conv3d(2, 1, (1, _KERNEL, _KERNEL), padding=(0, half, half), bias=False)
        self.bn = nn.BatchNorm3d(1, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.bn(self.conv(x))
        return normalised


class Attention(nn.Module):
    """Pose features, of as many frames as there are of RGB, as a map of where and when the RGB features matter."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = Spatial()
        self.conv_temporal_attention = nn.Conv1d(1, 1, _KERNEL, padding=_KERNEL // 2, bias=False)

    def forward(self, rgb_feat: Tensor, pose_feat: Tensor) -> Tensor:
        """(N, C, T, H, W) and (N, C', stride x T, H, W) to (N, C, T, H, W)."""
        pose = pose_feat[:, :, :: pose_feat.shape[2] // rgb_feat.shape[2]]
        pooled = torch.cat((pose.amax(1, keepdim=True), pose.mean(1, keepdim=True)), 1)
        spatial = torch.sigmoid(self.spatial(pooled))
        temporal = torch.sigmoid(self.conv_temporal_attention(spatial.mean((3, 4))))
        return rgb_feat + rgb_feat * (spatial * temporal[:, :, :, None, None])


class EPAMNet(TwoStreamX3D):
    """RGB and pose backbones, the attention, and their head; see `TwoStreamX3D`."""

    family: ClassVar[str] = FAMILY

    def __init__(self, spec: ModelSpec, fusion: tuple[float, float] = EQUAL_FUSION) -> None:
        super().__init__(spec, fusion)
        self.attention_module = Attention()

    def forward(self, imgs: Tensor, heatmap_imgs: Tensor) -> dict[str, Tensor]:
        rgb_feat, pose_feat = self.rgb_backbone(imgs), self.pose_backbone(heatmap_imgs)
        attended = self.attention_module(rgb_feat, pose_feat)
        features = {"rgb_feat": rgb_feat, "pose_feat": pose_feat, ATTENDED: attended}
        return {**features, **self.classify(attended, pose_feat)}

    def contract(self, batch: int | None = None) -> Contract:
        return epam_contract(self.spec, self.fusion, batch)

    def part(self, name: str) -> Callable[..., dict[str, Tensor]]:
        if name == ATTENTION:
            return lambda rgb_feat, pose_feat: {ATTENDED: self.attention_module(rgb_feat, pose_feat)}
        if name == WHOLE:
            given = tuple(self.contract().parts[WHOLE].outputs)
            return lambda imgs, heatmap_imgs: {name: self(imgs, heatmap_imgs)[name] for name in given}
        return super().part(name)


def _check_features(spec: ModelSpec) -> None:
    """Raise UsageError where the attention cannot lay pose features over those of RGB."""
    rgb, pose = (shape[2:] for shape in spec.feature_shapes().values())
    if pose[0] % rgb[0] or pose[1:] != rgb[1:]:
        raise UsageError(
            f"the attention takes RGB features of {rgb} frames, rows and columns and pose features of {pose}",
            hint="--pose-frames must be a multiple of --frames, and the heatmaps' size a quarter of the frames'",
        )


def epam_contract(spec: ModelSpec, fusion: tuple[float, float], batch: int | None) -> Contract:
    """That of the two-stream network, with the attention as a part between backbones and head."""
    _check_features(spec)
    plain = two_stream_contract(spec, fusion, batch, {})
    head = plain.parts["head"]
    parts = {
        **{name: part for name, part in plain.parts.items() if name not in ("head", WHOLE)},
        ATTENTION: Part(("rgb_feat", "pose_feat"), (ATTENDED,)),
        "head": replace(head, inputs=(ATTENDED, "pose_feat")),
        WHOLE: plain.parts[WHOLE],
    }
    attended = Output(OutputKind.FEATURES, plain.outputs["rgb_feat"].shape)
    return replace(plain, family=FAMILY, parts=parts, outputs={ATTENDED: attended, **plain.outputs})
