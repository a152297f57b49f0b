"""Rules that every exported graph keeps, checked on the finished model."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.builder import IR_VERSION, OPSET

FORBIDDEN = {
    "ScatterND": "the shift is slices",
    "Loop": "no control flow",
    "If": "no control flow",
    "Scan": "no control flow",
    "BatchNormalization": "it is folded into the convolutions",
    "Constant": "constants are initializers",
    "Identity": "it does nothing",
}


def lint(model: onnx.ModelProto) -> list[str]:
    """Names each broken rule and the node that breaks it; an empty list is a clean graph."""
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    problems = [
        f"node {node.name!r}: {node.op_type}, but {FORBIDDEN[node.op_type]}"
        for node in graph.node
        if node.op_type in FORBIDDEN
    ]
    problems += [f"node {node.name!r}: domain {node.domain!r}" for node in graph.node if node.domain]
    problems += [
        f"initializer {name!r} is stored outside the file"
        for name, tensor in initializers.items()
        if tensor.data_location == TensorProto.EXTERNAL
    ]
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    made = {name for node in graph.node for name in node.output}
    problems += [f"initializer {name!r} is used by no node" for name in initializers.keys() - used]
    problems += [f"tensor {name!r} is used by no node" for name in sorted(made - used)]
    if len({node.name for node in graph.node}) != len(graph.node):
        problems.append("two nodes share a name")
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets != {"": OPSET} or model.ir_version != IR_VERSION:
        problems.append(f"opset {opsets} and IR {model.ir_version}, not opset {OPSET} and IR {IR_VERSION}")
    return problems


def check_model(model: onnx.ModelProto) -> None:
    """ONNX's own full check, then ours. Raises X3DDeployError that lists every problem."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise X3DDeployError(f"graph {model.graph.name!r} is not valid ONNX: {error}") from error
    problems = lint(model)
    if problems:
        raise X3DDeployError(f"graph {model.graph.name!r} breaks the rules of an exported graph", details=problems)
