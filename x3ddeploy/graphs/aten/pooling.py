"""Pooling, and reductions over axes."""

from __future__ import annotations

from typing import Any

from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.draft import Draft, Operand, argument, arguments, handles, rank_of, several, source_of
from x3ddeploy.graphs.trace import shape_of


@handles("mean.dim", "sum.dim_IntList", "amax.default", "amin.default")
def _reduce(draft: Draft, node: ATen) -> Operand:
    op = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}[
        str(node.target).split(".")[1]
    ]
    rank = rank_of(source_of(node))
    axes = [axis % rank for axis in several(argument(node, 1, "dim") or list(range(rank)), 1)]
    keep = int(argument(node, 2, "keepdim", False))
    x = draft.tensor(arguments(node)[0])
    if op == "ReduceSum":  # the only one that takes its axes as an input in opset 17
        return draft.node(op, x, tuple(axes), keepdims=keep)
    return draft.node(op, x, axes=axes, keepdims=keep)


@handles("linalg_vector_norm.default")
def _norm(draft: Draft, node: ATen) -> Operand:
    order = argument(node, 1, "ord", 2)
    if order not in (1, 2):
        raise X3DDeployError(f"{draft.path}: a norm of order {order} has no handler", hint="orders 1 and 2 have one")
    axes = argument(node, 2, "dim")
    keep = int(argument(node, 3, "keepdim", False))
    return draft.node(f"ReduceL{int(order)}", draft.tensor(arguments(node)[0]), axes=list(axes), keepdims=keep)


@handles("avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default")
@handles("max_pool1d.default", "max_pool2d.default", "max_pool3d.default")
def _pool(draft: Draft, node: ATen) -> Operand:
    name = str(node.target).split(".")[1]
    count = int(name[-2])
    kernel = several(arguments(node)[1], count)
    if rank_of(node) < count + 2:
        return _pool_over_channels(draft, node, kernel)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": several(argument(node, 2, "stride") or kernel, count),
    }
    pads = several(argument(node, 3, "padding", 0), count) * 2
    if any(pads):
        attributes["pads"] = pads
    if argument(node, 5 if "max" in name else 4, "ceil_mode", False):
        attributes["ceil_mode"] = 1
    if "max" in name:
        dilations = several(argument(node, 4, "dilation", 1), count)
        if set(dilations) != {1}:
            attributes["dilations"] = dilations
    elif any(pads):
        attributes["count_include_pad"] = int(argument(node, 5, "count_include_pad", True))
    return draft.node("MaxPool" if "max" in name else "AveragePool", draft.tensor(arguments(node)[0]), **attributes)


def _pool_over_channels(draft: Draft, node: ATen, kernel: list[int]) -> Operand:
    """Pooling of a tensor with an axis less than its name says: PyTorch takes the clips for channels.

    MMAction2's TPN head does so, with a window of one channel and all places.
    """
    source = source_of(node)
    rank = rank_of(source)
    sizes = shape_of(source)[1:]
    whole = [axis for axis, (taps, size) in enumerate(zip(kernel, sizes, strict=True), 1) if taps != 1 or size == 1]
    if "avg" not in str(node.target) or any(kernel[axis - 1] != sizes[axis - 1] for axis in whole):
        raise X3DDeployError(f"{draft.path}: windows {kernel} over a tensor of {rank} axes have no handler")
    return draft.node("ReduceMean", draft.tensor(source), axes=whole, keepdims=1)


@handles("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_avg_pool3d.default")
def _adaptive_pool(draft: Draft, node: ATen) -> Operand:
    """Means over a whole axis, or over equal windows of it."""
    source = source_of(node).meta["val"].shape[2:]
    target = node.meta["val"].shape[2:]
    if any(size % wanted for size, wanted in zip(source, target, strict=True)):
        raise X3DDeployError(f"{draft.path}: windows of pooling {list(source)} to {list(target)} are not equal")
    kernel = [int(size // wanted) for size, wanted in zip(source, target, strict=True)]
    x = draft.tensor(arguments(node)[0])
    if set(target) == {1}:
        return draft.node("ReduceMean", x, axes=list(range(2, 2 + len(kernel))), keepdims=1)
    return draft.node("AveragePool", x, kernel_shape=kernel, strides=kernel)
