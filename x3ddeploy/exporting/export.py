"""From a loaded network to a bundle: lower, write down, check, compare, save golden data, seal."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import onnx

from x3ddeploy import __version__
from x3ddeploy.atomic import json_bytes
from x3ddeploy.bundle import (
    GOLDEN,
    LABELS,
    PARITY,
    SCHEMA_VERSION,
    Bundle,
    Manifest,
    Preprocessing,
    Source,
    create,
    derived_files,
)
from x3ddeploy.bundle.golden import npy_bytes
from x3ddeploy.bundle.labels import label_problems
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import Input, Part
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.exporting.parts import build_parts, part_metadata
from x3ddeploy.families import family_named
from x3ddeploy.families.network import Network
from x3ddeploy.graphs.builder import IR_VERSION, OPSET
from x3ddeploy.graphs.lint import check_model
from x3ddeploy.loading import Loaded
from x3ddeploy.modalities.graphs import preprocessing_graphs
from x3ddeploy.modalities.synthetic import raw_inputs
from x3ddeploy.parity.blocks import compare_blocks, first_diverging
from x3ddeploy.parity.compare import GOLDEN_SEED, ParityRow, cases, compare_parts, failures, parity_error
from x3ddeploy.parity.document import SCHEMA_VERSION as PARITY_SCHEMA_VERSION
from x3ddeploy.parity.document import JudgedRow, ParityReport
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import Reference, single
from x3ddeploy.places import require_place
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session, require

_RUNTIME_OF_TARGET = {"openvino": "openvino"}  # every other target's graphs are verified in ONNX Runtime


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        target: lowering target.
        batch: fixed number of clips, None for a dynamic axis.
        preprocess: also write the preprocessing graphs.
        tolerance: largest relative error of any output; None for a factor of PyTorch's own float32 rounding.
        labels: class names, or None.
        overwrite: replace a bundle even if that loses files which export does not make.
    """

    target: str
    batch: int | None
    preprocess: bool
    tolerance: float | None
    labels: tuple[str, ...] | None
    overwrite: bool


@dataclass(frozen=True)
class ExportReport:
    """What `x3ddeploy export --json` prints: the manifest, and every comparison with PyTorch."""

    schema_version: int
    bundle: str
    manifest: Manifest
    parity: tuple[ParityRow, ...]


@dataclass(frozen=True)
class Exported:
    """A finished export, every comparison with PyTorch, and what they were held to."""

    network: Network
    bundle: Bundle
    rows: list[ParityRow]
    gate: Float32Gate

    @property
    def values(self) -> dict[str, str]:
        """What the model is, in the words of its family."""
        return family_named(self.network.family).values(self.network.model)

    def to_json(self) -> dict[str, Any]:
        """For `--json`, an ExportReport."""
        report = ExportReport(SCHEMA_VERSION, str(self.bundle.path), self.bundle.manifest, tuple(self.rows))
        return cast(dict[str, Any], msgspec.to_builtins(report))


def export_bundle(
    loaded: Loaded,
    output: Path,
    options: ExportOptions,
    progress: Callable[[str], None],
) -> Exported:
    """Write a verified bundle to `output`, or raise and leave what was there untouched.

    Args:
        loaded: the network and what is known of it.
        output: the bundle's directory.
        options: see Options.
        progress: receives each step.

    Raises:
        BundleError: `output` is something else than a bundle, or one with files that would be lost.
        GateError: parity failed; it names the first diverging block.
        X3DDeployError: the disk is full or read-only, or a graph breaks the rules.
    """
    network = loaded.network
    contract = network.contract(options.batch)
    _check_output(output, options)
    require_place(output.resolve().parent, _estimated_bytes(network, options))
    _check_labels(options.labels, contract.classes)
    graphs = build_graphs(network, loaded.source, options)
    progress(f"lowered for {options.target} and written as {len(graphs)} ONNX graphs")
    reference = Reference(network)
    rows, gate = _verify(network, reference, graphs, options, progress)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        versions=_versions(),
        source=loaded.source,
        family=contract.family,
        model=network.model,
        origins=dict(loaded.origins),
        target=options.target,
        opset=OPSET,
        ir_version=IR_VERSION,
        inputs=contract.inputs,
        parts={name: _with_blocks(part, graphs[name]) for name, part in contract.parts.items()},
        outputs=contract.outputs,
        scores=contract.scores,
        deployed=contract.deployed,
        preprocessing={name: _preprocessing(graph) for name, graph in graphs.items() if name not in contract.parts},
        notes=loaded.notes,
        rounding=dict(gate.rounding),
    )
    contents = {f"{name}.onnx": serialize(graph) for name, graph in graphs.items()}
    golden = _golden(contract.inputs, reference, options)
    contents |= {f"{GOLDEN}/{name}.npy": npy_bytes(value) for name, value in golden.items()}
    contents[PARITY] = json_bytes(parity_report(rows, gate, _runtime(options.target)))
    if options.labels:
        contents[LABELS] = "".join(f"{name}\n" for name in options.labels).encode()
    bundle = create(output, manifest, contents, lambda: _check_output(output, options))
    progress(f"sealed {len(contents)} files with their sha256")
    return Exported(network, bundle, rows, gate)


def build_graphs(network: Network, source: Source, options: ExportOptions) -> dict[str, onnx.ModelProto]:
    """All graphs of a bundle by name, each checked against ONNX's rules and ours."""
    graphs = build_parts(network, options.target, options.batch, source.sha256)
    for graph in graphs.values():
        check_model(graph)
    if options.preprocess:
        contract = network.contract(options.batch)
        made = preprocessing_graphs(
            contract.inputs,
            contract.parts,
            options.batch,
            lambda name: part_metadata(network, name, options.target, source.sha256).props(),
        )
        for graph in made.values():
            check_model(graph)
        graphs |= made
    return graphs


