"""What `x3ddeploy inspect` says of an artefact, and `--json` prints; the types are told apart by `kind`."""

from __future__ import annotations

from typing import Any

import msgspec

from x3ddeploy.bundle import EngineEntry, FileEntry, Manifest, PrecisionEntry, Source
from x3ddeploy.bundle.metadata import PartMetadata


class InspectedTensor(msgspec.Struct, frozen=True):
    """A graph's input or output; 'N' for an axis of any size."""

    dtype: str
    shape: list[int | str]


class InspectedGraph(msgspec.Struct, frozen=True, tag_field="kind", tag="onnx"):
    """An ONNX file; `metadata` is null where the file is not of this tool."""

    sha256: str
    size_bytes: int
    producer: str
    opset: dict[str, int]
    ir_version: int
    inputs: dict[str, InspectedTensor]
    outputs: dict[str, InspectedTensor]
    nodes: dict[str, int]
    parameters: int
    multiply_adds: int | None
    metadata: PartMetadata | None
    problems: list[str]


class InspectedCheckpoint(msgspec.Struct, frozen=True, tag_field="kind", tag="checkpoint"):
    """A checkpoint: whose network it is, and where each value of its model came from."""

    source: Source
    size_bytes: int
    family: str
    classes: int
    parameters: dict[str, int]
    model: dict[str, Any]
    values: dict[str, str]
    origins: dict[str, str]
    labels: tuple[str, ...] | None
    notes: tuple[str, ...]


class InspectedBundle(msgspec.Struct, frozen=True, tag_field="kind", tag="bundle"):
    """A bundle: its manifest, and in what it is not what that says."""

    manifest: Manifest
    batch: int | None
    classes: int
    tensors: dict[str, dict[str, dict[str, list[int | str]]]]
    problems: list[str]
    unchecked: list[str]


class InspectedAnnotations(msgspec.Struct, frozen=True, tag_field="kind", tag="annotations"):
    """Annotations of MMAction2's PoseDataset: numbers of samples and classes, and what the keypoints are.

    `frames` are the fewest and the most of a sample; `persons` the most of one; of `coordinates` 2 are in pixels, 3 in
    space.
    """

    sha256: str
    size_bytes: int
    samples: int
    splits: dict[str, int]
    classes: int
    joints: list[int]
    coordinates: list[int]
    persons: int
    frames: list[int]


class InspectedEngine(msgspec.Struct, frozen=True, tag_field="kind", tag="engine"):
    """A TensorRT plan, and what the bundle that it lies in says of it; null where it lies in none."""

    sha256: str
    size_bytes: int
    bundle: str | None
    engine: EngineEntry | None
    problems: list[str]


class InspectedFolder(msgspec.Struct, frozen=True, tag_field="kind", tag="folder"):
    """A folder of a bundle: its files, and what the manifest says of the precision or the engines in it."""

    bundle: str
    folder: str
    files: dict[str, FileEntry]
    precision: PrecisionEntry | None
    engines: dict[str, EngineEntry]
    problems: list[str]


Inspected = (
    InspectedGraph | InspectedCheckpoint | InspectedBundle | InspectedAnnotations | InspectedEngine | InspectedFolder
)
