"""What lies before the layers that a trial quantizes is float32 in every trial: it is computed once for all of them."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Mapping

import onnx
from onnx.utils import Extractor

from x3ddeploy.precision.streams import KEPT_BYTES, open_stream
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import Execution

Clips = Iterable[Mapping[str, Array]]


def cuts(graph: onnx.ModelProto) -> dict[int, str]:
    """Places where a graph can be cut in two: number of nodes before the cut -> the only tensor that crosses it."""
    constants = {tensor.name for tensor in graph.graph.initializer}
    last_read = {name: place for place, node in enumerate(graph.graph.node) for name in node.input}
    live = {value.name for value in graph.graph.input if value.name in last_read}
    found = {}
    for place, node in enumerate(graph.graph.node):
        live |= {name for name in node.output if name in last_read} - constants
        live -= {name for name in live if last_read[name] <= place}
        if len(live) == 1:
            (found[place + 1],) = live
    return found


def between(graph: onnx.ModelProto, before: Collection[str], after: str) -> onnx.ModelProto:
    """The stretch of a graph from some of its tensors to another."""
    return Extractor(graph).extract_model(list(before), [after])


class Prefix:
    """A stream's float32 tensors at one cut, for all clips: the furthest one that was asked for.

    Trials in the graph's order let it move on, block by block; each node is then computed once.

    Args:
        graph: float32 stream.
        execution: what runs it.
        clips: the graph's inputs.
        limit_bytes: how much may be held; where a cut's tensors take more, there is nothing at that cut.
    """

    def __init__(
        self, graph: onnx.ModelProto, execution: Execution, clips: Clips, limit_bytes: int = KEPT_BYTES
    ) -> None:
        self._graph, self._execution, self._clips, self._limit_bytes = graph, execution, clips, limit_bytes
        self._places = {node.name: place for place, node in enumerate(graph.graph.node)}
        self._cuts = cuts(graph)
        self._ordered = sorted(self._cuts)
        self._place, self._held = 0, list[dict[str, Array]]()

    def before(self, nodes: Collection[str]) -> tuple[str, list[dict[str, Array]]] | None:
        """The last cut before all of these nodes: the name of its tensor, and that tensor for each clip.

        None where the graph has no such cut, or its tensors are too large to be held.
        """
        first = min((self._places[name] for name in nodes if name in self._places), default=0)
        index = bisect.bisect_right(self._ordered, first)
        if not index:
            return None
        place = self._ordered[index - 1]
        if place != self._place and not self._move(place):
            return None
        return self._cuts[place], self._held

    def _move(self, place: int) -> bool:
        """Compute what crosses a cut, from the cut held where that lies before it; whether it can be held."""
        tensor = self._cuts[place]
        onward = 0 < self._place < place
        inputs = [self._cuts[self._place]] if onward else [value.name for value in self._graph.graph.input]
        feeds: Clips = _consumed(self._held) if onward else self._clips
        session = open_stream(between(self._graph, inputs, tensor), self._execution)
        held, size = [], 0
        for clip in feeds:
            held.append(session.run({name: clip[name] for name in session.inputs}))
            size += held[-1][tensor].nbytes
            if size > self._limit_bytes:
                self._place, self._held = 0, []
                return False
        self._place, self._held = place, held
        return True


def _consumed(held: list[dict[str, Array]]) -> Clips:
    """Each in turn, and forgotten."""
    held.reverse()
    while held:
        yield held.pop()
