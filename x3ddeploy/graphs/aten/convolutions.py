"""Convolutions, and normalization of channels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.draft import (
    Constant,
    Cuts,
    Draft,
    Operand,
    argument,
    arguments,
    handles,
    rank_of,
    several,
    source_of,
)

_TAKING_UP = ("aten.conv", "aten.linear")  # layers that a BatchNorm can become a part of


@handles("conv1d.default", "conv2d.default", "conv3d.default", "conv2d.padding", "conv3d.padding")
def _convolution(draft: Draft, node: ATen) -> Operand:
    """A convolution, with the BatchNorm that follows it in its weights."""
    weight, offsets = weight_and_offsets(draft, node)
    kernel = list(weight.value.shape[2:])
    count = len(kernel)
    padding = argument(node, 4, "padding", 0)
    dilations = several(argument(node, 5, "dilation", 1), count)
    if isinstance(padding, str):
        total = [(taps - 1) * step if padding == "same" else 0 for taps, step in zip(kernel, dilations, strict=True)]
        pads = [value // 2 for value in total] + [value - value // 2 for value in total]
    else:
        pads = several(padding, count) * 2
    more: dict[str, Any] = {"dilations": dilations} if set(dilations) != {1} else {}
    return draft.node(
        "Conv",
        draft.tensor(source_of(node)),
        weight,
        *offsets,
        kernel_shape=kernel,
        strides=several(argument(node, 3, "stride", 1), count),
        pads=pads,
        group=argument(node, 6, "groups", 1),
        **more,
    )


@handles("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
def _transposed_convolution(draft: Draft, node: ATen) -> Operand:
    """A transposed convolution, with the BatchNorm that follows it in its weights."""
    groups = argument(node, 6, "groups", 1)
    if groups != 1:
        raise X3DDeployError(f"{draft.path}: a transposed convolution of {groups} groups has no handler")
    weight, offsets = weight_and_offsets(draft, node, outputs=1)
    kernel = list(weight.value.shape[2:])
    dilations = several(argument(node, 7, "dilation", 1), len(kernel))
    return draft.node(
        "ConvTranspose",
        draft.tensor(source_of(node)),
        weight,
        *offsets,
        kernel_shape=kernel,
        strides=several(argument(node, 3, "stride", 1), len(kernel)),
        pads=several(argument(node, 4, "padding", 0), len(kernel)) * 2,
        output_padding=several(argument(node, 5, "output_padding", 0), len(kernel)),
        dilations=dilations,
    )


def weight_and_offsets(draft: Draft, node: ATen, outputs: int = 0) -> tuple[Constant, list[Operand]]:
    """A layer's weight and its bias, if it has one, with the BatchNorm behind it in both.

    Computed in float64 and rounded once. The bias has the name of the BatchNorm's: so the training form can be filled
    in again, by names alone.

    Args:
        draft: draft of the graph.
        node: the layer, which reads its weight second and its bias third.
        outputs: the weight's axis of output channels.
    """
    weight, bias = draft.tensor(arguments(node)[1]), argument(node, 2, "bias")
    assert isinstance(weight, Constant)
    offsets = [] if bias is None else [draft.tensor(bias)]
    if (norm := _batch_norm_after(node)) is None:
        return weight, offsets
    scale, shift, names = _scale_and_shift(draft, norm)
    joined = shift + (scale * _float64(cast(Constant, offsets[0])) if offsets else 0.0)
    shape = [-1 if axis == outputs else 1 for axis in range(weight.value.ndim)]
    scaled = _float64(weight) * scale.reshape(shape)
    return _float32(weight.name, scaled), [_float32(names[1], joined)]


def _batch_norm_after(node: ATen) -> ATen | None:
    """The BatchNorm over a layer's output channels that is all that reads it."""
    channels_last = str(node.target) == "aten.linear.default" and rank_of(node) > 2
    if not str(node.target).startswith(_TAKING_UP) or channels_last:
        return None
    (reader, *others) = node.users or (None,)
    found = not others and reader is not None and str(reader.target) == "aten.batch_norm.default"
    return reader if found and source_of(cast(ATen, reader)) is node else None


def _scale_and_shift(
    draft: Draft, node: ATen
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[str, str]]:
    """A BatchNorm at inference as one product and one sum a channel, and what these are called: its own weights."""
    gamma, beta, mean, variance = (
        None if value is None else cast(Constant, draft.tensor(value)) for value in arguments(node)[1:5]
    )
    if mean is None or variance is None:
        raise X3DDeployError(f"{draft.path}: a BatchNorm without running statistics depends on the other clips")
    scale = (1.0 if gamma is None else _float64(gamma)) / np.sqrt(_float64(variance) + arguments(node)[7])
    shift = (0.0 if beta is None else _float64(beta)) - _float64(mean) * scale
    stem = mean.name.rpartition("/")[0]
    names = (f"{stem}/scale" if gamma is None else gamma.name, f"{stem}/shift" if beta is None else beta.name)
    return scale, shift, names


@handles("batch_norm.default")
def _batch_norm(draft: Draft, node: ATen) -> Operand | Cuts:
    """What no convolution took up: one product and one sum a channel, rounded once from float64."""
    source = source_of(node)
    if _batch_norm_after(source) is node:
        return draft.values[source]
    scale, shift, names = _scale_and_shift(draft, node)
    shape = (-1, *[1] * (rank_of(node) - 2))
    scaled = draft.node("Mul", draft.tensor(source), _float32(names[0], scale.reshape(shape)))
    return draft.node("Add", scaled, _float32(names[1], shift.reshape(shape)))


def _float64(constant: Constant) -> npt.NDArray[np.float64]:
    return constant.value.astype(np.float64)


def _float32(name: str, value: npt.NDArray[np.float64]) -> Constant:
    return Constant(name, value.astype(np.float32))


@handles("layer_norm.default")
def _layer_norm(draft: Draft, node: ATen) -> Operand:
    given = [argument(node, index, name) for index, name in ((2, "weight"), (3, "bias"))]
    shape = tuple(arguments(node)[1])
    weight = Constant(f"const/ones_{shape}", np.ones(shape, np.float32)) if given[0] is None else draft.tensor(given[0])
    bias = [] if given[1] is None else [draft.tensor(given[1])]
    epsilon = float(argument(node, 4, "eps", 1e-5))
    return draft.node(
        "LayerNormalization", draft.tensor(arguments(node)[0]), weight, *bias, axis=-len(shape), epsilon=epsilon
    )
