"""Arithmetic in a graph: multiply-adds of each convolution and matrix product."""

from __future__ import annotations

from math import prod

import onnx

_PRODUCTS = ("Conv", "Gemm", "MatMul")
_QUANTIZATION = ("QuantizeLinear", "DequantizeLinear", "Cast")


def multiply_adds(model: onnx.ModelProto) -> dict[str, int] | None:
    """Multiply-adds of every layer for one clip, by its node's name; padded channels count. None for unknown shapes."""
    graph = for_one_clip(model)
    if graph is None:
        return None
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output, *graph.input)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    work = {}
    for node in graph.node:
        if node.op_type not in _PRODUCTS:
            continue
        name = node.input[1]
        while name in producers and producers[name].op_type in _QUANTIZATION:
            name = producers[name].input[0]
        out, factor = shapes.get(node.output[0]), shapes.get(name)
        if not out or not factor or 0 in out or 0 in factor:
            return None
        # Each output element is a sum over the weights of its row, a convolution's (I/g, k...), or over a product's K,
        # whose second factor may be computed as well (attention, graphs that depend on the clip).
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        terms = prod(factor[1:]) if node.op_type == "Conv" else factor[-1 if transposed or len(factor) == 1 else -2]
        work[node.name] = prod(out) * terms
    return work


def for_one_clip(model: onnx.ModelProto) -> onnx.GraphProto | None:
    """The graph with the shapes of one clip; None where they cannot be inferred."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.ClearField("dim_param")
                dim.dim_value = 1
    del single.graph.value_info[:]
    for value in single.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(single, data_prop=True).graph
    except onnx.shape_inference.InferenceError:
        return None
