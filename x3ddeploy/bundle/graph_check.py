"""One graph of a bundle against the manifest: what it says of itself, and what goes in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import onnx
from onnx.external_data_helper import uses_external_data

from x3ddeploy.bundle.manifest import Manifest
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import BATCH_AXIS
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families.two_stream_x3d.contract import FAMILY
from x3ddeploy.families.two_stream_x3d.literal import model_of, spec_of
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec, flat_values


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
    yield from _against_spec(shapes, manifest)


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
        "fusion": manifest.fusion,
        "family": FAMILY,
        "model": model_of(manifest.spec),
        "source_sha256": manifest.source.sha256,
    }
    for name, value in said.items():
        found = getattr(metadata, name)
        if found != value:
            differing = _differing(found, manifest.spec) if name == "model" else f"{found}, not {value}"
            yield f"its {name} is not the manifest's: {differing}"


def _differing(found: Mapping[str, Any], said: ModelSpec) -> str:
    """The values in which two models differ."""
    try:
        before, after = flat_values(spec_of(found)), flat_values(said)
    except (ValueError, X3DDeployError) as error:
        return f"it is none ({error})"
    return "; ".join(
        f"{name} {before.get(name)}, not {after[name]}" for name in after if before.get(name) != after[name]
    )


def _version(model: onnx.ModelProto, manifest: Manifest, precision: str) -> Iterator[str]:
    opset = {entry.domain: entry.version for entry in model.opset_import}.get("", 0)
    found, said = (opset, model.ir_version), (manifest.opset, manifest.ir_version)
    # Half-typed and quantized graphs need newer operators than float32's.
    if found != said if precision == "fp32" else found < said:
        yield f"opset {found[0]} and IR {found[1]}, and the manifest says {said[0]} and {said[1]}"


def _against_spec(shapes: dict[str, dict[str, list[int | str]]], manifest: Manifest) -> Iterator[str]:
    spec, head = manifest.spec, manifest.spec.head
    expected: dict[str, tuple[int, ...]] = {
        **{name: shape[1:] for name, shape in spec.input_shapes().items()},
        **{name: shape[1:] for name, shape in spec.feature_shapes().items()},
        **dict.fromkeys(("rgb_logits", "pose_logits", "scores"), (head.classes,)),
        **dict.fromkeys(("rgb_coarse_logits", "pose_coarse_logits"), (head.coarse_classes,)),
    }
    leading = manifest.batch or BATCH_AXIS
    for tensors in shapes.values():
        for name, shape in tensors.items():
            if shape[:1] != [leading]:
                yield f"{name} takes {shape[:1]} clips, and the manifest says {leading}"
            if name in expected and tuple(shape[1:]) != expected[name]:
                yield f"{name} is {shape[1:]}, and the spec says {list(expected[name])}"


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
