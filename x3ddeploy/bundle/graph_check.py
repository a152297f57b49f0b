"""One graph of a bundle against the manifest: what it says of itself, and what goes in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from x3ddeploy.bundle.manifest import Manifest
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.errors import X3DDeployError


def graph_problems(model: onnx.ModelProto, manifest: Manifest, part: str, precision: str) -> Iterator[str]:
    """Everything in which a graph is not what the manifest says; nothing where it is."""
    yield from _metadata(model, manifest, part, precision)
    yield from _version(model, manifest, precision)
    if any(uses_external_data(tensor) for tensor in _constants(model.graph)):
        yield "it reads weights from another file"
    shapes = {"inputs": _shapes(model.graph.input), "outputs": _shapes(model.graph.output)}
    for direction, found in shapes.items():
        said = manifest.tensors[part][direction]
        if found != said:
            yield f"{direction} are {_text(found)}, not {_text(said)}"
    if precision == "fp32":
        yield from _types(model, manifest)
        yield from _blocks(model, manifest, part)


def _metadata(model: onnx.ModelProto, manifest: Manifest, part: str, precision: str) -> Iterator[str]:
    try:
        metadata = PartMetadata.of(model)
    except X3DDeployError as error:
        yield error.message
        return
    said = {
        "part": part,
        "precision": precision,
        "target": manifest.target,
        "fusion": manifest.contract.fusion,
        "family": manifest.family,
        "model": manifest.model,
        "source_sha256": manifest.source.sha256,
    }
    if precision == "fp32":
        said["blocks"] = manifest.parts[part].blocks if part in manifest.parts else ()
    for name, value in said.items():
        found = getattr(metadata, name)
        if found != value:
            differing = _differing(found, manifest.model) if name == "model" else f"{found}, not {value}"
            yield f"its {name} is not the manifest's: {differing}"


def _differing(found: dict[str, Any], said: dict[str, Any]) -> str:
    """The values in which two descriptions of a network differ."""
    before, after = dict(_flat(found)), dict(_flat(said))
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    return "; ".join(f"{name} {before.get(name)}, not {after.get(name)}" for name in names)


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def _version(model: onnx.ModelProto, manifest: Manifest, precision: str) -> Iterator[str]:
    opset = {entry.domain: entry.version for entry in model.opset_import}.get("", 0)
    found, said = (opset, model.ir_version), (manifest.opset, manifest.ir_version)
    # Half-typed and quantized graphs need newer operators than float32's.
    if found != said if precision == "fp32" else found < said:
        yield f"opset {found[0]} and IR {found[1]}, and the manifest says {said[0]} and {said[1]}"


def _types(model: onnx.ModelProto, manifest: Manifest) -> Iterator[str]:
    for value in model.graph.input:
        said = manifest.inputs.get(value.name)
        found = value.type.tensor_type.elem_type
        if said is not None and found != onnx.helper.np_dtype_to_tensor_dtype(np.dtype(said.dtype)):
            yield f"{value.name} is {onnx.TensorProto.DataType.Name(found).lower()}, not {said.dtype}"


def _blocks(model: onnx.ModelProto, manifest: Manifest, part: str) -> Iterator[str]:
    if part not in manifest.parts:
        return
    made = {tensor for node in model.graph.node for tensor in node.output}
    for block in manifest.parts[part].blocks:
        if block.tensor not in made:
            yield f"block {block.name} ends in {block.tensor!r}, which is no tensor of it"


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                yield from _constants(inner)


def _shapes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
    }


def _text(tensors: dict[str, list[int | str]]) -> str:
    return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in tensors.items()) or "none"
