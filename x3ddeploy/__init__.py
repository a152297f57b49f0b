"""From a trained action recognition checkpoint to a verified deployment bundle.

The verbs of the command line are functions of this package: `x3ddeploy.export("ckpt.pth", "deploy")`; see
docs/python.md. A function's module, and PyTorch with it, is imported when the function is first named.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# From 1.29 on ONNX Runtime's wheels tell its makers of each process and network; it asks when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from x3ddeploy.api.bench import Benchmark as Benchmark
    from x3ddeploy.api.bench import bench as bench
    from x3ddeploy.api.bench import compare_benchmarks as compare_benchmarks
    from x3ddeploy.api.build_trt import build_trt as build_trt
    from x3ddeploy.api.embed import pack as pack
    from x3ddeploy.api.embed import triton as triton
    from x3ddeploy.api.evaluate import Evaluated as Evaluated
    from x3ddeploy.api.evaluate import evaluate as evaluate
    from x3ddeploy.api.explain import explain as explain
    from x3ddeploy.api.export import export as export
    from x3ddeploy.api.pose import Posed as Posed
    from x3ddeploy.api.pose import estimate_poses as estimate_poses
    from x3ddeploy.api.predict import predict as predict
    from x3ddeploy.api.quantize import quantize as quantize
    from x3ddeploy.api.recognizer import Recognizer as Recognizer
    from x3ddeploy.api.recognizer import open as open  # noqa: A004 (what it is called)
    from x3ddeploy.api.train import synth as synth
    from x3ddeploy.api.train import synth_pictures as synth_pictures
    from x3ddeploy.api.train import train as train
    from x3ddeploy.api.verify import verify as verify
    from x3ddeploy.data.check import check_data as check_data
    from x3ddeploy.doctor.report import examine as examine
    from x3ddeploy.inspection.inspect import inspect as inspect
    from x3ddeploy.pose.estimate import PoseEstimator as PoseEstimator

__version__ = "0.1.0"

# Public name -> where it is.
_PUBLIC = {
    "Benchmark": "x3ddeploy.api.bench",
    "Evaluated": "x3ddeploy.api.evaluate",
    "PoseEstimator": "x3ddeploy.pose.estimate",
    "Posed": "x3ddeploy.api.pose",
    "Recognizer": "x3ddeploy.api.recognizer",
    "bench": "x3ddeploy.api.bench",
    "build_trt": "x3ddeploy.api.build_trt",
    "check_data": "x3ddeploy.data.check",
    "compare_benchmarks": "x3ddeploy.api.bench",
    "estimate_poses": "x3ddeploy.api.pose",
    "evaluate": "x3ddeploy.api.evaluate",
    "examine": "x3ddeploy.doctor.report",
    "explain": "x3ddeploy.api.explain",
    "export": "x3ddeploy.api.export",
    "inspect": "x3ddeploy.inspection.inspect",
    "open": "x3ddeploy.api.recognizer",
    "pack": "x3ddeploy.api.embed",
    "predict": "x3ddeploy.api.predict",
    "quantize": "x3ddeploy.api.quantize",
    "synth": "x3ddeploy.api.train",
    "synth_pictures": "x3ddeploy.api.train",
    "train": "x3ddeploy.api.train",
    "triton": "x3ddeploy.api.embed",
    "verify": "x3ddeploy.api.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
