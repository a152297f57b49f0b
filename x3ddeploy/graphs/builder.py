"""A thin builder over onnx.helper: named nodes in scopes, shared constants, deterministic bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy import __version__
from x3ddeploy.errors import X3DDeployError

# Opset 17 is the newest that TensorRT 8.6 parses; TensorRT 10 and 11, ONNX Runtime and OpenVINO take it as well.
# IR 8 is the IR version that opset 17 came with.
OPSET = 17
IR_VERSION = 8
BATCH_AXIS = "N"

Dims = Sequence[int | str]


class GraphBuilder:
    """Collects nodes; a tensor is named for its node, a node for its scope: `layer1.0/conv2/Conv`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._known: list[onnx.ValueInfoProto] = []
        self._taken: set[str] = set()
        self._scope: list[str] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of the nodes made inside with `name/`."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def input(self, name: str, dims: Dims, dtype: int = TensorProto.FLOAT) -> str:
        """Declare a graph input; a string among `dims` is a dynamic axis."""
        self._inputs.append(helper.make_tensor_value_info(self._unique(name), dtype, list(dims)))
        return name

    def output(self, tensor: str, name: str, dims: Dims, dtype: int = TensorProto.FLOAT) -> None:
        """Give `tensor` the outside name `name` and declare it an output."""
        for node in self._nodes:
            node.output[:] = [name if value == tensor else value for value in node.output]
            node.input[:] = [name if value == tensor else value for value in node.input]
        self._outputs.append(helper.make_tensor_value_info(name, dtype, list(dims)))

    def know(self, tensor: str, dims: Dims) -> str:
        """State the shape of a float tensor that shape inference cannot name, such as a Reshape to (-1, ...)."""
        self._known.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, list(dims)))
        return tensor

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """An initializer; the same name with the same value is stored once."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        known = self._initializers.setdefault(name, tensor)
        if known is not tensor and known.SerializeToString() != tensor.SerializeToString():
            raise X3DDeployError(f"two different constants are named {name!r} in graph {self.name!r}")
        return name

    def integers(self, *values: int) -> str:
        """A shared one-dimensional int64 constant (a shape, axes, pads), named for its value."""
        return self.constant("const/" + "_".join(str(value) for value in values), np.array(values, np.int64))

    def node(self, op: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """Append a node in the current scope and give its output name (a list of them where `outputs` > 1).

        Args:
            op: ONNX operator of opset 17.
            inputs: tensor names.
            name: last part of the node's name; the operator's where empty.
            outputs: number of outputs.
            attributes: the operator's attributes.
        """
        full = self._unique("/".join([*self._scope, name or op]))
        names = [full] if outputs == 1 else [f"{full}:{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(op, list(inputs), names, name=full, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished model, with value infos from shape inference and `metadata` as metadata_props."""
        graph = helper.make_graph(
            self._nodes,
            self.name,
            self._inputs,
            self._outputs,
            initializer=list(self._initializers.values()),
            value_info=self._known,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="x3ddeploy",
            producer_version=__version__,
        )
        helper.set_model_props(model, dict(sorted(metadata.items())))
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)

    def _unique(self, name: str) -> str:
        if name in self._taken:
            raise X3DDeployError(f"two nodes are named {name!r} in graph {self.name!r}")
        self._taken.add(name)
        return name
