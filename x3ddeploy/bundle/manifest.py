"""What a bundle says of itself: typed documents, no files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from x3ddeploy.bundle.engine_options import BuildOptions
from x3ddeploy.contract import Contract, Input, Output, Part, Score, Shape

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Source:
    """The checkpoint that a bundle was made from."""

    name: str
    sha256: str
    epoch: int | None = None


@dataclass(frozen=True)
class Spread:
    """Three measures of a difference: what was measured, or the most that is allowed.

    Attributes:
        relative: largest absolute difference over the tensor's scale. Finds one wrong frame or pixel.
        rms: root mean square of the difference over the reference's root mean square. Finds what is wrong everywhere.
        channels: root mean square over channels of each channel's mean difference, over the reference's root mean
            square. Rounding averages out over a channel's frames and pixels; a lost bias does not.
    """

    relative: float
    rms: float
    channels: float

    def times(self, factor: float, floor: float) -> Spread:
        """Each measure times `factor`, and at least `floor`."""
        return Spread(*(max(factor * value, floor) for value in (self.relative, self.rms, self.channels)))

    def worst(self, other: Spread) -> Spread:
        """The larger of each measure."""
        return Spread(max(self.relative, other.relative), max(self.rms, other.rms), max(self.channels, other.channels))


@dataclass(frozen=True)
class AccuracyEntry:
    """What a lower precision does to one score.

    Attributes:
        agreement: share of the judging clips that keep their class.
        top1_before, top1_after: top-1 in percent of the labelled clips; None where none is labelled.
    """

    agreement: float
    top1_before: float | None
    top1_after: float | None


@dataclass(frozen=True)
class PrecisionEntry:
    """Graphs of a lower precision: a folder of the same names as the float32 graphs, and how they came about.

    Attributes:
        calibration: file of the ranges, for INT8.
        random_calibration: whether those ranges are of made-up clips.
        float_layers: blocks or nodes that stay in a higher precision, each with the reason.
        accuracy: name of a score -> what became of it; None where there was nothing to measure on.
        golden_error: 'part -> output' -> error against float32 on the golden clip, relative to the output's range.
        rounding: 'part -> output' -> how far the same graph goes from its own golden output where the golden clip is
            moved by less than the precision can tell apart. Empty in bundles that are older than `golden/<precision>/`.
    """

    calibration: str | None
    random_calibration: bool
    float_layers: dict[str, str]
    accuracy: dict[str, AccuracyEntry] | None
    golden_error: dict[str, float]
    rounding: dict[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineEntry:
    """A TensorRT engine: what it was built from, with and on; all of it is asked before it is loaded.

    Attributes:
        part: which of the bundle's graphs.
        graph_sha256: SHA-256 of that graph as it was then.
        version: version of TensorRT, or of TensorRT-RTX.
        gpu: name of the GPU that it was built on, None where it was built without one.
        compute_capabilities: 'major.minor' of the GPUs that it was built for.
        driver: version of the NVIDIA driver at the time, where there was one.
        options: how it was built.
    """

    part: str
    graph_sha256: str
    version: str
    gpu: str | None
    compute_capabilities: tuple[str, ...]
    driver: str | None
    options: BuildOptions


@dataclass(frozen=True)
class Preprocessing:
    """A graph that makes inputs of the network from what a camera or a pose estimator gives.

    Attributes:
        inputs: name -> shape; axes of any size have a letter.
        outputs: names of the network's inputs that it gives.
    """

    inputs: dict[str, Shape]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; see docs/bundle.md.

    Attributes:
        versions: versions of x3ddeploy and of the libraries that made the bundle.
        family: family of the network; what `model` holds is that family's affair.
        model: the network in the family's own words, literals only.
        origins: where each value of the model came from, by dotted name.
        target: lowering target of the graphs.
        inputs, parts, outputs, scores, deployed: the contract, see x3ddeploy.contract.Contract.
        preprocessing: name of a graph -> what it takes and gives.
        notes: what the reader of the checkpoint had to say.
        files: path in the bundle -> sha256 and size. Every file but the manifest and reports written later.
        precisions: name of a folder of lower precision ('fp16', 'int8') -> how it was made.
        engines: path of a plan in the bundle -> what it is.
        rounding: 'part -> output' -> PyTorch's own float32 distance from float64, which parity was judged by. Empty in
            bundles of older versions.
    """

    schema_version: int
    versions: dict[str, str]
    source: Source
    family: str
    model: dict[str, Any]
    origins: dict[str, str]
    target: str
    opset: int
    ir_version: int
    inputs: dict[str, Input]
    parts: dict[str, Part]
    outputs: dict[str, Output]
    scores: dict[str, Score]
    deployed: str
    preprocessing: dict[str, Preprocessing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: dict[str, FileEntry] = field(default_factory=dict)
    precisions: dict[str, PrecisionEntry] = field(default_factory=dict)
    engines: dict[str, EngineEntry] = field(default_factory=dict)
    rounding: dict[str, float] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        """What the network takes and gives, part by part. Raises BundleError where it contradicts itself."""
        return Contract(self.family, self.inputs, self.parts, self.outputs, self.scores, self.deployed)

    @property
    def batch(self) -> int | None:
        """Fixed number of clips, None for a dynamic axis."""
        return self.contract.batch

    @property
    def tensors(self) -> dict[str, dict[str, dict[str, list[int | str]]]]:
        """Graph -> inputs and outputs -> name -> shape, 'N' for the dynamic axis."""
        shapes = {name: list(value.shape) for name, value in self.inputs.items()}
        shapes |= {name: list(value.shape) for name, value in self.outputs.items()}
        graphs = {
            name: {side: {tensor: shapes[tensor] for tensor in getattr(part, side)} for side in ("inputs", "outputs")}
            for name, part in self.parts.items()
        }
        return graphs | {
            name: {
                "inputs": {tensor: list(shape) for tensor, shape in graph.inputs.items()},
                "outputs": {tensor: shapes[tensor] for tensor in graph.outputs},
            }
            for name, graph in self.preprocessing.items()
        }
