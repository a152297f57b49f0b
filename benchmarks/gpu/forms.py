"""The networks that are timed: the original, the lowered forms, and RGBPoseConv3D; all with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import host  # noqa: F401 (puts x3ddeploy on the path)
import rgbposeconv3d_torch
import torch
from torch import Tensor, nn

from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.head import fuse_scores
from x3ddeploy.families.two_stream_x3d.lowering.strategy import Layout, Strategy, lower
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.modalities.synthetic import batch_inputs

# The deploy form for TensorRT, and the 5-D one, as x3ddeploy.families.two_stream_x3d.lowering.strategy has them.
FRAMES = Strategy(Layout.FRAMES, width_multiple=8, input_multiple=4)
CLIP = Strategy(Layout.CLIP, width_multiple=8, input_multiple=1)


@dataclass(frozen=True)
class Form:
    """A network in one form.

    Attributes:
        name: 'original', 'lowered frames', 'lowered clip' or 'rgbposeconv3d'.
        network: float32, in evaluation mode, on the CPU; forward(imgs, heatmap_imgs) gives both streams' logits.
        inputs: batch size -> its inputs, float32, on the CPU.
        memory_format: the format in which its convolutions have channels last.
    """

    name: str
    network: nn.Module
    inputs: Callable[[int], tuple[Tensor, Tensor]]
    memory_format: torch.memory_format


class Original(nn.Module):
    """The training form."""

    def __init__(self, network: TwoStreamX3D) -> None:
        super().__init__()
        self.rgb: nn.Module = network.rgb_backbone
        self.pose: nn.Module = network.pose_backbone
        self.head = network.cls_head
        self._fusion = network.fusion

    def forward(self, imgs: Tensor, heatmap_imgs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.classify(self.rgb(imgs), self.pose(heatmap_imgs))

    def classify(self, rgb_feat: Tensor, pose_feat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.head(rgb_feat, pose_feat)
        rgb, pose = logits["rgb_logits"], logits["pose_logits"]
        return rgb, pose, fuse_scores(rgb, pose, self._fusion)


class Lowered(Original):
    """Both backbones lowered; the head as it is."""

    def __init__(self, network: TwoStreamX3D, strategy: Strategy) -> None:
        super().__init__(network)
        self.rgb = lower(network.rgb_backbone, network.spec.rgb_input.frames, strategy)
        self.pose = lower(network.pose_backbone, network.spec.pose_input.frames, strategy)


def forms(preset: str) -> list[Form]:
    """All of them; the first is the reference of the lowered ones. With a tiny preset the baseline is small, too."""
    network = random_network(PRESETS[preset])
    spec, is_tiny = network.spec, preset == "tiny"

    def clips(batch: int) -> tuple[Tensor, Tensor]:
        # Few different clips, repeated: rendering clips takes longer than anything that is timed here.
        arrays = batch_inputs(clip_inputs(spec), min(batch, 2), seed=0)
        repeats = -(-batch // 2)
        tensors = (torch.from_numpy(arrays[name]) for name in ("imgs", "heatmap_imgs"))
        imgs, heatmap_imgs = (value.repeat(repeats, 1, 1, 1, 1)[:batch].contiguous() for value in tensors)
        return imgs, heatmap_imgs

    def baseline_clips(batch: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        shapes = rgbposeconv3d_torch.INPUT_SHAPES
        shrink = 7 if is_tiny else 1
        imgs, heatmap_imgs = (
            torch.rand(batch, channels, frames, height // shrink, width // shrink, generator=generator)
            for channels, frames, height, width in shapes.values()
        )
        return imgs, heatmap_imgs

    blocks = ((1, 1, 1, 1), (1, 1, 1)) if is_tiny else rgbposeconv3d_torch.BLOCKS
    last_3d, baseline = torch.channels_last_3d, rgbposeconv3d_torch.build(spec.head.classes, blocks)
    return [
        Form("original", Original(network).eval(), clips, last_3d),
        Form("lowered frames", Lowered(network, FRAMES).eval(), clips, torch.channels_last),
        Form("lowered clip", Lowered(network, CLIP).eval(), clips, last_3d),
        Form("rgbposeconv3d", baseline, baseline_clips, last_3d),
    ]
