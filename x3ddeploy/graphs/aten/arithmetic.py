"""Operators on each value by itself, and those that do nothing at inference."""

from __future__ import annotations

from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.draft import HANDLERS, Draft, Handler, Operand, argument, arguments, handles, same

for _name in ("contiguous.default", "clone.default", "dropout.default", "dropout_.default", "feature_dropout.default",
              "feature_dropout_.default", "alias.default",
              "detach.default", "detach_.default", "lift_fresh_copy.default"):  # fmt: skip
    HANDLERS[f"aten.{_name}"] = same


def _elementwise(op: str) -> Handler:
    """An operator on all arguments that are tensors or numbers, without any other."""

    def handler(draft: Draft, node: ATen) -> Operand:
        return draft.node(op, *(draft.tensor(value) for value in arguments(node)))

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


@handles("add.Tensor", "add_.Tensor", "sub.Tensor", "sub_.Tensor")
def _add(draft: Draft, node: ATen) -> Operand:
    left, right = (draft.tensor(value) for value in arguments(node)[:2])
    if (factor := argument(node, 2, "alpha", 1)) != 1:
        right = draft.node("Mul", right, draft.tensor(factor))
    return draft.node("Add" if "add" in str(node.target) else "Sub", left, right)


def _total(draft: Draft, node: ATen) -> Operand:
    """The operator that x3ddeploy/lowering/rewrite.py puts in the place of a chain of additions."""
    tensors = [draft.tensor(value) for value in arguments(node)[0]]
    return draft.node("Add" if len(tensors) == 2 else "Sum", *tensors)


HANDLERS["x3ddeploy.total.default"] = _total


@handles("silu.default", "silu_.default")
def _silu(draft: Draft, node: ATen) -> Operand:
    x = draft.tensor(arguments(node)[0])
    return draft.node("Mul", x, draft.node("Sigmoid", x))


@handles("gelu.default")
def _gelu(draft: Draft, node: ATen) -> Operand:
    """X * (1 + erf(x / sqrt 2)) / 2; opset 17 has no Gelu."""
    if argument(node, 1, "approximate", "none") != "none":
        raise X3DDeployError(f"{draft.path}: GELU by tanh has no handler", hint="approximate='none' has one")
    x = draft.tensor(arguments(node)[0])
    erf = draft.node("Erf", draft.node("Div", x, draft.tensor(2**0.5)))
    return draft.node("Mul", draft.node("Mul", x, draft.node("Add", erf, draft.tensor(1))), draft.tensor(0.5))


@handles("leaky_relu.default", "leaky_relu_.default")
def _leaky_relu(draft: Draft, node: ATen) -> Operand:
    slope = float(argument(node, 1, "negative_slope", 0.01))
    return draft.node("LeakyRelu", draft.tensor(arguments(node)[0]), alpha=slope)


@handles("clamp.default", "clamp_.default", "hardtanh.default", "hardtanh_.default", "relu6.default", "relu6_.default")
def _clamp(draft: Draft, node: ATen) -> Operand:
    defaults = {"hardtanh": (-1.0, 1.0), "relu6": (0.0, 6.0)}
    name = str(node.target).split(".")[1].rstrip("_")
    low, high = defaults.get(name, (None, None))
    if name != "relu6":
        low = argument(node, 1, "min", argument(node, 1, "min_val", low))
        high = argument(node, 2, "max", argument(node, 2, "max_val", high))
    bounds = ["" if bound is None else draft.tensor(bound) for bound in (low, high)]
    return draft.node("Clip", draft.tensor(arguments(node)[0]), *bounds)


@handles("softmax.int", "_softmax.default")
def _softmax(draft: Draft, node: ATen) -> Operand:
    return draft.node("Softmax", draft.tensor(arguments(node)[0]), axis=arguments(node)[1])
