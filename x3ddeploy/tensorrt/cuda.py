"""The CUDA driver API through ctypes: memory, streams, events and graphs, wherever there is a driver.

The driver's library is on every machine with a GPU; the CUDA runtime, cuda-python or PyTorch need not be. Streams and
memory of the driver API are those of the runtime API: TensorRT and PyTorch take them as they are.
Source: https://docs.nvidia.com/cuda/cuda-driver-api.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import MissingRequirementError, X3DDeployError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads (PyTorch's) may allocate meanwhile
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
_TIMING, _NO_TIMING = 0, 2  # CU_EVENT_DEFAULT, CU_EVENT_DISABLE_TIMING
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR

_Handle = ctypes.c_void_p
_Address = ctypes.c_uint64


class CudaError(X3DDeployError):
    """The CUDA driver refused a call."""


class Cuda:
    """One GPU through its primary context, which PyTorch and TensorRT share.

    Raises:
        MissingRequirementError: there is no driver, or no GPU.
    """

    def __init__(self, device: int = 0) -> None:
        try:
            self._driver = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise MissingRequirementError(
                f"no NVIDIA driver: {error}", hint="run this on a machine with an NVIDIA GPU and its driver"
            ) from error
        self._check("cuInit", 0)
        self._device, context = ctypes.c_int(), _Handle()
        self._check("cuDeviceGet", ctypes.byref(self._device), device)
        self._check("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._device)
        self._context = context
        self.make_current()

    @cached_property
    def name(self) -> str:
        """The GPU's."""
        buffer = ctypes.create_string_buffer(256)
        self._check("cuDeviceGetName", buffer, len(buffer), self._device)
        return buffer.value.decode(errors="replace")

    @cached_property
    def compute_capability(self) -> str:
        """'major.minor'."""
        values = []
        for attribute in (_MAJOR, _MINOR):
            value = ctypes.c_int()
            self._check("cuDeviceGetAttribute", ctypes.byref(value), attribute, self._device)
            values.append(value.value)
        return f"{values[0]}.{values[1]}"

    def make_current(self) -> None:
        """Let this thread use the GPU; needed in each thread."""
        self._check("cuCtxSetCurrent", self._context)

    def stream(self) -> Stream:
        """A stream that runs beside all others."""
        handle = _Handle()
        self._check("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        return Stream(self, handle)

    def event(self, *, timing: bool = False) -> Event:
        """A mark in a stream; with `timing`, one that knows when it was passed."""
        handle = _Handle()
        self._check("cuEventCreate", ctypes.byref(handle), _TIMING if timing else _NO_TIMING)
        return Event(self, handle)

    def allocate(self, size_bytes: int) -> DeviceMemory:
        """Device memory, freed with the object."""
        address = _Address()
        self._check("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size_bytes, 1)))
        return DeviceMemory(self, int(address.value), size_bytes)

    def allocate_pinned(self, shape: tuple[int, ...], dtype: str) -> PinnedArray:
        """Page-locked host memory, which copies run from without the driver copying first."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pointer = _Handle()
        self._check("cuMemHostAlloc", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)), 0)
        return PinnedArray(self, int(pointer.value or 0), shape, dtype)

    def call(self, function: str, *arguments: object) -> None:
        """Call a function of the driver. Raises CudaError where it fails."""
        self._check(function, *arguments)

    def release(self, function: str, handle: object) -> None:
        """Free something, without an error: at the end of a process the driver may be gone already."""
        with contextlib.suppress(AttributeError, TypeError):
            getattr(self._driver, function)(handle)

    def _check(self, function: str, *arguments: object) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code:
            raise CudaError(f"{function} failed: {self._describe(code)} ({code})")

    def _describe(self, code: int) -> str:
        text = ctypes.c_char_p()
        self._driver.cuGetErrorString(code, ctypes.byref(text))
        return (text.value or b"unknown error").decode(errors="replace")


class DeviceMemory:
    """Memory on the GPU."""

    def __init__(self, cuda: Cuda, address: int, size_bytes: int) -> None:
        self._cuda, self.address, self.size_bytes = cuda, address, size_bytes

    def __del__(self) -> None:
        self._cuda.release("cuMemFree_v2", _Address(self.address))


class PinnedArray:
    """A numpy array in page-locked memory; keep this object while `array` or views of it are in use."""

    def __init__(self, cuda: Cuda, address: int, shape: tuple[int, ...], dtype: str) -> None:
        self._cuda, self.address = cuda, address
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory: Any = (ctypes.c_char * size).from_address(address)
        self.array: npt.NDArray[np.generic] = np.frombuffer(memory, np.dtype(dtype)).reshape(shape)

    def __del__(self) -> None:
        self._cuda.release("cuMemFreeHost", _Handle(self.address))


class Event:
    """A mark that another stream can wait for."""

    def __init__(self, cuda: Cuda, handle: ctypes.c_void_p) -> None:
        self._cuda, self.handle = cuda, handle

    def ms_since(self, earlier: Event) -> float:
        """Milliseconds on the GPU's clock between two marks that were passed, about half a microsecond fine."""
        value = ctypes.c_float()
        self._cuda.call("cuEventElapsedTime", ctypes.byref(value), earlier.handle, self.handle)
        return value.value

    def __del__(self) -> None:
        self._cuda.release("cuEventDestroy_v2", self.handle)


class Stream:
    """Work that runs in order. Another library's stream is taken with `Stream.foreign`."""

    def __init__(self, cuda: Cuda, handle: ctypes.c_void_p, *, is_owned: bool = True) -> None:
        self._cuda, self._handle, self._is_owned = cuda, handle, is_owned

    @classmethod
    def foreign(cls, cuda: Cuda, handle: int) -> Stream:
        """A stream that someone else made and frees, such as PyTorch's current one; 0 is the default stream."""
        return cls(cuda, _Handle(handle), is_owned=False)

    @property
    def handle(self) -> int:
        return int(self._handle.value or 0)

    def synchronize(self) -> None:
        """Wait on the host until all of it is done."""
        self._cuda.call("cuStreamSynchronize", self._handle)

    def record(self, event: Event) -> None:
        """Set a mark here."""
        self._cuda.call("cuEventRecord", event.handle, self._handle)

    def wait(self, event: Event) -> None:
        """What follows runs after the mark."""
        self._cuda.call("cuStreamWaitEvent", self._handle, event.handle, 0)

    def to_device(self, target: int, source: int, size_bytes: int) -> None:
        """Copy host memory (address) to device memory (address)."""
        self._cuda.call(
            "cuMemcpyHtoDAsync_v2", _Address(target), _Handle(source), ctypes.c_size_t(size_bytes), self._handle
        )

    def to_host(self, target: int, source: int, size_bytes: int) -> None:
        """Copy device memory (address) to host memory (address)."""
        self._cuda.call(
            "cuMemcpyDtoHAsync_v2", _Handle(target), _Address(source), ctypes.c_size_t(size_bytes), self._handle
        )

    @contextlib.contextmanager
    def capture(self) -> Iterator[list[Graph]]:
        """Record what is put into this stream, and into those that wait for it, instead of running it.

        Gives a list which holds the recorded graph after the block.
        """
        captured: list[Graph] = []
        graph = _Handle()
        self._cuda.call("cuStreamBeginCapture_v2", self._handle, _CAPTURE_THREAD_LOCAL)
        try:
            yield captured
        except BaseException:
            # A stream must not be left capturing; what was recorded is thrown away.
            with contextlib.suppress(CudaError):
                self._cuda.call("cuStreamEndCapture", self._handle, ctypes.byref(graph))
            self._cuda.release("cuGraphDestroy", graph)
            raise
        self._cuda.call("cuStreamEndCapture", self._handle, ctypes.byref(graph))
        executable = _Handle()
        try:
            self._cuda.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._cuda.release("cuGraphDestroy", graph)
        captured.append(Graph(self._cuda, executable))

    def launch(self, graph: Graph) -> None:
        """Replay what was recorded."""
        self._cuda.call("cuGraphLaunch", graph.handle, self._handle)

    def __del__(self) -> None:
        if self._is_owned:
            self._cuda.release("cuStreamDestroy_v2", self._handle)


class Graph:
    """Recorded work, ready to be replayed."""

    def __init__(self, cuda: Cuda, handle: ctypes.c_void_p) -> None:
        self._cuda, self.handle = cuda, handle

    def __del__(self) -> None:
        self._cuda.release("cuGraphExecDestroy", self.handle)
