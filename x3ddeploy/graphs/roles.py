"""What a layer is to its network, told from the graph alone: names say nothing here.

Works on float32, half-typed and quantized graphs: casts and Q/DQ pairs are looked through.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cached_property

import numpy as np
import onnx
from onnx import numpy_helper

# Ops that only move values: what goes in comes out, in other places, with zeros between.
MOVES = frozenset({"Reshape", "Transpose", "Slice", "Pad", "Concat", "Gather"})
_TYPES = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast"})
_POOLS = frozenset({"ReduceMean", "GlobalAveragePool", "AveragePool"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax"})


class Role(Enum):
    """What a convolution, a fully connected layer or a sum is.

    STEM: a convolution that reads an input of the graph. SHIFT: a depthwise convolution with one one in each kernel: it
    moves values. DEPTHWISE: one channel a group. POINTWISE: kernel 1. DENSE: any other convolution. SQUEEZE: works on
    pooled values, for a gate. CLASSIFIER: any other fully connected layer. RESIDUAL: an Add that joins two paths.
    """

    STEM = "stem"
    SHIFT = "temporal shift"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    DENSE = "dense"
    SQUEEZE = "squeeze-and-excitation"
    CLASSIFIER = "classifier"
    RESIDUAL = "residual"


def roles(model: onnx.ModelProto) -> dict[str, Role]:
    """Role of each node that has one, by the node's name."""
    return Structure(model).roles


class Structure:
    """How a graph hangs together."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producers = {name: node for node in self.nodes for name in node.output}
        self._inputs = {value.name for value in model.graph.input}

    @cached_property
    def roles(self) -> dict[str, Role]:
        """Role of each node that has one, by the node's name."""
        found = ((node.name, self._role(node)) for node in self.nodes)
        return {name: role for name, role in found if role is not None}

    @cached_property
    def pooled(self) -> frozenset[str]:
        """Tensors of one value a channel or class, without place or time: means, and what is made of them alone."""
        return self._made_of(self._is_global_pool)

    @cached_property
    def gates(self) -> frozenset[str]:
        """Tensors that scale one which has an axis more, and those that they are made from.

        They hold means or maxima along an axis, of space, time, or the channels, and what is made of such alone.
        """
        squeezed = self._made_of(lambda node: node.op_type in _REDUCTIONS or self._is_global_pool(node))
        pending = [
            name
            for node in self.nodes
            if node.op_type == "Mul" and squeezed.isdisjoint(node.output)
            for name in node.input
            if name in squeezed
        ]
        gates: set[str] = set()
        while pending:
            name = pending.pop()
            if name in squeezed and name not in gates:
                gates.add(name)
                pending += self.producers[name].input if name in self.producers else ()
        return frozenset(gates)

    def weight(self, tensor: str) -> onnx.TensorProto | None:
        """The initializer behind a tensor, also where a cast or a pair stands between; None for what is computed."""
        while tensor not in self.constants:
            node = self.producers.get(tensor)
            if node is None or node.op_type not in _TYPES:
                return None
            tensor = node.input[0]
        return self.constants[tensor]

    def is_move(self, node: onnx.NodeProto) -> bool:
        """Whether a node only moves values, with zeros between.

        The shift as a depthwise convolution with one-hot taps is such a node, and so is its mask of zeros and ones.
        """
        return node.op_type in MOVES or self._is_mask(node) or (node.op_type == "Conv" and self._is_shift(node))

    def _made_of(self, begins: Callable[[onnx.NodeProto], bool]) -> frozenset[str]:
        """Outputs of the nodes that a tensor of a kind begins with, and what is made of such alone."""
        found: set[str] = set()
        for node in self.nodes:
            data = [name for name in node.input if name and self.weight(name) is None]
            if begins(node) or (data and all(name in found for name in data)):
                found.update(node.output)
        return frozenset(found)

    def _role(self, node: onnx.NodeProto) -> Role | None:
        if node.op_type == "Conv":
            return self._convolution(node)
        if node.op_type == "Gemm" and self.weight(node.input[1]) is not None:
            return Role.SQUEEZE if node.output[0] in self.gates else Role.CLASSIFIER
        if node.op_type == "Add" and all(self.weight(name) is None for name in node.input):
            return None if node.output[0] in self.pooled else Role.RESIDUAL
        return None

    def _convolution(self, node: onnx.NodeProto) -> Role:
        weight = self.weight(node.input[1])
        if node.output[0] in self.gates:
            return Role.SQUEEZE
        if self._is_shift(node):
            return Role.SHIFT
        if self._reads_input(node.input[0]):
            return Role.STEM
        if weight is not None and _groups(node) > 1 and weight.dims[1] == 1:
            return Role.DEPTHWISE
        kernel = weight.dims[2:] if weight is not None else ()
        return Role.POINTWISE if set(kernel) == {1} and _groups(node) == 1 else Role.DENSE

    def _is_shift(self, node: onnx.NodeProto) -> bool:
        weight = self.weight(node.input[1])
        if weight is None or _groups(node) == 1 or weight.dims[1] != 1 or len(node.input) > 2:
            return False
        taps = numpy_helper.to_array(weight).reshape(weight.dims[0], -1).astype(np.float32)
        return bool(taps.shape[1] > 1 and ((taps != 0).sum(1) == 1).all() and len(np.unique(taps[taps != 0])) == 1)

    def _is_mask(self, node: onnx.NodeProto) -> bool:
        """Whether a node multiplies by a constant of zeros and ones."""
        mask = self.weight(node.input[1]) if node.op_type == "Mul" else None
        return mask is not None and bool(np.isin(numpy_helper.to_array(mask), (0, 1)).all())

    def _reads_input(self, tensor: str) -> bool:
        """Whether a tensor is an input of the graph, looked at behind nodes that move values or change their type."""
        while tensor not in self._inputs:
            node = self.producers.get(tensor)
            if node is None or node.op_type not in _TYPES | MOVES or node.op_type == "Concat":
                return False
            tensor = node.input[0]
        return True

    def _is_global_pool(self, node: onnx.NodeProto) -> bool:
        """A mean that leaves no place: over two axes or more, or one after another mean; to frames' means it is not."""
        if node.op_type not in _POOLS:
            return False
        if node.op_type == "GlobalAveragePool":
            return True
        if node.op_type == "AveragePool":
            source = self.producers.get(node.input[0])
            return source is not None and source.op_type == "AveragePool"
        axes = next((attribute.ints for attribute in node.attribute if attribute.name == "axes"), None)
        if axes is None and len(node.input) > 1:  # an input from opset 18 on
            axes = numpy_helper.to_array(self.constants[node.input[1]]).tolist()
        before = self._behind_types(node.input[0])
        return axes is None or len(axes) > 1 or (before is not None and before.op_type == "ReduceMean")

    def _behind_types(self, tensor: str) -> onnx.NodeProto | None:
        node = self.producers.get(tensor)
        while node is not None and node.op_type in _TYPES:
            node = self.producers.get(node.input[0])
        return node


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
