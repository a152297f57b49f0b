"""Lowered modules to ONNX nodes: one function a kind of module, names taken from the modules' own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from x3ddeploy.export.graph import BATCH_AXIS, GraphBuilder
from x3ddeploy.lowering.batchnorm import Conv
from x3ddeploy.lowering.frames import FramesBackbone, FramesSE
from x3ddeploy.lowering.padding import PaddedInput
from x3ddeploy.lowering.shift import SliceShift, TapShift
from x3ddeploy.models.spec import Activation
from x3ddeploy.models.x3d import Backbone, Block, SqueezeExcitation


@dataclass(frozen=True)
class Value:
    """A tensor in the graph: its name, and its shape without the leading axis (N clips, or N*T frames)."""

    name: str
    shape: tuple[int, ...]


def array(tensor: Tensor) -> npt.NDArray[np.float32]:
    """A weight as numpy."""
    return cast("npt.NDArray[np.float32]", tensor.detach().cpu().numpy())


@singledispatch
def emit(module: nn.Module, graph: GraphBuilder, x: Value, path: str) -> Value:
    """Append the nodes of a lowered module.

    Args:
        module: what to emit.
        graph: where to; its scope already says where the module belongs.
        x: the module's input.
        path: the module's dotted name in the original layout; its weights are stored as `path.weight`, `path.bias`.

    Returns:
        The module's output.
    """
    raise TypeError(f"{path}: no ONNX form for {type(module).__name__}")


def emit_part(module: nn.Module, graph: GraphBuilder, x: Value, path: str) -> Value:
    """Emit a named part of a module in a scope of its own."""
    with graph.scope(path.rpartition(".")[2]):
        return emit(module, graph, x, path)


@emit.register
def _conv(module: Conv, graph: GraphBuilder, x: Value, path: str) -> Value:
    conv = module.conv
    assert conv.bias is not None
    pads, strides, kernel = (cast("tuple[int, ...]", v) for v in (conv.padding, conv.stride, conv.kernel_size))
    y = graph.node(
        "Conv",
        x.name,
        graph.constant(f"{path}.weight", array(conv.weight)),
        graph.constant(f"{path}.bias", array(conv.bias)),
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=[*pads, *pads],
        group=conv.groups,
    )
    space = zip(x.shape[1:], pads, kernel, strides, strict=True)
    shape = (conv.out_channels, *((size + 2 * pad - taps) // stride + 1 for size, pad, taps, stride in space))
    return Value(graph.node("Relu", y) if module.relu else y, shape)


@emit.register
def _padded_input(module: PaddedInput, graph: GraphBuilder, x: Value, path: str) -> Value:
    space = len(x.shape) - 1
    after = module.channels - x.shape[0]
    name = graph.node("Pad", x.name, graph.integers(*[0] * (space + 3), after, *[0] * space))
    return emit(module.conv, graph, Value(name, (module.channels, *x.shape[1:])), path)


@emit.register
def _slice_shift(module: SliceShift, graph: GraphBuilder, x: Value, path: str) -> Value:
    channels, *space = x.shape
    fold, last = module.fold(channels), module.frames - 1
    if fold == 0:
        return x
    clip = graph.node("Reshape", x.name, graph.integers(-1, module.frames, channels, prod(space)), name="to_clip")

    def cut(name: str, frames: tuple[int, int], folds: tuple[int, int]) -> str:
        starts, ends = zip(frames, folds, strict=True)
        sliced: str = graph.node(
            "Slice", clip, graph.integers(*starts), graph.integers(*ends), graph.integers(1, 2), name=name
        )
        return sliced

    ahead = cut("ahead", (1, module.frames), (0, fold))
    ahead = graph.node("Pad", ahead, graph.integers(0, 0, 0, 0, 0, 1, 0, 0), name="after_last")
    back = cut("back", (0, last), (fold, 2 * fold))
    back = graph.node("Pad", back, graph.integers(0, 1, 0, 0, 0, 0, 0, 0), name="before_first")
    stay = cut("stay", (0, module.frames), (2 * fold, channels))
    moved = graph.node("Concat", ahead, back, stay, axis=2)
    return _to_frames(graph, moved, module.frames, x.shape)


@emit.register
def _tap_shift(module: TapShift, graph: GraphBuilder, x: Value, path: str) -> Value:
    taps = graph.constant(f"{path}.taps", array(module.taps))
    y = graph.node("Conv", x.name, taps, kernel_shape=[3, 1, 1], pads=[1, 0, 0, 1, 0, 0], group=x.shape[0])
    return Value(y, x.shape)


@emit.register
def _frames_se(module: FramesSE, graph: GraphBuilder, x: Value, path: str) -> Value:
    channels, *space = x.shape
    clip = graph.node("Reshape", x.name, graph.integers(-1, module.frames, channels, prod(space)), name="to_clip")
    # Two means over one axis each: one over (T, HW) at once falls off ONNX Runtime's contiguous reduction.
    mean = graph.node("ReduceMean", clip, name="mean_of_frame", axes=[3], keepdims=0)
    mean = graph.node("ReduceMean", mean, name="mean_of_clip", axes=[1], keepdims=0)
    gate = graph.node("Relu", linear(module.fc1, graph, mean, f"{path}.fc1"))
    gate = graph.node("Sigmoid", linear(module.fc2, graph, gate, f"{path}.fc2"))
    gate = graph.node("Reshape", gate, graph.integers(-1, 1, channels, 1), name="to_gate")
    scaled = graph.node("Mul", clip, gate)
    return _to_frames(graph, scaled, module.frames, x.shape)


@emit.register
def _clip_se(module: SqueezeExcitation, graph: GraphBuilder, x: Value, path: str) -> Value:
    # Two average poolings instead of one ReduceMean: OpenVINO sums the latter one term after the other, and over the
    # 50,000 terms of a wide layer loses half of float32's digits where a clip is flat (docs/lowering.md).
    _, frames, *space = x.shape
    gate = graph.node("AveragePool", x.name, name="mean_of_frame", kernel_shape=[1, *space], strides=[1, 1, 1])
    gate = graph.node("AveragePool", gate, name="mean_of_clip", kernel_shape=[frames, 1, 1], strides=[1, 1, 1])
    for name, activation in (("fc1", "Relu"), ("fc2", "Sigmoid")):
        fc: nn.Conv3d = getattr(module, name)
        assert fc.bias is not None
        weight = graph.constant(f"{path}.{name}.weight", array(fc.weight))
        bias = graph.constant(f"{path}.{name}.bias", array(fc.bias))
        gate = graph.node(activation, graph.node("Conv", gate, weight, bias, name=name))
    return Value(graph.node("Mul", x.name, gate), x.shape)


def linear(module: nn.Linear, graph: GraphBuilder, x: str, path: str) -> str:
    """A fully connected layer on (N, C), named for the last part of its path."""
    weight = graph.constant(f"{path}.weight", array(module.weight))
    bias = graph.constant(f"{path}.bias", array(module.bias))
    name: str = graph.node("Gemm", x, weight, bias, name=path.rpartition(".")[2], transB=1)
    return name


def _to_frames(graph: GraphBuilder, x: str, frames: int, shape: tuple[int, ...]) -> Value:
    """Clips to frames in the batch, (N*T, C, H, W).

    The leading axis gets one name throughout: ONNX Runtime adds a shortcut inside the convolution before it only where
    it sees that both have the same number of frames, and a Reshape to -1 does not say so.
    """
    name = graph.node("Reshape", x, graph.integers(-1, *shape), name="to_frames")
    return Value(graph.know(name, (f"{BATCH_AXIS}*{frames}", *shape)), shape)


@emit.register
def _block(module: Block, graph: GraphBuilder, x: Value, path: str) -> Value:
    y = emit_part(module.shift, graph, x, f"{path}.shift")
    y = emit_part(module.conv1, graph, y, f"{path}.conv1")
    y = emit_part(module.conv2, graph, y, f"{path}.conv2")
    if module.se_module is not None:
        y = emit_part(module.se_module, graph, y, f"{path}.se_module")
    if module.activation is Activation.SWISH:
        with graph.scope("swish"):
            y = Value(graph.node("Mul", y.name, graph.node("Sigmoid", y.name)), y.shape)
    y = emit_part(module.conv3, graph, y, f"{path}.conv3")
    identity = x if module.downsample is None else emit_part(module.downsample, graph, x, f"{path}.downsample")
    return Value(graph.node("Relu", graph.node("Add", y.name, identity.name)), y.shape)


@emit.register
def _backbone(module: Backbone, graph: GraphBuilder, x: Value, path: str) -> Value:
    x = emit_part(module.conv1_s, graph, x, f"{path}.conv1_s")
    for stage_index, stage in enumerate(module.stages, 1):
        for block_index, block in enumerate(stage):
            with graph.scope(f"layer{stage_index}.{block_index}"):
                x = emit(block, graph, x, f"{path}.layer{stage_index}.{block_index}")
    return emit_part(module.conv5, graph, x, f"{path}.conv5")


@emit.register
def _frames_backbone(module: FramesBackbone, graph: GraphBuilder, x: Value, path: str) -> Value:
    channels, frames, *space = x.shape
    with graph.scope("frames"):
        name = graph.node("Transpose", x.name, perm=[0, 2, 1, 3, 4])
        each = _to_frames(graph, name, frames, (channels, *space))
    y = emit(module.body, graph, each, path)
    with graph.scope("clips"):
        name = graph.node("Reshape", y.name, graph.integers(-1, frames, *y.shape))
        name = graph.node("Transpose", name, perm=[0, 2, 1, 3, 4])
    return Value(name, (y.shape[0], frames, *y.shape[1:]))
