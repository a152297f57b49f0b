"""Convolutions, and normalization of channels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.draft import Constant, Draft, Operand, argument, arguments, handles, rank_of, several


@handles("conv1d.default", "conv2d.default", "conv3d.default", "conv2d.padding", "conv3d.padding")
def _convolution(draft: Draft, node: ATen) -> Operand:
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
    more: dict[str, Any] = {"dilations": dilations} if set(dilations) != {1} else {}
    return draft.node(
        "Conv",
        x,
        weight,
        *([] if bias is None else [draft.tensor(bias)]),
        kernel_shape=kernel,
        strides=several(argument(node, 3, "stride", 1), count),
        pads=pads,
        group=argument(node, 6, "groups", 1),
        **more,
    )


@handles("batch_norm.default")
def _batch_norm(draft: Draft, node: ATen) -> Operand:
    """What no convolution took up: one product and one sum a channel, rounded once from float64."""
    gamma, beta, mean, variance = (
        None if value is None else cast(Constant, draft.tensor(value)) for value in arguments(node)[1:5]
    )
    if mean is None or variance is None:
        raise X3DDeployError(f"{draft.path}: a BatchNorm without running statistics depends on the other clips")
    scale = (1.0 if gamma is None else _float64(gamma)) / np.sqrt(_float64(variance) + arguments(node)[7])
    shift = (0.0 if beta is None else _float64(beta)) - _float64(mean) * scale
    shape = (-1, *[1] * (rank_of(node) - 2))
    stem = mean.name.rpartition("/")[0]
    scaled = draft.node("Mul", draft.tensor(arguments(node)[0]), _float32(f"{stem}/scale", scale.reshape(shape)))
    return draft.node("Add", scaled, _float32(f"{stem}/shift", shift.reshape(shape)))


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
