"""What a choice of quantized layers does to the logits: each choice is tried once, and remembered."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from x3ddeploy.atomic import explain_os_errors, write_bytes
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.data.arrays import CLIP_LIMIT, read_arrays
from x3ddeploy.errors import DataError
from x3ddeploy.precision.faithful import Intent
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.prefix import Prefix, between
from x3ddeploy.precision.qdq import insert_qdq
from x3ddeploy.precision.sites import Site, find_sites
from x3ddeploy.precision.streams import Logits, logits_on, open_stream, stream_graph
from x3ddeploy.precision.targets import TargetPrecision
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

Clips = Iterable[Mapping[str, Array]]


@dataclass(frozen=True)
class Quantizer:
    """Makes INT8 graphs of one bundle for one target.

    Attributes:
        ranges: ranges by source tensor.
        overflow: nodes that float16 cannot hold, by name.
        opset17: leave what is not quantized float32, for TensorRT 8.6, whose opset has no half-typed pairs.
    """

    target: TargetPrecision
    ranges: Mapping[str, Range]
    overflow: Collection[str] = ()
    opset17: bool = False

    def eligible(self, model: onnx.ModelProto) -> list[Site]:
        """The layers of a whole network, or of a stream, that the target may quantize.

        A part does not tell: what reads a feature there would be taken for what reads the camera.
        """
        return [site for site in find_sites(model) if self.target.scheme.takes(site)]

    def quantize(self, model: onnx.ModelProto, sites: Collection[str]) -> onnx.ModelProto:
        """A float32 graph with the named layers quantized and the rest in the target's type.

        Args:
            model: any part or stream.
            sites: names of eligible layers; those that the graph does not have are passed over.
        """
        chosen = [site for site in find_sites(model) if site.node in sites]
        quantized = insert_qdq(model, chosen, self.ranges, self.target.scheme)
        if self._rest is None:
            return quantized
        return to_half(quantized, self._rest, {*float32_nodes(quantized), *self.overflow})

    def intent(self, model: onnx.ModelProto, sites: Collection[str]) -> Intent:
        """What `quantize` is to make of a float32 graph."""
        chosen = tuple(site for site in find_sites(model) if site.node in sites)
        return Intent(self._rest, {*float32_nodes(model), *self.overflow}, chosen, self.ranges, self.target.scheme)

    @property
    def _rest(self) -> Precision | None:
        """Type of what is not quantized; None is float32."""
        return None if self.opset17 else self.target.rest


class Trials:
    """Logits of every stream for choices of quantized layers, on a fixed set of clips."""

    def __init__(
        self,
        recognizer: onnx.ModelProto,
        streams: Mapping[str, str],
        execution: Execution,
        quantizer: Quantizer,
        clips: Clips,
        journal: Path | None = None,
        key: str = "",
        on_trial: Callable[[], None] = lambda: None,
        *,
        one_by_one: bool = False,
    ) -> None:
        """Prepare.

        Args:
            recognizer: float32 graph of the whole network.
            streams: what `streams_of` returned.
            execution: what runs the trials.
            quantizer: makes the trials' graphs.
            clips: the graph's inputs, one video each; gone through once a trial.
            journal: file that keeps what was measured, so that an interrupted search goes on where it was.
            key: key of what the journal belongs to; a journal with another key is started anew.
            on_trial: called after each trial that was run.
            one_by_one: the trials are of few layers each, in the graph's order, and the rest is float32: what lies
                before the layers of a trial is computed once for all trials.
        """
        self.streams = {stream: stream_graph(recognizer, tensor) for stream, tensor in streams.items()}
        self._execution = execution
        self._quantizer, self._clips, self._journal, self._key, self._on_trial = (
            quantizer,
            clips,
            journal,
            key,
            on_trial,
        )
        self._known: dict[str, Logits] = _read_journal(journal, key) if journal else {}
        self._prefixes = (
            {stream: Prefix(graph, execution, clips) for stream, graph in self.streams.items()} if one_by_one else {}
        )

    def reference(self, stream: str) -> Logits:
        """Float32 logits."""
        return self._remember(f"{stream}/float32", lambda: self._run(stream, self.streams[stream], self._clips))

    def logits(self, stream: str, sites: Collection[str]) -> Logits:
        """Logits with the named layers of the stream quantized."""
        chosen = [site for site in self._quantizer.eligible(self.streams[stream]) if site.node in sites]
        digest = hashlib.sha256("\n".join(sorted(site.node for site in chosen)).encode()).hexdigest()[:16]
        return self._remember(f"{stream}/{digest}", lambda: self._quantized(stream, chosen))

    def _quantized(self, stream: str, sites: Collection[Site]) -> Logits:
        graph = self._quantizer.quantize(self.streams[stream], [site.node for site in sites])
        readers = {name for site in sites for name in (site.node, *site.moves, *((site.skip,) if site.skip else ()))}
        found = self._prefixes[stream].before(readers) if stream in self._prefixes else None
        if found is None:
            return self._run(stream, graph, self._clips)
        tensor, held = found
        return self._run(stream, between(graph, [tensor], graph.graph.output[0].name), held)

    def _run(self, stream: str, graph: onnx.ModelProto, clips: Clips) -> Logits:
        return logits_on(open_stream(graph, self._execution), stream, clips)

    def _remember(self, name: str, measure: Callable[[], Logits]) -> Logits:
        if name not in self._known:
            self._known[name] = measure()
            if self._journal:
                _write_journal(self._journal, self._key, self._known)
            self._on_trial()
        return self._known[name]


def _write_journal(path: Path, key: str, known: Mapping[str, Logits]) -> None:
    buffer = io.BytesIO()
    about = np.frombuffer(json.dumps({"key": key}).encode(), np.uint8)
    arrays: dict[str, Any] = {name.replace("/", ":"): value for name, value in known.items()}
    np.savez(buffer, about=about, **arrays)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def _read_journal(path: Path, key: str) -> dict[str, Logits]:
    """What was measured before; nothing where the file is absent, damaged or of something else: it can be redone."""
    try:
        arrays = read_arrays(path, CLIP_LIMIT)
        if json.loads(arrays.pop("about").tobytes())["key"] == key:
            return {name.replace(":", "/"): value for name, value in arrays.items()}
    except (DataError, ValueError, KeyError):
        pass
    return {}
