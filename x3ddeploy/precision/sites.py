"""Where a graph may be quantized: its convolutions and fully connected layers, by block and role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx

from x3ddeploy.bundle.metadata import recorded_blocks
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.graphs.roles import Role, Structure

_GROUP = 4
# Layers that make a gate (squeeze-and-excitation, attention) work on means along an axis, and cost nothing.
QUANTIZABLE = frozenset(Role) - {Role.SQUEEZE, Role.RESIDUAL}


@dataclass(frozen=True)
class Site:
    """One layer that can run in INT8.

    Attributes:
        node: the Conv's or Gemm's name.
        block: name of the module that it belongs to: 'backbone/layer2.0'.
        role: what it is to the network.
        source: the tensor whose values it reads, looked for behind nodes that only move values (the shift). One scale
            serves it and everything on the way.
        moves: names of those nodes, in no particular order.
        skip: name of the residual Add that reads `source` as its identity branch, where there is one.
        joins: whether `source` joins values of different tensors, and so has a range of its own.
        one_axis: whether it is a convolution along one axis.
        odd_groups: whether it is a convolution in groups of a number of channels that 4 does not divide.
    """

    node: str
    block: str
    role: Role
    source: str
    moves: frozenset[str] = frozenset()
    skip: str | None = None
    joins: bool = False
    one_axis: bool = False
    odd_groups: bool = False


def find_sites(model: onnx.ModelProto) -> list[Site]:
    """Every layer of an exported graph that can be quantized, in the graph's order."""
    structure = Structure(model)
    recorded = [block.name for block in recorded_blocks(model)]
    adds = [node for node in structure.nodes if structure.roles.get(node.name) is Role.RESIDUAL]
    sites, joined = [], set[str]()
    for node in structure.nodes:
        role = structure.roles.get(node.name)
        if role not in QUANTIZABLE or role is None:
            continue
        if _holds_maxima(node.input[0], structure):
            continue
        moves: set[str] = set()
        source = _source(node.input[0], structure, moves)
        # The first layer that computes on a block's input shares its scale with the identity branch.
        free = (add for add in adds if role is not Role.SHIFT and source in add.input and add.name not in joined)
        add = next(free, None)
        if add is not None:
            joined.add(add.name)
        skip = add.name if add else None
        maker = structure.producers.get(source)
        joins = maker is not None and maker.op_type == "Concat"
        weight = structure.weight(node.input[1])
        kernel = weight if node.op_type == "Conv" else None
        sites.append(
            Site(
                node.name,
                _block(node, recorded),
                role,
                source,
                frozenset(moves),
                skip,
                joins,
                one_axis=kernel is not None and len(kernel.dims) == 3,
                odd_groups=kernel is not None and _has_odd_groups(node, kernel),
            )
        )
    return sites


def _has_odd_groups(node: onnx.NodeProto, weight: onnx.TensorProto) -> bool:
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    given, taken = weight.dims[0] // groups, weight.dims[1]
    return groups > 1 and bool(given % _GROUP or taken % _GROUP)


def ranges_of_parts(
    ranges: Mapping[str, Range], whole: onnx.ModelProto, parts: Iterable[onnx.ModelProto]
) -> dict[str, Range]:
    """Ranges of a whole network's tensors, also by the names that they have between its parts.

    What one part gives and the next takes has a name of its own there; in the whole it is what the same node makes.
    """
    inside = {node.name: node.output for node in whole.graph.node}
    known = dict(ranges)
    for part in parts:
        outputs = {value.name for value in part.graph.output}
        for node in part.graph.node:
            for name, same in zip(node.output, inside.get(node.name, ()), strict=False):
                if name in outputs and same in ranges:
                    known[name] = ranges[same]
    return known


def _block(node: onnx.NodeProto, recorded: Iterable[str]) -> str:
    """The block that a layer is in, as its graph records them.

    In none of them the module that its own module belongs to, or its own where that stands in a part directly.
    """
    within = [block for block in recorded if node.name.startswith(f"{block}/")]
    if within:
        return max(within, key=len)
    owner = node.name.rpartition("/")[0]
    outer = owner.rpartition("/")[0]
    return outer if "/" in outer and node.op_type == "Conv" else owner


def _holds_maxima(tensor: str, structure: Structure) -> bool:
    """Whether a tensor holds maxima along an axis, moved or not.

    OpenVINO 2026.4 takes their quantization into the ReduceMax, also through a Concat, and writes other values.
    """
    node = structure.producers.get(tensor)
    if node is None or not structure.is_move(node):
        return node is not None and node.op_type == "ReduceMax"
    return any(_holds_maxima(name, structure) for name in node.input)


def _source(tensor: str, structure: Structure, moves: set[str]) -> str:
    """The one tensor whose values `tensor` holds in other places, itself where no move made it; adds to `moves`.

    What joins values of different tensors has a range of its own, and is measured there.
    """
    node = structure.producers.get(tensor)
    if node is None or not structure.is_move(node):
        return tensor
    passed = {node.name}
    data = node.input if node.op_type == "Concat" else node.input[:1]
    sources = {_source(name, structure, passed) for name in data}
    if len(sources) > 1:
        return tensor
    moves |= passed
    return sources.pop()
