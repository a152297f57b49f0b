"""Run clips through a graph and count what its tensors hold, one clip at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from x3ddeploy.calibration.histogram import Histogram
from x3ddeploy.calibration.statistics import TensorHistograms
from x3ddeploy.errors import DataError
from x3ddeploy.graphs.builder import BATCH_AXIS
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session

# Tensors that are looked at in one run of the graph may take this much; more tensors make more runs.
GROUP_BYTES = 512 << 20
_FLOAT_BYTES = 4
# Each histogram is counted by one thread; every further thread takes as much memory again for what it counts.
COUNTING_THREADS = 2


@dataclass(frozen=True)
class Plan:
    """Which tensors are looked at in which run of the graph.

    Attributes:
        groups: names of tensors, one group a run.
        estimate_bytes: memory for the largest group, the graph's weights and its activations; it does not grow with the
            number of clips.
    """

    groups: tuple[tuple[str, ...], ...]
    estimate_bytes: int


def plan_runs(model: onnx.ModelProto, tensors: Sequence[str], limit_bytes: int = GROUP_BYTES) -> Plan:
    """Group tensors so that no run has to hold more than `limit_bytes` of them for one clip."""
    sizes = tensor_sizes(model)
    inputs = {value.name for value in model.graph.input}
    groups: list[list[str]] = [[]]
    held = 0
    for name in tensors:
        size = 0 if name in inputs else sizes[name] * _FLOAT_BYTES
        if groups[-1] and held + size > limit_bytes:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    largest = max(sum(sizes[name] * _FLOAT_BYTES for name in group) for group in groups)
    # The group twice: the runtime's and, copied from it, ours. Besides, the largest activations of a block while it is
    # computed or counted, and the weights (file, parsed, packed) of a session for each group.
    activations = 4 * _FLOAT_BYTES * max(sizes.values())
    return Plan(tuple(map(tuple, groups)), 2 * largest + activations + 3 * len(groups) * model.ByteSize())


def tensor_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Elements of every tensor of known shape, for one clip."""
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {value.name: prod(_extent(dim) for dim in value.type.tensor_type.shape.dim) for value in values}


def _extent(dim: onnx.TensorShapeProto.Dimension) -> int:
    """Length of an axis with one clip: 'N' is 1, 'N*16' is 16."""
    if not dim.dim_param:
        return int(dim.dim_value)
    factor = dim.dim_param.removeprefix(BATCH_AXIS).removeprefix("*")
    return int(factor) if factor.isdecimal() else 1


def collect(
    model: onnx.ModelProto,
    plan: Plan,
    clips: Iterable[tuple[str, Mapping[str, Array]]],
    statistics: TensorHistograms,
) -> Iterator[TensorHistograms]:
    """Statistics with one clip more each time: each is whole and can be saved, wherever the next clip is interrupted.

    Args:
        model: float32 graph.
        plan: from `plan_runs`.
        clips: name, and the graph's inputs with one clip each.
        statistics: those of the clips before, which are left as they are.

    Raises:
        DataError: a tensor is not finite on a clip; the message names both.
    """
    inputs = {value.name for value in model.graph.input}
    outputs = {value.name for value in model.graph.output}
    data = model.SerializeToString()
    runs = [
        open_session("onnxruntime", data, outputs=tuple(name for name in group if name not in inputs | outputs))
        for group in plan.groups
    ]
    with ThreadPoolExecutor(COUNTING_THREADS) as pool:
        for clip_name, feeds in clips:
            statistics = statistics.with_room_for(clip_name)
            for group, session in zip(plan.groups, runs, strict=True):
                values = {**session.run(feeds), **feeds}
                finite = pool.map(lambda value: bool(np.isfinite(value).all()), [values[name] for name in group])
                for name, holds in zip(group, finite, strict=True):
                    if not holds:
                        raise DataError(
                            f"{name} is not finite on clip {clip_name}", hint="leave the clip out, or check it"
                        )
                histograms = [statistics.histograms[name] for name in group]
                deque(pool.map(Histogram.add, histograms, [values[name] for name in group]), maxlen=0)
                del values, finite  # before the next run needs as much again
            yield statistics
