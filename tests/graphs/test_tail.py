"""Where a graph stops looking at places: behind gates that pool, and behind several maps at once."""

import numpy as np
import onnx
from support.present import present

from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.graphs.tail import tail_of


def model(draw, shape=("N", 3, 4, 16, 16)):
    """A graph of frames, and perhaps of heatmaps, that ends in `logits`."""
    graph = GraphBuilder("net")
    draw(graph, graph.input("imgs", shape))
    return onnx.shape_inference.infer_shapes(graph.model({}))


def convolution(graph, name, x, channels, inputs, stride=1):
    weight = graph.constant(f"{name}.weight", np.ones((channels, inputs, 1, 1, 1), np.float32))
    return graph.node("Conv", x, weight, name=name, kernel_shape=[1] * 3, strides=[1, stride, stride])


def pooled(graph, name, x):
    mean = graph.node("ReduceMean", x, name=name, axes=[2, 3, 4], keepdims=1)
    return graph.node("Flatten", mean, name=f"{name}/flat")


def linear(graph, x, inputs):
    weight = graph.constant("fc.weight", np.ones((inputs, 5), np.float32))
    graph.output(graph.node("MatMul", x, weight, name="fc"), "logits", ("N", 5))


def test_a_gate_that_pools_is_no_end():
    def draw(graph, x):
        y = convolution(graph, "conv1", x, 6, 3, stride=4)
        gate = graph.node("Sigmoid", graph.node("ReduceMean", y, name="mean", axes=[2, 3, 4], keepdims=1), name="gate")
        y = graph.node("Mul", y, gate, name="gated")
        linear(graph, pooled(graph, "pool", y), 6)

    found = present(tail_of(model(draw), ["imgs"], ["logits"]))
    assert found.maps == found.inputs == ("gated",)
    assert [node.op_type for node in found.model.graph.node][:2] == ["ReduceMean", "Flatten"]


def test_every_last_map_is_found_and_those_of_pictures_alone_count():
    """Two pathways of pictures, and one of heatmaps, which the tail takes but no picture goes into."""

    def draw(graph, x):
        slow, fast = (convolution(graph, name, x, 2, 3, stride) for name, stride in (("slow", 4), ("fast", 8)))
        pose = convolution(graph, "pose", graph.input("heatmaps", ("N", 3, 4, 8, 8)), 2, 3)
        y = graph.node("Concat", *(pooled(graph, f"{name}/pool", value) for name, value in
                                   (("slow", slow), ("fast", fast), ("pose", pose))), name="all", axis=1)  # fmt: skip
        linear(graph, y, 6)

    found = present(tail_of(model(draw), ["imgs"], ["logits"]))
    assert found.maps == ("slow", "fast")
    assert sorted(found.inputs) == ["fast", "pose", "slow"]


def test_where_nothing_has_places_there_is_no_tail():
    def draw(graph, x):
        linear(graph, graph.node("Flatten", x, name="flat"), 3072)

    found = present(tail_of(model(draw), ["imgs"], ["logits"]))
    assert found.maps == ("imgs",)
    assert tail_of(model(draw), ["other"], ["logits"]) is None
