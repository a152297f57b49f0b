"""The rewrites of a backbone: each knows the original network's blocks, and puts a form of x3ddeploy.lowering in."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TypeVar, cast

from torch import nn

from x3ddeploy.families.two_stream_x3d.x3d import ConvBN, SqueezeExcitation, TemporalShift, X3DBackbone, X3DBlock
from x3ddeploy.lowering.batchnorm import Conv, folded
from x3ddeploy.lowering.frames import ToClips, ToFrames, on_frames
from x3ddeploy.lowering.padding import PaddedInput, grown, padded, round_up
from x3ddeploy.lowering.rewrite import replaced
from x3ddeploy.lowering.shift import GatherShift, SliceShift, TapShift
from x3ddeploy.lowering.squeeze import ClipSE, FramesSE

M = TypeVar("M", bound=nn.Module)


def fold_batchnorm(module: M) -> M:
    """Every ConvBN becomes a Conv. Equal up to one rounding of each weight."""
    return replaced(module, ConvBN, lambda part: _fold(cast(ConvBN, part)))


def pad_widths(backbone: nn.Module, multiple: int) -> nn.Module:
    """Pad every bottleneck of a BatchNorm-folded backbone to a multiple of `multiple` channels. Exact."""
    return replaced(backbone, X3DBlock, lambda part: _pad_block(cast(X3DBlock, part), multiple))


def pad_input(backbone: nn.Module, multiple: int) -> nn.Module:
    """Widen the stem to a multiple of `multiple` input channels and feed the added ones zeros. Exact."""
    result = cast(X3DBackbone, copy.deepcopy(backbone))
    stem = cast(Conv, result.conv1_s)
    result.conv1_s = padded(stem, PaddedInput, inputs=round_up(stem.in_channels, multiple))
    return result


def frames_in_batch(backbone: nn.Module, frames: int) -> nn.Sequential:
    """Rewrite a BatchNorm-folded backbone to Conv2d on frames. Exact: the same products in the same sums.

    Args:
        backbone: its children one after the other are its forward pass.
        frames: T of the clips that it will see.

    Returns:
        (N, C, T, H, W) in, (N, C', T, H', W') out; the backbone's children between `frames` and `clips`.

    Raises:
        ValueError: a convolution mixes or strides time.
    """
    body: nn.Module = replaced(backbone, Conv, lambda part: on_frames(cast(Conv, part)))
    body = replaced(body, TemporalShift, lambda part: SliceShift(cast(TemporalShift, part).fold_div, frames))
    body = replaced(body, SqueezeExcitation, lambda part: _frames_se(cast(SqueezeExcitation, part), frames))
    steps = [("frames", ToFrames()), *body.named_children(), ("clips", ToClips(frames))]
    return nn.Sequential(OrderedDict(steps))


def tap_shift(backbone: nn.Module) -> nn.Module:
    """Every shift of a 5-D, BatchNorm-folded backbone becomes a TapShift."""
    return replaced(backbone, X3DBlock, lambda part: _with_taps(cast(X3DBlock, part)))


def gather_shift(backbone: nn.Module, frames: int) -> nn.Module:
    """Every shift of a BatchNorm-folded backbone with frames in the batch becomes a GatherShift."""
    return replaced(backbone, X3DBlock, lambda part: _with_gather(cast(X3DBlock, part), frames))


def mean_in_steps(backbone: nn.Module) -> nn.Module:
    """Every squeeze-and-excitation of a 5-D backbone becomes a ClipSE."""
    return replaced(backbone, SqueezeExcitation, lambda part: _clip_se(cast(SqueezeExcitation, part)))


def _fold(layer: ConvBN) -> Conv:
    return folded(layer.conv, layer.bn, relu=layer.relu)


def _pad_block(block: X3DBlock, multiple: int) -> X3DBlock:
    width = round_up(cast(Conv, block.conv1).out_channels, multiple)
    block.conv1 = padded(cast(Conv, block.conv1), outputs=width)
    block.conv2 = padded(cast(Conv, block.conv2), outputs=width)
    block.conv3 = padded(cast(Conv, block.conv3), inputs=width)
    if isinstance(block.se_module, SqueezeExcitation):
        squeeze = block.se_module.fc1.out_channels
        wide = SqueezeExcitation(width, squeeze)
        wide.fc1.weight.data = grown(block.se_module.fc1.weight, squeeze, width)
        wide.fc1.bias = block.se_module.fc1.bias
        wide.fc2.weight.data = grown(block.se_module.fc2.weight, width, squeeze)
        assert wide.fc2.bias is not None
        assert block.se_module.fc2.bias is not None
        wide.fc2.bias.data = grown(block.se_module.fc2.bias, width)
        block.se_module = wide
    return block


def _with_taps(block: X3DBlock) -> X3DBlock:
    channels = cast(Conv, block.conv1).in_channels
    block.shift = TapShift(cast(TemporalShift, block.shift).fold_div, channels)
    return block


def _with_gather(block: X3DBlock, frames: int) -> X3DBlock:
    channels = cast(nn.Conv2d, block.conv1).in_channels
    block.shift = GatherShift(cast(SliceShift, block.shift).fold_div, frames, channels)
    return block


def _frames_se(module: SqueezeExcitation, frames: int) -> FramesSE:
    return FramesSE(module.fc1, module.fc2, frames)


def _clip_se(module: SqueezeExcitation) -> ClipSE:
    return ClipSE(module.fc1, module.fc2)
