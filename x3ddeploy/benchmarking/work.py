"""Arithmetic and memory traffic that a float32 graph asks for, by layer, and the floor that a machine sets under it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod

import onnx

from x3ddeploy.benchmarking.ceilings import Ceilings
from x3ddeploy.graphs.work import for_one_clip, multiply_adds
from x3ddeploy.timing.place import Place, Places

_FREE = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant"})  # views, no traffic
_ELEMENT_BYTES = 4
OTHER = "other"


@dataclass(frozen=True)
class Layer:
    """One node, for as many clips as its graph's Work says.

    Attributes:
        name: name of the node.
        place: where it belongs, where the graph records it.
        multiply_adds: padded channels count.
        traffic_bytes: bytes of its inputs, weights and outputs, each once.
    """

    name: str
    place: Place | None
    multiply_adds: int
    traffic_bytes: int


@dataclass(frozen=True)
class Work:
    """A graph's.

    Attributes:
        clips: number of clips that it is counted for: one, or the batch that the graph is fixed to.
        layers: every node that computes or moves something.
        compulsory_bytes: the graph's inputs, weights and outputs: what must cross memory however layers are fused.
    """

    layers: tuple[Layer, ...]
    compulsory_bytes: int
    clips: int = 1

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def traffic_bytes(self) -> int:
        """What crosses memory where no layer is fused with the next and no cache holds anything."""
        return sum(layer.traffic_bytes for layer in self.layers)

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """Kind of layer -> multiply-adds and bytes, most multiply-adds first."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for layer in self.layers:
            entry = sums[layer.place.kind if layer.place else OTHER]
            entry[0] += layer.multiply_adds
            entry[1] += layer.traffic_bytes
        return {kind: (adds, moved) for kind, (adds, moved) in sorted(sums.items(), key=lambda item: -item[1][0])}


@dataclass(frozen=True)
class Floor:
    """No run can be faster than the larger of the two, by this machine's ceilings."""

    arithmetic_ms: float
    memory_ms: float

    @property
    def total_ms(self) -> float:
        return max(self.arithmetic_ms, self.memory_ms)


def work_of(model: onnx.ModelProto) -> Work | None:
    """Count a float32 graph's work; None where a shape is not known."""
    graph, products = for_one_clip(model), multiply_adds(model)
    if graph is None or products is None:
        return None
    sizes = {tensor.name: prod(tensor.dims) * _ELEMENT_BYTES for tensor in graph.initializer}
    weights = sum(sizes.values())
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        sizes[value.name] = prod(dims) * _ELEMENT_BYTES
    layers, places = [], Places(model)
    for node in graph.node:
        if node.op_type in _FREE:
            continue
        # Slice, Pad and Gather read of their first input no more than they write.
        moves_only = node.op_type in ("Slice", "Pad", "Gather", "Split")
        written = sum(sizes.get(name, 0) for name in node.output)
        read = written if moves_only else sum(sizes.get(name, 0) for name in node.input)
        layers.append(Layer(node.name, places.of(node.name), products.get(node.name, 0), read + written))
    ends = sum(sizes[value.name] for value in (*graph.input, *graph.output))
    return Work(tuple(layers), weights + ends, graph.input[0].type.tensor_type.shape.dim[0].dim_value)


def floor_of(work: Work, ceilings: Ceilings, precision: str, batch: int) -> Floor | None:
    """The floor under a batch of clips; None where the arithmetic's ceiling was not measured.

    Args:
        work: arithmetic and traffic of a graph.
        ceilings: ceilings of the device that computes.
        precision: type that it multiplies in; a float16 graph on a CPU without such arithmetic multiplies in fp32.
        batch: clips at a time.
    """
    rate = ceilings.gemm_flops.get(precision)
    if not rate:
        return None
    runs = batch / work.clips
    return Floor(
        arithmetic_ms=2e3 * runs * work.multiply_adds / rate,
        memory_ms=1e3 * runs * work.compulsory_bytes / ceilings.copy_bytes_per_s,
    )
