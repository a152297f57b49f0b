"""The baseline: RGBPoseConv3D (https://arxiv.org/abs/2104.13586) as MMAction2 ships it.

Built from the config in MMAction2's own wheel, with random weights: dense convolutions take the same time whatever they
multiply, as long as nothing is denormal, and the networks' own initialisations keep activations of order one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from x3ddeploy.checkpoint.config import read_config_file
from x3ddeploy.contract import Input, InputKind
from x3ddeploy.mmaction_compat import config_path, import_registry, mmaction_scope

CONFIG = "skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py"
# The config samples RGB 8 and pose 32 frames; its training crops are 224 x 224, heatmaps a quarter of that.
SIZE, HEATMAP_SCALE = (224, 224), 4
OUTPUTS = ("rgb", "pose")


class RGBPoseConv3D(nn.Module):
    """Backbone and head: `imgs`, `heatmap_imgs` to logits of both streams."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        registry = import_registry()
        config = read_config_file(config_path(CONFIG))["model"]
        with mmaction_scope():
            self.backbone = registry.build(config["backbone"])
            self.head = registry.build({**config["cls_head"], "num_classes": classes})

    def forward(self, imgs: Tensor, heatmap_imgs: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 8, 224, 224) and (N, 17, 32, 56, 56) to (N, classes) twice."""
        scores = self.head(self.backbone(imgs, heatmap_imgs))
        first, second = (scores[name] for name in OUTPUTS)
        return first, second


class _Published:
    """See `x3ddeploy.families.base.Baseline`."""

    title: ClassVar[str] = "RGBPoseConv3D"
    outputs: ClassVar[tuple[str, ...]] = OUTPUTS

    def build(self, classes: int) -> RGBPoseConv3D:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return RGBPoseConv3D(classes).eval()

    def inputs(self, batch: int, like: Mapping[str, Input]) -> dict[str, npt.NDArray[np.float32]]:
        """Clips of as many frames as its config says; heatmaps are a quarter of the frames' height and width."""
        sizes = [value.clip_shape[-2:] for value in like.values() if value.kind is InputKind.FRAMES]
        height, width = next((size for size in sizes if not any(side % HEATMAP_SCALE for side in size)), SIZE)
        shapes = {
            "imgs": (batch, 3, 8, height, width),
            "heatmap_imgs": (batch, 17, 32, height // HEATMAP_SCALE, width // HEATMAP_SCALE),
        }
        random = np.random.default_rng(0)
        return {name: random.random(shape, np.float32) for name, shape in shapes.items()}


PUBLISHED = _Published()
