"""TensorRT engines on an NVIDIA GPU: preallocated memory, both streams side by side, replayed as CUDA graphs.

Parts run in waves: those that need nothing of each other at once, each in a CUDA stream of its own, then those that
take what they gave. What lies between them stays on the GPU; with the engines of the preprocessing graphs as the first
wave, frames go up as the bytes that they are. A run that comes a second time with the same number of clips (and
persons), from and to the same memory, is recorded as a CUDA graph, and from then on replayed by one call in the place
of some hundred launches.

`run` serves one thread at a time, and others wait; what computes on a caller's GPU memory is for one thread at a time.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.runtimes.base import Array, Session, check_feeds
from x3ddeploy.runtimes.tensorrt_batch import HostCopies, PreparedBatch, Waves, Way, size_bytes
from x3ddeploy.tensorrt.cuda import Cuda, DeviceMemory, PinnedArray, Stream
from x3ddeploy.tensorrt.trt import TensorRT

if TYPE_CHECKING:
    import torch

# Each number of clips, and of persons, has execution contexts of its own, which hold activations: few are kept.
_KEPT_BATCHES = 4
_ALIGNMENT = 256  # bytes, of every address that TensorRT is given; IExecutionContext::setTensorAddress


class TensorRTSession(Session):
    """Engines that run in waves, those of one wave side by side.

    Attributes:
        min_batch: fewest clips of a call.
        max_batch: most clips of a call.
        notes: what is done another way than it could be, and why: runs that could not be recorded as a CUDA graph.
    """

    runtime = "tensorrt"

    def __init__(self, cuda: Cuda, waves: Waves, version: str) -> None:
        """Allocate memory for the profile's largest batch.

        Args:
            cuda: the GPU that the engines were loaded on.
            waves: engines; a tensor that one gives feeds the later ones that take a tensor of its name.
            version: version of TensorRT.
        """
        self.version = version
        self.device = cuda.name
        self._cuda, self._waves = cuda, waves
        tensors = [tensor for wave in waves for engine in wave for tensor in engine.tensors()]
        made = {tensor.name for tensor in tensors if not tensor.is_input}
        self._given = {tensor.name: tensor for tensor in tensors if tensor.is_input and tensor.name not in made}
        last = [tensor for engine in waves[-1] for tensor in engine.tensors()]
        self._results = {tensor.name: tensor for tensor in last if not tensor.is_input}
        self.inputs = {tensor.name: tuple(_axis(size) for size in tensor.shape) for tensor in self._given.values()}
        self.outputs = tuple(self._results)
        self.max_batch = min(tensor.largest[0] for tensor in tensors if tensor.is_input)
        self.min_batch = max(tensor.smallest[0] for tensor in tensors if tensor.is_input)
        self._one_at_a_time = Lock()
        self._streams = [cuda.stream() for _ in range(max(map(len, waves)))]
        self.notes: list[str] = []
        self._marks = cuda.event(timing=True), cuda.event(timing=True)
        self._batches: OrderedDict[tuple[object, ...], PreparedBatch] = OrderedDict()
        most = {name: (self.max_batch, *tensor.largest[1:]) for name, tensor in self._given.items()}
        largest = PreparedBatch(cuda, waves, most, self._streams)
        types = {tensor.name: tensor.dtype for tensor in tensors}
        self._memory: dict[str, DeviceMemory] = {
            name: cuda.allocate(size_bytes(shape, types[name])) for name, shape in largest.shapes.items()
        }
        self._staging: dict[str, PinnedArray] = {
            name: cuda.allocate_pinned(largest.shapes[name], types[name]) for name in (*self._given, *self._results)
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs in host memory to outputs in host memory; both copies are part of the recorded graph."""
        check_feeds(self.inputs, feeds)
        with self._one_at_a_time:
            batch = self._of({name: value.shape for name, value in feeds.items()})
            for name, value in feeds.items():
                np.copyto(_front(self._staging[name].array, value.shape), value, casting="same_kind")
            self._launch(batch.way(self._own_addresses(), HostCopies(self._staging, self._given, self._results)))
            self._streams[0].synchronize()
            return {name: _front(self._staging[name].array, batch.shapes[name]).copy() for name in self.outputs}

    def beside(self) -> TensorRTSession:
        """One more on the same engines, for another thread: contexts, streams, graphs and memory of its own."""
        return TensorRTSession(self._cuda, self._waves, self.version)

    def run_on_gpu(
        self, feeds: Mapping[str, torch.Tensor], out: Mapping[str, torch.Tensor] | None = None
    ) -> dict[str, torch.Tensor]:
        """PyTorch tensors on the GPU in and out, nothing copied, nothing waited for on the host.

        The work is ordered behind what PyTorch's current stream holds, and before what is put there afterwards.

        Args:
            feeds: contiguous tensors of the inputs' types on this session's GPU.
            out: tensors to write to; left out, new ones. Giving the same ones each time lets a recorded graph be used
                each time.

        Raises:
            X3DDeployError: a tensor lies elsewhere, has another type or shape, or is not contiguous.
        """
        import torch

        problems = [
            f"{name!r}: {value.dtype} on {value.device}{'' if value.is_contiguous() else ', not contiguous'}, "
            f"address a multiple of {value.data_ptr() & -value.data_ptr()}"
            for name, value in {**feeds, **(out or {})}.items()
            if not self._can_be_read(name, value)
        ]
        if problems:
            raise X3DDeployError(
                "tensors that the engine cannot use in place",
                details=problems,
                hint=f"contiguous tensors of the engine's type on {self.device}, not views into others",
            )
        check_feeds(self.inputs, feeds)  # type: ignore[arg-type]
        first = next(iter(feeds.values()))
        batch = self._of({name: tuple(value.shape) for name, value in feeds.items()})
        results = {
            name: torch.empty(batch.shapes[name], dtype=getattr(torch, tensor.dtype), device=first.device)
            for name, tensor in self._results.items()
            if name not in (out or {})
        } | dict(out or {})
        misshapen = [name for name in self.outputs if tuple(results[name].shape) != batch.shapes[name]]
        if misshapen:
            raise X3DDeployError("output tensors of another shape than the outputs", details=misshapen)
        addresses = self._own_addresses() | {name: value.data_ptr() for name, value in {**feeds, **results}.items()}
        theirs = Stream.foreign(self._cuda, torch.cuda.current_stream(first.device).cuda_stream)
        before, after = self._cuda.event(), self._cuda.event()
        theirs.record(before)
        self._streams[0].wait(before)
        self._launch(batch.way(addresses, None))
        self._streams[0].record(after)
        theirs.wait(after)
        return {name: results[name] for name in self.outputs}

    def resident(self, feeds: Mapping[str, Array]) -> Callable[[], float]:
        """What a call gives is the time in milliseconds that the GPU itself counted, without the host's part in it."""
        self.run(feeds)
        return self._resident({name: value.shape for name, value in feeds.items()}, 1)

    def resident_run(self, clips: int, repeats: int = 1) -> Callable[[], float]:
        """Runs on what lies in the session's own memory, each waited for on the host: the computation without copies.

        Args:
            clips: how many of the clips there, e.g. of the last `run`; of persons as many as the profile is best at.
            repeats: runs in one, and in one CUDA graph: what takes no longer than a launch can be timed so.

        Returns:
            One run; its result is the milliseconds between two events in the stream, before and behind it.
        """
        return self._resident({name: (clips, *tensor.optimal[1:]) for name, tensor in self._given.items()}, repeats)

    def _resident(self, shapes: Mapping[str, tuple[int, ...]], repeats: int) -> Callable[[], float]:
        way = self._of(shapes).way(self._own_addresses(), None, repeats)
        (start, end), main = self._marks, self._streams[0]

        def run() -> float:
            main.record(start)
            self._launch(way)
            main.record(end)
            main.synchronize()
            return end.ms_since(start)

        return run

    @property
    def uses_cuda_graph(self) -> bool:
        """Whether no run had to be enqueued kernel by kernel because it could not be recorded."""
        return not self.notes

    def _launch(self, way: Way) -> None:
        problem = way.run(self._streams)
        if problem:
            note = f"runs of {way.clips} clips are not recorded as a CUDA graph: {problem}"
            self.notes.append(note)
            logging.getLogger("x3ddeploy.tensorrt").warning(note)

    def _own_addresses(self) -> dict[str, int]:
        return {name: memory.address for name, memory in self._memory.items()}

    def _can_be_read(self, name: str, value: torch.Tensor) -> bool:
        tensor = {**self._given, **self._results}.get(name)
        return (
            tensor is not None
            and str(value.dtype) == f"torch.{tensor.dtype}"
            and value.is_cuda
            and value.is_contiguous()
            and value.data_ptr() % _ALIGNMENT == 0
        )

    def _of(self, shapes: Mapping[str, tuple[int, ...]]) -> PreparedBatch:
        """The contexts for inputs of these shapes, made where they are not there yet."""
        self._cuda.make_current()
        counts = {shape[0] for shape in shapes.values()}
        if len(counts) > 1:
            raise UsageError(f"inputs of {' and '.join(map(str, sorted(counts)))} clips: all of a run have as many")
        (clips,) = counts
        if not 1 <= clips <= self.max_batch:
            raise UsageError(
                f"{clips} clips at once, and the engines take at most {self.max_batch}",
                hint="build them with larger --max-shapes",
            )
        key = tuple(shapes[name] for name in self._given)
        if key not in self._batches:
            self._batches[key] = PreparedBatch(self._cuda, self._waves, shapes, self._streams)
            if len(self._batches) > _KEPT_BATCHES:
                self._streams[0].synchronize()  # the oldest one's contexts may be at work still
                self._batches.popitem(last=False)
        self._batches.move_to_end(key)
        return self._batches[key]


def session_of_plans(
    cuda: Cuda, tensorrt: TensorRT, waves: Sequence[Sequence[bytes]], *, host_code: bool = False
) -> TensorRTSession:
    """A session on plans that are in memory.

    Args:
        cuda: the GPU.
        tensorrt: what built them.
        waves: plans.
        host_code: see `TensorRT.load`.
    """
    engines = [[tensorrt.load(plan, host_code=host_code) for plan in wave] for wave in waves]
    return TensorRTSession(cuda, engines, tensorrt.version)


def _axis(size: int) -> int | None:
    return None if size == -1 else size


def _front(memory: Array, shape: tuple[int, ...]) -> Array:
    """An array of that shape, which lies where `memory` begins."""
    return memory.reshape(-1)[: math.prod(shape)].reshape(shape)
