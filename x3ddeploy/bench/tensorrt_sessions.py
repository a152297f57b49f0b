"""TensorRT for a benchmark: engines of the bundle, and engines built on the spot of graphs that are not ours."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from x3ddeploy.bench.competitor import Feeds, Loaded
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, EnginePrecision, Flavour
from x3ddeploy.engines.child import run_in_child
from x3ddeploy.engines.cuda import Cuda
from x3ddeploy.engines.trt import open_tensorrt
from x3ddeploy.engines.worker import BUILD, BuildRequest
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, open_parts, session_of_plans

FLAVOURS = {"tensorrt": Flavour.TENSORRT, "tensorrt-rtx": Flavour.RTX}


def load_engines(bundle: Bundle, runtime: str, precision: str, feeds: Feeds) -> Loaded:
    """The bundle's engines: both backbones side by side, then the head, replayed as one CUDA graph.

    Raises:
        MissingRequirementError: no GPU or no TensorRT.
        BundleError: no engine fits; the command that builds one is said.
    """
    session = open_parts(bundle, EnginePrecision(precision), flavour=FLAVOURS[runtime])
    size = sum(
        bundle.manifest.files[name].size_bytes
        for name, entry in bundle.manifest.engines.items()
        if entry.options.precision.value == precision
        and entry.options.flavour is FLAVOURS[runtime]
        and entry.part in ("rgb_backbone", "pose_backbone", "head")
        and entry.version == session.version
    )
    return _loaded("two-stream X3D, engines of its parts", runtime, session, precision, feeds, size, is_ours=True)


def build_and_load(network: str, graph: bytes, runtime: str, feeds: Feeds, progress: Callable[[str], None]) -> Loaded:
    """Build a float32 engine of any graph as `build-trt` does, in a child process, and load it.

    Raises:
        MissingRequirementError: no GPU or no TensorRT.
        X3DDeployError: TensorRT refuses the graph.
    """
    cuda = Cuda()
    tensorrt = open_tensorrt(FLAVOURS[runtime], _log)
    clips = len(next(iter(feeds.values())))
    options = BuildOptions(FLAVOURS[runtime], EnginePrecision.FP32, Batches(clips, clips, clips))
    with tempfile.TemporaryDirectory() as directory:
        source, plan = Path(directory) / "graph.onnx", Path(directory) / "graph.plan"
        source.write_bytes(graph)
        request = BuildRequest(str(source), str(plan), options, {}, None, load=False)
        run_in_child(BUILD, msgspec.to_builtins(request), f"building {network}", progress)
        data = plan.read_bytes()
    session = session_of_plans(cuda, tensorrt, ((data,),))
    return _loaded(network, runtime, session, "fp32", feeds, len(data), is_ours=False)


def _loaded(
    network: str, runtime: str, session: TensorRTSession, precision: str, feeds: Feeds, size: int, *, is_ours: bool
) -> Loaded:
    return Loaded(
        network=network,
        runtime=runtime,
        version=session.version,
        device=session.device,
        precision=precision,
        feeds=feeds,
        infer=session.run,
        resident=_resident(session, feeds),
        engine_bytes=size,
        is_ours=is_ours,
    )


def _resident(session: TensorRTSession, feeds: Feeds) -> Callable[[], object] | None:
    """On PyTorch's tensors, which are the one way to the GPU's memory here; without them `compute` is not timed."""
    if not torch.cuda.is_available():
        return None
    ready = {name: torch.from_numpy(value).cuda() for name, value in feeds.items()}
    out = session.run_on_gpu(ready)  # the same memory each time, so that the recorded graph is replayed

    def run() -> None:
        session.run_on_gpu(ready, out)
        torch.cuda.synchronize()

    return run


def _log(severity: str, message: str) -> None:
    logging.getLogger("x3ddeploy.tensorrt").warning("%s: %s", severity, message)
