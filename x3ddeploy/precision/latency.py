"""What each block costs in time, in float32 and in INT8, by the runtime's own profiler."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from x3ddeploy.bench.profile import PROFILERS
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.contract import WHOLE
from x3ddeploy.export.pipeline import serialize
from x3ddeploy.runtimes.base import Array


@dataclass(frozen=True)
class BlockTime:
    """One block's milliseconds for one clip, profiled; a profiler's times are larger than those of a plain run.

    Attributes:
        block: as the graph records it: 'backbone/layer2.0'.
    """

    block: str
    fp32_ms: float
    int8_ms: float


def block_times(
    runtime: str, fp32: onnx.ModelProto, int8: onnx.ModelProto, feeds: Mapping[str, Array], threads: int
) -> tuple[BlockTime, ...]:
    """Of the backbones' blocks that both graphs have, in the graph's order; none where the runtime has no profiler."""
    if runtime not in PROFILERS:
        return ()
    before, after = (_times(runtime, graph, feeds, threads) for graph in (fp32, int8))
    return tuple(BlockTime(block, before[block], after[block]) for block in before if block in after)


def _times(runtime: str, graph: onnx.ModelProto, feeds: Mapping[str, Array], threads: int) -> dict[str, float]:
    times: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / graph_name(WHOLE)
        path.write_bytes(serialize(graph))
        for entry in PROFILERS[runtime](path, feeds, threads):
            if entry.block != entry.stream:  # a part without blocks is no block
                times[f"{entry.stream}/{entry.block}"] += entry.time_ms
    return dict(times)
