"""TensorRT engines on an NVIDIA GPU: preallocated memory, both streams side by side, replayed as CUDA graphs.

Parts run in waves: those that need nothing of each other at once, each in a CUDA stream of its own, then those that
take what they gave. What lies between them stays on the GPU; with the engines of the preprocessing graphs as the first
wave, frames go up as the bytes that they are. A run that comes a second time with the same number of clips (and
persons), from and to the same memory, is recorded as a CUDA graph, and from then on replayed by one call in the place
of some hundred launches.

A session is for one thread at a time.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.runtimes.base import Array, Session, check_feeds
from x3ddeploy.tensorrt.cuda import Cuda, DeviceMemory, Event, Graph, PinnedArray, Stream
from x3ddeploy.tensorrt.place import Host, engine_path, engines_of, flavour_of
from x3ddeploy.tensorrt.trt import Context, Engine, Tensor, TensorRT, open_tensorrt
from x3ddeploy.terms import Precision

if TYPE_CHECKING:
    import torch

# Each number of clips, and of persons, has execution contexts of its own, which hold activations: few are kept.
_KEPT_BATCHES = 4
# Recorded graphs are small; PyTorch's allocator gives a loop the same few addresses again and again.
_KEPT_GRAPHS = 8
_ALIGNMENT = 256  # bytes, of every address that TensorRT is given; IExecutionContext::setTensorAddress

Waves = Sequence[Sequence[Engine]]
Addresses = Mapping[str, int]


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
        self._streams = [cuda.stream() for _ in range(max(map(len, waves)))]
        self.notes: list[str] = []
        self._marks = cuda.event(timing=True), cuda.event(timing=True)
        self._batches: OrderedDict[tuple[object, ...], _Batch] = OrderedDict()
        most = {name: (self.max_batch, *tensor.largest[1:]) for name, tensor in self._given.items()}
        largest = _Batch(cuda, waves, most, self._streams)
        types = {tensor.name: tensor.dtype for tensor in tensors}
        self._memory: dict[str, DeviceMemory] = {
            name: cuda.allocate(_size(shape, types[name])) for name, shape in largest.shapes.items()
        }
        self._staging: dict[str, PinnedArray] = {
            name: cuda.allocate_pinned(largest.shapes[name], types[name]) for name in (*self._given, *self._results)
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs in host memory to outputs in host memory; both copies are part of the recorded graph."""
        check_feeds(self.inputs, feeds)
        batch = self._of({name: value.shape for name, value in feeds.items()})
        for name, value in feeds.items():
            np.copyto(_front(self._staging[name].array, value.shape), value, casting="same_kind")
        self._launch(batch.way(self._own_addresses(), _HostCopies(self._staging, self._given, self._results)))
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

    def _launch(self, way: _Way) -> None:
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

    def _of(self, shapes: Mapping[str, tuple[int, ...]]) -> _Batch:
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
            self._batches[key] = _Batch(self._cuda, self._waves, shapes, self._streams)
            if len(self._batches) > _KEPT_BATCHES:
                self._streams[0].synchronize()  # the oldest one's contexts may be at work still
                self._batches.popitem(last=False)
        self._batches.move_to_end(key)
        return self._batches[key]


class _HostCopies:
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
                size = _size(shapes[name], self._inputs[name].dtype)
                stream.to_device(addresses[name], self._staging[name].address, size)

    def store(self, stream: Stream, addresses: Addresses, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, tensor in self._outputs.items():
            stream.to_host(self._staging[name].address, addresses[name], _size(shapes[name], tensor.dtype))


class _Batch:
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
        self._ways: OrderedDict[tuple[object, ...], _Way] = OrderedDict()

    def way(self, addresses: Addresses, copies: _HostCopies | None, repeats: int = 1) -> _Way:
        """To run from and to some memory, with what was recorded of it before."""
        key = (copies is None, repeats, *sorted(addresses.items()))
        if key not in self._ways:
            self._ways[key] = _Way(self, addresses, copies, repeats)
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


class _Way:
    """One way of running a batch: from and to some memory, with or without copies."""

    def __init__(self, batch: _Batch, addresses: Addresses, copies: _HostCopies | None, repeats: int) -> None:
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


def require_device(device: str) -> None:
    """Raises MissingRequirementError where there is no such GPU."""
    Cuda(_index(device))


def open_engines(
    bundle: Bundle, part: str, precision: Precision, runtime: str, device: str, before: Sequence[str] = ()
) -> TensorRTSession:
    """The engine of a part; for the whole network those of its pieces, which run side by side, where it has them.

    Args:
        bundle: an opened bundle.
        part: part of the contract, or a preprocessing graph.
        precision: precision of the engines; those of preprocessing graphs are float32.
        runtime: 'tensorrt' or 'tensorrt-rtx'.
        device: 'cuda', or 'cuda:1' for the second GPU.
        before: preprocessing graphs whose engines run in front, so that the session takes what they take.

    Raises:
        MissingRequirementError: no GPU, or no TensorRT.
        BundleError: there is no such engine, or none that fits; what it was built on and how to rebuild it is said.
    """
    cuda = Cuda(_index(device))
    tensorrt = open_tensorrt(flavour_of(runtime), _log)
    waves = _waves(bundle, part, precision, runtime)
    paths = _plans(bundle, [*([[(name, Precision.FP32) for name in before]] if before else []), *waves], cuda, tensorrt)
    plans = [[path.read_bytes() for path in wave] for wave in paths]
    # Their sha256 is the manifest's: the lean runtime that a version-compatible plan carries may run.
    session = session_of_plans(cuda, tensorrt, plans, host_code=True)
    session.runtime = runtime
    return session


def require_engines(
    bundle: Bundle, precision: Precision, runtime: str, device: str, before: Sequence[str] = ()
) -> None:
    """Raises BundleError where no engines of the whole network, and of the graphs in front of it, fit this machine.

    Raises:
        MissingRequirementError: as `open_engines`.
    """
    waves = [[(name, Precision.FP32) for name in before], *_waves(bundle, WHOLE, precision, runtime)]
    _plans(bundle, waves, Cuda(_index(device)), open_tensorrt(flavour_of(runtime), _log))


def _waves(bundle: Bundle, part: str, precision: Precision, runtime: str) -> list[list[tuple[str, Precision]]]:
    """The engines that a part runs in, by name and precision."""
    built = {entry.part for entry in engines_of(bundle, runtime, precision)}
    is_cut = part == WHOLE and built.issuperset(bundle.contract.pieces)
    return [[(name, precision) for name in wave] for wave in (bundle.contract.waves if is_cut else ((part,),))]


def _plans(
    bundle: Bundle, waves: Sequence[Sequence[tuple[str, Precision]]], cuda: Cuda, tensorrt: TensorRT
) -> list[list[Path]]:
    """Files of engines that fit this machine."""
    host = Host(cuda.name, cuda.compute_capability, None, tensorrt.flavour, tensorrt.version)
    return [[engine_path(bundle, name, precision, host) for name, precision in wave] for wave in waves]


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


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _log(severity: str, message: str) -> None:
    logging.getLogger("x3ddeploy.tensorrt").warning("%s: %s", severity, message)


def _axis(size: int) -> int | None:
    return None if size == -1 else size


def _size(shape: Sequence[int], dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _front(memory: Array, shape: tuple[int, ...]) -> Array:
    """An array of that shape, which lies where `memory` begins."""
    return memory.reshape(-1)[: math.prod(shape)].reshape(shape)
