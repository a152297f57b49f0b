"""Graphs stay what they were: engines, timing caches and other people's tools are keyed by these bytes.

The digests are of graphs that were written node by node, by hand, before they were traced; regenerate them only with
a reason. Left out of them: the values of float weights (random ones differ from machine to machine), the metadata, and
attributes of a convolution that say its default (in OpenVINO's form they are now all spelled out).
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D

DIGESTS = json.loads(Path(__file__).with_name("graph_digests.json").read_text())
_DEFAULTS = {"group": {1}, "pads": {0}, "strides": {1}}

tiny = PRESETS["tiny"]
SPECS = {
    "tiny": tiny,
    "plain head": replace(tiny, head=replace(tiny.head, coarse_classes=0, prototype_dim=0)),
    "fold of nothing": replace(tiny, rgb=replace(tiny.rgb, fold_div=16)),
}


def digest(model: onnx.ModelProto) -> str:
    """What a graph is, apart from its weights' values."""
    shapes = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    del model.metadata_props[:]
    model.producer_version = ""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.raw_data = b""
    for node in model.graph.node:
        if node.op_type == "Conv":
            pointwise = shapes[node.input[1]] == 5
            kept = [
                attribute
                for attribute in node.attribute
                if not (
                    set(attribute.ints or [attribute.i]) == _DEFAULTS.get(attribute.name)
                    or (attribute.name == "kernel_shape" and pointwise and set(attribute.ints) == {1})
                )
            ]
            del node.attribute[:]
            node.attribute.extend(kept)
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
@pytest.mark.parametrize("name", SPECS)
def test_graphs_are_what_they_were(name, target):
    torch.manual_seed(0)
    network = TwoStreamX3D(SPECS[name]).eval()
    batch = 2 if name == "fold of nothing" else None
    parts = build_parts(network, target, batch, "0" * 64)
    assert {part: digest(model) for part, model in parts.items()} == DIGESTS[f"{name}, {target}"]


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_graphs_record_the_blocks_that_they_are_made_of(target):
    torch.manual_seed(0)  # the network of above
    network = TwoStreamX3D(tiny).eval()
    parts = build_parts(network, target, None, "0" * 64)
    for part in ("rgb_backbone", "pose_backbone", "recognizer"):
        blocks = PartMetadata.of(parts[part]).blocks
        made = {name for node in parts[part].graph.node for name in node.output}
        assert {block.tensor for block in blocks} <= made
        names = [block.name for block in blocks]
        owners = ("rgb_backbone", "pose_backbone") if part == "recognizer" else (part,)
        assert names == [f"{owner}/{name}" for owner in owners for name in getattr(network, owner).blocks]
    assert PartMetadata.of(parts["head"]).blocks == ()
