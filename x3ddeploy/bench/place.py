"""Where in the network a node belongs, read off its name: exported graphs name every node after its module."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(r"((?:rgb|pose)_backbone|head)/([\w.]+)(?:/(\w+))?")
_STAGE = re.compile(r"layer\d+")

# What stands in a block's name after the block -> kind of layer.
_KINDS = {
    "conv1": "pointwise",
    "conv3": "pointwise",
    "downsample": "pointwise",
    "conv2": "depthwise",
    "se_module": "squeeze-excitation",
    "swish": "swish",
    "shift": "temporal shift",
    "Add": "residual",
    "Relu": "residual",
}
_OUTSIDE_BLOCKS = {"conv1_s": "stem", "conv5": "pointwise", "frames": "layout", "clips": "layout"}
HEAD = "head"


@dataclass(frozen=True)
class Place:
    """A node's home.

    Attributes:
        stream: 'rgb', 'pose', or 'head'.
        stage: 'stem', 'layer1', ..., 'conv5', 'layout' for what turns frames and clips into each other, 'head'.
        block: 'layer2.0' in a stage, else the stage.
        kind: of layer: 'pointwise', 'depthwise', 'temporal shift', ...
    """

    stream: str
    stage: str
    block: str
    kind: str


def place_of(name: str) -> Place | None:
    """The place of a node of an exported graph, also under the name that a runtime's fusion gave it; else None."""
    found = _BLOCK.search(name)
    if found is None:
        return None
    owner, second, third = found.groups()
    if owner == HEAD:
        return Place(HEAD, HEAD, HEAD, HEAD)
    stream = owner.removesuffix("_backbone")
    stage = _STAGE.match(second)
    if stage is None:
        kind = _OUTSIDE_BLOCKS.get(second)
        where = "stem" if second == "conv1_s" else "layout" if kind == "layout" else second
        return Place(stream, where, where, kind) if kind else None
    kind = _KINDS.get(third or "")
    return Place(stream, stage.group(), second, kind) if kind else None
