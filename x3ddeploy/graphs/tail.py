"""Where a network stops looking at places: the last maps that have height and width, and the graph behind them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx.utils import Extractor

from x3ddeploy.graphs.work import for_one_clip

Sizes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Tail:
    """What a graph does after its last maps.

    Attributes:
        whole: the graph, in which the tensors at the cut are known by their shapes.
        model: what is behind the cut; it takes the maps, and what else it needs of the graph in front.
        inputs: names of the tensors that it takes.
        maps: those of them that are maps of the pictures: (N, C, T, H, W), or (N * T, C, H, W) of a 2-D network.
    """

    whole: onnx.ModelProto
    model: onnx.ModelProto
    inputs: tuple[str, ...]
    maps: tuple[str, ...]


def tail_of(model: onnx.ModelProto, pictures: Collection[str], outputs: Sequence[str]) -> Tail | None:
    """Cut a graph behind its last maps.

    A map is a tensor with the picture's ratio of height and width, and more than one place in either. The tail is made
    of the nodes from which no map can be reached any more: where a squeeze-and-excitation block pools, its gates meet
    the map again, and the tail begins later. Of several last maps those count that pictures alone go into, if there are
    any.

    Args:
        model: a part of a bundle.
        pictures: its inputs of frames.
        outputs: tensors that the tail is to give.

    Returns:
        None where shapes are unknown, or there is no map behind the pictures.
    """
    graph = for_one_clip(model)
    if graph is None:
        return None
    sizes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output, *graph.input)
    }
    origins = _origins(graph)
    behind = {name for name, inputs in origins.items() if inputs}
    maps = {name for name in behind if _is_map(name, origins[name], sizes)}
    tail = _without_maps_behind(graph, maps)
    made = {name for node in tail for name in node.output}
    taken = dict.fromkeys(name for node in tail for name in node.input if name in behind and name not in made)
    last = [name for name in taken if name in maps and origins[name] & set(pictures)]
    alone = [name for name in last if origins[name] <= set(pictures)]
    if not last or not set(outputs) <= made:
        return None
    model = _with_shapes(model, [value for value in graph.value_info if value.name in taken])
    behind_maps = Extractor(model).extract_model(list(taken), list(outputs))
    return Tail(model, behind_maps, tuple(taken), tuple(alone or last))


def _origins(graph: onnx.GraphProto) -> dict[str, frozenset[str]]:
    """Every tensor -> the inputs that go into it."""
    constants = {tensor.name for tensor in graph.initializer}
    origins = {value.name: frozenset([value.name]) for value in graph.input if value.name not in constants}
    for node in graph.node:
        found = frozenset().union(*(origins.get(name, frozenset()) for name in node.input))
        origins |= dict.fromkeys(node.output, found)
    return origins


def _is_map(name: str, origins: frozenset[str], sizes: Sizes) -> bool:
    shape = sizes.get(name, ())
    if len(shape) not in (4, 5) or min(shape[-2:]) < 2:
        return False
    # Padding and rounding move a side by less than one place.
    return any(
        len(picture := sizes[origin]) == 5
        and abs(shape[-2] * picture[-1] - shape[-1] * picture[-2]) <= max(picture[-2:])
        for origin in origins
    )


def _without_maps_behind(graph: onnx.GraphProto, maps: Collection[str]) -> list[onnx.NodeProto]:
    """The nodes that give no map, and from whose outputs none is made."""
    leads: set[str] = set(maps)
    tail = []
    for node in reversed(graph.node):
        if any(name in leads for name in node.output):
            leads.update(node.input)
        else:
            tail.append(node)
    return tail[::-1]


def _with_shapes(model: onnx.ModelProto, values: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """A copy in which tensors, whose shapes for one clip are given, are known for any number of clips."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.value_info}
    for value in values:
        if value.name not in known:
            value.type.tensor_type.shape.dim[0].dim_param = "rows"
            copy.graph.value_info.append(value)
    return copy
