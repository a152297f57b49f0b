"""Where in its network a node belongs: part and block as the graph records them, kind of layer by its role."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import Block
from x3ddeploy.errors import BundleError
from x3ddeploy.graphs.roles import Role, Structure

LAYOUT = "layout"
_KINDS = {Role.SQUEEZE: "squeeze-excitation"}
# Operators of layers that have no role of their own.
_OPERATORS = {
    **dict.fromkeys(("Slice", "Pad", "Concat", "Gather"), Role.SHIFT.value),
    **dict.fromkeys(("Reshape", "Transpose"), LAYOUT),
    **dict.fromkeys(("Relu", "Sigmoid", "Mul", "HardSigmoid", "HardSwish"), "activation"),
    **dict.fromkeys(("Cast", "QuantizeLinear", "DequantizeLinear"), "conversion"),
    **dict.fromkeys(("ReduceMean", "AveragePool", "GlobalAveragePool"), "pooling"),
}
# Runtimes compute these together with the layer in front of them, under either name.
_JOINED = frozenset({"Relu", "Clip", "HardSwish"})


@dataclass(frozen=True)
class Place:
    """A node's home.

    Attributes:
        stream: the part of the network that it is in.
        stage: stage of that part; the block's name up to its number.
        block: name inside the part; the part's own where it has no blocks.
        kind: kind of layer: 'pointwise', 'depthwise', 'temporal shift', ...; the part's name where it has no blocks.
    """

    stream: str
    stage: str
    block: str
    kind: str


class Places:
    """The places of a graph's nodes, by their names."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read the blocks that a graph records; of a graph that x3ddeploy did not export, kinds alone are known."""
        self._places: dict[str, Place] = {}
        structure = Structure(model)
        try:
            blocks = PartMetadata.of(model).blocks
        except BundleError:
            self._places = {node.name: Place("", "", "", _kind(node, structure)) for node in structure.nodes}
            return
        homes = _homes(structure, blocks)
        for node in structure.nodes:
            part = node.name.partition("/")[0]
            own = [block for block in blocks if _part(block) == part]
            # What follows a part's last block turns its frames into clips again.
            block = homes.get(node.name, own[-1] if own else None)
            place = Place(part, part, part, part) if block is None else _in_block(block, _kind(node, structure))
            self._places[node.name] = place
        # A runtime's fusion keeps a node's path, not always the operator behind it.
        for name, place in list(self._places.items()):
            self._places.setdefault(name.rpartition("/")[0], place)

    def of(self, name: str) -> Place | None:
        """The place of a node, also under the name that a runtime's fusion gave it; None for what is none of these."""
        if name not in self._places:
            inside = max((known for known in self._places if known and known in name), key=len, default=None)
            if inside is None:
                return None
            self._places[name] = self._places[inside]
        return self._places[name]


def _homes(structure: Structure, blocks: tuple[Block, ...]) -> dict[str, Block]:
    """Name of a node -> the first block of its part that it leads to."""
    homes: dict[str, Block] = {}
    for block in blocks:
        pending = [block.tensor]
        while pending:
            node = structure.producers.get(pending.pop())
            if node is not None and node.name not in homes and node.name.partition("/")[0] == _part(block):
                homes[node.name] = block
                pending += node.input
    return homes


def _part(block: Block) -> str:
    return block.name.partition("/")[0]


def _in_block(block: Block, kind: str) -> Place:
    part, _, name = block.name.partition("/")
    return Place(part, name.partition(".")[0], name, kind)


def _kind(node: onnx.NodeProto, structure: Structure) -> str:
    role = structure.roles.get(node.name)
    if role is not None:
        return _KINDS.get(role, role.value)
    if not structure.gates.isdisjoint((*node.input, *node.output)):
        return _KINDS[Role.SQUEEZE]
    if node.op_type == "Mul" and structure.is_move(node):  # a Gather's mask
        return Role.SHIFT.value
    before = structure.producers.get(node.input[0])
    if node.op_type in _JOINED and before is not None and before.name in structure.roles:
        return _kind(before, structure)
    return _OPERATORS.get(node.op_type, node.op_type)
