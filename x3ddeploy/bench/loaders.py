"""How each competitor is loaded: by family, then by what stands behind the slash of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from x3ddeploy.bench import rgbposeconv3d
from x3ddeploy.bench.competitor import Feeds, Loaded
from x3ddeploy.bench.torch_forms import DEVICES, FORMS, load_form, on_torch, require_device
from x3ddeploy.bench.workbench import Workbench
from x3ddeploy.bundle.engine_options import EnginePrecision
from x3ddeploy.runtimes.base import open_session, require

CPU_RUNTIMES = ("onnxruntime", "openvino")
ORT_GPU = ("onnxruntime-cuda", "onnxruntime-tensorrt")
ENGINES = ("tensorrt", "tensorrt-rtx")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
PLAIN, BASELINE = "plain", "rgbposeconv3d"
_ON_GRAPHS = (*CPU_RUNTIMES, *ORT_GPU, *ENGINES)

# Every name there is: '<runtime>/<precision>' for the bundle, '<torch>/<form>', '<network>/<runtime>' for the others.
NAMES = (
    *(f"{runtime}/{precision}" for runtime in (*CPU_RUNTIMES, *ORT_GPU) for precision in PRECISIONS),
    *(f"{runtime}/{precision.value}" for runtime in ENGINES for precision in EnginePrecision),
    *(f"{runtime}/{form}" for runtime in DEVICES for form in FORMS),
    *(f"{PLAIN}/{runtime}" for runtime in _ON_GRAPHS),
    *(f"{BASELINE}/{runtime}" for runtime in (*DEVICES, *_ON_GRAPHS)),
)


def load(bench: Workbench, name: str) -> Loaded:
    """Load one competitor.

    Raises:
        MissingRequirementError: this machine lacks what it needs.
        BundleError: the bundle lacks the precision, or an engine.
        FallbackError: it would run on another device than asked for.
        GateError: its export computes something else.
    """
    family, _, kind = name.partition("/")
    if family == PLAIN:
        require_runtime(kind)
        return _graph(bench, "two-stream X3D, plain torch.onnx.export", kind, bench.plain, bench.inputs)
    if family == BASELINE:
        return _baseline(bench, kind)
    if family in DEVICES:
        return load_form(bench.network, kind, family, bench.bundle.manifest.target, bench.inputs)
    require_runtime(family)
    if family in ENGINES:
        from x3ddeploy.bench.tensorrt_sessions import load_engines

        return load_engines(bench.bundle, family, kind, bench.inputs)
    path = bench.bundle.part_path("recognizer", kind)
    return _graph(bench, "two-stream X3D recognizer", family, path, bench.inputs, precision=kind, is_ours=True)


def require_runtime(runtime: str) -> None:
    """Fail before a network is exported for a runtime that is not here. Raises MissingRequirementError."""
    if runtime in CPU_RUNTIMES:
        require(runtime)
    elif runtime in ORT_GPU:
        require("onnxruntime")
        from x3ddeploy.bench.onnxruntime_gpu import require_provider

        require_provider(runtime)
    elif runtime in ENGINES:
        from x3ddeploy.engines.cuda import Cuda

        Cuda()


def _graph(
    bench: Workbench,
    network: str,
    runtime: str,
    graph: Path | bytes,
    feeds: Feeds,
    *,
    precision: str = "fp32",
    is_ours: bool = False,
) -> Loaded:
    """An ONNX file in a runtime."""
    if runtime in ENGINES:
        from x3ddeploy.bench.tensorrt_sessions import build_and_load

        data = graph if isinstance(graph, bytes) else graph.read_bytes()
        return build_and_load(network, data, runtime, feeds, bench.progress)
    resident: Callable[[], object] | None = None
    if runtime in ORT_GPU:
        from x3ddeploy.bench.onnxruntime_gpu import GpuSession

        gpu = GpuSession(runtime, graph)
        infer, version, device, resident = gpu.run, gpu.version, _gpu_name(), gpu.resident(feeds)
    else:
        session = open_session(runtime, graph, threads=bench.setting.threads)
        infer, version, device = session.run, session.version, session.device
    return Loaded(
        network=network,
        runtime=runtime,
        version=version,
        device=device,
        precision=precision,
        feeds=feeds,
        infer=infer,
        resident=resident,
        graph=graph,
        is_ours=is_ours,
    )


def _gpu_name() -> str:
    """The first GPU's name, whoever tells it."""
    from x3ddeploy.bench.gpu import read_gpu

    state = read_gpu()
    return state.name if state else "cuda:0"


def _baseline(bench: Workbench, runtime: str) -> Loaded:
    title = "RGBPoseConv3D (random weights)"
    if runtime in DEVICES:
        device, network = require_device(runtime), bench.baseline

        def forward(values: dict[str, Tensor]) -> dict[str, Tensor]:
            return dict(zip(("rgb", "pose"), network(**values), strict=True))

        if device != "cpu":
            network = rgbposeconv3d.build(bench.bundle.manifest.spec.head.classes).to(device)
        return on_torch(title, forward, runtime, bench.baseline_inputs)
    require_runtime(runtime)
    loaded = _graph(bench, title, runtime, bench.baseline_graph, bench.baseline_inputs)
    with torch.inference_mode():
        expected = bench.baseline(**{name: torch.from_numpy(value) for name, value in loaded.feeds.items()})
    rgbposeconv3d.check(expected, dict(loaded.infer(loaded.feeds)))
    return loaded
