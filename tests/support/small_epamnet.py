"""A small EPAM-Net as a checkpoint, with the names and the config of the published code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from x3ddeploy.families.two_stream_x3d.demo import config_text
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network

SPEC = replace(PRESETS["tiny"], pose_input=replace(PRESETS["tiny"].pose_input, frames=8))


def attention_weights() -> dict[str, torch.Tensor]:
    """Weights of the attention of the RGB stream by the pose stream."""
    torch.manual_seed(3)
    return {
        "spatial.conv.weight": torch.randn(1, 2, 1, 7, 7) / 5,
        "spatial.bn.weight": torch.tensor([1.5]),
        "spatial.bn.bias": torch.tensor([0.2]),
        "spatial.bn.running_mean": torch.tensor([0.1]),
        "spatial.bn.running_var": torch.tensor([0.7]),
        "conv_temporal_attention.weight": torch.randn(1, 1, 7),
    }


def write(folder: Path, weights: dict[str, torch.Tensor], text: str) -> Path:
    """A checkpoint of all weights, with the text of its config."""
    inner = {f"backbone.{name}" if not name.startswith("cls_head.") else name: value for name, value in weights.items()}
    torch.save({"meta": {"cfg": text}, "state_dict": inner}, folder / "best.pth")
    return folder / "best.pth"


def save(folder: Path) -> Path:
    """The checkpoint of `random_network(SPEC, seed=2)` and the attention."""
    inside = config_text(SPEC).replace("rgb_backbone=", "backbone=dict(type='EPAMBackbone', rgb_backbone=", 1)
    inside = inside.replace("    cls_head=", "    ), cls_head=", 1).replace("RGBPoseX3DRecognizer", "EPAMRecognizer")
    inside = inside.replace(",\n    ), cls_head", "), cls_head")
    attention = {f"attention_module.{name}": value for name, value in attention_weights().items()}
    return write(folder, {**random_network(SPEC, seed=2).state_dict(), **attention}, inside)
