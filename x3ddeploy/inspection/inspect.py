"""What an artefact is: a checkpoint, an ONNX file, annotations, a bundle or a piece of one, told by its content."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import onnx
from onnx import TensorProto

from x3ddeploy.bundle import MANIFEST, Bundle
from x3ddeploy.bundle.check import problems_of
from x3ddeploy.bundle.golden_check import unchecked
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.errors import BundleError, UsageError, X3DDeployError
from x3ddeploy.families import family_named
from x3ddeploy.families.base import Wishes
from x3ddeploy.files import regular_size, sha256_of
from x3ddeploy.graphs.lint import lint
from x3ddeploy.graphs.work import multiply_adds
from x3ddeploy.inspection.document import (
    Inspected,
    InspectedAnnotations,
    InspectedBundle,
    InspectedCheckpoint,
    InspectedEngine,
    InspectedFolder,
    InspectedGraph,
    InspectedTensor,
)
from x3ddeploy.loading import load_network
from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.terms import AnyPath

# What one protobuf message can hold.
_LARGEST_GRAPH = 2**31 - 1
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
# The number that PyTorch's old checkpoints, a row of pickles, begin with (`torch.serialization.MAGIC_NUMBER`).
_TORCH_PICKLE = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
_HEAD = 64
_PLAN = ".plan"


def inspect(path: AnyPath, *, config: str | None = None, trust: bool = False) -> Inspected:
    """Say what `path` is and holds; as JSON the types are told apart by `kind`.

    Args:
        path: a bundle's directory or a folder in it, an ONNX file, an engine, annotations or a checkpoint.
        config: for a checkpoint, the config that values that it does not carry come from.
        trust: for a checkpoint, whether to execute what it asks for beyond weights.

    Raises:
        UsageError: there is nothing, or nothing that is known, at `path`; what is for checkpoints was given for others.
        CheckpointError, BundleError, DataError: it is damaged or cannot be understood.
    """
    report = _inspected(Path(path), config, trust)
    if not isinstance(report, InspectedCheckpoint) and (config is not None or trust):
        raise UsageError(
            f"{path} is no checkpoint, which alone is read with a config or trusted", hint="leave that option out"
        )
    return report


def _inspected(path: Path, config: str | None, trust: bool) -> Inspected:
    if path.is_dir():
        return _bundle(path)
    try:
        regular_size(path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    if path.suffix == ".onnx":
        return _onnx(path)
    if path.suffix == _PLAN:
        return _engine(path)
    if head.startswith(_ZIP) or _TORCH_PICKLE in head or path.suffix in (".pth", ".pt"):
        return _checkpoint(path, config, trust)
    if head.startswith(_PICKLE) or path.suffix in (".pkl", ".pickle"):
        return _annotations(path)
    raise UsageError(f"{path} is no bundle, ONNX file, engine, annotations or checkpoint that x3ddeploy knows")


def _checkpoint(path: Path, config: str | None, trust: bool) -> InspectedCheckpoint:
    loaded = load_network(path, Wishes(config), trust=trust)
    network = loaded.network
    return InspectedCheckpoint(
        source=loaded.source,
        size_bytes=path.stat().st_size,
        family=network.family,
        classes=network.contract().classes,
        parameters={
            name: sum(weight.numel() for weight in part.parameters()) for name, part in network.named_children()
        },
        model=network.model,
        values=family_named(network.family).values(network.model),
        origins=dict(loaded.origins),
        labels=loaded.labels,
        notes=loaded.notes,
    )


def _onnx(path: Path) -> InspectedGraph:
    try:
        size_bytes = regular_size(path, _LARGEST_GRAPH)
        model = onnx.load(path, load_external_data=False)
        outside = [tensor.name for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
        if outside:
            raise BundleError(
                f"{path} keeps {len(outside)} tensors in other files, which are not read: {outside[0]}, ...",
                hint="save it as a single file: onnx.save(onnx.load(FILE), OTHER)",
            )
        onnx.checker.check_model(model)
        return _graph(model, sha256_of(path), size_bytes)
    except X3DDeployError:
        raise
    except Exception as error:  # protobuf, the checker and what reads a graph raise many kinds; all mean the same here
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BundleError(f"{path} is not a valid ONNX file: {reason}", hint="was it copied whole?") from error


def _graph(model: onnx.ModelProto, sha256: str, size_bytes: int) -> InspectedGraph:
    graph = model.graph
    metadata: PartMetadata | None
    try:
        metadata = PartMetadata.of(model)
        problems = _problems(model, metadata)
    except X3DDeployError:
        metadata, problems = None, []
    work = multiply_adds(model)
    report = InspectedGraph(
        sha256=sha256,
        size_bytes=size_bytes,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        ir_version=model.ir_version,
        inputs=_tensors(graph.input, {tensor.name for tensor in graph.initializer}),
        outputs=_tensors(graph.output),
        nodes=dict(Counter(node.op_type for node in graph.node).most_common()),
        parameters=sum(prod(tensor.dims) for tensor in graph.initializer),
        multiply_adds=None if work is None else sum(work.values()),
        metadata=metadata,
        problems=problems,
    )
    try:
        json.dumps(msgspec.to_builtins(report, builtin_types=(bytes,)))
    except TypeError as error:  # protobuf gives bytes for a string that is none
        raise ValueError("a name in it is not UTF-8 text") from error
    return report


def _problems(model: onnx.ModelProto, metadata: PartMetadata) -> list[str]:
    """Rules that a graph of this precision and target breaks."""
    if metadata.precision == "fp32":
        return lint(model)
    return lint_qdq(model) if (metadata.precision, metadata.target) == ("int8", "tensorrt") else []


def _annotations(path: Path) -> InspectedAnnotations:
    content = read_annotations(path, pictures=False)
    samples = content.samples.values()
    lengths = [sample.frames for sample in samples]
    return InspectedAnnotations(
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        samples=len(samples),
        splits={name: len(names) for name, names in content.splits.items()},
        classes=len({sample.label for sample in samples}),
        joints=sorted({sample.keypoints.shape[2] for sample in samples}),
        coordinates=sorted({sample.keypoints.shape[3] for sample in samples}),
        persons=max((sample.keypoints.shape[0] for sample in samples), default=0),
        frames=[min(lengths), max(lengths)] if lengths else [],
    )


def _engine(path: Path) -> InspectedEngine:
    found = _bundle_around(path)
    entry, problems = None, ["it lies in no bundle: nothing says what it was built from, with and for"]
    if found:
        bundle, name = found
        entry = bundle.manifest.engines.get(name)
        problems = [problem] if (problem := bundle.alteration(name)) else []
        if entry is not None:
            graph = bundle.manifest.files.get(graph_name(entry.part, entry.options.precision.value))
            stale = graph is None or graph.sha256 != entry.graph_sha256
            problems += ["the bundle has another graph by now than the one that it was built from"] * stale
    return InspectedEngine(
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        bundle=str(found[0].path) if found else None,
        engine=entry,
        problems=problems,
    )


def _folder(bundle: Bundle, folder: str) -> InspectedFolder:
    manifest = bundle.manifest
    files = {name: entry for name, entry in manifest.files.items() if name.startswith(f"{folder}/")}
    return InspectedFolder(
        bundle=str(bundle.path),
        folder=folder,
        files=files,
        precision=manifest.precisions.get(folder),
        engines={name: entry for name, entry in manifest.engines.items() if name in files},
        problems=[f"{name}: {problem}" for name in files if (problem := bundle.alteration(name))],
    )


def _bundle_around(path: Path) -> tuple[Bundle, str] | None:
    """The bundle that a file or a folder lies in, and its name there."""
    whole = path.resolve()
    for parent in whole.parents:
        if (parent / MANIFEST).is_file():
            return Bundle.open(parent), whole.relative_to(parent).as_posix()
    return None


def _bundle(path: Path) -> InspectedBundle | InspectedFolder:
    if not (path / MANIFEST).exists():
        found = _bundle_around(path)
        if found and any(name.startswith(f"{found[1]}/") for name in found[0].manifest.files):
            return _folder(*found)
        raise UsageError(
            f"{path} holds no {MANIFEST}: it is not a bundle", hint="name a bundle, an ONNX file or a .pth"
        )
    bundle = Bundle.open(path)
    return InspectedBundle(
        manifest=bundle.manifest,
        batch=bundle.contract.batch,
        classes=bundle.contract.classes,
        tensors=bundle.manifest.tensors,
        problems=problems_of(bundle),
        unchecked=unchecked(bundle),
    )


def _tensors(values: Any, leave_out: Collection[str] = ()) -> dict[str, InspectedTensor]:
    return {
        value.name: InspectedTensor(
            dtype=onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            shape=[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
        if value.name not in leave_out
    }
