"""Engines that a benchmark builds on the spot, of graphs that are not the bundle's."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.child_process import run_in_child
from x3ddeploy.engines.cuda import Cuda
from x3ddeploy.engines.trt import open_tensorrt
from x3ddeploy.engines.worker import BUILD, BuildRequest
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, session_of_plans
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
        runtime: of FLAVOURS.
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
