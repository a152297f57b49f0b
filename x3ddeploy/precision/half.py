"""Half-typed graphs: float16 or bfloat16 inside, float32 at the outside, casts written into the graph.

TensorRT 11 takes precision from the types alone (https://docs.nvidia.com/deeplearning/tensorrt, "Strongly typed
networks"); every other runtime can read the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.roles import Structure
from x3ddeploy.terms import Precision

FLOAT16_MAX = 65504.0
# Smallest normal float16: a scale under it loses digits, so that a channel of such weights gets this one instead.
FLOAT16_TINY = 2.0**-14

# What takes its axes as an input from opset 18 on.
REDUCTIONS = frozenset(
    f"Reduce{name}" for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
# Sums over many terms and what follows them in the head: in half precision they lose the digits that classes differ by.
_SUMS = frozenset({"ReduceMean", "ReduceL2", "AveragePool", "Softmax"})
_PRODUCTS = frozenset({"Gemm", "MatMul", "QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class HalfFormat:
    """A 16-bit float format, and the oldest opset and IR version whose operators take it where we need it.

    Attributes:
        opset: without and with Q/DQ pairs: QuantizeLinear takes float16 from opset 19 on, Conv takes bfloat16 from 22.
    """

    onnx_type: int
    opset: int
    quantized_opset: int


FORMATS: dict[Precision, HalfFormat] = {
    Precision.FP16: HalfFormat(TensorProto.FLOAT16, 17, 19),
    Precision.BF16: HalfFormat(TensorProto.BFLOAT16, 22, 22),
}
_IR_OF_OPSET = {17: 8, 19: 9, 22: 10}


def float32_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Nodes that stay float32 whatever their values are, each with the reason."""
    structure, kept = Structure(model), {}
    for node in structure.nodes:
        on_means = not structure.pooled.isdisjoint(node.output) and structure.gates.isdisjoint(node.output)
        if node.op_type in _SUMS:
            kept[node.name] = "a sum over many terms"
        elif on_means and node.op_type not in _PRODUCTS:
            kept[node.name] = "on the way from logits to scores: costs nothing"
    return kept


def to_half(model: onnx.ModelProto, half: Precision, keep: Collection[str]) -> onnx.ModelProto:
    """A copy of a float32 graph whose tensors are half-typed except around the nodes in `keep`.

    Args:
        model: float32 graph, with or without Q/DQ pairs.
        half: key in FORMATS.
        keep: names of the nodes that compute in float32.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Typist(result, half, frozenset(keep)).type_nodes()
    pairs = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    opset = FORMATS[half].quantized_opset if pairs else FORMATS[half].opset
    if opset > result.opset_import[0].version:
        _raise_opset(result, opset)
    return onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)


def _raise_opset(model: onnx.ModelProto, opset: int) -> None:
    """From opset 18 on a reduction takes its axes as an input; nothing else that we use changed up to 22."""
    for node in model.graph.node:
        axes = next((attribute for attribute in node.attribute if attribute.name == "axes"), None)
        if node.op_type in REDUCTIONS and axes is not None:
            name = f"{node.name}/axes"
            model.graph.initializer.append(numpy_helper.from_array(np.array(axes.ints, np.int64), name))
            node.input.append(name)
            node.attribute.remove(axes)
    model.opset_import[0].version = opset
    model.ir_version = _IR_OF_OPSET[opset]


class _Typist:
    """Gives every float tensor of a graph its type, and puts casts between."""

    def __init__(self, model: onnx.ModelProto, half: Precision, keep: frozenset[str]) -> None:
        self._graph, self._name, self._keep = model.graph, half, keep
        self._type = FORMATS[half].onnx_type
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._floats = {name for name, tensor in self._initializers.items() if tensor.data_type == TensorProto.FLOAT}
        self._stored: dict[str, onnx.TensorProto] = {}
        # float tensor -> type that it is made in; a cast tensor is named for its source and type.
        self._types = {value.name: TensorProto.FLOAT for value in model.graph.input if _is_float(value)}
        self._cast: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []

    def type_nodes(self) -> None:
        outputs = {value.name for value in self._graph.output}
        for node in self._graph.node:
            wanted = TensorProto.FLOAT if node.name in self._keep else self._type
            node.input[:] = [self._as(name, wanted) for name in node.input]
            self._nodes.append(node)
            if node.op_type == "QuantizeLinear":
                continue
            for index, name in enumerate(node.output):
                self._types[name] = wanted
                if name in outputs and wanted != TensorProto.FLOAT:
                    node.output[index] = f"{name}/{self._name}"
                    self._types[node.output[index]] = wanted
                    self._types[name] = TensorProto.FLOAT
                    self._nodes.append(_cast(node.output[index], name, TensorProto.FLOAT))
        constants = [tensor for name, tensor in self._initializers.items() if name not in self._floats]
        used = {name for node in self._nodes for name in node.input}
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(tensor for tensor in (*constants, *self._stored.values()) if tensor.name in used)

    def _as(self, name: str, wanted: int) -> str:
        """The name under which `name` is to be had in the wanted type."""
        if name in self._floats:
            return self._constant(name, wanted)
        if self._types.get(name, wanted) == wanted:
            return name
        result = f"{name}/{self._name if wanted == self._type else 'fp32'}"
        if result not in self._cast:
            self._cast.add(result)
            self._nodes.append(_cast(name, result, wanted))
        return result

    def _constant(self, name: str, wanted: int) -> str:
        tensor = self._initializers[name]
        if wanted == TensorProto.FLOAT:
            self._stored[name] = tensor
            return name
        result = f"{name}/{self._name}"
        if result not in self._stored:
            value = numpy_helper.to_array(tensor)
            if wanted == TensorProto.FLOAT16:
                if np.abs(value).max(initial=0) > FLOAT16_MAX:
                    raise X3DDeployError(f"{name!r} holds values beyond float16", hint="use --bf16, or stay in float32")
                if name.endswith("/scale"):
                    value = np.maximum(value, FLOAT16_TINY)
            typed = value.astype(helper.tensor_dtype_to_np_dtype(wanted))
            self._stored[result] = numpy_helper.from_array(typed, result)
        return result


def _cast(source: str, result: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], name=f"{result}/Cast", to=to)


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == TensorProto.FLOAT
