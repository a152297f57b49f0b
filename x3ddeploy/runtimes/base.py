"""One small interface to every backend: open a session on an ONNX part of a bundle, run it on numpy arrays."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from x3ddeploy.errors import BundleError, MissingRequirementError, UsageError, X3DDeployError

Array = npt.NDArray[np.generic]

# runtime -> (module that must be importable, what to install)
RUNTIMES = {
    "torch": ("torch", "pip install torch"),
    "onnxruntime": ("onnxruntime", "pip install 'x3ddeploy[cpu]' (or 'x3ddeploy[gpu]')"),
    "openvino": ("openvino", "pip install 'x3ddeploy[openvino]'"),
}


class Session(ABC):
    """A loaded graph, ready to run.

    Attributes:
        runtime: key in RUNTIMES.
        version: the backend's version.
        device: what it really runs on, in words ('cpu').
    """

    runtime: str
    version: str
    device: str = "cpu"

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs by tensor name to every output by tensor name. Raises X3DDeployError for a wrong name or shape."""


def is_available(runtime: str) -> bool:
    """Whether the backend's package is installed (it is not imported)."""
    return importlib.util.find_spec(RUNTIMES[runtime][0]) is not None


def available_runtimes() -> list[str]:
    """The runtimes whose packages are installed, in the order of RUNTIMES."""
    return [runtime for runtime in RUNTIMES if is_available(runtime)]


def require(runtime: str) -> None:
    """Fail where a runtime cannot be used, before any work is done.

    Raises:
        UsageError: no such runtime.
        MissingRequirementError: its package is not installed; the hint says what to install.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"no runtime named {runtime!r}", hint=f"one of: {', '.join(RUNTIMES)}")
    if not is_available(runtime):
        raise MissingRequirementError(f"{RUNTIMES[runtime][0]} is not installed", hint=RUNTIMES[runtime][1])


def open_session(
    runtime: str, model: Path | bytes, *, threads: int | None = None, outputs: tuple[str, ...] = ()
) -> Session:
    """Load an ONNX file (or its bytes) into a backend.

    Args:
        runtime: key in RUNTIMES.
        model: a part of a bundle.
        threads: CPU threads; None leaves the backend's default.
        outputs: inner tensors to give besides the graph's outputs (for per-block comparison).

    Raises:
        UsageError: no such runtime.
        MissingRequirementError: its package is not installed; the hint says what to install.
    """
    require(runtime)
    opener = importlib.import_module(f"x3ddeploy.runtimes.{runtime}_session").open_model
    session: Session = opener(model, threads=threads, outputs=outputs)
    return session


def check_feeds(inputs: Mapping[str, tuple[object, ...]], feeds: Mapping[str, Array]) -> None:
    """Refuse missing, unknown and misshapen inputs by name, all at once.

    Args:
        inputs: name to shape; an axis that is no integer is dynamic.
        feeds: what was given.
    """
    problems = [f"missing input {name!r}" for name in inputs if name not in feeds]
    problems += [f"unknown input {name!r}" for name in feeds if name not in inputs]
    for name in inputs.keys() & feeds.keys():
        wanted, given = inputs[name], feeds[name].shape
        fits = len(wanted) == len(given) and all(
            not isinstance(axis, int) or axis == size for axis, size in zip(wanted, given, strict=True)
        )
        if not fits:
            shape = ", ".join(str(axis) if isinstance(axis, int) else "N" for axis in wanted)
            problems.append(f"{name!r} has shape {given}, and the graph takes ({shape})")
    if problems:
        raise X3DDeployError("the inputs do not fit the graph", details=problems, hint="see `x3ddeploy inspect`")


def graph_bytes(model: Path | bytes, outputs: tuple[str, ...]) -> bytes:
    """A graph's bytes, with the named inner tensors added to its outputs.

    Raises:
        BundleError: the file cannot be read, or has no such tensor.
    """
    if isinstance(model, Path):
        try:
            data = model.read_bytes()
        except OSError as error:
            raise BundleError(f"cannot read {model}: {error.strerror}", hint="check the path") from error
    else:
        data = model
    if not outputs:
        return data
    proto = onnx.load_from_string(data)
    known = {value.name: value for value in proto.graph.value_info}
    missing = [name for name in outputs if name not in known]
    if missing:
        raise BundleError("the graph has no such inner tensor", details=missing, hint="see `x3ddeploy inspect`")
    proto.graph.output.extend(known[name] for name in outputs)
    return proto.SerializeToString()
