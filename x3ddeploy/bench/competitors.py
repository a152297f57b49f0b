"""Who takes part in a benchmark: the bundle in each runtime, its parts, and RGBPoseConv3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from x3ddeploy.bench import rgbposeconv3d
from x3ddeploy.bundle import Bundle
from x3ddeploy.data.clips import batch_inputs
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.runtimes.base import RUNTIMES, Array, open_session, require

BASELINE = "rgbposeconv3d"
_SEED = 0
_TIMED_BY_PART = ("onnxruntime", "openvino")
_BACKBONES = {"rgb_backbone": "imgs", "pose_backbone": "heatmap_imgs"}


@dataclass(frozen=True)
class Competitor:
    """Something that can be timed.

    Attributes:
        name: unique: 'onnxruntime', 'onnxruntime/rgb_backbone', 'rgbposeconv3d/torch', ...
        network: what computes, for people.
        runtime: what it computes in, and its version.
        device: what it computes on.
        precision: of its arithmetic.
        shapes: of its inputs.
        run: computes once, from ready inputs in host memory to outputs in host memory.
    """

    name: str
    network: str
    runtime: str
    version: str
    device: str
    precision: str
    shapes: dict[str, tuple[int, ...]]
    run: Callable[[], object]


@dataclass(frozen=True)
class Absent:
    """A competitor that cannot take part here, and why."""

    name: str
    reason: str


NAMES = (
    *RUNTIMES,
    *(f"{runtime}/{part}" for runtime in _TIMED_BY_PART for part in _BACKBONES),
    *(f"{BASELINE}/{runtime}" for runtime in RUNTIMES),
)


def prepare(
    bundle: Bundle, names: Sequence[str], batch: int, threads: int, progress: Callable[[str], None]
) -> tuple[list[Competitor], list[Absent]]:
    """Load what can be loaded.

    Args:
        bundle: opened.
        names: some of NAMES.
        batch: number of clips.
        threads: CPU threads for each competitor.
        progress: told what is being loaded.
    """
    ready, absent = [], []
    inputs = batch_inputs(bundle.manifest.spec, batch, _SEED)
    torch.set_num_threads(threads)
    baseline = _Baseline(bundle.manifest.spec.head.classes, batch, threads, progress)
    for name in names:
        try:
            first, _, second = name.partition("/")
            if first == BASELINE:
                ready.append(baseline.competitor(second))
            else:
                progress(f"loading {name}")
                ready.append(_of_bundle(bundle, name, first, second or "recognizer", inputs, threads))
        except X3DDeployError as error:
            absent.append(Absent(name, f"{error.message}{f' ({error.hint})' if error.hint else ''}"))
    return ready, absent


def _of_bundle(
    bundle: Bundle, name: str, runtime: str, part: str, inputs: dict[str, Array], threads: int
) -> Competitor:
    session = open_session(runtime, bundle.part_path(part), threads=threads)
    feeds = {key: value for key, value in inputs.items() if _BACKBONES.get(part, key) == key}
    return Competitor(
        name=name,
        network=f"two-stream X3D {part}" + (" (training form)" if runtime == "torch" else ""),
        runtime=runtime,
        version=session.version,
        device=session.device,
        precision="fp32",
        shapes=_shapes(feeds),
        run=lambda: session.run(feeds),
    )


class _Baseline:
    """RGBPoseConv3D at its own clip sizes; built once, and exported once, for whoever needs it first."""

    def __init__(self, classes: int, batch: int, threads: int, progress: Callable[[str], None]) -> None:
        self._classes, self._batch, self._threads, self._progress = classes, batch, threads, progress

    @cached_property
    def _inputs(self) -> dict[str, Array]:
        return rgbposeconv3d.inputs(self._batch)

    @cached_property
    def _network(self) -> rgbposeconv3d.RGBPoseConv3D:
        self._progress("building RGBPoseConv3D from MMAction2's config")
        return rgbposeconv3d.build(self._classes)

    @cached_property
    def _exported(self) -> bytes:
        network = self._network
        self._progress("exporting RGBPoseConv3D with torch.onnx.export")
        return rgbposeconv3d.export_onnx(network, self._batch)

    def competitor(self, runtime: str) -> Competitor:
        """Raises X3DDeployError where MMAction2 or the runtime is missing, or the export computes something else."""
        require(runtime)
        expected = self._run_eager()
        if runtime == "torch":
            return self._described(runtime, torch.__version__, "cpu", self._run_eager)
        session = open_session(runtime, self._exported, threads=self._threads)
        rgbposeconv3d.check(expected, session.run(self._inputs))
        return self._described(runtime, session.version, session.device, lambda: session.run(self._inputs))

    def _run_eager(self) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            logits: tuple[Tensor, Tensor] = self._network(
                **{name: torch.from_numpy(value) for name, value in self._inputs.items()}
            )
        return logits

    def _described(self, runtime: str, version: str, device: str, run: Callable[[], object]) -> Competitor:
        name, network = f"{BASELINE}/{runtime}", "RGBPoseConv3D (random weights)"
        return Competitor(name, network, runtime, version, device, "fp32", _shapes(self._inputs), run)


def _shapes(feeds: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in feeds.items()}
