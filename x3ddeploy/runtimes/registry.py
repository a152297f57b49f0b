"""Every backend by name: what it needs, where it computes and in what; and how a part of a bundle is opened."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import BundleError, MissingRequirementError, UsageError
from x3ddeploy.runtimes.base import Session
from x3ddeploy.terms import Precision, named

_GRAPHS = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
_EVERY = frozenset(Precision)
_GPUS = ("cuda", "gpu", "tensorrt")  # the last is ONNX Runtime's


@dataclass(frozen=True)
class Runtime:
    """A backend.

    Its module has `require_device(device)`, which raises MissingRequirementError, and either
    `open_model(model, device=..., threads=..., outputs=...)` or `open_engines(bundle, part, precision, name, device)`,
    and beside the latter `require_engines(bundle, precision, name, device)`, which raises BundleError. Where graphs can
    stay on the device one behind the other there is `open_chain(before, model, device=..., threads=...)`.

    Attributes:
        package: must be importable.
        install: command that installs it.
        module: where its sessions are made.
        devices: name -> precisions that it runs there; the first is the default. 'cuda:1' is the second of its kind.
        builds_engines: whether it runs engines of the bundle, made by `x3ddeploy build-trt`, and no graphs.
    """

    name: str
    package: str
    install: str
    module: str
    devices: Mapping[str, frozenset[Precision]]
    builds_engines: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the package is there; it is not imported."""
        return self.package in sys.modules or importlib.util.find_spec(self.package) is not None

    @property
    def default_device(self) -> str:
        return next(iter(self.devices))

    def backend(self) -> Any:
        """The module that makes sessions."""
        return importlib.import_module(self.module)


_SESSIONS = "x3ddeploy.runtimes"
_TENSORRT = "pip install 'x3ddeploy[tensorrt]' --extra-index-url https://pypi.nvidia.com"
RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            "torch",
            "torch",
            "pip install torch",
            f"{_SESSIONS}.torch_session",
            {"cpu": frozenset({Precision.FP32}), "cuda": frozenset({Precision.FP32})},
        ),
        Runtime(
            "onnxruntime",
            "onnxruntime",
            "pip install 'x3ddeploy[cpu]' (or 'x3ddeploy[gpu]')",
            f"{_SESSIONS}.onnxruntime_session",
            {"cpu": _GRAPHS, "cuda": _EVERY, "tensorrt": _EVERY},  # its CPU kernels have no bfloat16
        ),
        Runtime(
            "openvino",
            "openvino",
            "pip install 'x3ddeploy[openvino]'",
            f"{_SESSIONS}.openvino_session",
            {"cpu": _EVERY, "gpu": _EVERY, "npu": _EVERY},
        ),
        Runtime("tensorrt", "tensorrt", _TENSORRT, f"{_SESSIONS}.tensorrt_engines", {"cuda": _EVERY}, True),
        Runtime(
            "tensorrt-rtx",
            "tensorrt_rtx",
            "pip install 'x3ddeploy[tensorrt-rtx]'",
            f"{_SESSIONS}.tensorrt_engines",
            {"cuda": _EVERY},
            True,
        ),
    )
}


@dataclass(frozen=True)
class Execution:
    """Where and in what a network is computed."""

    runtime: str
    device: str
    precision: Precision

    @property
    def place(self) -> str:
        """'onnxruntime' on its default device, 'onnxruntime-cuda' on another."""
        default = self.device == RUNTIMES[self.runtime].default_device
        return self.runtime if default else f"{self.runtime}-{self.device}"

    @property
    def on_gpu(self) -> bool:
        """Whether its device is a GPU."""
        return self.device.partition(":")[0] in _GPUS

    def __str__(self) -> str:
        return f"{self.place} {self.precision}"


# PyTorch rebuilds the training-form network from the float32 graph's weights: it knows no other precision.
REFERENCE = Execution("torch", "cpu", Precision.FP32)


def execution_named(runtime: str, device: str | None = None, precision: str = Precision.FP32) -> Execution:
    """An Execution by its words, on the runtime's first device where none is named.

    Raises:
        UsageError: there is no such runtime, device or precision.
    """
    return Execution(runtime, device_of(runtime_named(runtime), device), named(Precision, precision))


