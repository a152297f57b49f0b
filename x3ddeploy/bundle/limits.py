"""What a manifest can say: bounds on every number, name and path, before anything relies on them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from x3ddeploy.bundle.manifest import EngineEntry, Manifest, Precision
from x3ddeploy.bundle.paths import CALIBRATION, ENGINES, PARTS
from x3ddeploy.text import escaped

# Far over any network of this kind, and small enough for products of a few sizes to stay inside 64 bits.
LARGEST_SIZE = 1 << 14
_LARGEST_NUMBER = 1e9
_LARGEST_FILE = 1 << 42
_LARGEST_VALUES = 1 << 31  # of one clip's input: 8 GiB of float32
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CAPABILITY = re.compile(r"\d{1,2}\.\d")
_PRECISIONS = ("fp16", "bf16", "int8")
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
    yield from _numbers(msgspec.to_builtins(manifest), "")
    yield from _network(manifest)
    yield from _tensors(manifest)
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


def _network(manifest: Manifest) -> Iterator[str]:
    for group, part in msgspec.to_builtins(manifest.spec).items():
        yield from (f"spec.{group}{place}: {value}" for place, value in _integers(part, "") if value > LARGEST_SIZE)
    for name, shape in manifest.spec.input_shapes().items():
        if math.prod(shape) > _LARGEST_VALUES:
            yield f"{name} of {' x '.join(map(str, shape))}: larger than any clip"
    if manifest.batch is not None and not 1 <= manifest.batch <= LARGEST_SIZE:
        yield f"batch: {manifest.batch}"
    if not (min(manifest.fusion) >= 0 and sum(manifest.fusion) > 0):
        yield f"fusion: {manifest.fusion[0]:g} and {manifest.fusion[1]:g} cannot be weights"
    for label, error in manifest.rounding.items():
        if not 0 <= error <= _LARGEST_ERROR:
            yield f"rounding: {label} {error:g}"
    if manifest.opset < 1 or manifest.ir_version < 1:
        yield f"opset {manifest.opset}, IR {manifest.ir_version}"
    if not _SHA256.fullmatch(manifest.source.sha256):
        yield f"source.sha256: {manifest.source.sha256[:80]!r}"


def _integers(value: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _integers(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _integers(item, f"{place}[{index}]")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield place, value


def _tensors(manifest: Manifest) -> Iterator[str]:
    for part, directions in manifest.tensors.items():
        if set(directions) != {"inputs", "outputs"}:
            yield f"tensors.{part}: it has {', '.join(directions) or 'nothing'}, not inputs and outputs"
        for tensors in directions.values():
            for name, shape in tensors.items():
                sizes = [size for size in shape if isinstance(size, int)]
                if not all(1 <= size <= LARGEST_SIZE for size in sizes):
                    yield f"tensors.{part}: {name} of {' x '.join(map(str, shape))}"


def _files(manifest: Manifest) -> Iterator[str]:
    for name, entry in manifest.files.items():
        if escaped(name) != name:
            yield f"files: {name!r} is no name for a file"
        if not _SHA256.fullmatch(entry.sha256):
            yield f"files: {name} has no sha256"
        if not 0 <= entry.size_bytes <= _LARGEST_FILE:
            yield f"files: {name} of {entry.size_bytes} bytes"


def _precision(name: str, precision: Precision, manifest: Manifest) -> Iterator[str]:
    if name not in _PRECISIONS:
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
    for stream, figures in (precision.accuracy or {}).items():
        if any(figure is not None and not 0 <= figure <= 100 for figure in figures.values()):
            yield f"precisions.{name}.accuracy: {stream} outside 0 to 100"


def _engine(name: str, engine: EngineEntry, manifest: Manifest) -> Iterator[str]:
    batches, level = engine.options.batches, engine.options.optimization_level
    if name not in manifest.files or name.split("/")[0] != ENGINES:
        yield f"engines: {name!r} is no engine of the bundle"
    if engine.part not in PARTS:
        yield f"engines: {name} is of no part: {engine.part!r}"
    if not _SHA256.fullmatch(engine.graph_sha256):
        yield f"engines: {name} does not say which graph it was built from"
    if not 1 <= batches.minimum <= batches.optimum <= batches.maximum <= LARGEST_SIZE:
        yield f"engines: {name} for {batches.minimum} to {batches.maximum} clips, best at {batches.optimum}"
    if level is not None and level not in _OPTIMIZATION_LEVELS:
        yield f"engines: {name} of optimization level {level}"
    if engine.options.workspace_mib is not None and engine.options.workspace_mib < 1:
        yield f"engines: {name} with a workspace of {engine.options.workspace_mib} MiB"
    capabilities = (*engine.compute_capabilities, *engine.options.compute_capabilities)
    if not all(map(_CAPABILITY.fullmatch, capabilities)):
        yield f"engines: {name} for compute capabilities {', '.join(capabilities)}"
