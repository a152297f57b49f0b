"""One stream of a network, from what it reads to its logits, as a graph of its own; and its logits on clips.

A stream is a set of logits that some score is of; a network without streams has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx.utils import Extractor

from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.contract import Contract
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.roles import Structure
from x3ddeploy.runtimes.base import Array, Session
from x3ddeploy.runtimes.registry import Execution, open_session

KEPT_BYTES = 1 << 30


class ReusedClips:
    """The inputs of some clips, in order, any number of times.

    Args:
        chosen: the clips.
        limit_bytes: how much of them stays in memory.
    """

    def __init__(self, chosen: Chosen, limit_bytes: int = KEPT_BYTES) -> None:
        self._chosen, self._limit_bytes = chosen, limit_bytes
        self._kept: list[Mapping[str, Array]] = []
        self._kept_bytes = 0

    def names(self) -> list[str]:
        """Names of the clips."""
        return self._chosen.names()

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        yield from self._kept
        for clip in self._chosen.load(start=len(self._kept)):
            size = sum(value.nbytes for value in clip.inputs.values())
            if self._kept_bytes + size <= self._limit_bytes:
                self._kept.append(clip.inputs)
                self._kept_bytes += size
            else:
                self._limit_bytes = self._kept_bytes  # what is kept is a beginning of the clips
            yield clip.inputs


Logits = npt.NDArray[np.float32]


def streams_of(contract: Contract) -> dict[str, str]:
    """Name of each stream -> its logits; a score of these logits alone gives the name, else the tensor does."""
    names = {tensor: name for name, tensor in contract.logits.items()}
    tensors = dict.fromkeys(tensor for score in contract.scores.values() for tensor in score.weights)
    return {names.get(tensor, tensor): tensor for tensor in tensors}


def streams_of_nodes(model: onnx.ModelProto, streams: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The streams that each node leads to, in their order, by the node's name.

    What leads to none (logits that no score is of) counts to the streams that its first input leads to.

    Args:
        model: the whole network.
        streams: what `streams_of` returned.
    """
    producers = Structure(model).producers
    found: dict[str, tuple[str, ...]] = {}
    for stream, tensor in streams.items():
        for name in _ancestors(tensor, producers):
            found[name] = (*found.get(name, ()), stream)
    for node in model.graph.node:  # in the order of work: what comes before is known
        if node.name not in found:
            before = next((producers[name].name for name in node.input if name in producers), "")
            found[node.name] = found.get(before, ())
    return found


def stream_graph(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The part of a network that leads to some logits, with the inputs that it needs.

    Args:
        model: the whole network, in any precision.
        tensor: name of a tensor of logits.
    """
    producers = Structure(model).producers
    needed = _ancestors(tensor, producers)
    read = {name for node in model.graph.node if node.name in needed for name in node.input}
    return Extractor(model).extract_model([value.name for value in model.graph.input if value.name in read], [tensor])


def open_stream(graph: onnx.ModelProto, execution: Execution) -> Session:
    """A session on a stream's graph."""
    return open_session(execution.runtime, graph.SerializeToString(), device=execution.device)


def logits_on(session: Session, stream: str, clips: Iterable[Mapping[str, Array]]) -> Logits:
    """(N, classes) logits of a stream's graph, one clip at a time, as a deployment of batch 1 computes them.

    Args:
        session: the session that `open_stream` returned.
        stream: its name, for messages.
        clips: inputs of the whole network.

    Raises:
        X3DDeployError: they are not finite.
    """
    (output,) = session.outputs
    rows = [session.run({name: clip[name] for name in session.inputs})[output] for clip in clips]
    logits = np.concatenate(rows).astype(np.float32)
    if not np.isfinite(logits).all():
        bad = [index for index, row in enumerate(logits) if not np.isfinite(row).all()]
        raise X3DDeployError(f"the {stream} logits are not finite", details=[f"clip {index}" for index in bad[:8]])
    return logits


def _ancestors(tensor: str, producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    """Names of the nodes that a tensor is made by."""
    pending, found = [tensor], set[str]()
    while pending:
        node = producers.get(pending.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            pending += node.input
    return found
