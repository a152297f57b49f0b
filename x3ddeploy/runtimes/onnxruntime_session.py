"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from x3ddeploy.runtimes.base import Array, Session, check_feeds, graph_bytes


class OnnxRuntimeSession(Session):
    """A graph on ONNX Runtime's CPU provider."""

    runtime = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(self, model: bytes, threads: int | None, observed: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: its warnings speak of internals that a user can't act on
        # Threads that spin on after a run take the cores from whatever runs next in this process.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # An arena keeps all activations for the next run: faster, and not for runs that look at many of them.
        options.enable_cpu_mem_arena = not observed
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self._inputs, feeds)
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))


def open_model(model: Path | bytes, *, threads: int | None, outputs: tuple[str, ...]) -> OnnxRuntimeSession:
    """See `x3ddeploy.runtimes.base.open_session`."""
    return OnnxRuntimeSession(graph_bytes(model, outputs), threads, observed=bool(outputs))
