"""ONNX Runtime on the CPU, or on a GPU by CUDA's or TensorRT's provider; its silent fallback to the CPU is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.runtimes.base import Array, FallbackError, Session, check_feeds, graph_bytes

_CPU = "CPUExecutionProvider"
# TensorRT's provider leaves what it does not take to CUDA's; that is no fallback to the CPU.
PROVIDERS = {
    "cpu": (_CPU,),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}


def require_device(device: str) -> None:
    """Raises MissingRequirementError where the installed ONNX Runtime is built without the device's provider."""
    wanted, known = PROVIDERS[device.partition(":")[0]][0], onnxruntime.get_available_providers()
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


class OnnxRuntimeSession(Session):
    """A graph on one of PROVIDERS.

    Raises:
        FallbackError: the whole graph, or a node of it, would run on the CPU though a GPU was asked for.
    """

    runtime = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(self, model: bytes, device: str, threads: int | None, observed: bool = False) -> None:
        kind, _, index = device.partition(":")
        self._gpu = int(index or 0)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: its warnings speak of internals that a user can't act on
        # Threads that spin on after a run take the cores from whatever runs next in this process.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # An arena keeps all activations for the next run: faster, and not for runs that look at many of them.
        options.enable_cpu_mem_arena = not observed
        if threads is not None:
            options.intra_op_num_threads = threads
        self._on_gpu = kind != "cpu"
        self._session = self._gpu_session(model, options, kind) if self._on_gpu else _cpu_session(model, options)
        self.inputs = {
            value.name: tuple(axis if isinstance(axis, int) else None for axis in value.shape)
            for value in self._session.get_inputs()
        }
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def _gpu_session(
        self, model: bytes, options: onnxruntime.SessionOptions, kind: str
    ) -> onnxruntime.InferenceSession:
        wanted = PROVIDERS[kind]
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # also for a single node
        providers = [(name, {"device_id": str(self._gpu)}) for name in wanted]
        try:
            session = onnxruntime.InferenceSession(model, options, providers=providers)
        except Exception as error:
            if "fallback" in str(error).lower():
                reason = str(error).splitlines()[0][:200]
                raise FallbackError(f"{wanted[0]} would leave nodes to the CPU: {reason}") from error
            raise
        session.disable_fallback()  # Python's own second try, on another provider, when a run fails
        check_placement(session, wanted[0])
        self.device = f"cuda:{self._gpu}"
        return session

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        return dict(zip(self.outputs, self._session.run(list(self.outputs), dict(feeds)), strict=True))

    def resident(self, feeds: Mapping[str, Array]) -> Callable[[], object] | None:
        if not self._on_gpu:
            return None
        binding = self._session.io_binding()
        for name, value in feeds.items():
            on_gpu = onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value), "cuda", self._gpu)
            binding.bind_ortvalue_input(name, on_gpu)
        for name in self.outputs:
            binding.bind_output(name, "cuda", self._gpu)

        def run() -> None:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return run


def _cpu_session(model: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, options, providers=[_CPU])


def open_model(
    model: Path | bytes, *, device: str, threads: int | None, outputs: tuple[str, ...]
) -> OnnxRuntimeSession:
    """See `x3ddeploy.runtimes.registry.open_session`."""
    return OnnxRuntimeSession(graph_bytes(model, outputs), device, threads, observed=bool(outputs))
