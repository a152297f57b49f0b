"""One handler an ATen operator: the ONNX nodes that compute the same, with every size a constant but N."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.trace import shape_of


@dataclass(frozen=True)
class Constant:
    """An initializer to be: its name and value."""

    name: str
    value: npt.NDArray[Any]


# What a node reads: a tensor of the draft, an initializer, or whole numbers (a shape, axes, pads).
Operand = str | Constant | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A node that has no name yet.

    Attributes:
        path: dotted name of the module that asks for it.
        tensor: what its output is called in the draft.
        dims: the output's shape where ONNX's shape inference cannot find it.
    """

    op: str
    inputs: tuple[Operand, ...]
    attributes: dict[str, Any]
    path: str
    tensor: str
    dims: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Cuts:
    """Slices of one tensor that are not written yet: one node does several axes at once."""

    source: Operand
    cuts: tuple[tuple[int, int, int, int], ...]  # axis, start, end, step
    path: str


@dataclass
class Draft:
    """Nodes as they come, and what each ATen node gives."""

    nodes: list[Node] = field(default_factory=list)
    values: dict[ATen, Operand | Cuts] = field(default_factory=dict)
    path: str = ""

    def node(self, op: str, *inputs: Operand, dims: tuple[int | str, ...] = (), **attributes: Any) -> str:
        """Append a node of the module that is being written; the name of its output."""
        return self._append(op, inputs, attributes, self.path, dims)

    def tensor(self, value: Any) -> Operand:
        """What to read for an argument of an ATen node: a node's output, or a number as a constant."""
        if isinstance(value, (int, float)):
            return Constant(f"const/{float(value)!r}", np.asarray(value, np.float32))
        known = self.values[value]
        if not isinstance(known, Cuts):
            return known
        axes, starts, ends, steps = zip(*known.cuts, strict=True)
        inputs: list[Operand] = [known.source, starts, ends, axes]
        if set(steps) != {1}:
            inputs.append(steps)
        self.values[value] = tensor = self._append("Slice", tuple(inputs), {}, known.path, ())
        return tensor

    def _append(
        self, op: str, inputs: tuple[Operand, ...], attributes: dict[str, Any], path: str, dims: tuple[int | str, ...]
    ) -> str:
        tensor = f"%{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, attributes, path, tensor, dims))
        return tensor


Handler = Callable[[Draft, ATen], "Operand | Cuts"]
HANDLERS: dict[str, Handler] = {}


