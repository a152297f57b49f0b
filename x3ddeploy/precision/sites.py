"""Where a graph may be quantized: its convolutions and fully connected layers, by block and kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import onnx

from x3ddeploy.errors import X3DDeployError

# Ops that only move values: what goes in comes out, in other places, with zeros between.
MOVES = frozenset({"Reshape", "Transpose", "Slice", "Pad", "Concat"})


class Kind(Enum):
    """What a layer is to its network; the names are those of the original layout."""

    STEM = "conv1_s"
    SHIFT = "shift"
    EXPAND = "conv1"
    DEPTHWISE = "conv2"
    PROJECT = "conv3"
    DOWNSAMPLE = "downsample"
    LAST = "conv5"
    CLASSIFIER = "classifier"


@dataclass(frozen=True)
class Site:
    """One layer that can run in INT8.

    Attributes:
        node: the Conv's or Gemm's name.
        block: what it belongs to: 'rgb_backbone/layer2.0', 'pose_backbone/conv5', 'head/rgb'.
        kind: its part in the block.
        source: the tensor whose values it reads, looked for behind nodes that only move values (the shift). One scale
            serves it and everything on the way.
        moves: names of those nodes, in no particular order.
        skip: name of the residual Add that reads `source` as its identity branch, where there is one.
    """

    node: str
    block: str
    kind: Kind
    source: str
    moves: frozenset[str] = frozenset()
    skip: str | None = None

    @property
    def stream(self) -> str:
        """'rgb' or 'pose'."""
        first, second, *_ = self.block.split("/")
        return second if first == "head" else first.removesuffix("_backbone")


def find_sites(model: onnx.ModelProto) -> list[Site]:
    """Every layer of an exported graph that can be quantized, in the graph's order.

    Squeeze-and-excitation's layers are left out: they work on one value a channel, and cost nothing.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    adds = [node for node in model.graph.node if node.op_type == "Add" and node.name.endswith("/Add")]
    sites = []
    for node in model.graph.node:
        kind = _kind(node)
        if kind is None:
            continue
        moves: set[str] = set()
        source = _source(node.input[0], producers, moves)
        block = node.name.rpartition("/")[0]
        if kind not in (Kind.STEM, Kind.LAST, Kind.CLASSIFIER):
            block = block.rpartition("/")[0]
        skip = None
        if kind is Kind.EXPAND:
            skip = next((add.name for add in adds if add.name == f"{block}/Add" and source in add.input), None)
        sites.append(Site(node.name, block, kind, source, frozenset(moves), skip))
    return sites


def _kind(node: onnx.NodeProto) -> Kind | None:
    path = node.name.split("/")
    if node.op_type == "Conv" and path[-1] == "Conv":
        return Kind(path[-2])
    if node.op_type == "Gemm" and path[0] == "head":
        return Kind.CLASSIFIER
    return None


def _source(tensor: str, producers: Mapping[str, onnx.NodeProto], moves: set[str]) -> str:
    """The one tensor whose values `tensor` holds in other places, itself where no move made it; adds to `moves`."""
    node = producers.get(tensor)
    if node is None or not _is_move(node):
        return tensor
    moves.add(node.name)
    data = node.input if node.op_type == "Concat" else node.input[:1]
    sources = {_source(name, producers, moves) for name in data}
    if len(sources) > 1:
        raise X3DDeployError(f"{node.name!r} joins values of different tensors: they cannot share one scale")
    return sources.pop()


def _is_move(node: onnx.NodeProto) -> bool:
    """Whether a node only moves values; the shift as a depthwise convolution with one-hot taps is one, too."""
    return node.op_type in MOVES or (node.op_type == "Conv" and node.name.endswith("/shift/Conv"))
