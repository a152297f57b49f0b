"""Named targets, the exact rewrites of each, chosen by measurement (docs/lowering.md), and the pieces so lowered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import nn

from x3ddeploy.families.base import LoweredPart
from x3ddeploy.families.two_stream_x3d.lowering.blocks import (
    fold_batchnorm,
    frames_in_batch,
    gather_shift,
    mean_in_steps,
    pad_input,
    pad_widths,
    tap_shift,
)
from x3ddeploy.families.two_stream_x3d.lowering.head import lower_head
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec
from x3ddeploy.families.two_stream_x3d.x3d import X3DBackbone
from x3ddeploy.lowering.rewrite import Rewrite
from x3ddeploy.terms import Target

RGB_CHANNELS = 3


class Layout(Enum):
    """FRAMES: (N*T, C, H, W), Conv2d, the shift as slices. CLIP: (N, C, T, H, W), Conv3d, the shift as taps."""

    FRAMES = "frames"
    CLIP = "clip"


@dataclass(frozen=True)
class Strategy:
    """How a backbone is lowered.

    Attributes:
        layout: where time lives.
        width_multiple: bottleneck widths are zero-padded to a multiple of this.
        input_multiple: input channels of the pose stem are zero-padded to a multiple of this; three are few enough
            for the kernels that read images.
        shift_as_gather: with frames in the batch, whether the shift is one Gather in the place of slices.
    """

    layout: Layout
    width_multiple: int
    input_multiple: int
    shift_as_gather: bool = False


TARGETS: dict[Target, Strategy] = {
    Target.TENSORRT: Strategy(Layout.FRAMES, width_multiple=8, input_multiple=4),
    Target.ONNXRUNTIME: Strategy(Layout.FRAMES, width_multiple=8, input_multiple=4, shift_as_gather=True),
    Target.OPENVINO: Strategy(Layout.CLIP, width_multiple=16, input_multiple=1),
}


def rewrites(spec: BackboneSpec, frames: int, strategy: Strategy) -> list[Rewrite]:
    """The steps that a strategy takes on a backbone, in order; each gives an equal module.

    Args:
        spec: spec of the backbone.
        frames: T of the clips that it will see.
        strategy: which form.
    """
    steps = [
        Rewrite("BatchNorm folded", fold_batchnorm),
        Rewrite("widths padded", lambda form: pad_widths(form, strategy.width_multiple)),
    ]
    if spec.in_channels > RGB_CHANNELS:
        steps.append(Rewrite("input padded", lambda form: pad_input(form, strategy.input_multiple)))
    if strategy.layout is Layout.FRAMES:
        steps.append(Rewrite("frames in the batch", lambda form: frames_in_batch(form, frames)))
        if strategy.shift_as_gather:
            steps.append(Rewrite("shift as a Gather", lambda form: gather_shift(form, frames)))
    else:
        steps += [Rewrite("shift as taps", tap_shift), Rewrite("mean in steps", mean_in_steps)]
    return steps


def lower(backbone: X3DBackbone, frames: int, strategy: Strategy) -> nn.Module:
    """A trained backbone in evaluation mode to its deploy form: same input, same output, equal to float rounding."""
    form: nn.Module = backbone.eval()
    for rewrite in rewrites(backbone.spec, frames, strategy):
        form = rewrite.apply(form)
    return form


def lower_parts(network: TwoStreamX3D, target: Target) -> dict[str, LoweredPart]:
    """Each piece of the network in the form for a target; exact up to float rounding."""
    spec, strategy = network.spec, TARGETS[target]
    backbones = {
        "rgb_backbone": (network.rgb_backbone, spec.rgb_input.frames),
        "pose_backbone": (network.pose_backbone, spec.pose_input.frames),
    }
    parts = {
        name: LoweredPart(lower(backbone, frames, strategy), tuple(backbone.blocks))
        for name, (backbone, frames) in backbones.items()
    }
    return {**parts, "head": LoweredPart(lower_head(network.cls_head, network.fusion))}