def runtime_named(name: str) -> Runtime:
    """Raises UsageError for an unknown name."""
    if name not in RUNTIMES:
        raise UsageError(f"no runtime named {name!r}", hint=f"one of: {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def installed_runtimes() -> list[str]:
    """The runtimes whose packages are there, in the order of RUNTIMES."""
    return [name for name, runtime in RUNTIMES.items() if runtime.is_installed]


def graph_runtimes() -> list[str]:
    """The runtimes of ONNX graphs whose packages are there; PyTorch is what they are compared with."""
    return [name for name in installed_runtimes() if name != REFERENCE.runtime and not RUNTIMES[name].builds_engines]


def require(name: str, device: str | None = None) -> None:
    """Fail where a runtime cannot be used, before any work is done.

    Raises:
        UsageError: no such runtime, or it has no such device.
        MissingRequirementError: its package or its device is not here; the hint says what to install.
    """
    runtime = runtime_named(name)
    device = device_of(runtime, device)
    if not runtime.is_installed:
        raise MissingRequirementError(f"{runtime.package} is not installed", hint=runtime.install)
    runtime.backend().require_device(device)


def device_of(runtime: Runtime, name: str | None) -> str:
    """The device of that name, the runtime's first for None. Raises UsageError where it has none of that name."""
    device = name or runtime.default_device
    if device.partition(":")[0] not in runtime.devices:
        raise UsageError(f"{runtime.name} has no device {device!r}", hint=f"one of: {', '.join(runtime.devices)}")
    return device


def open_session(
    name: str,
    model: Path | bytes,
    *,
    device: str | None = None,
    threads: int | None = None,
    outputs: tuple[str, ...] = (),
) -> Session:
    """Load an ONNX file (or its bytes) into a runtime that runs graphs.

    Args:
        name: key in RUNTIMES.
        model: a part of a bundle.
        device: one of the runtime's; None for its default.
        threads: CPU threads; None leaves the backend's default.
        outputs: inner tensors to give besides the graph's outputs (for per-block comparison).

    Raises:
        UsageError: no such runtime or device, or it runs engines alone.
        MissingRequirementError: its package or device is not here; the hint says what to install.
        FallbackError: it would compute on another device.
    """
    require(name, device)
    runtime = RUNTIMES[name]
    if runtime.builds_engines:
        raise UsageError(f"{name} runs engines, and this is a graph", hint="x3ddeploy build-trt makes engines of it")
    session: Session = runtime.backend().open_model(
        model, device=device or runtime.default_device, threads=threads, outputs=outputs
    )
    return session


def open_part(bundle: Bundle, execution: Execution, part: str = WHOLE, *, threads: int | None = None) -> Session:
    """A part of a bundle, ready to run: its graph, or the engines that were built of it.

    Args:
        bundle: an opened bundle.
        execution: runtime, device and precision.
        part: part of the contract; the whole network where it is left out.
        threads: CPU threads; None leaves the backend's default.

    Raises:
        UsageError: the runtime does not run that precision.
        BundleError: the bundle has no such graph or no fitting engine, or it was altered.
        MissingRequirementError, FallbackError: as `open_session`.
    """
    runtime = runtime_named(execution.runtime)
    if problem := unsupported(execution):
        raise UsageError(problem, hint="--precision names another")
    if runtime.builds_engines:
        require(runtime.name, execution.device)
        session: Session = runtime.backend().open_engines(
            bundle, part, execution.precision, runtime.name, execution.device
        )
        return session
    path = bundle.part_path(part, execution.precision)
    if problem := bundle.alteration(graph_name(part, execution.precision)):
        raise BundleError(f"{path}: {problem}", hint="export again")
    return open_session(runtime.name, path, device=execution.device, threads=threads)


def open_raw(bundle: Bundle, execution: Execution, *, threads: int | None = None) -> Session:
    """The whole network behind its preprocessing graphs: frames as bytes and keypoints go up, all else is done there.

    Args:
        bundle: opened.
        execution: where and in what; the preparation is float32 in any.
        threads: CPU threads; None leaves the backend's default.

    Returns:
        A session of the raw tensors (`x3ddeploy.data.feeding.fed_clips`) and the network's outputs.

    Raises:
        UsageError: the runtime has no such way.
        BundleError: the bundle has no preprocessing graphs, or no engine of one that fits; the hint makes them.
        MissingRequirementError, FallbackError: as `open_part`.
    """
    runtime = runtime_named(execution.runtime)
    before = preprocessing_of(bundle)
    if runtime.builds_engines:
        require(runtime.name, execution.device)
        session: Session = runtime.backend().open_engines(
            bundle, WHOLE, execution.precision, runtime.name, execution.device, before
        )
        return session
    if not hasattr(runtime.backend(), "open_chain"):
        raise UsageError(f"{runtime.name} takes clips that are prepared already")
    names = [graph_name(name) for name in before] + [graph_name(WHOLE, execution.precision)]
    for name in names:
        if problem := bundle.alteration(name):
            raise BundleError(f"{bundle.path / name}: {problem}", hint="export again")
    require(runtime.name, execution.device)
    *front, network = (bundle.path / name for name in names)
    session = runtime.backend().open_chain(front, network, device=execution.device, threads=threads)
    return session


def preprocessing_of(bundle: Bundle) -> tuple[str, ...]:
    """The graphs that make all inputs of the network. Raises BundleError where there are none."""
    found = bundle.manifest.preprocessing
    lacking = set(bundle.contract.inputs).difference(*(graph.outputs for graph in found.values()))
    if lacking:
        raise BundleError(
            f"{bundle.path} has no preprocessing graph of {' and '.join(sorted(lacking))}",
            hint="x3ddeploy export --preprocess makes them",
        )
    return tuple(found)


def unsupported(execution: Execution) -> str:
    """Why a runtime cannot run a precision on a device, in words; '' where it can."""
    name, precision = execution.runtime, execution.precision
    runs = RUNTIMES[name].devices.get(execution.device.partition(":")[0], frozenset())
    if precision in runs:
        return ""
    if name == REFERENCE.runtime:
        return f"torch {precision}: PyTorch rebuilds the network in float32 only"
    return f"{name} {precision}: its {execution.device} kernels do not compute in {precision}"
