"""ONNX Runtime on the CPU, or on a GPU by CUDA's or TensorRT's provider; its silent fallback to the CPU is refused.

Some nodes it leaves to the CPU by design, those that compute shapes: they are listed. Where one that computes values is
among them, the session is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from x3ddeploy.environment import variable
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.runtimes.base import Array, FallbackError, Session, check_feeds, graph_bytes

_CPU = "CPUExecutionProvider"
# TensorRT's provider leaves what it does not take to CUDA's; that is no fallback to the CPU.
PROVIDERS = {
    "cpu": (_CPU,),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}
# Rounds a bias to the product of its convolution's two scales. In float16 that product loses its digits and the bias
# overflows: outputs of convolutions with small weights are then far off (ONNX Runtime 1.31; no warning).
_LEFT_OUT = "WeightBiasQuantization"


def require_device(device: str) -> None:
    """Raises MissingRequirementError where the installed ONNX Runtime is built without the device's provider."""
    wanted, known = PROVIDERS[device.partition(":")[0]][0], onnxruntime.get_available_providers()
    if wanted not in known:
        raise MissingRequirementError(
            f"ONNX Runtime {onnxruntime.__version__} here has no {wanted}; it has {', '.join(known)}",
            hint="pip install 'x3ddeploy[gpu]' on a machine with an NVIDIA GPU",
        )


# Float32 is float32: by default the CUDA provider multiplies in TF32, with 10 bits of mantissa. TensorRT's provider has
# no such option; TensorRT builds without TF32 where this variable says so (TensorRT's developer guide, "TF32").
_NO_TF32 = {"CUDAExecutionProvider": {"use_tf32": "0"}}
_TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
# Operators that compute values; others on the CPU handle shapes, or move little.
_COMPUTING = ("Conv", "Gemm", "MatMul", "Pool", "Norm", "Softmax", "Sigmoid", "Relu", "Attention", "Einsum")


def computing_nodes(nodes: Sequence[tuple[str, str]]) -> list[str]:
    """Nodes, of those given (name, operator), that compute values, in words."""
    return [
        f"{name or 'a node'} ({operator})" for name, operator in nodes if any(map(operator.__contains__, _COMPUTING))
    ]


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

    Attributes:
        cpu_nodes: (name, operator) of what a session on a GPU leaves to the CPU; empty where ONNX Runtime is too old to
            tell, and refuses all of it.

    Raises:
        FallbackError: the whole graph, or a node that computes, would run on the CPU though a GPU was asked for.
    """

    runtime = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(
        self, model: bytes, device: str, threads: int | None, observed: bool = False, *, tf32: bool = False
    ) -> None:
        self.cpu_nodes: list[tuple[str, str]] = []
        self._tf32 = tf32
        kind, _, index = device.partition(":")
        self._gpu = int(index or 0)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: its warnings speak of internals that a user can't act on
        # Threads that spin on after a run take the cores from whatever runs next in this process.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("optimization.disable_specified_optimizers", _LEFT_OUT)
        # An arena keeps all activations for the next run: faster, and not for runs that look at many of them.
        options.enable_cpu_mem_arena = not observed
        if threads is not None:
            options.intra_op_num_threads = threads
        self._on_gpu = kind != "cpu"
        self._memory = ("cuda" if self._on_gpu else "cpu", self._gpu)
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
        tells = hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")
        # Its own refusal also meets shape nodes, which it places on the CPU by design.
        entry = "session.record_ep_graph_assignment_info" if tells else "session.disable_cpu_ep_fallback"
        options.add_session_config_entry(entry, "1")
        exact: Mapping[str, Mapping[str, str]] = {} if self._tf32 else _NO_TF32
        providers = [(name, {"device_id": str(self._gpu), **exact.get(name, {})}) for name in wanted]
        try:
            with contextlib.nullcontext() if self._tf32 else variable(_TF32_OVERRIDE, "0"):
                session = onnxruntime.InferenceSession(model, options, providers=providers)
        except Exception as error:
            if "fallback" in str(error).lower():
                reason = str(error).splitlines()[0][:200]
                raise FallbackError(f"{wanted[0]} would leave nodes to the CPU: {reason}") from error
            raise
        session.disable_fallback()  # Python's own second try, on another provider, when a run fails
        check_placement(session, wanted[0])
        if tells:
            self.cpu_nodes = nodes_on_cpu(session)
        if computing := computing_nodes(self.cpu_nodes):
            raise FallbackError(f"{wanted[0]} would leave nodes to the CPU: {', '.join(computing[:5])}")
        self.device = f"cuda:{self._gpu}"
        return session

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        return dict(zip(self.outputs, self._session.run(list(self.outputs), dict(feeds)), strict=True))

    def left_on_device(self, feeds: Mapping[str, Array]) -> dict[str, onnxruntime.OrtValue]:
        """As `run`, with outputs that stay in the memory of the session's device."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in self.outputs:
            binding.bind_output(name, *self._memory)
        self._session.run_with_iobinding(binding)
        return dict(zip(self.outputs, binding.get_outputs(), strict=True))

    def run_from_device(self, feeds: Mapping[str, onnxruntime.OrtValue]) -> dict[str, Array]:
        """As `run`, of inputs that another session left in the memory of this one's device."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        return dict(zip(self.outputs, binding.copy_outputs_to_cpu(), strict=True))

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


class OnnxRuntimeChain(Session):
    """Preprocessing graphs in front of a network, on one device: what lies between them stays in its memory.

    Args:
        before: sessions that make the network's inputs.
        network: takes what they give, all of it.
    """

    runtime = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(self, before: Sequence[OnnxRuntimeSession], network: OnnxRuntimeSession) -> None:
        self._before, self._network = before, network
        self.device, self.outputs = network.device, network.outputs
        self.inputs = {name: axes for session in before for name, axes in session.inputs.items()}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        made: dict[str, onnxruntime.OrtValue] = {}
        for session in self._before:
            made |= session.left_on_device({name: feeds[name] for name in session.inputs})
        return self._network.run_from_device(made)


def nodes_on_cpu(session: onnxruntime.InferenceSession) -> list[tuple[str, str]]:
    """Names and operators of the nodes that a session, which was told to record that, runs on the CPU."""
    return [
        (node.name, node.op_type)
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == _CPU
        for node in part.get_nodes()
    ]


def _cpu_session(model: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, options, providers=[_CPU])


def open_model(
    model: Path | bytes, *, device: str, threads: int | None, outputs: tuple[str, ...]
) -> OnnxRuntimeSession:
    """See `x3ddeploy.runtimes.registry.open_session`."""
    return OnnxRuntimeSession(graph_bytes(model, outputs), device, threads, observed=bool(outputs))


def open_chain(before: Sequence[Path], model: Path, *, device: str, threads: int | None) -> OnnxRuntimeChain:
    """Preprocessing graphs in front of a network; see `x3ddeploy.runtimes.registry.open_raw`."""
    *made, network = (open_model(path, device=device, threads=threads, outputs=()) for path in (*before, model))
    return OnnxRuntimeChain(made, network)


def open_tf32(model: Path | bytes, device: str) -> OnnxRuntimeSession:
    """A float32 graph on a GPU whose products may be rounded to TF32: a precision of its own."""
    return OnnxRuntimeSession(graph_bytes(model, ()), device, None, tf32=True)
