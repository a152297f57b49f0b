"""What a manifest can say: bounds on every number, name and path, before anything relies on them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from x3ddeploy.bundle.manifest import EngineEntry, Manifest, PrecisionEntry
from x3ddeploy.bundle.paths import CALIBRATION, ENGINES, names_a_file
from x3ddeploy.contract import LARGEST_CLIP, LARGEST_SIZE, Input, Transform
from x3ddeploy.errors import BundleError
from x3ddeploy.terms import Precision
from x3ddeploy.text import escaped

_LARGEST_NUMBER = 1 << 32  # seeds are of 32 bits
_LARGEST_FILE = 1 << 42
_PIPELINE = "pipeline"  # in a model as in the contract; what its steps say is checked where clips are prepared
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CAPABILITY = re.compile(r"\d{1,2}\.\d")
_LOWER = frozenset(Precision) - {Precision.FP32}
_OPTIMIZATION_LEVELS = range(6)
_LARGEST_ERROR = 10.0  # relative to an output's range; an output of zeros is 1 away
_SHOWN = 20
_LONGEST_NUMBER = 40  # digits that are shown


def beyond_limits(manifest: Manifest) -> list[str]:
    """Everything that cannot be, with its place; empty when all is well."""
    problems = []
    for problem in _problems(manifest):
        problems.append(escaped(problem))
        if len(problems) == _SHOWN:
            break
    return problems


def _problems(manifest: Manifest) -> Iterator[str]:
    outside = [*_numbers(msgspec.to_builtins(manifest), ""), *_sizes(manifest)]
    yield from outside
    if not outside:
        yield from _network(manifest)
    yield from _files(manifest)
    for name, precision in manifest.precisions.items():
        yield from _precision(name, precision, manifest)
    for name, engine in manifest.engines.items():
        yield from _engine(name, engine, manifest)


def _numbers(value: Any, place: str) -> Iterator[str]:
    """Numbers that are not finite or that nothing here can have, wherever they stand."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{place}[{index}]")
    elif isinstance(value, int | float) and not abs(value) <= _LARGEST_NUMBER and not place.endswith(".size_bytes"):
        yield f"{place}: {str(value)[:_LONGEST_NUMBER]}"


def _sizes(manifest: Manifest) -> Iterator[str]:
    """Sizes of tensors, and whole numbers of the model, that are larger than any can be; its pipelines hold others."""
    for place, value in _integers(manifest.model, "model"):
        if value > LARGEST_SIZE:
            yield f"{place}: {value}"
    shapes = {name: value.shape for name, value in manifest.inputs.items()}
    shapes |= {name: value.shape for name, value in manifest.outputs.items()}
    for graph, preprocessing in manifest.preprocessing.items():
        shapes |= {f"preprocessing.{graph}.{name}": shape for name, shape in preprocessing.inputs.items()}
    for name, shape in shapes.items():
        if not all(isinstance(size, str) or 1 <= size <= LARGEST_SIZE for size in shape):
            yield f"{name} of {' x '.join(map(str, shape))}"


def _network(manifest: Manifest) -> Iterator[str]:
    try:
        contract = manifest.contract
    except BundleError as error:
        yield from error.details
        return
    for name, value in contract.inputs.items():
        if math.prod(value.clip_shape) * (contract.batch or 1) > LARGEST_CLIP:
            yield f"{name} of {' x '.join(map(str, value.shape))}: larger than any clip"
        yield from (f"inputs.{name}: {problem}" for problem in _input(value))
    for name, graph in manifest.preprocessing.items():
        if name in contract.parts:
            yield f"preprocessing.{name}: a part of the network has this name"
        yield from (
            f"preprocessing.{name} gives {output!r}" for output in graph.outputs if output not in manifest.inputs
        )
    for name in (*contract.parts, *manifest.preprocessing, *contract.inputs, *contract.outputs):
        if not names_a_file(name) or escaped(name) != name:
            yield f"{name!r} is no name for a file"
    for label, rounding in manifest.rounding.items():
        if not 0 <= rounding <= _LARGEST_ERROR:
            yield f"rounding: {label} {rounding:g}"
    if manifest.opset < 1 or manifest.ir_version < 1:
        yield f"opset {manifest.opset}, IR {manifest.ir_version}"
    if not _SHA256.fullmatch(manifest.source.sha256):
        yield f"source.sha256: {manifest.source.sha256[:80]!r}"


