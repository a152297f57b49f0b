"""The rules of explicit quantization that TensorRT keeps, checked on any graph; each broken one names its node.

Source: TensorRT's developer guide, "Working with quantized types" (explicit quantization, Q/DQ placement).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.graphs.roles import Structure

_QUANTIZED_INPUTS = {"Conv": 2, "Gemm": 2, "MatMul": 2, "Add": 1}  # how many of the first inputs may be dequantized


def lint_qdq(model: onnx.ModelProto) -> list[str]:
    """Every broken rule; an empty list is a graph whose INT8 TensorRT takes.

    - activations are int8 with zero point 0 and one finite, positive scale;
    - weights of a convolution have one scale an output channel, on axis 0;
    - no bias is quantized, and no output of a convolution except as the input of the next layer;
    - what is quantized feeds Conv, Gemm, MatMul, or one branch of an Add;
    - the scales on both sides of nodes that only move values are equal.
    """
    return _Lint(model).problems()


class _Lint:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._structure = Structure(model)
        self._nodes = self._structure.nodes
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers = {name: node for node in self._nodes for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self._nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def problems(self) -> list[str]:
        found = []
        for node in self._nodes:
            if node.op_type == "DequantizeLinear":
                found += [f"node {node.name!r}: {problem}" for problem in self._pair(node)]
            for index, name in enumerate(node.input):
                if self._is_dequantized(name) and not self._may_read(node, index):
                    found.append(f"node {node.name!r}: {node.op_type} reads a dequantized tensor as input {index}")
            if node.op_type == "Add" and all(self._is_dequantized(name) for name in node.input):
                found.append(f"node {node.name!r}: both branches of an Add are quantized")
        return found

    def _pair(self, node: onnx.NodeProto) -> list[str]:
        found = []
        scale = self._constant(node, 1)
        if scale is None or not (np.isfinite(scale).all() and (scale > 0).all()):
            return ["its scale is not a positive, finite constant"]
        zero_point = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero_point is None or zero_point.data_type != TensorProto.INT8:
            found.append("its type is not int8")
        elif numpy_helper.to_array(zero_point).any():
            found.append("its zero point is not 0")
        source = self._producers.get(node.input[0])
        weight = source is None or source.input[0] in self._constants
        axis = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "axis"), 1)
        convs = any(reader.op_type == "Conv" for reader in self._readers.get(node.output[0], ()))
        if weight and convs and (scale.ndim != 1 or axis != 0):
            found.append("weights of a convolution want one scale an output channel, on axis 0")
        if not weight and scale.size != 1:
            found.append("an activation has more than one scale")
        if source is not None and source.op_type == "QuantizeLinear" and list(source.input[1:]) != list(node.input[1:]):
            found.append("it is not the inverse of its QuantizeLinear")
        if not weight and source is not None:
            earlier = self._scale_before(source.input[0])
            if earlier is not None and not np.array_equal(earlier, scale):
                found.append("its scale differs from that before the values were moved")
        return found

    def _may_read(self, node: onnx.NodeProto, index: int) -> bool:
        if self._structure.is_move(node):
            return True
        if node.op_type == "Cast":
            return True
        return node.op_type in _QUANTIZED_INPUTS and index < 2

    def _is_dequantized(self, tensor: str) -> bool:
        producer = self._producers.get(tensor)
        return producer is not None and producer.op_type == "DequantizeLinear"

    def _scale_before(self, tensor: str) -> np.ndarray | None:
        """Scale of the pair that lies behind the moves which made `tensor`; None where there is none."""
        node = self._producers.get(tensor)
        if node is None or not self._structure.is_move(node):
            return None
        name = node.input[0]
        if self._is_dequantized(name):
            return self._constant(self._producers[name], 1)
        return self._scale_before(name)

    def _constant(self, node: onnx.NodeProto, index: int) -> np.ndarray | None:
        tensor = self._constants.get(node.input[index])
        return None if tensor is None else numpy_helper.to_array(tensor)