def serialize(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model."""
    return model.SerializeToString(deterministic=True)


def parity_report(rows: list[ParityRow], gate: Float32Gate, runtime: str) -> ParityReport:
    """What goes into parity.json."""
    return ParityReport(
        schema_version=PARITY_SCHEMA_VERSION,
        tolerance=gate.explicit,
        reference="PyTorch, training-form network, float64",
        runtime=runtime,
        rule=gate.describe(),
        rounding=dict(gate.rounding),
        passed=not failures(rows, gate),
        rows=tuple(JudgedRow(**vars(row), tolerance=gate.tolerance(row.part, row.output)) for row in rows),
    )


def _check_output(output: Path, options: ExportOptions) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"{output} is a file", hint="-o names the bundle's directory")
    if not any(output.iterdir()):
        return
    try:
        bundle = Bundle.open(output)
    except BundleError as error:
        raise BundleError(
            f"{output} is not empty and is not a bundle", hint="give another directory with -o, or empty this one"
        ) from error
    derived = derived_files(output, bundle.manifest)
    if derived and not options.overwrite:
        raise BundleError(
            f"{output} is a bundle with files that export does not make and would lose",
            details=derived[:12],
            hint="give another directory with -o, or --overwrite",
        )


def _check_labels(labels: tuple[str, ...] | None, classes: int) -> None:
    if labels is None:
        return
    problems = label_problems(labels) or ([f"{len(labels)} names of {classes} classes"] * (len(labels) != classes))
    if problems:
        raise UsageError(
            "the class names cannot be written one a line", details=problems[:12], hint="give others with --labels FILE"
        )


def _runtime(target: str) -> str:
    return _RUNTIME_OF_TARGET.get(target, "onnxruntime")


def _verify(
    network: Network,
    reference: Reference,
    graphs: dict[str, onnx.ModelProto],
    options: ExportOptions,
    progress: Callable[[str], None],
) -> tuple[list[ParityRow], Float32Gate]:
    runtime = _runtime(options.target)
    parts = network.contract().parts
    with ThreadPoolExecutor() as pool:  # a runtime lays one graph out in one thread
        opened = pool.map(lambda part: open_session(runtime, serialize(graphs[part])), parts)
        sessions = dict(zip(parts, opened, strict=True))
    rows = compare_parts(
        reference,
        network.contract(options.batch),
        sessions,
        lambda case: progress(f"comparing in {runtime}: {case.name}, batch {case.batch}"),
    )
    if options.preprocess:
        rows += _compare_preprocessing(network, graphs, runtime, options)
    gate = Float32Gate(reference.rounding, options.tolerance)
    failed = failures(rows, gate)
    if failed:
        raise parity_error(failed, gate, _diverging_block(network, graphs, failed, options))
    worst = max(row.difference.relative for row in rows)
    progress(f"parity holds: {len(rows)} comparisons, largest relative error {worst:.1e}")
    return rows, gate


def _diverging_block(
    network: Network, graphs: dict[str, onnx.ModelProto], failed: list[ParityRow], options: ExportOptions
) -> str | None:
    contract = network.contract(options.batch)
    for part in contract.backbones:
        if any(row.part == part for row in failed):
            case = next(cases(contract.inputs, options.batch))
            inputs = {name: case.inputs[name] for name in contract.parts[part].inputs}
            blocks = compare_blocks(network, part, serialize(graphs[part]), _runtime(options.target), inputs)
            block = first_diverging(blocks, options.tolerance)
            if block:
                return block
    return None


def _compare_preprocessing(
    network: Network, graphs: dict[str, onnx.ModelProto], runtime: str, options: ExportOptions
) -> list[ParityRow]:
    inputs = network.contract(options.batch).inputs
    raw = raw_inputs(inputs, options.batch or 1, GOLDEN_SEED)
    rows = []
    for part in (name for name in graphs if name not in network.contract().parts):
        output = graphs[part].graph.output[0].name
        session = open_session(runtime, serialize(graphs[part]))
        actual = session.run({value.name: raw[value.name] for value in graphs[part].graph.input})[output]
        rows.append(ParityRow(part, "clips", len(actual), output, compare(raw[output], actual)))
    return rows


def _golden(inputs: Mapping[str, Input], reference: Reference, options: ExportOptions) -> dict[str, Array]:
    """A clip as camera and pose estimator give it and as the network takes it, and PyTorch's float64 in float32."""
    arrays = raw_inputs(inputs, options.batch or 1, GOLDEN_SEED)
    return {**arrays, **single(reference.outputs({name: arrays[name] for name in inputs}))}


def _estimated_bytes(network: Network, options: ExportOptions) -> int:
    """Weights lie in a part and in the recognizer; golden tensors are a clip as camera frames and as inputs."""
    weights = sum(value.numel() for value in network.state_dict().values())
    shapes = network.contract().input_shapes(options.batch or 1)
    values = sum(math.prod(shape) for shape in shapes.values())
    return 4 * (2 * weights + 2 * values)


def _with_blocks(part: Part, model: onnx.ModelProto) -> Part:
    return replace(part, blocks=PartMetadata.of(model).blocks)


def _preprocessing(model: onnx.ModelProto) -> Preprocessing:
    inputs = {
        value.name: tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in model.graph.input
    }
    return Preprocessing(inputs, tuple(value.name for value in model.graph.output))


def _versions() -> dict[str, str]:
    versions = {"x3ddeploy": __version__}
    for package in ("torch", "onnx", "numpy", "onnxruntime", "openvino"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def require_runtime_of(target: str) -> None:
    """Fail before any work where the runtime that a target's parity check needs is not installed."""
    require(_runtime(target))
