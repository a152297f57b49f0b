"""OpenVINO on the CPU."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import openvino

from x3ddeploy.runtimes.base import Array, Session, check_feeds, graph_bytes


class OpenVINOSession(Session):
    """A graph on OpenVINO's CPU plugin, in the precision that the graph says."""

    runtime = "openvino"
    version = openvino.__version__.split("-")[0]

    def __init__(self, model: bytes, threads: int | None) -> None:
        network = compiled(model, threads)
        self._request = network.create_infer_request()
        self._inputs = {
            port.get_any_name(): tuple(
                axis.get_length() if axis.is_static else None for axis in port.get_partial_shape()
            )
            for port in network.inputs
        }
        self._outputs = [port.get_any_name() for port in network.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self._inputs, feeds)
        results = self._request.infer(dict(feeds), share_inputs=True)
        return {name: results[name].copy() for name in self._outputs}


def compiled(model: bytes, threads: int | None) -> openvino.CompiledModel:
    """The graph as the CPU plugin runs it."""
    # Left to itself the plugin computes float32 graphs in bfloat16 on CPUs that have it: not what was verified.
    config: dict[str, object] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    return openvino.compile_model(openvino.Core().read_model(io.BytesIO(model)), "CPU", config)


def open_model(model: Path | bytes, *, threads: int | None, outputs: tuple[str, ...]) -> OpenVINOSession:
    """See `x3ddeploy.runtimes.base.open_session`."""
    return OpenVINOSession(graph_bytes(model, outputs), threads)
