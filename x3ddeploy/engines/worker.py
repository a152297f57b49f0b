"""The tasks of the child process: build an engine and load it once; run finished engines beside their reference."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx

from x3ddeploy.atomic import write_bytes
from x3ddeploy.bundle.engine_options import BuildOptions, Flavour
from x3ddeploy.child_process import Request
from x3ddeploy.engines.graph_precision import graph_precisions
from x3ddeploy.engines.inspection import PrecisionReport, precision_of_engine, precision_of_network, with_inspection
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.files import read_file
from x3ddeploy.locks import locked
from x3ddeploy.progress import Step
from x3ddeploy.tensorrt.trt import open_tensorrt

BUILD = f"{__name__}:build"
PROBE = f"{__name__}:probe"
_LARGEST_CACHE = 1 << 30


@dataclass(frozen=True)
class BuildRequest:
    """One engine.

    Attributes:
        graph: path of the ONNX file.
        plan: path to write the plan to.
        options: how.
        float_layers: what quantization left in a higher precision, and why.
        timing_cache: path, or None.
        keep_cache: whether a file that lies there and is no timing cache for this build is refused, not replaced.
        load: load it once, and ask it what it is; needs the GPU that it is for.
    """

    graph: str
    plan: str
    options: BuildOptions
    float_layers: dict[str, str]
    timing_cache: str | None
    keep_cache: bool
    load: bool


@dataclass(frozen=True)
class BuildResult:
    """What came of it.

    Attributes:
        version: version of TensorRT.
        seconds: duration of the build.
        size_bytes: size in bytes of the plan.
        precision: what it computes in.
        messages: TensorRT's warnings.
        tactic_sources: libraries whose kernels it could choose from: TensorRT's own, and no cuDNN.
    """

    version: str
    seconds: float
    size_bytes: int
    precision: PrecisionReport
    messages: tuple[str, ...]
    tactic_sources: tuple[str, ...]


@dataclass(frozen=True)
class Probed:
    """An installed TensorRT.

    Attributes:
        version: version of TensorRT.
        compute_capabilities: compute capabilities of the GPUs that it can build for without having them.
        strongly_typed: whether types in a graph are the law.
    """

    version: str
    compute_capabilities: tuple[str, ...]
    strongly_typed: bool


def probe(request: Request, progress: Step) -> Any:
    """Import TensorRT; where it is broken, that shows here. Request: {"flavour"}; result: Probed."""
    tensorrt = open_tensorrt(Flavour(request["flavour"]), _log)
    features = tensorrt.features
    return msgspec.to_builtins(Probed(tensorrt.version, features.compute_capabilities, features.strongly_typed))


def build(request: Request, progress: Step) -> Any:
    """Build one engine. Request: BuildRequest; result: BuildResult."""
    wanted = msgspec.convert(request, BuildRequest)
    messages: list[str] = []

    def log(severity: str, message: str) -> None:
        _log(severity, message)
        messages.append(message)

    graph = Path(wanted.graph).read_bytes()
    in_graph = graph_precisions(onnx.load_from_string(graph), wanted.float_layers)
    tensorrt = open_tensorrt(wanted.options.flavour, log)
    network = tensorrt.parse(graph)
    precision = precision_of_network(network.layers(), in_graph) if tensorrt.features.strongly_typed else None
    start = time.perf_counter()
    if wanted.timing_cache is None:
        plan, _ = network.build(wanted.options, None, progress)
    else:
        cache = Path(wanted.timing_cache)
        # For the whole build: two builds on one GPU at a time would disturb what each other measures.
        with locked(cache.parent):
            earlier = read_file(cache, _LARGEST_CACHE) if cache.exists() else b""
            plan, content = network.build(wanted.options, earlier, progress, keep_cache=wanted.keep_cache)
            if content:
                write_bytes(cache, content)
    seconds = time.perf_counter() - start
    Path(wanted.plan).write_bytes(plan)
    if wanted.load:
        progress("loading it, and asking what it computes in")
        information = tensorrt.load(plan, host_code=True).inspect()
        seen = precision_of_engine(information, in_graph, strongly_typed=tensorrt.features.strongly_typed)
        precision = seen if precision is None else with_inspection(precision, seen)
    if precision is None:
        raise X3DDeployError("an engine that is not loaded, of a weakly typed network: nothing tells what it is")
    result = BuildResult(
        tensorrt.version,
        seconds,
        len(plan),
        precision,
        tuple(dict.fromkeys(messages)),
        tensorrt.features.own_tactics,
    )
    return msgspec.to_builtins(result)


def _log(severity: str, message: str) -> None:
    sys.stderr.write(f"[{severity}] {message}\n")
