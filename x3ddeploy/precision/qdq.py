"""Explicit quantization: QuantizeLinear and DequantizeLinear pairs put into a float graph.

What is quantized is the input of a convolution or of a fully connected layer, never its output, and its weights by
output channel (https://docs.nvidia.com/deeplearning/tensorrt, "Explicit quantization"); biases stay float.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from x3ddeploy.calibration.ranges import Range
from x3ddeploy.graphs.roles import Role
from x3ddeploy.precision.sites import Site

_INT8_MAX = 127
_UINT8_MAX = 255
# For tensors and channels that are all zero: any scale would do, and TensorRT refuses zero.
_MIN_SCALE = 1e-10


@dataclass(frozen=True)
class Scheme:
    """How a target wants its Q/DQ.

    Attributes:
        roles: which layers it may quantize.
        unsigned: activations as uint8 with a zero point, which ReLU and swish use in full; else int8, zero point 0.
        stored_int8: weights stored as int8 behind a DequantizeLinear; else as floats behind a pair.
        one_axis: whether it quantizes convolutions along one axis: TensorRT's parser makes 2-D ones of them, with a
            reshape between each and its pair, and they then run in half precision.
        odd_groups: whether it quantizes convolutions in groups that 4 does not divide: TensorRT has no INT8 form of
            them (IConvolutionLayer::setNbGroups in NvInfer.h, 8.6 to 11), and a build with pairs around one fails.
    """

    roles: frozenset[Role]
    unsigned: bool
    stored_int8: bool
    one_axis: bool = True
    odd_groups: bool = True

    def takes(self, site: Site) -> bool:
        """Whether it quantizes a layer.

        With signed activations it leaves layers alone that read what a Concat joins: OpenVINO 2026.4 takes the joint
        range for unsigned where one of the tensors was behind a ReLU, and cuts the negative values of the others.
        """
        return (
            site.role in self.roles
            and (self.unsigned or not site.joins)
            and (self.one_axis or not site.one_axis)
            and (self.odd_groups or not site.odd_groups)
        )


def insert_qdq(
    model: onnx.ModelProto, sites: Iterable[Site], ranges: Mapping[str, Range], scheme: Scheme
) -> onnx.ModelProto:
    """A copy of a float32 graph with Q/DQ pairs at some of its layers.

    A source tensor gets one pair before the nodes that move it, and another of the same scale behind them: between two
    equal pairs a runtime moves INT8 values.

    Args:
        model: exported float32 graph.
        sites: the layers to quantize, of this graph.
        ranges: ranges of every site's source tensor.
        scheme: scheme of the target.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    editor = _Editor(quantized, scheme)
    for site in sites:
        parameters = activation_parameters(ranges[site.source], unsigned=scheme.unsigned)
        readers = site.moves | {site.node} | ({site.skip} if site.skip else set())
        editor.activation(site.source, site.source, parameters, readers)
        node = editor.nodes[site.node]
        if site.moves:
            editor.activation(site.source, node.input[0], parameters, {site.node})
        editor.weight(node)
    return editor.finish()


def activation_parameters(values: Range, *, unsigned: bool) -> tuple[np.float32, npt.NDArray[np.generic]]:
    """Scale and zero point of a tensor."""
    if unsigned:
        scale = max((values.high - values.low) / _UINT8_MAX, _MIN_SCALE)
        return np.float32(scale), np.array(round(-values.low / scale), np.uint8)
    return np.float32(max(-values.low, values.high, _MIN_SCALE) / _INT8_MAX), np.array(0, np.int8)


def weight_scales(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One scale an output channel (axis 0)."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(1)
    return (np.maximum(largest, _MIN_SCALE * _INT8_MAX) / _INT8_MAX).astype(np.float32)


class _Editor:
    """Adds pairs to a graph; the original nodes keep their order and names."""

    def __init__(self, model: onnx.ModelProto, scheme: Scheme) -> None:
        self._model, self._scheme = model, scheme
        self.nodes = {node.name: node for node in model.graph.node}
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._added: dict[str, onnx.TensorProto] = {}
        # Output of a pair -> its two nodes; they are placed before the first node that reads the output.
        self._pairs: dict[str, list[onnx.NodeProto]] = {}

    def activation(
        self, source: str, tensor: str, parameters: tuple[np.float32, npt.NDArray[np.generic]], readers: Iterable[str]
    ) -> None:
        """Put one pair on `tensor`, with the constants of `source`, and let those of `readers` that read it do so."""
        scale, zero_point = parameters
        self._constant(f"{source}/scale", np.array(scale))
        self._constant(f"{source}/zero_point", zero_point)
        names = [f"{source}/scale", f"{source}/zero_point"]
        output = self._pair(tensor, names)
        for reader in readers:
            node = self.nodes[reader]
            node.input[:] = [output if name == tensor else name for name in node.input]

    def weight(self, node: onnx.NodeProto) -> None:
        """Quantize a layer's weights, as the scheme stores them."""
        name = node.input[1]
        weight = numpy_helper.to_array(self._weights[name])
        axis = 0 if node.op_type == "Conv" or _transposed(node) else 1
        scales = weight_scales(weight if axis == 0 else weight.T)
        self._constant(f"{name}/scale", scales)
        self._constant(f"{name}/zero_point", np.zeros(len(scales), np.int8))
        names = [f"{name}/scale", f"{name}/zero_point"]
        if not self._scheme.stored_int8:
            node.input[1] = self._pair(name, names, axis=axis)
            return
        along = [1] * weight.ndim
        along[axis] = -1
        stored = np.clip(np.rint(weight / scales.reshape(along)), -_INT8_MAX, _INT8_MAX).astype(np.int8)
        self._constant(f"{name}/int8", stored)
        output = f"{name}/DequantizeLinear"
        self._pairs[output] = [
            helper.make_node("DequantizeLinear", [f"{name}/int8", *names], [output], name=output, axis=axis)
        ]
        node.input[1] = output

    def finish(self) -> onnx.ModelProto:
        """The graph with its pairs in place and without the constants that nothing reads any more."""
        graph = self._model.graph
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            for name in node.input:
                nodes += self._pairs.pop(name, [])
            nodes.append(node)
        del graph.node[:]
        graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in (*graph.initializer, *self._added.values()) if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        return onnx.shape_inference.infer_shapes(self._model, check_type=True, strict_mode=True, data_prop=True)

    def _pair(self, tensor: str, parameters: list[str], **attributes: int) -> str:
        quantized, output = f"{tensor}/QuantizeLinear", f"{tensor}/DequantizeLinear"
        if output not in self._pairs:
            self._pairs[output] = [
                helper.make_node("QuantizeLinear", [tensor, *parameters], [quantized], name=quantized, **attributes),
                helper.make_node("DequantizeLinear", [quantized, *parameters], [output], name=output, **attributes),
            ]
        return output

    def _constant(self, name: str, value: npt.NDArray[np.generic]) -> None:
        self._added[name] = numpy_helper.from_array(value, name)


def _transposed(gemm: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i == 1 for attribute in gemm.attribute)
