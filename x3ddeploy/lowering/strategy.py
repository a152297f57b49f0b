"""Named targets and the exact rewrites each of them asks for, chosen by measurement (docs/lowering.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import nn

from x3ddeploy.errors import UsageError
from x3ddeploy.lowering.batchnorm import fold_batchnorm
from x3ddeploy.lowering.frames import frames_in_batch
from x3ddeploy.lowering.padding import pad_input, pad_widths
from x3ddeploy.lowering.shift import tap_shift
from x3ddeploy.models.x3d import Backbone


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
        input_multiple: input channels of a stem are zero-padded to a multiple of this, if there are more than four.
    """

    layout: Layout
    width_multiple: int
    input_multiple: int


TARGETS: dict[str, Strategy] = {
    "tensorrt": Strategy(Layout.FRAMES, width_multiple=8, input_multiple=4),
    "onnxruntime": Strategy(Layout.FRAMES, width_multiple=8, input_multiple=4),
    "openvino": Strategy(Layout.CLIP, width_multiple=16, input_multiple=1),
}
DEFAULT_TARGET = "tensorrt"


def strategy_for(target: str) -> Strategy:
    """The strategy of a named target. Raises UsageError for an unknown name."""
    if target not in TARGETS:
        raise UsageError(f"no lowering target named {target!r}", hint=f"one of: {', '.join(TARGETS)}")
    return TARGETS[target]


def lower(backbone: Backbone, frames: int, strategy: Strategy) -> nn.Module:
    """A trained backbone in evaluation mode to its deploy form; same input, same output, equal to float rounding.

    Args:
        backbone: training form; it is not changed.
        frames: T of the clips that it will see.
        strategy: which form.
    """
    form = pad_widths(fold_batchnorm(backbone.eval()), strategy.width_multiple)
    if backbone.spec.in_channels > 4:
        form = pad_input(form, strategy.input_multiple)
    return frames_in_batch(form, frames) if strategy.layout is Layout.FRAMES else tap_shift(form)
