"""Something that can be timed, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from x3ddeploy.runtimes.base import Array, Feeds, Session


class Scope(Enum):
    """What lies between start and stop of a timing; the value is the name that stands beside each figure."""

    COMPUTE = "compute"
    WITH_COPIES = "with_copies"
    PIPELINE = "pipeline"

    @property
    def meaning(self) -> str:
        return {
            Scope.COMPUTE: "from ready tensors to outputs, both in the memory of the device that computes",
            Scope.WITH_COPIES: "from ready tensors in host memory to outputs in host memory; on a CPU that is compute",
            Scope.PIPELINE: "from a video file and keypoints to fused scores: decoding, cropping, resizing, "
            "normalising, heatmaps, inference, fusion; one video. A GPU that has the bundle's preprocessing graphs "
            "normalises and draws itself",
        }[self]


@dataclass(frozen=True)
class OpenedNetwork:
    """A network in a runtime, ready to run.

    Attributes:
        network: what computes, for people.
        runtime: what it computes in, and `version`, its version.
        device: what it computes on: 'cpu', or a GPU's name.
        precision: precision of its graph: 'fp32', 'fp16', 'int8'.
        feeds: one batch of inputs in host memory.
        infer: host memory to host memory.
        resident: computes from and to the device's memory and waits for the end; None where `infer` does no more.
        graph: its ONNX file, or that file's bytes.
        engine_bytes: size of its compiled engine, where it is one.
        open_raw: opens it behind its preprocessing, on a GPU; None where the host prepares.
        notes: what it does another way than it could, and why; filled as it runs.
        is_ours: the bundle's own recognizer, which takes other batches and a whole pipeline before it.
    """

    network: str
    runtime: str
    version: str
    device: str
    precision: str
    feeds: Feeds
    infer: Callable[[Feeds], Mapping[str, Array]]
    resident: Callable[[], object] | None = None
    graph: Path | bytes | None = None
    engine_bytes: int | None = None
    open_raw: Callable[[], Session] | None = None
    notes: Sequence[str] = ()
    is_ours: bool = False


@dataclass(frozen=True)
class Memory:
    """Memory in bytes; None where the system does not tell.

    Attributes:
        host_peak: growth of this process's peak while the competitor was loaded and ran once. What an earlier one gave
            back and this one took again is not seen: a lower bound.
        device: growth of what is in use on the GPU.
        engine: size of the compiled engine.
        file: size of the ONNX file.
    """

    host_peak: int | None
    device: int | None
    engine: int | None
    file: int | None


@dataclass(frozen=True)
class Competitor:
    """A loaded network under its name, checked and ready to be timed.

    Attributes:
        kind: 'onnxruntime/fp32', 'torch/eager', 'rgbposeconv3d/openvino', ...
        bundle: name of the bundle, where several are compared.
        runs: what is timed in each scope.
        relative_error: relative error of `scores` to PyTorch's, over their range; None for another network.
        load_s: seconds from nothing to ready, compilation included.
        pipeline_note: how the scope `pipeline` is run another way than it could be, and why.
    """

    kind: str
    loaded: OpenedNetwork
    memory: Memory
    relative_error: float | None
    load_s: float
    runs: dict[Scope, Callable[[], object]] = field(default_factory=dict)
    bundle: str = ""
    pipeline_note: str = ""

    @property
    def name(self) -> str:
        """Unique: its kind, behind the bundle's name where there are several."""
        return named(self.bundle, self.kind)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: value.shape for name, value in self.loaded.feeds.items()}


def named(bundle: str, kind: str) -> str:
    """Name of a competitor of a bundle: 'tsn:onnxruntime/fp32' where several bundles are compared."""
    return f"{bundle}:{kind}" if bundle else kind


@dataclass(frozen=True)
class Absent:
    """Something that was not measured, and why.

    Attributes:
        failed: not for want of something: it fell back to another device, or computes something else.
    """

    name: str
    reason: str
    failed: bool = False
