"""How each competitor is loaded: by family, then by what stands behind the slash of its name."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from x3ddeploy.benchmarking.by_tools import BY_TOOLS
from x3ddeploy.benchmarking.competitor import OpenedNetwork
from x3ddeploy.benchmarking.torch_forms import DEVICES, FORMS, TF32, load_form, on_torch, require_device
from x3ddeploy.benchmarking.workbench import Workbench
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.child_process import run_in_child
from x3ddeploy.contract import WHOLE
from x3ddeploy.data.feeding import can_be_fed_raw
from x3ddeploy.engines.worker import BUILD, BuildRequest
from x3ddeploy.errors import GateError
from x3ddeploy.families import BASELINES
from x3ddeploy.parity.metrics import compare
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Feeds, Session
from x3ddeploy.runtimes.registry import (
    REFERENCE,
    RUNTIMES,
    Execution,
    Runtime,
    open_part,
    open_raw,
    open_session,
    require,
)
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.trt import open_tensorrt
from x3ddeploy.terms import Precision

FLAVOURS = {"tensorrt": Flavour.TENSORRT, "tensorrt-rtx": Flavour.RTX}


@dataclass(frozen=True)
class Built:
    """A session on an engine, and the engine's size."""

    session: TensorRTSession
    size_bytes: int


def build_session(network: str, graph: bytes, runtime: str, clips: int, progress: Step) -> Built:
    """Build a float32 engine of any graph as `build-trt` does, in a child process, and load it.

    Args:
        network: what it is, for the progress.
        graph: an ONNX file's bytes.
        runtime: one of FLAVOURS.
        clips: the profile's one batch.
        progress: receives each step.

    Raises:
        MissingRequirementError: no GPU or no TensorRT.
        X3DDeployError: TensorRT refuses the graph.
    """
    cuda = Cuda()
    tensorrt = open_tensorrt(FLAVOURS[runtime], _log)
    options = BuildOptions(FLAVOURS[runtime], Precision.FP32, Batches(clips, clips, clips))
    with tempfile.TemporaryDirectory() as directory:
        source, plan = Path(directory) / "graph.onnx", Path(directory) / "graph.plan"
        source.write_bytes(graph)
        request = BuildRequest(str(source), str(plan), options, {}, None, keep_cache=False, load=False)
        run_in_child(BUILD, msgspec.to_builtins(request), f"building {network}", progress)
        data = plan.read_bytes()
    return Built(session_of_plans(cuda, tensorrt, ((data,),)), len(data))


def _log(severity: str, message: str) -> None:
    logging.getLogger("x3ddeploy.tensorrt").warning("%s: %s", severity, message)


PLAIN = "plain"
_BASELINE_TOLERANCE = 1e-3  # an export that is off by more computes another network, and its time means nothing

# Where float32 graphs can be run with products in TF32. Our engines clear it.
TF32_PLACES = ("onnxruntime-cuda", "onnxruntime-tensorrt")


def places() -> dict[str, tuple[Runtime, str]]:
    """'onnxruntime', 'onnxruntime-cuda', ... -> what runs there; PyTorch has forms instead of precisions."""
    return {
        Execution(name, device, Precision.FP32).place: (runtime, device)
        for name, runtime in RUNTIMES.items()
        if name != REFERENCE.runtime
        for device in runtime.devices
    }


def names() -> tuple[str, ...]:
    """Every name: '<place>/<precision>' for the bundle, '<torch>/<form>', '<network>/<place>' for the others."""
    return (
        *(f"{place}/{precision}" for place in places() for precision in Precision),
        *(f"{place}/{TF32}" for place in TF32_PLACES),
        *(f"{runtime}/{form}" for runtime in DEVICES for form in FORMS if runtime != REFERENCE.runtime or form != TF32),
        *(f"{PLAIN}/{place}" for place in places()),
        *(f"{name}/{place}" for name in BASELINES for place in (*DEVICES, *places())),
        *BY_TOOLS,
    )


def load(bench: Workbench, name: str) -> OpenedNetwork:
    """Load one competitor.

    Raises:
        MissingRequirementError: this machine lacks what it needs.
        BundleError: the bundle lacks the precision, or an engine.
        FallbackError: it would run on another device than asked for.
        GateError: its export computes something else.
    """
    family, _, kind = name.partition("/")
    if family == PLAIN:
        require(places()[kind][0].name, places()[kind][1])  # before the network is exported
        return _graph(bench, f"{bench.title}, plain torch.onnx.export, fixed shapes", kind, bench.plain, bench.inputs)
    if family in BASELINES:
        return _baseline(bench, family, kind)
    if family in DEVICES:
        return load_form(bench, kind, family)
    if name in BY_TOOLS:
        return _by_tools(bench, name)
    if kind == TF32:
        return _in_tf32(bench, family)
    return _ours(bench, family, Precision(kind))


