"""Convolutions, and normalization of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.draft import Constant, Cuts, Draft, Operand, argument, arguments, handles, rank_of, several


@handles("conv1d.default", "conv2d.default", "conv3d.default", "conv2d.padding", "conv3d.padding")
def _convolution(draft: Draft, node: ATen) -> Operand:
    """A convolution, with the BatchNorm that follows it in its weights."""
    x, weight = (draft.tensor(value) for value in arguments(node)[:2])
    assert isinstance(weight, Constant)
    kernel = list(weight.value.shape[2:])
    count = len(kernel)
    padding = argument(node, 4, "padding", 0)
    dilations = several(argument(node, 5, "dilation", 1), count)
    if isinstance(padding, str):
        total = [(taps - 1) * step if padding == "same" else 0 for taps, step in zip(kernel, dilations, strict=True)]
        pads = [value // 2 for value in total] + [value - value // 2 for value in total]
    else:
        pads = several(padding, count) * 2
    bias = argument(node, 2, "bias")
    offsets = [] if bias is None else [draft.tensor(bias)]
    if (norm := _batch_norm_after(node)) is not None:
        weight, offset = _folded(draft, norm, weight, cast("list[Constant]", offsets))
        offsets = [offset]
    more: dict[str, Any] = {"dilations": dilations} if set(dilations) != {1} else {}
    return draft.node(
        "Conv",
        x,
        weight,
        *offsets,
        kernel_shape=kernel,
        strides=several(argument(node, 3, "stride", 1), count),
        pads=pads,
        group=argument(node, 6, "groups", 1),
        **more,
    )


def _batch_norm_after(node: ATen) -> ATen | None:
    """The BatchNorm that is all that reads a convolution."""
    (reader, *others) = node.users or (None,)
    found = not others and reader is not None and str(reader.target) == "aten.batch_norm.default"
    return reader if found and arguments(cast(ATen, reader))[0] is node else None


def _folded(draft: Draft, norm: ATen, weight: Constant, offsets: Sequence[Constant]) -> tuple[Constant, Constant]:
    """Weight and bias of a convolution with its BatchNorm, computed in float64 and rounded once.

    The bias has the name of the BatchNorm's: so the training form can be filled in again, by names alone.
    """
    scale, shift, names = _scale_and_shift(draft, norm)
    bias = shift + (scale * _float64(offsets[0]) if offsets else 0.0)
    by_output = scale.reshape(-1, *[1] * (weight.value.ndim - 1))
    return _float32(weight.name, _float64(weight) * by_output), _float32(names[1], bias)


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
    source = arguments(node)[0]
    if str(source.target).startswith("aten.conv") and _batch_norm_after(source) is node:
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
