"""Whether a graph of lower precision is the float32 graph in other types, and nothing else.

How far outputs are off on a clip says little here: quantization itself is off by more than a lost bias. So the graph is
read instead: without its casts and its Q/DQ pairs it must have float32's nodes in float32's order, every constant must
be float32's rounded to its type, every scale must be that of its own tensor, and pairs must stand where the layers
that were chosen want them and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.calibration.ranges import Range
from x3ddeploy.errors import GateError
from x3ddeploy.precision.half import FLOAT16_TINY, FORMATS, REDUCTIONS
from x3ddeploy.precision.qdq import Scheme, activation_parameters, weight_scales
from x3ddeploy.precision.sites import Site
from x3ddeploy.terms import Precision

_WRAPPERS = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})

Constant = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Intent:
    """What a graph was meant to become.

    Attributes:
        half: type of what is not quantized; None is float32.
        keep: names of the nodes that compute in float32 whatever `half` is; None where that is not known.
        sites: the layers in INT8.
        ranges: ranges of every site's source tensor.
        scheme: scheme of the Q/DQ; None where there is none.
    """

    half: Precision | None
    keep: Collection[str] | None = ()
    sites: Collection[Site] = ()
    ranges: Mapping[str, Range] | None = None
    scheme: Scheme | None = None


def require_faithful(float32: onnx.ModelProto, lower: onnx.ModelProto, intent: Intent, what: str) -> None:
    """Raise GateError that names what is wrong; `what` names the graph."""
    problems = list(_Comparison(float32, lower, intent).problems())
    if problems:
        raise GateError(
            f"{what} is not its float32 graph in another precision",
            details=[*problems[:12], *([f"... and {len(problems) - 12} more"] if len(problems) > 12 else [])],
            hint="do not deploy this, and report it",
        )


def within_a_step(levels: Constant, values: Constant, step: Constant) -> bool:
    """Whether each value is within half a step of its level; one on the border of two levels may go to either."""
    return bool((np.abs(levels * np.float64(step) - np.float64(values)) <= np.float64(step) / 2 * (1 + 1e-5)).all())


class _Comparison:
    def __init__(self, float32: onnx.ModelProto, lower: onnx.ModelProto, intent: Intent) -> None:
        self._float32, self._lower, self._intent = float32.graph, lower.graph, intent
        self._expected = _constants(float32)
        self._actual = _constants(lower)
        self._wrappers = {node.output[0]: node for node in self._lower.node if node.op_type in _WRAPPERS}
        # A tensor that is made in half type and is an output of the graph is cast under the output's name.
        self._types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*self._lower.value_info, *self._lower.output, *self._lower.input)
        }
        self._int8 = {site.node for site in intent.sites}
        self._sources: dict[tuple[str, str], str] = {}  # (reader, what it reads) -> tensor whose scale it has
        for site in intent.sites:
            for reader in (site.node, *site.moves, *((site.skip,) if site.skip else ())):
                self._sources[reader, site.source] = site.source
            self._sources[site.node, self._data_input(site.node)] = site.source

    def problems(self) -> Iterator[str]:
        nodes = [node for node in self._lower.node if node.op_type not in _WRAPPERS]
        names, expected = [node.name for node in nodes], [node.name for node in self._float32.node]
        if names != expected:
            odd = sorted(set(names) ^ set(expected)) or ["their order differs"]
            yield f"its nodes are not float32's: {', '.join(odd[:6])}"
            return
        outputs = [value.name for value in self._lower.output]
        if outputs != [value.name for value in self._float32.output]:
            yield f"its outputs are {', '.join(outputs)}"
        made = {value.name: self._origin(value.name) for value in self._float32.output}
        renamed = {origin: name for name, origin in made.items()}
        for want, node in zip(self._float32.node, nodes, strict=True):
            got = [renamed.get(name, name) for name in node.output]
            for problem in (*self._shape_of(want, node, got), *self._inputs(want, node, renamed)):
                yield f"node {node.name!r}: {problem}"

    def _shape_of(self, want: onnx.NodeProto, node: onnx.NodeProto, outputs: list[str]) -> Iterator[str]:
        """The operator, its attributes, its outputs and the type that it computes in."""
        if node.op_type != want.op_type:
            yield f"{node.op_type} where {want.op_type} belongs"
        if _attributes(want, self._expected) != _attributes(node, self._actual):
            yield "its attributes differ"
        if outputs != list(want.output):
            yield f"it makes {', '.join(outputs)}"
        half, keep = self._intent.half, self._intent.keep
        if keep is None:
            return
        wanted = TensorProto.FLOAT if half is None or node.name in keep else FORMATS[half].onnx_type
        made = self._types.get(node.output[0], wanted)
        if made != wanted:
            yield f"it computes in {TensorProto.DataType.Name(made)}, not in {TensorProto.DataType.Name(wanted)}"

    def _inputs(self, want: onnx.NodeProto, node: onnx.NodeProto, renamed: Mapping[str, str]) -> Iterator[str]:
        for index, (expected, actual) in enumerate(zip(want.input, node.input, strict=False)):
            origin = self._origin(actual)
            pair = self._pair(actual)
            if expected in self._expected:
                if origin not in self._actual:
                    yield f"input {index} is no constant"
                else:
                    yield from self._constant(node.name, index, expected, origin, pair)
                continue
            if renamed.get(origin, origin) != expected:
                yield f"it reads {origin!r} where {expected!r} belongs"
            source = self._sources.get((node.name, expected))
            if source is None and pair:
                yield f"it reads {expected!r} quantized"
            elif source is not None and not pair:
                yield f"it reads {expected!r}, which is not quantized"
            elif source is not None and pair:
                yield from self._activation(source, pair)

    def _constant(self, node: str, index: int, expected: str, origin: str, pair: list[onnx.NodeProto]) -> Iterator[str]:
        want, got = self._expected[expected], self._actual[origin]
        is_weight = node in self._int8 and index == 1
        if is_weight != bool(pair):
            yield f"{expected!r} is {'not quantized' if is_weight else 'quantized'}"
        elif is_weight:
            yield from self._weight(expected, want, got, pair)
        elif not _is_rounded(got, want):
            yield f"{expected!r} is not float32's"

    def _weight(self, name: str, want: Constant, got: Constant, pair: list[onnx.NodeProto]) -> Iterator[str]:
        """Scales an output channel, and every value within half a step of float32's."""
        axis = next((helper.get_attribute_value(entry) for entry in pair[0].attribute if entry.name == "axis"), 1)
        if any(list(node.input[1:]) != list(pair[0].input[1:]) for node in pair):
            yield f"{name!r}: its pair has two scales"
        scale, zero_point = self._parameters(pair[0])
        if scale.ndim != 1 or got.shape != want.shape or len(scale) != want.shape[axis] or zero_point.any():
            yield f"{name!r} wants one scale an output channel, and zero point 0"
            return
        rows = np.moveaxis(want.astype(np.float32), axis, 0)
        if not _same_scales(scale, weight_scales(np.ascontiguousarray(rows))):
            yield f"{name!r}: its scales are not those of its channels"
        if got.dtype != np.int8:
            if not _is_rounded(got, want):
                yield f"{name!r} is not float32's"
            return
        along = [1] * want.ndim
        along[axis] = -1
        step = scale.astype(np.float64).reshape(along)
        if not within_a_step(got, want, step):
            yield f"{name!r} is further from float32's than its steps are wide"

    def _activation(self, source: str, pair: list[onnx.NodeProto]) -> Iterator[str]:
        assert self._intent.ranges is not None
        assert self._intent.scheme is not None
        scale, zero_point = activation_parameters(self._intent.ranges[source], unsigned=self._intent.scheme.unsigned)
        if len(pair) < 2:
            yield f"{source!r} is dequantized and was not quantized"
        for node in pair:
            actual, zero = self._parameters(node)
            if actual.ndim or not _same_scales(actual, np.array(scale)):
                yield f"{node.op_type} has not the scale of {source!r}"
            if zero.dtype != zero_point.dtype or zero != zero_point:
                yield f"{node.op_type} has not the zero point of {source!r}"

    def _parameters(self, node: onnx.NodeProto) -> tuple[Constant, Constant]:
        """Scale and zero point, cast or not."""
        scale, zero_point = (self._actual[self._origin(name)] for name in node.input[1:3])
        return scale, zero_point

    def _origin(self, tensor: str) -> str:
        """What a tensor is before it is cast, quantized or dequantized."""
        while tensor in self._wrappers:
            tensor = self._wrappers[tensor].input[0]
        return tensor

    def _pair(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that quantize or dequantize on the way to a tensor, the last first."""
        found = []
        while tensor in self._wrappers:
            node = self._wrappers[tensor]
            if node.op_type != "Cast":
                found.append(node)
            tensor = node.input[0]
        return found

    def _data_input(self, name: str) -> str:
        return next(str(node.input[0]) for node in self._float32.node if node.name == name)


def _constants(model: onnx.ModelProto) -> dict[str, Constant]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _attributes(node: onnx.NodeProto, constants: Mapping[str, Constant]) -> dict[str, object]:
    """Attributes by name; a reduction's axes are an input from opset 18 on."""
    found = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type in REDUCTIONS and len(node.input) > 1:
        found["axes"] = [int(axis) for axis in constants[node.input[1]].tolist()]
    return found


def _is_rounded(actual: Constant, expected: Constant) -> bool:
    """Whether a constant is float32's, or float32's rounded to its type."""
    return actual.shape == expected.shape and bool(np.array_equal(actual, expected.astype(actual.dtype)))


def _same_scales(actual: Constant, expected: Constant) -> bool:
    """Equal, or rounded to half type, which holds none under its smallest."""
    if actual.dtype == np.float32:
        return bool(np.array_equal(actual, expected))
    if actual.dtype == np.float16:
        expected = np.maximum(expected, FLOAT16_TINY)
    return bool(np.array_equal(actual, expected.astype(actual.dtype)))
