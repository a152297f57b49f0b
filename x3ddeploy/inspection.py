"""What an artefact is: a checkpoint, an ONNX file or a bundle, told by its content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import onnx

from x3ddeploy.bundle import MANIFEST, Bundle, sha256_of
from x3ddeploy.errors import BundleError, UsageError, X3DDeployError
from x3ddeploy.export.lint import lint
from x3ddeploy.export.metadata import PartMetadata
from x3ddeploy.loading import load_network
from x3ddeploy.lowering.strategy import TARGETS, Layout
from x3ddeploy.models.spec import flat_values

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def inspect(path: Path, *, config: str | None = None, trust: bool = False) -> dict[str, Any]:
    """Say what `path` is and holds, ready for JSON; 'kind' is 'bundle', 'onnx' or 'checkpoint'.

    Args:
        path: a bundle's directory, an ONNX file or a checkpoint.
        config: for a checkpoint, where values that it does not carry come from.
        trust: for a checkpoint, execute what it asks for beyond weights.

    Raises:
        UsageError: there is nothing, or nothing that is known, at `path`.
        CheckpointError, BundleError: it is damaged or cannot be understood.
    """
    if path.is_dir():
        return _bundle(path)
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    if path.suffix == ".onnx":
        return _onnx(path)
    if head.startswith((_ZIP, _PICKLE)) or path.suffix in (".pth", ".pt"):
        return _checkpoint(path, config, trust)
    raise UsageError(f"{path} is no bundle, ONNX file or checkpoint that x3ddeploy knows")


def _checkpoint(path: Path, config: str | None, trust: bool) -> dict[str, Any]:
    loaded = load_network(path, config=config, trust=trust)
    network = loaded.network
    parts = {name: sum(weight.numel() for weight in part.parameters()) for name, part in network.named_children()}
    return {
        "kind": "checkpoint",
        "source": msgspec.to_builtins(loaded.source),
        "size_bytes": path.stat().st_size,
        "head": network.spec.head.kind.value,
        "parameters": parts,
        "spec": msgspec.to_builtins(network.spec),
        "values": flat_values(network.spec),
        "origins": dict(loaded.origins),
        "labels": loaded.labels,
        "notes": loaded.notes,
    }


def _onnx(path: Path) -> dict[str, Any]:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise many kinds; all of them mean the same here
        raise BundleError(f"{path} is not a valid ONNX file: {error}", hint="was it copied whole?") from error
    graph = model.graph
    try:
        metadata = PartMetadata.of(model)
        layout = TARGETS[metadata.target].layout if metadata.target in TARGETS else Layout.FRAMES
        described, problems = msgspec.to_builtins(metadata), lint(model, layout)
    except X3DDeployError:
        described, problems = None, []
    return {
        "kind": "onnx",
        "sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "ir_version": model.ir_version,
        "inputs": _shapes(graph.input, {tensor.name for tensor in graph.initializer}),
        "outputs": _shapes(graph.output),
        "nodes": dict(Counter(node.op_type for node in graph.node).most_common()),
        "parameters": sum(prod(tensor.dims) for tensor in graph.initializer),
        "multiply_adds": multiply_adds(model),
        "metadata": described,
        "problems": problems,
    }


def _bundle(path: Path) -> dict[str, Any]:
    if not (path / MANIFEST).exists():
        raise UsageError(
            f"{path} holds no {MANIFEST}: it is not a bundle", hint="name a bundle, an ONNX file or a .pth"
        )
    bundle = Bundle.open(path)
    return {
        "kind": "bundle",
        "manifest": msgspec.to_builtins(bundle.manifest),
        "problems": bundle.altered_files(),
    }


def multiply_adds(model: onnx.ModelProto) -> int | None:
    """Multiply-adds of all convolutions and matrix products for one clip; None where a shape is not known."""
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
        graph = onnx.shape_inference.infer_shapes(single, data_prop=True).graph
    except onnx.shape_inference.InferenceError:
        return None
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output, *graph.input)
    }
    weights = {tensor.name: tensor for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        out, weight = shapes.get(node.output[0]), weights.get(node.input[1])
        if not out or 0 in out or weight is None:
            return None
        # Each output element is a sum over the weights of its row: a convolution's (I/g, k...), a product's K.
        if node.op_type == "Conv":
            terms = prod(weight.dims[1:])
        else:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            terms = weight.dims[1] if transposed else weight.dims[0]
        total += prod(out) * terms
    return total


def _shapes(values: Any, leave_out: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    return {
        value.name: {
            "dtype": onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            "shape": [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        }
        for value in values
        if value.name not in leave_out
    }
