"""Our graphs in float64: what a graph computes apart from rounding, by PyTorch's operators and no runtime's."""

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper


def run_exactly(model, feeds):
    """Every output of a float, half-typed or quantized graph, by name, as float64 arrays.

    Casts are passed over, and quantized values are rounded to their levels.
    """
    values = {tensor.name: _tensor(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
    values |= {name: _tensor(value) for name, value in feeds.items()}
    unsigned = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.UINT8}
    with torch.inference_mode():
        for node in model.graph.node:
            attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
            if node.op_type == "QuantizeLinear":
                attributes["unsigned"] = node.input[2] in unsigned
            result = _OPERATORS[node.op_type](*(values[name] for name in node.input), **attributes)
            values.update(zip(node.output, result if isinstance(result, tuple) else (result,), strict=True))
    return {value.name: values[value.name].numpy() for value in model.graph.output}


def _tensor(value):
    value = np.asarray(value)
    if value.dtype.kind in "iu" and value.dtype.itemsize == 8:
        return torch.from_numpy(value.copy())
    return torch.from_numpy(value.astype(np.float64))


def _conv(x, weight, bias=None, *, strides=(1, 1, 1), pads=(), group=1, kernel_shape=()):
    space = x.dim() - 2
    pads = list(pads) or [0] * 2 * space
    both = [pad for axis in reversed(range(space)) for pad in (pads[axis], pads[space + axis])]
    conv = F.conv2d if space == 2 else F.conv3d
    return conv(F.pad(x, both), weight, bias, stride=tuple(strides)[:space], groups=group)


def _pad(x, pads, value=None, *, mode=b"constant"):
    pads, dims = pads.tolist(), x.dim()
    for axis in range(dims):
        for where, count in (("before", pads[axis]), ("after", pads[dims + axis])):
            edge = x.narrow(axis, 0 if where == "before" else x.shape[axis] - 1, 1)
            filling = (edge if mode == b"edge" else torch.zeros_like(edge)).repeat_interleave(count, axis)
            x = torch.cat((filling, x) if where == "before" else (x, filling), axis)
    return x


def _slice(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes.tolist()
    for axis, start, end in zip(axes, starts.tolist(), ends.tolist(), strict=True):
        index = [slice(None)] * x.dim()
        index[axis] = slice(start, end)
        x = x[tuple(index)]
    return x


def _reshape(x, shape):
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())]
    return x.reshape(sizes)


def _reduction(operator):
    def reduce(x, axes_input=None, *, axes=(), keepdims=1):
        axes = list(axes) if axes_input is None else axes_input.tolist()
        return operator(x, dim=axes, keepdim=bool(keepdims))

    return reduce


def _gemm(x, weight, bias=None, *, transB=0):
    product = x @ (weight.T if transB else weight)
    return product if bias is None else product + bias


def _levels(values, scale, zero_point, axis):
    if scale.dim():
        along = [1] * values.dim()
        along[axis] = -1
        return scale.reshape(along), zero_point.reshape(along)
    return scale, zero_point


def _quantize(x, scale, zero_point, *, unsigned, axis=1):
    scale, zero_point = _levels(x, scale, zero_point, axis)
    levels = torch.round(x / scale) + zero_point
    return levels.clamp(0, 255) if unsigned else levels.clamp(-128, 127)


def _dequantize(x, scale, zero_point, *, axis=1):
    scale, zero_point = _levels(x, scale, zero_point, axis)
    return (x - zero_point) * scale


_OPERATORS = {
    "Add": torch.add,
    "AveragePool": lambda x, *, kernel_shape, strides: F.avg_pool3d(x, tuple(kernel_shape), tuple(strides)),
    "Cast": lambda x, *, to: x,
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Div": torch.div,
    "Gather": lambda x, places, *, axis: x.index_select(axis, places.long()),
    "Gemm": _gemm,
    "Identity": lambda x: x,
    "MatMul": torch.matmul,
    "Max": torch.maximum,
    "Mul": torch.mul,
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceL2": _reduction(torch.linalg.vector_norm),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "Relu": torch.relu,
    "Reshape": _reshape,
    "Sigmoid": torch.sigmoid,
    "Slice": _slice,
    "Softmax": lambda x, *, axis: x.softmax(axis),
    "Sub": torch.sub,
    "Transpose": lambda x, *, perm: x.permute(*perm),
}