def _handles(*operators: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update((f"aten.{name}", handler) for name in operators)
        return handler

    return register


def _args(node: ATen) -> tuple[Any, ...]:
    return node.args


def _argument(node: ATen, index: int, name: str, default: Any = None) -> Any:
    return _args(node)[index] if len(_args(node)) > index else node.kwargs.get(name, default)


def _several(value: int | Sequence[int], count: int) -> list[int]:
    """One number an axis; a single one stands for all."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _rank(node: ATen) -> int:
    return len(node.meta["val"].shape)


def _source(node: ATen) -> ATen:
    source: ATen = _args(node)[0]
    return source


def _same(draft: Draft, node: ATen) -> Operand | Cuts:
    """Nothing at inference."""
    return draft.values[_source(node)]


for _name in ("contiguous.default", "clone.default", "dropout.default", "feature_dropout.default", "alias.default",
              "detach.default", "detach_.default", "lift_fresh_copy.default"):  # fmt: skip
    HANDLERS[f"aten.{_name}"] = _same


def _elementwise(op: str) -> Handler:
    """An operator on all arguments that are tensors or numbers, without any other."""

    def handler(draft: Draft, node: ATen) -> Operand:
        return draft.node(op, *(draft.tensor(value) for value in _args(node)))

    return handler


for _names, _op in (
    (("relu.default", "relu_.default"), "Relu"),
    (("sigmoid.default", "sigmoid_.default"), "Sigmoid"),
    (("tanh.default",), "Tanh"),
    (("exp.default",), "Exp"),
    (("sqrt.default",), "Sqrt"),
    (("neg.default",), "Neg"),
    (("abs.default",), "Abs"),
    (("mul.Tensor", "mul_.Tensor", "mul.Scalar"), "Mul"),
    (("div.Tensor", "div_.Tensor"), "Div"),
    (("pow.Tensor_Scalar",), "Pow"),
    (("matmul.default", "mm.default", "bmm.default"), "MatMul"),
    (("maximum.default", "clamp_min.default"), "Max"),
    (("minimum.default", "clamp_max.default"), "Min"),
    (("hardswish.default", "hardswish_.default"), "HardSwish"),
):
    for _name in _names:
        HANDLERS[f"aten.{_name}"] = _elementwise(_op)


@_handles("add.Tensor", "add_.Tensor", "sub.Tensor", "sub_.Tensor")
def _add(draft: Draft, node: ATen) -> Operand:
    left, right = (draft.tensor(value) for value in _args(node)[:2])
    if (factor := _argument(node, 2, "alpha", 1)) != 1:
        right = draft.node("Mul", right, draft.tensor(factor))
    return draft.node("Add" if "add" in str(node.target) else "Sub", left, right)


@_handles("silu.default", "silu_.default")
def _silu(draft: Draft, node: ATen) -> Operand:
    x = draft.tensor(_args(node)[0])
    return draft.node("Mul", x, draft.node("Sigmoid", x))


@_handles("gelu.default")
def _gelu(draft: Draft, node: ATen) -> Operand:
    """X * (1 + erf(x / sqrt 2)) / 2; opset 17 has no Gelu."""
    if _argument(node, 1, "approximate", "none") != "none":
        raise X3DDeployError(f"{draft.path}: GELU by tanh has no handler", hint="approximate='none' has one")
    x = draft.tensor(_args(node)[0])
    erf = draft.node("Erf", draft.node("Div", x, draft.tensor(2**0.5)))
    return draft.node("Mul", draft.node("Mul", x, draft.node("Add", erf, draft.tensor(1))), draft.tensor(0.5))


@_handles("clamp.default", "hardtanh.default", "hardtanh_.default", "relu6.default", "relu6_.default")
def _clamp(draft: Draft, node: ATen) -> Operand:
    defaults = {"hardtanh": (-1.0, 1.0), "relu6": (0.0, 6.0)}
    name = str(node.target).split(".")[1].rstrip("_")
    low, high = defaults.get(name, (None, None))
    if name != "relu6":
        low = _argument(node, 1, "min", _argument(node, 1, "min_val", low))
        high = _argument(node, 2, "max", _argument(node, 2, "max_val", high))
    bounds = ["" if bound is None else draft.tensor(bound) for bound in (low, high)]
    return draft.node("Clip", draft.tensor(_args(node)[0]), *bounds)


@_handles("conv1d.default", "conv2d.default", "conv3d.default", "conv2d.padding", "conv3d.padding")
def _convolution(draft: Draft, node: ATen) -> Operand:
    x, weight = (draft.tensor(value) for value in _args(node)[:2])
    assert isinstance(weight, Constant)
    kernel = list(weight.value.shape[2:])
    count = len(kernel)
    padding = _argument(node, 4, "padding", 0)
    dilations = _several(_argument(node, 5, "dilation", 1), count)
    if isinstance(padding, str):
        total = [(taps - 1) * step if padding == "same" else 0 for taps, step in zip(kernel, dilations, strict=True)]
        pads = [value // 2 for value in total] + [value - value // 2 for value in total]
    else:
        pads = _several(padding, count) * 2
    bias = _argument(node, 2, "bias")
    more: dict[str, Any] = {"dilations": dilations} if set(dilations) != {1} else {}
    return draft.node(
        "Conv",
        x,
        weight,
        *([] if bias is None else [draft.tensor(bias)]),
        kernel_shape=kernel,
        strides=_several(_argument(node, 3, "stride", 1), count),
        pads=pads,
        group=_argument(node, 6, "groups", 1),
        **more,
    )


@_handles("batch_norm.default")
def _batch_norm(draft: Draft, node: ATen) -> Operand:
    """What no convolution took up: one product and one sum a channel, rounded once from float64."""
    gamma, beta, mean, variance = (
        None if value is None else cast(Constant, draft.tensor(value)) for value in _args(node)[1:5]
    )
    if mean is None or variance is None:
        raise X3DDeployError(f"{draft.path}: a BatchNorm without running statistics depends on the other clips")
    scale = (1.0 if gamma is None else _float64(gamma)) / np.sqrt(_float64(variance) + _args(node)[7])
    shift = (0.0 if beta is None else _float64(beta)) - _float64(mean) * scale
    shape = (-1, *[1] * (_rank(node) - 2))
    stem = mean.name.rpartition("/")[0]
    scaled = draft.node("Mul", draft.tensor(_args(node)[0]), _float32(f"{stem}/scale", scale.reshape(shape)))
    return draft.node("Add", scaled, _float32(f"{stem}/shift", shift.reshape(shape)))


def _float64(constant: Constant) -> npt.NDArray[np.float64]:
    return constant.value.astype(np.float64)


def _float32(name: str, value: npt.NDArray[np.float64]) -> Constant:
    return Constant(name, value.astype(np.float32))


@_handles("layer_norm.default")
def _layer_norm(draft: Draft, node: ATen) -> Operand:
    given = [_argument(node, index, name) for index, name in ((2, "weight"), (3, "bias"))]
    shape = tuple(_args(node)[1])
    weight = Constant(f"const/ones_{shape}", np.ones(shape, np.float32)) if given[0] is None else draft.tensor(given[0])
    bias = [] if given[1] is None else [draft.tensor(given[1])]
    epsilon = float(_argument(node, 4, "eps", 1e-5))
    return draft.node(
        "LayerNormalization", draft.tensor(_args(node)[0]), weight, *bias, axis=-len(shape), epsilon=epsilon
    )


@_handles("linear.default")
def _linear(draft: Draft, node: ATen) -> Operand:
    """A Gemm on (N, C); on more axes a product with the transposed weight, and a sum."""
    x, weight = (draft.tensor(value) for value in _args(node)[:2])
    bias = _argument(node, 2, "bias")
    offsets = [] if bias is None else [draft.tensor(bias)]
    if _rank(node) == 2:
        return draft.node("Gemm", x, weight, *offsets, transB=1)
    assert isinstance(weight, Constant)
    y = draft.node("MatMul", x, Constant(f"{weight.name}/transposed", weight.value.T))
    return draft.node("Add", y, *offsets) if offsets else y


@_handles("addmm.default")
def _addmm(draft: Draft, node: ATen) -> Operand:
    bias, x, weight = (draft.tensor(value) for value in _args(node)[:3])
    return draft.node("Gemm", x, weight, bias)


@_handles("einsum.default")
def _einsum(draft: Draft, node: ATen) -> Operand:
    return draft.node("Einsum", *(draft.tensor(value) for value in _args(node)[1]), equation=_args(node)[0])


@_handles("softmax.int", "_softmax.default")
def _softmax(draft: Draft, node: ATen) -> Operand:
    return draft.node("Softmax", draft.tensor(_args(node)[0]), axis=_args(node)[1])


@_handles("mean.dim", "sum.dim_IntList", "amax.default", "amin.default")
def _reduce(draft: Draft, node: ATen) -> Operand:
    op = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}[
        str(node.target).split(".")[1]
    ]
    rank = _rank(_source(node))
    axes = [axis % rank for axis in _several(_argument(node, 1, "dim") or list(range(rank)), 1)]
    keep = int(_argument(node, 2, "keepdim", False))
    x = draft.tensor(_args(node)[0])
    if op == "ReduceSum":  # the only one that takes its axes as an input in opset 17
        return draft.node(op, x, tuple(axes), keepdims=keep)
    return draft.node(op, x, axes=axes, keepdims=keep)


@_handles("linalg_vector_norm.default")
def _norm(draft: Draft, node: ATen) -> Operand:
    order = _argument(node, 1, "ord", 2)
    if order not in (1, 2):
        raise X3DDeployError(f"{draft.path}: a norm of order {order} has no handler", hint="orders 1 and 2 have one")
    axes = _argument(node, 2, "dim")
    keep = int(_argument(node, 3, "keepdim", False))
    return draft.node(f"ReduceL{int(order)}", draft.tensor(_args(node)[0]), axes=list(axes), keepdims=keep)


@_handles("avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default")
@_handles("max_pool1d.default", "max_pool2d.default", "max_pool3d.default")
def _pool(draft: Draft, node: ATen) -> Operand:
    name = str(node.target).split(".")[1]
    count = int(name[-2])
    kernel = _several(_args(node)[1], count)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": _several(_argument(node, 2, "stride") or kernel, count),
    }
    pads = _several(_argument(node, 3, "padding", 0), count) * 2
    if any(pads):
        attributes["pads"] = pads
    if _argument(node, 5 if "max" in name else 4, "ceil_mode", False):
        attributes["ceil_mode"] = 1
    if "max" in name:
        dilations = _several(_argument(node, 4, "dilation", 1), count)
        if set(dilations) != {1}:
            attributes["dilations"] = dilations
    elif any(pads):
        attributes["count_include_pad"] = int(_argument(node, 5, "count_include_pad", True))
    return draft.node("MaxPool" if "max" in name else "AveragePool", draft.tensor(_args(node)[0]), **attributes)


@_handles("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_avg_pool3d.default")
def _adaptive_pool(draft: Draft, node: ATen) -> Operand:
    """To one value an axis, or in equal windows."""
    source = _source(node).meta["val"].shape[2:]
    target = node.meta["val"].shape[2:]
    if any(size % wanted for size, wanted in zip(source, target, strict=True)):
        raise X3DDeployError(f"{draft.path}: windows of pooling {list(source)} to {list(target)} are not equal")
    kernel = [int(size // wanted) for size, wanted in zip(source, target, strict=True)]
    x = draft.tensor(_args(node)[0])
    if set(target) == {1}:
        return draft.node("ReduceMean", x, axes=list(range(2, 2 + len(kernel))), keepdims=1)
    return draft.node("AveragePool", x, kernel_shape=kernel, strides=kernel)


@_handles("transpose.int", "t.default", "permute.default", "movedim.int")
def _transpose(draft: Draft, node: ATen) -> Operand:
    rank = _rank(node)
    order = list(range(rank))
    name = str(node.target)
    if "permute" in name:
        order = [axis % rank for axis in _args(node)[1]]
    elif "movedim" in name:
        order.insert(_args(node)[2] % rank, order.pop(_args(node)[1] % rank))
    else:
        first, second = (axis % rank for axis in (_args(node)[1:] or (0, 1)))
        order[first], order[second] = order[second], order[first]
    return draft.node("Transpose", draft.tensor(_args(node)[0]), perm=order)


@_handles("reshape.default", "view.default", "_unsafe_view.default", "flatten.using_ints", "unflatten.int")
@_handles("squeeze.dim", "squeeze.dims", "squeeze.default", "unsqueeze.default")
def _reshape(draft: Draft, node: ATen) -> Operand | Cuts:
    """To constants, and -1 for the one size that N is in.

    The clips' or frames' axis gets one name throughout: ONNX Runtime adds a shortcut inside the convolution before it
    only where it sees that both have the same number of frames, and a Reshape to -1 does not say so.
    """
    shape = shape_of(node)
    if shape == shape_of(_source(node)):
        return draft.values[_source(node)]
    if sum(isinstance(size, str) for size in shape) > 1:
        raise X3DDeployError(f"{draft.path}: two sizes of {list(shape)} depend on the number of clips")
    target = tuple(-1 if isinstance(size, str) else size for size in shape)
    is_of_frames = isinstance(shape[0], str) and "*" in shape[0]
    return draft.node("Reshape", draft.tensor(_args(node)[0]), target, dims=shape if is_of_frames else ())


@_handles("slice.Tensor")
def _slice(draft: Draft, node: ATen) -> Operand | Cuts:
    """Joined with the slice that it reads, where nothing else reads that one: one node cuts several axes."""
    source = _source(node)
    known = draft.values[source]
    axis, start, end, step = (
        _argument(node, index, name, default)
        for index, (name, default) in enumerate((("dim", 0), ("start", 0), ("end", sys.maxsize), ("step", 1)), 1)
    )
    if (start or 0, sys.maxsize if end is None else end, step) == (0, sys.maxsize, 1):
        return known
    size = shape_of(source)[axis]
    if isinstance(size, str):
        raise X3DDeployError(f"{draft.path}: a slice of the clips' axis", hint="each clip is one row throughout")
    start, end, _ = slice(start, end).indices(size)
    cut = (axis % _rank(source), start, end, step)
    if isinstance(known, Cuts) and len(source.users) == 1 and known.path == draft.path:
        return Cuts(known.source, (*known.cuts, cut), draft.path)
    return Cuts(draft.tensor(source), (cut,), draft.path)


@_handles("select.int")
def _select(draft: Draft, node: ATen) -> Operand:
    axis, index = _args(node)[1:3]
    size = shape_of(_source(node))[axis]
    assert isinstance(size, int)
    index = index % size
    cut = draft.node("Slice", draft.tensor(_args(node)[0]), (index,), (index + 1,), (axis % _rank(_source(node)),))
    return draft.node("Reshape", cut, tuple(-1 if isinstance(size, str) else size for size in shape_of(node)))


for _name in ("split.Tensor", "split_with_sizes.default", "split.sizes", "chunk.default"):
    HANDLERS[f"aten.{_name}"] = _same  # the pieces are cut where they are taken


def _piece(draft: Draft, node: ATen) -> Cuts:
    """One piece of a split: a slice."""
    split, index = _source(node), cast(int, _args(node)[1])
    axis = _argument(split, 2, "dim", 0) % _rank(node)
    sizes = [int(piece.shape[axis]) for piece in split.meta["val"]]
    start = sum(sizes[:index])
    return Cuts(draft.tensor(split), ((axis, start, start + sizes[index], 1),), draft.path)


HANDLERS[str(operator.getitem)] = _piece


@_handles("cat.default")
def _cat(draft: Draft, node: ATen) -> Operand:
    pieces = [draft.tensor(value) for value in _args(node)[0]]
    return draft.node("Concat", *pieces, axis=_argument(node, 1, "dim", 0) % _rank(node))


@_handles("pad.default", "constant_pad_nd.default")
def _pad(draft: Draft, node: ATen) -> Operand:
    pads = list(_args(node)[1])
    mode = _argument(node, 2, "mode", "constant") if str(node.target) == "aten.pad.default" else "constant"
    value = _argument(node, 3 if str(node.target) == "aten.pad.default" else 2, "value", None)
    rank = _rank(node)
    before, after = [0] * rank, [0] * rank
    for index in range(len(pads) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = pads[2 * index : 2 * index + 2]
    x = draft.tensor(_args(node)[0])
    amounts = (*before, *after)
    if mode != "constant":
        return draft.node("Pad", x, amounts, mode={"replicate": "edge"}.get(mode, mode))
    return draft.node("Pad", x, amounts, *([draft.tensor(value)] if value else []))
