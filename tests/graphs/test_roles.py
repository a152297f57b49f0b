"""A layer's role comes from what it computes: names of other networks mean other things, and INT8 goes by role."""

import numpy as np
import pytest
from onnx import TensorProto

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import Block
from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.graphs.roles import Role, roles
from x3ddeploy.precision.half import to_half
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import TARGETS
from x3ddeploy.terms import Precision, Target


def convolution(graph, name, x, weight, groups=1, kernel=3):
    tensor = graph.constant(f"{name}.weight", np.asarray(weight, np.float32))
    pad = kernel // 2
    return graph.node("Conv", x, tensor, name=name, group=groups, pads=[pad] * 4, kernel_shape=[kernel] * 2)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.fixture(scope="module")
def resnet():
    """A residual network whose names mean other things elsewhere: a dense `conv2`, a `stem`, a depthwise `conv1`."""
    graph = GraphBuilder("resnet")
    x = graph.node("Transpose", graph.input("imgs", ("N", 8, 8, 3)), perm=[0, 3, 1, 2], name="turn")
    x = graph.node("Relu", convolution(graph, "stem/Conv", x, random(8, 3, 3, 3)), name="stem/Relu")
    y = convolution(graph, "layer1.0/conv1/Conv", x, random(8, 1, 3, 3), groups=8)
    y = convolution(graph, "layer1.0/conv2/Conv", y, random(8, 8, 3, 3))
    y = convolution(graph, "layer1.0/conv3/Conv", y, random(8, 8, 1, 1), kernel=1)
    taps = np.zeros((8, 1, 3, 3))
    taps[:4, 0, 0, 1] = taps[4:, 0, 2, 1] = 1
    y = convolution(graph, "layer1.0/moves", y, taps, groups=8)
    gate = graph.node("ReduceMean", y, axes=[2, 3], keepdims=1, name="layer1.0/mean")
    gate = graph.node("Relu", convolution(graph, "layer1.0/a", gate, random(2, 8, 1, 1), kernel=1), name="r")
    gate = graph.node("Sigmoid", convolution(graph, "layer1.0/b", gate, random(8, 2, 1, 1), kernel=1), name="s")
    y = graph.node("Mul", y, gate, name="layer1.0/scale")
    x = graph.node("Add", y, x, name="layer1.0/Add")
    x = convolution(graph, "layer2/grouped", x, random(8, 4, 1, 1), groups=2, kernel=1)
    mean = graph.node("ReduceMean", x, axes=[2, 3], keepdims=0, name="pool")
    weight, bias = (graph.constant(f"fc.{len(s)}", random(*s).astype(np.float32)) for s in ((5, 8), (5,)))
    logits = graph.node("Gemm", mean, weight, bias, transB=1, name="fc")
    graph.output(graph.node("Softmax", logits, axis=1, name="prob"), "scores", ("N", 5))
    return graph.model({})


EXPECTED = {
    "stem/Conv": Role.STEM,
    "layer1.0/conv1/Conv": Role.DEPTHWISE,
    "layer1.0/conv2/Conv": Role.DENSE,
    "layer1.0/conv3/Conv": Role.POINTWISE,
    "layer1.0/moves": Role.SHIFT,
    "layer1.0/a": Role.SQUEEZE,
    "layer1.0/b": Role.SQUEEZE,
    "layer1.0/Add": Role.RESIDUAL,
    "layer2/grouped": Role.DENSE,
    "fc": Role.CLASSIFIER,
}


def test_roles_are_told_by_what_layers_compute(resnet):
    assert roles(resnet) == EXPECTED


def test_roles_are_the_same_in_half_precision(resnet):
    half = to_half(resnet, Precision.FP16, {"pool", "prob"})
    assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in half.graph.initializer)
    assert roles(half) == EXPECTED


def test_a_dense_layer_called_conv2_is_quantized_where_depthwise_ones_are_not(resnet):
    eligible = {site.node for site in find_sites(resnet) if TARGETS[Target.TENSORRT].scheme.takes(site)}
    assert eligible == {"layer1.0/conv2/Conv", "layer1.0/conv3/Conv", "layer2/grouped", "fc"}


def test_what_joins_two_tensors_has_a_range_of_its_own_and_a_block_is_the_recorded_one():
    graph = GraphBuilder("two pathways")
    x = graph.input("imgs", ("N", 3, 8, 8))
    slow, fast = (convolution(graph, f"{pathway}/conv1/conv", x, random(4, 3, 3, 3)) for pathway in ("a", "b"))
    cuts = ((0, 2, 1), (2, 4, 1))
    shifted = [graph.node("Slice", fast, *(graph.integers(v) for v in cut), name=f"cut {cut}") for cut in cuts]
    y = convolution(graph, "c.0/conv1/conv", graph.node("Concat", slow, fast, axis=1), random(4, 8, 3, 3))
    z = convolution(graph, "d/conv", graph.node("Concat", *shifted, axis=1, name="back"), random(4, 4, 3, 3))
    graph.output(graph.node("Add", y, z), "feat", ("N", 4, 8, 8))
    recorded = (Block("c.0", "c.0/conv1/conv"),)
    model = PartMetadata("backbone", "fp32", "tensorrt", "toy", {}, (1.0,), "", blocks=recorded).stamped(
        graph.model({})
    )
    sites = {site.node: site for site in find_sites(model)}
    assert sites["c.0/conv1/conv"].source == "Concat"
    assert sites["c.0/conv1/conv"].moves == frozenset()
    assert sites["c.0/conv1/conv"].block == "c.0"
    assert sites["d/conv"].source == fast
    assert len(sites["d/conv"].moves) == 3
    taken = {target: [site.node for site in sites.values() if TARGETS[target].scheme.takes(site)] for target in TARGETS}
    assert "c.0/conv1/conv" in taken[Target.OPENVINO]
    assert taken[Target.TENSORRT] == ["d/conv"]


def test_layers_of_an_attention_in_space_make_a_gate_and_maxima_are_not_quantized():
    graph = GraphBuilder("attention")
    x = graph.node("Relu", graph.input("feat", ("N", 8, 6, 6)), name="feat/Relu")
    maxima = graph.node("ReduceMax", x, axes=[1], keepdims=1, name="maxima")
    means = graph.node("ReduceMean", x, axes=[1], keepdims=1, name="means")
    both = graph.node("Concat", maxima, means, axis=1, name="both")
    place = graph.node("Sigmoid", convolution(graph, "place", both, random(1, 2, 3, 3)), name="where")
    scaled = graph.node("Mul", x, place, name="scaled")
    graph.output(convolution(graph, "next", scaled, random(8, 8, 3, 3)), "next_feat", ("N", 8, 6, 6))
    graph.output(convolution(graph, "other", both, random(4, 2, 3, 3)), "other_feat", ("N", 4, 6, 6))
    model = graph.model({})
    assert roles(model) == {"place": Role.SQUEEZE, "next": Role.DENSE, "other": Role.DENSE}
    assert [site.node for site in find_sites(model)] == ["next"]
