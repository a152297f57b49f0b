"""What every backend gives: a session that runs numpy arrays by tensor name, and can be closed."""

from __future__ import annotations

import gc
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy.typing as npt

from x3ddeploy.errors import BundleError, X3DDeployError

# A copy of this process, as a worker of PyTorch's DataLoader is, has none of the runtimes' threads. Where its garbage
# collector finds a session that was left in a cycle, ONNX Runtime joins a thread that is not there and crashes, and
# OpenVINO waits for it for ever: the copy must not collect what it did not make. Windows has no copies of processes.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gc.freeze)

Array = npt.NDArray[Any]  # of numbers, in whichever type a tensor has
Axes = tuple[int | None, ...]
# Arrays by the names of tensors.
Feeds = Mapping[str, Array]


class FallbackError(X3DDeployError):
    """A runtime was asked for one device, and computes on another."""


class Session(ABC):
    """A loaded graph or engine, ready to run; `with` closes it.

    Attributes:
        runtime: its name in the registry.
        version: the backend's version.
        device: what it really runs on, in words: 'cpu', or a GPU's name.
        inputs: name -> shape; None for an axis of any size.
        outputs: names, in the graph's order.
        notes: what it does another way than it could, and why; more may come as it runs.
    """

    runtime: str
    version: str
    device: str = "cpu"
    inputs: Mapping[str, Axes]
    outputs: tuple[str, ...]
    notes: Sequence[str] = ()

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs by tensor name to every output by tensor name. Any number of threads may call it.

        Raises:
            X3DDeployError: a wrong name or shape.
        """

    def resident(self, feeds: Mapping[str, Array]) -> Callable[[], object] | None:
        """Bring inputs into the device's memory; gives what computes from there and waits for the end.

        None where the device computes in host memory, or where its memory cannot be reached.
        """
        return None

    def close(self) -> None:
        """Give back what the session holds; it cannot run afterwards."""
        self.__dict__.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
    import onnx  # benchmarks of PyTorch alone go without

    proto = onnx.load_from_string(data)
    known = {value.name: value for value in proto.graph.value_info}
    missing = [name for name in outputs if name not in known]
    if missing:
        raise BundleError("the graph has no such inner tensor", details=missing, hint="see `x3ddeploy inspect`")
    proto.graph.output.extend(known[name] for name in outputs)
    return proto.SerializeToString()
