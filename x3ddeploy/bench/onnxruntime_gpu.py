"""ONNX Runtime on a GPU, or not at all: its silent fallback to the CPU is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from x3ddeploy.bench.competitor import FallbackError, Feeds
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.runtimes.base import Array, graph_bytes

# TensorRT's provider leaves what it does not take to CUDA's; that is no fallback to the CPU.
PROVIDERS = {
    "onnxruntime-cuda": ("CUDAExecutionProvider",),
    "onnxruntime-tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}


def require_provider(runtime: str) -> None:
    """Raises MissingRequirementError where the installed ONNX Runtime is built without the provider."""
    wanted, known = PROVIDERS[runtime][0], onnxruntime.get_available_providers()
    if wanted not in known:
        raise MissingRequirementError(
            f"ONNX Runtime {onnxruntime.__version__} here has no {wanted}; it has {', '.join(known)}",
            hint="pip install 'x3ddeploy[gpu]' on a machine with an NVIDIA GPU",
        )


def check_placement(session: onnxruntime.InferenceSession, wanted: str) -> None:
    """Raise FallbackError where a session does not use the provider that it was asked for first."""
    active = session.get_providers()
    if not active or active[0] != wanted:
        raise FallbackError(
            f"{wanted} was asked for, and ONNX Runtime fell back to {', '.join(active)}",
            hint="its log names the CUDA, cuDNN or TensorRT library that it did not find; `x3ddeploy doctor`",
        )


class GpuSession:
    """A graph on one of PROVIDERS.

    Raises:
        MissingRequirementError: the provider is not in this ONNX Runtime.
        FallbackError: the whole graph, or a node of it, would run on the CPU.
    """

    version = onnxruntime.__version__

    def __init__(self, runtime: str, model: Path | bytes) -> None:
        require_provider(runtime)
        wanted = PROVIDERS[runtime]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # also for a single node
        try:
            self._session = onnxruntime.InferenceSession(graph_bytes(model, ()), options, providers=list(wanted))
        except Exception as error:
            if "fallback" in str(error).lower():
                reason = str(error).splitlines()[0][:200]
                raise FallbackError(f"{wanted[0]} would leave nodes to the CPU: {reason}") from error
            raise
        self._session.disable_fallback()  # Python's own second try, on another provider, when a run fails
        check_placement(self._session, wanted[0])
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        """Host memory to host memory."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))

    def resident(self, feeds: Feeds) -> Callable[[], object]:
        """Put the inputs on the GPU; gives what runs from there to the GPU's memory, and waits."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value), "cuda", 0))
        for name in self._outputs:
            binding.bind_output(name, "cuda", 0)

        def run() -> None:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return run
