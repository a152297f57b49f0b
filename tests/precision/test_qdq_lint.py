"""The lint of Q/DQ: every rule is broken once, and the node that breaks it is named."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.precision.qdq import insert_qdq
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import TARGETS
from x3ddeploy.terms import Target


@pytest.fixture
def graph(recognizer, ranges_of):
    scheme = TARGETS[Target.TENSORRT].scheme
    sites = [site for site in find_sites(recognizer) if site.role in scheme.roles]
    return insert_qdq(recognizer, sites, ranges_of(recognizer), scheme)


def replace_constant(graph, name, value):
    for tensor in graph.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))
            return
    raise AssertionError(name)


def node_named(graph, name):
    return next(node for node in graph.graph.node if node.name == name)


SOURCE = "rgb_backbone/layer1.0/Relu"
WEIGHT = "rgb_backbone.layer1.1.conv1.weight"


def test_an_unbroken_graph_passes(graph):
    assert lint_qdq(graph) == []


def test_a_zero_point_that_is_not_zero_is_named(graph):
    replace_constant(graph, f"{SOURCE}/zero_point", np.array(3, np.int8))
    assert any(SOURCE in line and "zero point" in line for line in lint_qdq(graph))


def test_uint8_is_named(graph):
    replace_constant(graph, f"{SOURCE}/zero_point", np.array(0, np.uint8))
    assert any(SOURCE in line and "int8" in line for line in lint_qdq(graph))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_that_is_no_scale_is_named(graph, scale):
    replace_constant(graph, f"{SOURCE}/scale", np.array(scale, np.float32))
    assert any(SOURCE in line and "scale" in line for line in lint_qdq(graph))


def test_one_scale_for_all_channels_of_a_weight_is_named(graph):
    replace_constant(graph, f"{WEIGHT}/scale", np.array(0.1, np.float32))
    assert any(WEIGHT in line and "output channel" in line for line in lint_qdq(graph))


def test_another_scale_behind_the_shift_is_named(graph):
    moved = "rgb_backbone/layer1.1/shift/to_frames"
    graph.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "other/scale"))
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        node_named(graph, f"{moved}/{kind}").input[1] = "other/scale"
    assert any(moved in line and "before the values were moved" in line for line in lint_qdq(graph))


def test_a_pair_that_is_not_its_own_inverse_is_named(graph):
    graph.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "other/scale"))
    node_named(graph, f"{SOURCE}/QuantizeLinear").input[1] = "other/scale"
    assert any(SOURCE in line and "inverse" in line for line in lint_qdq(graph))


def add_pair(graph, tensor, before):
    """Quantize one more tensor with the constants of SOURCE, for the node `before`."""
    constants = [f"{SOURCE}/scale", f"{SOURCE}/zero_point"]
    index = [node.name for node in graph.graph.node].index(before)
    pair = [
        helper.make_node("QuantizeLinear", [tensor, *constants], [f"{tensor}/q"], name=f"{tensor}/q"),
        helper.make_node("DequantizeLinear", [f"{tensor}/q", *constants], [f"{tensor}/dq"], name=f"{tensor}/dq"),
    ]
    reader = graph.graph.node[index]
    reader.input[:] = [f"{tensor}/dq" if name == tensor else name for name in reader.input]
    nodes = [*graph.graph.node[:index], *pair, *graph.graph.node[index:]]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.graph.node[:]
    graph.graph.node.extend(copies)


def test_a_quantized_swish_is_named(graph):
    add_pair(graph, "rgb_backbone/layer1.1/conv2/Conv", before="rgb_backbone/layer1.1/swish/Sigmoid")
    assert any("swish/Sigmoid" in line for line in lint_qdq(graph))


def test_both_branches_of_an_add_are_named(graph):
    add_pair(graph, "rgb_backbone/layer1.1/conv3/Conv", before="rgb_backbone/layer1.1/Add")
    assert any("layer1.1/Add" in line and "both branches" in line for line in lint_qdq(graph))


def test_a_quantized_bias_is_named(graph):
    add_pair(graph, "rgb_backbone.layer1.1.conv1.bias", before="rgb_backbone/layer1.1/conv1/Conv")
    assert any("layer1.1/conv1/Conv" in line and "input 2" in line for line in lint_qdq(graph))
