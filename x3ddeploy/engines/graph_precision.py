"""What a graph asks of the engine made of it: the precision of every convolution and fully connected layer, and why."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from x3ddeploy.graphs.roles import Role, roles

COMPUTING = ("Conv", "Gemm", "MatMul")
_TYPES = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
_WORDS = {
    Role.DEPTHWISE: "a depthwise convolution",
    Role.STEM: "the stem",
    Role.SHIFT: "a shift written as a convolution",
    Role.SQUEEZE: "squeeze-and-excitation",
}


@dataclass(frozen=True)
class GraphPrecision:
    """One layer.

    Attributes:
        node: the ONNX node's name.
        op: its type.
        precision: 'fp32', 'fp16', 'bf16' or 'int8': of the values that it multiplies.
        reason: why it is not INT8 in a graph that has INT8 layers; '' otherwise.
    """

    node: str
    op: str
    precision: str
    reason: str = ""


def graph_precisions(model: onnx.ModelProto, float_layers: dict[str, str] | None = None) -> list[GraphPrecision]:
    """Every convolution and fully connected layer of a graph, in its order.

    Args:
        model: a part of a bundle, with the types of its inner tensors.
        float_layers: blocks or nodes that quantization left in a higher precision -> the reason, from the manifest.
    """
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    dequantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    known, found = roles(model), []
    for node in graph.node:
        if node.op_type not in COMPUTING:
            continue
        if node.input[0] in dequantized:
            found.append(GraphPrecision(node.name, node.op_type, "int8"))
            continue
        precision = _TYPES.get(types.get(node.input[0], TensorProto.UNDEFINED), "unknown")
        reason = _reason(node, known.get(node.name), float_layers or {}) if dequantized else ""
        found.append(GraphPrecision(node.name, node.op_type, precision, reason))
    return found


def _reason(node: onnx.NodeProto, role: Role | None, float_layers: dict[str, str]) -> str:
    for name, reason in float_layers.items():
        if node.name == name or node.name.startswith(f"{name}/"):
            return reason
    what = _WORDS.get(role) if role else None
    return f"the graph does not quantize it{f': {what}' if what else ''}"
