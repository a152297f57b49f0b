"""From a loaded network to a bundle: lower, write down, check, compare, save golden data, seal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
    create,
    derived_files,
)
from x3ddeploy.bundle.golden import npy_bytes
from x3ddeploy.bundle.labels import label_problems
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import Input, Part
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.exporting.comparison import compare_graphs, parity_report, runtime_of
from x3ddeploy.exporting.parts import ExportOptions, build_graphs, serialize
from x3ddeploy.families import family_named
from x3ddeploy.families.network import Network
from x3ddeploy.graphs.builder import IR_VERSION, OPSET
from x3ddeploy.loading import Loaded
from x3ddeploy.machine import installed_versions
from x3ddeploy.modalities.synthetic import raw_inputs
from x3ddeploy.parity.compare import GOLDEN_SEED, ParityRow
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.reference import Reference, single
from x3ddeploy.places import require_place
from x3ddeploy.runtimes.base import Array

_PACKAGES = ("torch", "onnx", "numpy", "onnxruntime", "openvino")


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

    def document(self) -> ExportReport:
        """For `--json`."""
        return ExportReport(SCHEMA_VERSION, str(self.bundle.path), self.bundle.manifest, tuple(self.rows))


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
        options: how to export.
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
    rows, gate = compare_graphs(network, reference, graphs, options, progress)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        versions={"x3ddeploy": __version__, **installed_versions(_PACKAGES)},
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
    contents[PARITY] = json_bytes(parity_report(rows, gate, runtime_of(options.target)))
    if options.labels:
        contents[LABELS] = "".join(f"{name}\n" for name in options.labels).encode()
    bundle = create(output, manifest, contents, lambda: _check_output(output, options))
    progress(f"sealed {len(contents)} files with their sha256")
    return Exported(network, bundle, rows, gate)


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
