"""A loaded engine, what it takes and gives, and its state for one run at a time; see `x3ddeploy.tensorrt.trt`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from x3ddeploy.errors import X3DDeployError

if TYPE_CHECKING:
    from x3ddeploy.tensorrt.cuda import DeviceMemory

# TensorRT's names of types -> numpy's.
_NUMPY_TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}


class TensorRTError(X3DDeployError):
    """TensorRT refused a graph, could not build it, or cannot do what was asked for."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine.

    Attributes:
        shape: -1 for the dynamic axis.
        dtype: numpy's name of its type: 'float32', 'float16', 'int8', ...
        optimal: an input's shape at the profile's optimum; empty for an output.
        largest: shape at the profile's maximum.
        smallest: shape at the profile's minimum.
    """

    name: str
    is_input: bool
    shape: tuple[int, ...]
    dtype: str
    optimal: tuple[int, ...]
    largest: tuple[int, ...]
    smallest: tuple[int, ...]


class Engine:
    """A loaded engine. Holds on to its runtime."""

    def __init__(self, module: Any, runtime: Any, engine: Any) -> None:
        self._trt, self._runtime, self._engine = module, runtime, engine

    def tensors(self) -> list[Tensor]:
        """Inputs and outputs."""
        engine, found = self._engine, []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            is_input = engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
            shape = tuple(engine.get_tensor_shape(name))
            # A network of fixed shapes is built without a profile.
            profile = engine.get_tensor_profile_shape(name, 0) if is_input and -1 in shape else (shape, shape, shape)
            found.append(
                Tensor(
                    name=name,
                    is_input=is_input,
                    shape=shape,
                    dtype=_NUMPY_TYPES[engine.get_tensor_dtype(name).name],
                    optimal=tuple(profile[1]) if is_input else (),
                    largest=tuple(profile[2]) if is_input else (),
                    smallest=tuple(profile[0]) if is_input else (),
                )
            )
        return found

    def inspect(self) -> Mapping[str, Any]:
        """What the engine inspector tells, as parsed JSON; its form differs from version to version.

        It is asked with a context whose shapes are set: without one it tells no types of dynamic tensors.

        Raises:
            TensorRTError: it tells names alone, or no JSON.
        """
        inspector = self._engine.create_engine_inspector()
        context = self._engine.create_execution_context()
        if context is not None:
            for tensor in self.tensors():
                if tensor.is_input:
                    context.set_input_shape(tensor.name, tensor.optimal)
            inspector.execution_context = context
        text = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        try:
            value = json.loads(text, strict=False)  # names of fused layers hold control characters
        except ValueError as error:
            raise TensorRTError(f"the engine inspector's answer is no JSON: {error}") from error
        if not isinstance(value, dict) or not all(isinstance(layer, dict) for layer in value.get("Layers", [])):
            raise TensorRTError("the engine inspector tells no more than names", hint="build it with build-trt")
        return value

    def context(self, stream: int) -> Context:
        """A new execution context, ready for shapes.

        Args:
            stream: handle of a CUDA stream, in which a profile is set where the context has none yet; what follows in
                other streams has to wait for it.

        Raises:
            TensorRTError: there is no memory for it, or no profile: an engine of 8.6 whose contexts cannot share one.
        """
        context, scratch_bytes = self._new_context()
        if context is None:
            raise TensorRTError("TensorRT gives no execution context", hint="the GPU's memory may be full")
        if context.active_optimization_profile < 0 and not context.set_optimization_profile_async(0, stream):
            raise TensorRTError(
                "the engine's profile belongs to another execution context, and it cannot be shared",
                hint="build it again with `x3ddeploy build-trt`, which allows that (PROFILE_SHARING_0806)",
            )
        return Context(context, scratch_bytes)

    def _new_context(self) -> tuple[Any, int]:
        """A context, and the bytes of memory that it has to be given."""
        engine = self._engine
        config: Any = engine.create_runtime_config() if hasattr(engine, "create_runtime_config") else None
        if not hasattr(config, "dynamic_shapes_kernel_specialization_strategy"):
            return engine.create_execution_context(), 0
        # TensorRT-RTX: its default computes with fallback kernels until others are compiled, and a CUDA graph would
        # keep the fallback for ever; and an engine that may be captured wants its memory given.
        trt = self._trt
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        return engine.create_execution_context(config), engine.device_memory_size_v2


class Context:
    """An engine's state for one run at a time. Addresses are of device memory.

    Attributes:
        scratch_bytes: memory in bytes that it has to be given before it runs; 0 where it has its own.
    """

    def __init__(self, context: Any, scratch_bytes: int) -> None:
        self._context, self.scratch_bytes = context, scratch_bytes
        self._scratch: DeviceMemory | None = None

    def set_scratch(self, memory: DeviceMemory) -> None:
        """Give it its memory, of at least `scratch_bytes`; it is held on to for as long as the context lives."""
        self._scratch = memory
        self._context.set_device_memory(memory.address, self.scratch_bytes)

    def is_capturable(self, stream: int) -> bool:
        """Whether its runs can be recorded as a CUDA graph, as far as it tells: TensorRT-RTX does."""
        tell = getattr(self._context, "is_stream_capturable", None)
        return tell is None or bool(tell(stream))

    def set_shape(self, name: str, shape: Sequence[int]) -> None:
        """Raises TensorRTError where the profile does not hold it."""
        if not self._context.set_input_shape(name, tuple(shape)):
            raise TensorRTError(f"the engine does not take {name!r} of shape {tuple(shape)}", hint="see --max-shapes")

    def shape_of(self, name: str) -> tuple[int, ...]:
        """An output's shape for the input shapes that were set."""
        return tuple(self._context.get_tensor_shape(name))

    def set_address(self, name: str, address: int) -> None:
        if not self._context.set_tensor_address(name, address):
            raise TensorRTError(f"the engine does not take the memory of {name!r}")

    def enqueue(self, stream: int) -> None:
        """Put one run into a CUDA stream."""
        if not self._context.execute_async_v3(stream):
            raise TensorRTError("TensorRT could not enqueue a run", hint="see its log")
