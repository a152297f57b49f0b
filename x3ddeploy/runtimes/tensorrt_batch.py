"""Runs of TensorRT engines for inputs of some shapes: enqueued wave by wave, recorded as a CUDA graph, replayed."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import numpy as np

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.tensorrt.cuda import Cuda, Event, Graph, PinnedArray, Stream
from x3ddeploy.tensorrt.engine import Context, Engine, Tensor

# Recorded graphs are small; PyTorch's allocator gives a loop the same few addresses again and again.
_KEPT_GRAPHS = 8

Waves = Sequence[Sequence[Engine]]
Addresses = Mapping[str, int]


class HostCopies:
    """Copies between page-locked host memory and the GPU, before and after a run."""

    def __init__(
        self, staging: Mapping[str, PinnedArray], inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> None:
        self._staging, self._inputs, self._outputs = staging, inputs, outputs

    def load(
        self, stream: Stream, names: Iterable[str], addresses: Addresses, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        for name in names:
            if name in self._inputs:
                size = size_bytes(shapes[name], self._inputs[name].dtype)
                stream.to_device(addresses[name], self._staging[name].address, size)

    def store(self, stream: Stream, addresses: Addresses, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, tensor in self._outputs.items():
            stream.to_host(self._staging[name].address, addresses[name], size_bytes(shapes[name], tensor.dtype))


class PreparedBatch:
    """Execution contexts for inputs of some shapes, and the ways of running them.

    Contexts are not shared between shapes: a recorded graph is of the shapes that its context had.
    """

    def __init__(
        self, cuda: Cuda, waves: Waves, inputs: Mapping[str, tuple[int, ...]], streams: Sequence[Stream]
    ) -> None:
        self.clips = next(iter(inputs.values()))[0]
        self.shapes = dict(inputs)
        self.waves: list[list[tuple[Sequence[Tensor], Context]]] = []
        for wave in waves:
            self.waves.append(
                [
                    (engine.tensors(), engine.context(stream.handle))
                    for engine, stream in zip(wave, streams, strict=False)
                ]
            )
            for tensors, context in self.waves[-1]:
                for tensor in tensors:
                    if tensor.is_input:
                        context.set_shape(tensor.name, self.shapes[tensor.name])
                self.shapes |= {tensor.name: context.shape_of(tensor.name) for tensor in tensors if not tensor.is_input}
                if context.scratch_bytes:
                    context.set_scratch(cuda.allocate(context.scratch_bytes))
        self.events: list[Event] = [cuda.event() for wave in waves for _ in range(2 * len(wave))]
        self._ways: OrderedDict[tuple[object, ...], Way] = OrderedDict()

    def way(self, addresses: Addresses, copies: HostCopies | None, repeats: int = 1) -> Way:
        """To run from and to some memory, with what was recorded of it before."""
        key = (copies is None, repeats, *sorted(addresses.items()))
        if key not in self._ways:
            self._ways[key] = Way(self, addresses, copies, repeats)
            if len(self._ways) > _KEPT_GRAPHS:
                self._ways.popitem(last=False)
        self._ways.move_to_end(key)
        return self._ways[key]


class _Progress(Enum):
    """State of a way of running: a context prepares in its first run, so that the second is recorded."""

    NEW = "never run"
    PREPARED = "run once"
    RECORDED = "replayed from now on"
    PLAIN = "cannot be recorded: enqueued each time"


class Way:
    """One way of running a batch: from and to some memory, with or without copies."""

    def __init__(self, batch: PreparedBatch, addresses: Addresses, copies: HostCopies | None, repeats: int) -> None:
        self._repeats = repeats
        self.clips = batch.clips
        self._waves, self._events, self._shapes = batch.waves, batch.events, batch.shapes
        self._addresses, self._copies = addresses, copies
        self._progress = _Progress.NEW
        self._graph: Graph | None = None

    def run(self, streams: Sequence[Stream]) -> str:
        """Put one run into the streams; gives why it could not be recorded, in the run that tried, else ''."""
        problem = ""
        if self._progress is _Progress.PREPARED:
            try:
                self._graph = self._record(streams)
                self._progress = _Progress.RECORDED
            except X3DDeployError as error:
                problem = error.message
        if self._graph is not None:
            streams[0].launch(self._graph)
            return ""
        self._put(streams)  # where more than the capture is wrong, this says so
        if problem:
            self._progress = _Progress.PLAIN
        elif self._progress is _Progress.NEW:
            self._progress = _Progress.PREPARED
        return problem

    def _record(self, streams: Sequence[Stream]) -> Graph:
        contexts = [context for wave in self._waves for _, context in wave]
        if not all(context.is_capturable(streams[0].handle) for context in contexts):
            raise X3DDeployError("TensorRT says that a stream cannot be captured with it")
        with streams[0].capture() as captured:
            self._put(streams)
        (graph,) = captured
        return graph

    def _put(self, streams: Sequence[Stream]) -> None:
        for _ in range(self._repeats):
            self._put_once(streams)

    def _put_once(self, streams: Sequence[Stream]) -> None:
        """It begins and ends in the first stream. What one engine alone takes is copied in that engine's stream."""
        addresses, main, events = self._addresses, streams[0], iter(self._events)
        taken = Counter(
            tensor.name for wave in self._waves for tensors, _ in wave for tensor in tensors if tensor.is_input
        )
        if self._copies is not None:
            self._copies.load(main, (name for name, takers in taken.items() if takers > 1), addresses, self._shapes)
        for wave in self._waves:
            beside = streams[1 : len(wave)]
            if beside:
                start = next(events)
                main.record(start)
                for stream in beside:
                    stream.wait(start)
            for stream, (tensors, context) in zip(streams, wave, strict=False):
                if self._copies is not None:
                    own = (tensor.name for tensor in tensors if tensor.is_input and taken[tensor.name] == 1)
                    self._copies.load(stream, own, addresses, self._shapes)
                for tensor in tensors:
                    context.set_address(tensor.name, addresses[tensor.name])
                context.enqueue(stream.handle)
            for stream in beside:
                done = next(events)
                stream.record(done)
                main.wait(done)
        if self._copies is not None:
            self._copies.store(main, addresses, self._shapes)


def size_bytes(shape: Sequence[int], dtype: str) -> int:
    """Bytes that an array takes."""
    return math.prod(shape) * np.dtype(dtype).itemsize
