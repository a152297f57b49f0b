"""OpenVINO on the CPU, on Intel's GPUs and NPUs."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import openvino

from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.runtimes.base import Array, Session, check_feeds, graph_bytes

_OPENING = Lock()


def core() -> openvino.Core:
    """The one core of this process, which is never closed.

    Its plugin for CPUs puts a stack for signal handlers in the place of the process's, and takes it back when the core
    goes. Of two cores the one that was opened first, where it goes first, leaves the other's way back lead nowhere, and
    the next signal that Python handles (Ctrl-C, a child's end) ends the process with SIGSEGV and not a word.
    """
    with _OPENING:  # a cache alone would let two threads that ask at once, as those of an export do, open two
        return _core()


@functools.cache
def _core() -> openvino.Core:
    return openvino.Core()


def require_device(device: str) -> None:
    """Raises MissingRequirementError where OpenVINO sees no such device."""
    wanted, known = _name(device), core().available_devices
    if not any(wanted in (name, name.partition(".")[0]) for name in known):
        raise MissingRequirementError(
            f"OpenVINO sees no {wanted} here; it sees {', '.join(known)}",
            hint="install the driver of the device: https://docs.openvino.ai (Additional Configurations)",
        )


class OpenVINOSession(Session):
    """A graph on one of OpenVINO's plugins, in the precision that the graph says."""

    runtime = "openvino"
    version = openvino.__version__.split("-")[0]

    def __init__(self, graph: openvino.Model, device: str, threads: int | None) -> None:
        name = _name(device)
        self.device = device if name == "CPU" else str(core().get_property(name, "FULL_DEVICE_NAME"))
        # Before it is compiled: where the plugin merges layers, a port has the names of several tensors.
        self.outputs = tuple(port.get_any_name() for port in graph.outputs)
        if _is_typed(graph) and not computes_bfloat16(name):
            self.notes = (f"the {name} computes no bfloat16: float32, rounded to bfloat16 between layers",)
        network = compiled(graph, threads, name)
        # The outputs of a run lie in the request until they are copied.
        self._request, self._one_at_a_time = network.create_infer_request(), Lock()
        self.inputs = {
            port.get_any_name(): tuple(
                axis.get_length() if axis.is_static else None for axis in port.get_partial_shape()
            )
            for port in network.inputs
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        with self._one_at_a_time:
            results = self._request.infer(dict(feeds), share_inputs=True)
            return {name: results[place].copy() for place, name in enumerate(self.outputs)}


def read(model: bytes) -> openvino.Model:
    """An ONNX graph as OpenVINO has it."""
    return core().read_model(io.BytesIO(model))


def compiled(graph: openvino.Model, threads: int | None, device: str = "CPU") -> openvino.CompiledModel:
    """The graph as a plugin runs it."""
    config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
    if device != "NPU":  # which knows no float32
        # Left to themselves the plugins compute float32 graphs in bfloat16 or float16: not what was verified. What the
        # graph types bfloat16 is computed in bfloat16 all the same, and what it keeps in float32 is not.
        config["INFERENCE_PRECISION_HINT"] = "f32"
    if threads is not None and device == "CPU":
        config["INFERENCE_NUM_THREADS"] = threads
    return core().compile_model(graph, device, config)


def computes_bfloat16(device: str = "CPU") -> bool:
    """Whether a device has kernels of bfloat16: on Intel's and AMD's processors, with AVX512_BF16 or AMX_BF16."""
    return "BF16" in core().get_property(device, "OPTIMIZATION_CAPABILITIES")


def _is_typed(network: openvino.Model) -> bool:
    """Whether a graph's tensors are of bfloat16."""
    return any(
        port.get_element_type() == openvino.Type.bf16 for node in network.get_ordered_ops() for port in node.outputs()
    )


def _name(device: str) -> str:
    """'gpu:1' as OpenVINO writes it: 'GPU.1'."""
    return device.upper().replace(":", ".")


def open_model(model: Path | bytes, *, device: str, threads: int | None, outputs: tuple[str, ...]) -> OpenVINOSession:
    """See `x3ddeploy.runtimes.registry.open_session`."""
    return OpenVINOSession(read(graph_bytes(model, outputs)), device, threads)