def _in_tf32(bench: Workbench, place: str) -> OpenedNetwork:
    """The bundle's float32 graph, its products rounded to TF32."""
    from x3ddeploy.runtimes.onnxruntime_session import open_tf32

    runtime, device = places()[place]
    require(runtime.name, device)
    graph = bench.bundle.part_path(WHOLE)
    session = open_tf32(graph, device)
    return _loaded("two-stream X3D recognizer, products in TF32", place, session, TF32, bench.inputs, graph)


def _ours(bench: Workbench, place: str, precision: Precision) -> OpenedNetwork:
    """The bundle's recognizer: its graph, or its engines."""
    runtime, device = places()[place]
    execution = Execution(runtime.name, device, precision)
    session = open_part(bench.bundle, execution, threads=bench.setting.threads)
    if runtime.builds_engines:
        graph, size = None, _plan_bytes(bench.bundle, runtime, precision, session.version)
    else:
        graph, size = bench.bundle.part_path(WHOLE, precision), None
    title = f"{bench.title}, engines of its parts" if runtime.builds_engines else f"{bench.title} recognizer"
    loaded = _loaded(title, place, session, precision, bench.inputs, graph, size, is_ours=True)
    if session.device == "cpu" or not can_be_fed_raw(bench.bundle.contract.inputs):
        return loaded
    return replace(loaded, open_raw=partial(open_raw, bench.bundle, execution, threads=bench.setting.threads))


def _graph(bench: Workbench, network: str, place: str, graph: bytes, feeds: Feeds) -> OpenedNetwork:
    """A float32 ONNX file that is not the bundle's."""
    runtime, device = places()[place]
    if runtime.builds_engines:
        built = build_session(network, graph, runtime.name, len(next(iter(feeds.values()))), bench.progress)
        return _loaded(network, place, built.session, Precision.FP32, feeds, graph, built.size_bytes)
    session = open_session(runtime.name, graph, device=device, threads=bench.setting.threads)
    return _loaded(network, place, session, Precision.FP32, feeds, graph)


def _by_tools(bench: Workbench, name: str) -> OpenedNetwork:
    """What a runtime's own tools make of the training form."""
    tool, runtime = BY_TOOLS[name], name.partition("/")[2]
    require(runtime, "cpu")
    session = tool.make(bench)
    loaded = _loaded(f"{bench.title}, {tool.what}", runtime, session, tool.precision, bench.inputs, None)
    return replace(loaded, notes=(*loaded.notes, *tool.notes))


def _loaded(
    network: str,
    place: str,
    session: Session,
    precision: str,
    feeds: Feeds,
    graph: Path | bytes | None,
    engine_bytes: int | None = None,
    *,
    is_ours: bool = False,
) -> OpenedNetwork:
    return OpenedNetwork(
        network=network,
        runtime=place,
        version=session.version,
        device=_gpu_name() if session.device.startswith("cuda") else session.device,
        precision=precision,
        feeds=feeds,
        infer=session.run,
        resident=session.resident(feeds),
        graph=graph,
        engine_bytes=engine_bytes,
        notes=session.notes,
        is_ours=is_ours,
    )


def _plan_bytes(bundle: Bundle, runtime: Runtime, precision: Precision, version: str) -> int:
    return sum(
        bundle.manifest.files[name].size_bytes
        for name, entry in bundle.manifest.engines.items()
        if entry.options.precision.value == precision
        and entry.options.flavour.value == runtime.package
        and entry.part in bundle.contract.pieces
        and entry.version == version
    )


def _gpu_name() -> str:
    """The first GPU's name, whoever tells it."""
    from x3ddeploy.benchmarking.resources import read_gpu

    state = read_gpu()
    return state.name if state else "cuda:0"


def _baseline(bench: Workbench, name: str, runtime: str) -> OpenedNetwork:
    baseline = bench.baseline(name)
    title = f"{baseline.title} (random weights)"
    if runtime in DEVICES:
        device, network = require_device(runtime), baseline.network

        def forward(values: dict[str, Tensor]) -> dict[str, Tensor]:
            return dict(zip(baseline.outputs, network(**values), strict=True))

        if device != "cpu":
            network = baseline.build().to(device)
        return on_torch(title, forward, runtime, baseline.inputs)
    require(places()[runtime][0].name, places()[runtime][1])
    loaded = _graph(bench, title, runtime, baseline.graph, baseline.inputs)
    with torch.inference_mode():
        values = baseline.network(**{name: torch.from_numpy(value) for name, value in loaded.feeds.items()})
    require_same(baseline.title, dict(zip(baseline.outputs, values, strict=True)), loaded.infer(loaded.feeds))
    return loaded


def require_same(title: str, expected: Mapping[str, Tensor], actual: Feeds) -> None:
    """Raise GateError where a baseline's export does not compute what PyTorch does."""
    for name, value in expected.items():
        difference = compare(value.numpy(), actual[name])
        if not difference.within(_BASELINE_TOLERANCE):
            raise GateError(f"the exported {title}'s {name} differs by {difference.relative:.1e}")
