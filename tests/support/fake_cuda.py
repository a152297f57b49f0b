"""A GPU that runs on the host, and only does what it is made to do.

Streams hold back their work. Nothing runs before a wait, a synchronization or its stream's haste asks for it, so that a
missing dependency between two streams gives wrong numbers here, as it may on a GPU. What the driver forbids while a
stream is captured fails here as well (CUDA C++ Programming Guide, "Prohibited and Unhandled Operations").
"""

import contextlib
import ctypes
from typing import Any

import numpy as np

from x3ddeploy.tensorrt.cuda import CudaError

ALIGNMENT = 256
# What streams were asked for while one was captured; `FakeStream.put` says what an operation is.
Recorded = list[tuple["FakeStream", tuple[str, object]]]


class FakeCuda:
    """Stands in for x3ddeploy.tensorrt.cuda.Cuda.

    Args:
        hasty: whether streams other than the first run what they can at once; else they run as late as they may.
    """

    name = "Fake GPU"
    compute_capability = "9.0"

    def __init__(self, hasty=False, compute_capability="9.0"):
        self.hasty = hasty
        self.compute_capability = compute_capability
        self.module: Any = None  # the TensorRT that is played beside it
        self.streams = []
        self.recording: Recorded | None = None
        self.broken = ""  # why what is recorded cannot be made a graph
        self.captures = 0
        self.launches = 0
        self.ticks = 0  # pieces of work done: the GPU's clock

    def make_current(self):
        pass

    def stream(self):
        self.streams.append(FakeStream(self, len(self.streams) + 1))
        return self.streams[-1]

    def stream_of(self, handle):
        return self.streams[handle - 1]

    def event(self, *, timing=False):
        return FakeEvent(self, timing)

    def allocate(self, size_bytes):
        if self.recording is not None:
            self.broken = "cuMemAlloc_v2 while a stream is captured"
            raise CudaError(self.broken)
        return FakeMemory((size_bytes,), "uint8")

    def allocate_pinned(self, shape, dtype):
        return FakeMemory(shape, dtype)


class FakeMemory:
    def __init__(self, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._raw = np.full(size + ALIGNMENT, 0xFF, np.uint8)  # NaN in float16 and float32: unwritten memory shows
        offset = -self._raw.ctypes.data % ALIGNMENT
        self.array = self._raw[offset : offset + size].view(dtype).reshape(shape)
        self.address = self.array.ctypes.data
        self.size_bytes = size


class FakeEvent:
    token: Any = None  # of what was recorded

    def __init__(self, cuda, timing):
        self._cuda, self._timing = cuda, timing

    def ms_since(self, earlier):
        if not (self._timing and earlier._timing):
            raise CudaError("cuEventElapsedTime failed: invalid resource handle (400)")
        if not (self.token.done and earlier.token.done):
            raise CudaError("cuEventElapsedTime failed: not ready (600)")
        return float(self.token.tick - earlier.token.tick)


class _Token:
    def __init__(self, stream):
        self.stream = stream
        self.done, self.tick = False, 0


class FakeStream:
    def __init__(self, cuda, handle):
        self._cuda, self.handle = cuda, handle
        self._queue = []

    @classmethod
    def foreign(cls, cuda, handle):
        return cuda.stream_of(handle)

    def put(self, operation):
        """An operation is ('run', function), ('record', event) or ('wait', event)."""
        if self._cuda.recording is not None:
            self._cuda.recording.append((self, operation))
            return
        kind, subject = operation
        if kind == "record":
            subject.token = _Token(self)
            self._queue.append(("done", subject.token))
        elif kind == "wait":
            self._queue.append(("until", subject.token))
        else:
            self._queue.append(("run", subject))
        if self._cuda.hasty and self.handle > 1:
            self._advance(may_wait=False)

    def record(self, event):
        self.put(("record", event))

    def wait(self, event):
        self.put(("wait", event))

    def to_device(self, target, source, size_bytes):
        self.put(("run", lambda: ctypes.memmove(target, source, size_bytes)))

    to_host = to_device

    def synchronize(self):
        if self._cuda.recording is not None:
            self._cuda.broken = "cuStreamSynchronize while a stream is captured"
            raise CudaError(self._cuda.broken)
        self._advance(may_wait=True)

    def launch(self, graph):
        self._cuda.launches += 1
        for stream, operation in graph:
            stream.put(operation)

    @contextlib.contextmanager
    def capture(self):
        captured: list[Recorded] = []
        cuda = self._cuda
        cuda.captures += 1
        recorded: Recorded = []
        cuda.recording = recorded
        cuda.broken = ""
        try:
            yield captured
        finally:
            cuda.recording = None
        if cuda.broken:
            raise CudaError(f"cuStreamEndCapture failed: {cuda.broken} (901)")
        captured.append(recorded)

    def _advance(self, may_wait):
        while self._queue:
            kind, subject = self._queue[0]
            if kind == "until" and not subject.done:
                if not may_wait:
                    return
                subject.stream._run_up_to(subject)
            self._queue.pop(0)
            self._do(kind, subject)

    def _run_up_to(self, token):
        while not token.done:
            kind, subject = self._queue[0]
            if kind == "until" and not subject.done:
                subject.stream._run_up_to(subject)
            self._queue.pop(0)
            self._do(kind, subject)

    def _do(self, kind, subject):
        if kind == "done":
            subject.done, subject.tick = True, self._cuda.ticks
        elif kind == "run":
            self._cuda.ticks += 1
            subject()