def _input(value: Input) -> Iterator[str]:
    if value.dtype != "float32":
        yield f"dtype {value.dtype!r}"
    if value.keypoint_order not in (None, "coco17", "dataset"):
        yield f"keypoint_order {value.keypoint_order!r}"
    for count in (value.views.clips, value.views.crops):
        if not 1 <= count <= LARGEST_SIZE:
            yield f"{count} views"
    for step in value.pipeline:
        yield from _transform(step)


def _transform(step: Transform) -> Iterator[str]:
    """Parameters that arithmetic is done with; those of other transforms are not looked at."""
    known = step.parameters
    if step.type == "Normalize":
        mean, std = known.get("mean", ()), known.get("std", ())
        if not (_are_numbers(mean) and _are_numbers(std) and len(mean) == len(std) == 3 and min(std) > 0):
            yield f"Normalize of mean {mean!r:.80} and std {std!r:.80}"
    elif step.type == "GeneratePoseTarget":
        sigma, scaling = known.get("sigma", 0.6), known.get("scaling", 1.0)
        if not (_are_numbers([sigma, scaling]) and min(sigma, scaling) > 0):
            yield f"GeneratePoseTarget of sigma {sigma!r:.80} and scaling {scaling!r:.80}"
        if not isinstance(known.get("use_score", True), bool):
            yield f"GeneratePoseTarget of use_score {known['use_score']!r:.80}"


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _integers(value: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key != _PIPELINE:
                yield from _integers(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _integers(item, f"{place}[{index}]")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield place, value


def _files(manifest: Manifest) -> Iterator[str]:
    for name, entry in manifest.files.items():
        if escaped(name) != name:
            yield f"files: {name!r} is no name for a file"
        if not _SHA256.fullmatch(entry.sha256):
            yield f"files: {name} has no sha256"
        if not 0 <= entry.size_bytes <= _LARGEST_FILE:
            yield f"files: {name} of {entry.size_bytes} bytes"


def _precision(name: str, precision: PrecisionEntry, manifest: Manifest) -> Iterator[str]:
    if name not in _LOWER:
        yield f"precisions: no precision is called {name!r}"
    place = precision.calibration
    if place is not None and (place.split("/")[0] != CALIBRATION or place not in manifest.files):
        yield f"precisions.{name}: its calibration {place!r} is no file of the bundle"
    if (name == "int8") != (place is not None):
        yield f"precisions.{name}: its calibration is {place!r}"
    for label, error in precision.golden_error.items():
        if not 0 <= error <= _LARGEST_ERROR:
            yield f"precisions.{name}.golden_error: {label} {error:g}"
    for label, spread in precision.rounding.items():
        measures = (spread.relative, spread.rms, spread.channels)
        if not all(0 <= measure <= _LARGEST_ERROR for measure in measures):
            yield f"precisions.{name}.rounding: {label} {', '.join(f'{measure:g}' for measure in measures)}"
    for score, found in (precision.accuracy or {}).items():
        top1 = (found.top1_before, found.top1_after)
        if not (0 <= found.agreement <= 1 and all(figure is None or 0 <= figure <= 100 for figure in top1)):
            yield f"precisions.{name}.accuracy: {score} is no share, or no percentage"


def _engine(name: str, engine: EngineEntry, manifest: Manifest) -> Iterator[str]:
    level = engine.options.optimization_level
    if name not in manifest.files or name.split("/")[0] != ENGINES:
        yield f"engines: {name!r} is no engine of the bundle"
    if engine.part not in (*manifest.parts, *manifest.preprocessing):
        yield f"engines: {name} is of no part: {engine.part!r}"
    if not _SHA256.fullmatch(engine.graph_sha256):
        yield f"engines: {name} does not say which graph it was built from"
    for what, sizes in (("clips", engine.options.batches), ("persons", engine.options.persons)):
        if not 1 <= sizes.minimum <= sizes.optimum <= sizes.maximum <= LARGEST_SIZE:
            yield f"engines: {name} for {sizes.minimum} to {sizes.maximum} {what}, best at {sizes.optimum}"
    if level is not None and level not in _OPTIMIZATION_LEVELS:
        yield f"engines: {name} of optimization level {level}"
    if engine.options.workspace_mib is not None and engine.options.workspace_mib < 1:
        yield f"engines: {name} with a workspace of {engine.options.workspace_mib} MiB"
    capabilities = (*engine.compute_capabilities, *engine.options.compute_capabilities)
    if not all(map(_CAPABILITY.fullmatch, capabilities)):
        yield f"engines: {name} for compute capabilities {', '.join(capabilities)}"
