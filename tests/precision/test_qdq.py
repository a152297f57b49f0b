"""Q/DQ placement: each pair where TensorRT wants it, each value what the formula says, in every runtime."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from x3ddeploy.calibration.ranges import Range
from x3ddeploy.parity.metrics import compare
from x3ddeploy.precision.lint import lint_qdq
from x3ddeploy.precision.qdq import Scheme, activation_parameters, insert_qdq, weight_scales
from x3ddeploy.precision.sites import QUANTIZABLE, find_sites
from x3ddeploy.precision.targets import TARGETS
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.terms import Target

EVERYTHING = QUANTIZABLE


@pytest.fixture(params=["frames", "clips"])
def layout(request, recognizer, clip_recognizer):
    return recognizer if request.param == "frames" else clip_recognizer


def quantized(model, ranges, scheme, only=EVERYTHING):
    sites = [site for site in find_sites(model) if site.role in scheme.roles and site.role in only]
    return insert_qdq(model, sites, ranges, scheme)


def nodes_of(model, op):
    return [node for node in model.graph.node if node.op_type == op]


def test_every_convolution_and_classifier_is_a_site_but_squeeze_and_excitation(layout):
    sites = {site.node for site in find_sites(layout)}
    layers = {
        node.name
        for node in layout.graph.node
        if (node.op_type == "Conv" and node.name.endswith("/Conv")) or (node.op_type == "Gemm" and "head/" in node.name)
    }
    assert sites == layers
    assert not any("se_module" in name for name in sites)


def test_the_shift_and_what_follows_share_the_block_inputs_scale(recognizer):
    for site in find_sites(recognizer):
        if site.node.endswith("/conv1/Conv"):
            assert site.source.endswith("/Relu")
            assert all("/shift/" in name for name in site.moves)
            assert len(site.moves) == 8  # to clip, two slices and pads, what stays, concat, to frames
            assert (site.skip is None) == site.block.endswith(".0")


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)])
@pytest.mark.parametrize("target", ["tensorrt", "onnxruntime", "openvino"])
def test_quantized_graphs_are_near_float32_in_every_runtime(
    target, runtime, recognizer, clip_recognizer, ranges_of, clips
):
    model = clip_recognizer if target == "openvino" else recognizer
    graph = quantized(model, ranges_of(model), TARGETS[target].scheme)
    onnx.checker.check_model(graph, full_check=True)
    expected = open_session("onnxruntime", model.SerializeToString()).run(clips[0])
    actual = open_session(runtime, graph.SerializeToString()).run(clips[0])
    for name in ("rgb_logits", "pose_logits"):
        difference = compare(expected[name], actual[name])
        # Quantized to 8 bits it cannot be exact, and a wrong scale or zero point is off by the output's whole range.
        assert 1e-6 < difference.relative < 0.15, (name, difference)


def test_a_quantized_layer_computes_what_the_formula_says(recognizer, ranges_of, clips):
    """Only the RGB stream's conv5: round(x / s) * s with clipping, weights by output channel, float bias."""
    site = next(site for site in find_sites(recognizer) if site.node == "rgb_backbone/conv5/Conv")
    ranges = ranges_of(recognizer)
    graph = insert_qdq(recognizer, [site], ranges, Scheme(EVERYTHING, unsigned=False, stored_int8=False))
    output = site.node
    x = open_session("onnxruntime", recognizer.SerializeToString(), outputs=(site.source,)).run(clips[0])[site.source]
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in recognizer.graph.initializer}
    weight, bias = weights["rgb_backbone.conv5.weight"], weights["rgb_backbone.conv5.bias"]
    scale = max(-ranges[site.source].low, ranges[site.source].high) / 127
    x = np.clip(np.rint(x / scale), -128, 127) * scale
    scales = np.abs(weight).reshape(len(weight), -1).max(1)[:, None, None, None] / 127
    weight = np.rint(weight / scales) * scales
    expected = np.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0]) + bias[None, :, None, None]
    actual = open_session("onnxruntime", graph.SerializeToString(), outputs=(output,)).run(clips[0])[output]
    assert compare(expected, actual).relative < 1e-5


def test_weights_stored_as_int8_are_those_of_the_pair(recognizer, ranges_of, clips):
    ranges = ranges_of(recognizer)
    outputs = [
        open_session(
            "onnxruntime",
            quantized(recognizer, ranges, Scheme(EVERYTHING, False, stored)).SerializeToString(),
        ).run(clips[1])
        for stored in (False, True)
    ]
    for name, value in outputs[0].items():
        assert compare(value, outputs[1][name]).relative < 1e-5


def test_a_quantized_shift_moves_the_values_of_one_scale(recognizer, ranges_of):
    graph = quantized(recognizer, ranges_of(recognizer), TARGETS[Target.TENSORRT].scheme)
    producers = {name: node for node in graph.graph.node for name in node.output}
    for site in find_sites(recognizer):
        if site.node.endswith("/conv1/Conv"):
            conv = next(node for node in graph.graph.node if node.name == site.node)
            after = producers[conv.input[0]]
            before = producers[f"{site.source}/DequantizeLinear"]
            assert after.op_type == "DequantizeLinear"
            assert list(after.input[1:]) == list(before.input[1:])


def test_biases_and_squeeze_and_excitation_stay_float(layout, ranges_of):
    graph = quantized(layout, ranges_of(layout), Scheme(EVERYTHING, unsigned=True, stored_int8=True))
    dequantized = {name for node in nodes_of(graph, "DequantizeLinear") for name in node.output}
    for node in graph.graph.node:
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2:
            assert node.input[2] not in dequantized
        if "se_module" in node.name or "swish" in node.name:
            assert not dequantized & set(node.input)


def test_graphs_for_tensorrt_keep_its_rules(recognizer, ranges_of):
    assert lint_qdq(quantized(recognizer, ranges_of(recognizer), TARGETS[Target.TENSORRT].scheme)) == []


def test_a_block_left_out_has_no_pair(recognizer, ranges_of):
    sites = [site for site in find_sites(recognizer) if site.block != "pose_backbone/layer1.0"]
    scheme = TARGETS[Target.TENSORRT].scheme
    graph = insert_qdq(recognizer, [site for site in sites if site.role in scheme.roles], ranges_of(recognizer), scheme)
    inside = [node for node in graph.graph.node if node.name.startswith("pose_backbone/layer1.0/conv")]
    assert inside
    assert not any("Linear" in name for node in inside for name in node.input)


def test_the_float_graph_is_left_as_it_was(recognizer, ranges_of):
    before = recognizer.SerializeToString(deterministic=True)
    quantized(recognizer, ranges_of(recognizer), TARGETS[Target.OPENVINO].scheme)
    assert recognizer.SerializeToString(deterministic=True) == before


def test_two_quantizations_are_byte_identical(recognizer, ranges_of):
    ranges, scheme = ranges_of(recognizer), TARGETS[Target.TENSORRT].scheme
    first, second = (quantized(recognizer, ranges, scheme).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("values", "unsigned", "scale", "zero_point"),
    [
        (Range(-1.0, 2.54), False, 0.02, 0),
        (Range(0.0, 2.55), True, 0.01, 0),
        (Range(-0.55, 2.0), True, 0.01, 55),
        (Range(-2.55, 0.0), True, 0.01, 255),
    ],
)
def test_scale_and_zero_point(values, unsigned, scale, zero_point):
    found = activation_parameters(values, unsigned=unsigned)
    assert found[0] == pytest.approx(scale, rel=1e-6)
    assert int(found[1]) == zero_point
    assert found[1].dtype == (np.uint8 if unsigned else np.int8)


def test_channels_and_tensors_of_zeros_get_a_positive_scale():
    weight = np.zeros((3, 4), np.float32)
    weight[1, 2] = -1.27
    scales = weight_scales(weight)
    assert scales[1] == pytest.approx(0.01)
    assert (scales > 0).all()
    assert activation_parameters(Range(0, 0), unsigned=True)[0] > 0


def test_convolutions_along_one_axis_are_not_for_tensorrt():
    """The parser parts them from their pairs by reshapes, and then they do not run in INT8: TANet has such ones."""
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4, 8]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((4, 4, 1), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], "a/b/Conv")
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    (site,) = find_sites(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert TARGETS[Target.OPENVINO].scheme.takes(site)
    assert Scheme(QUANTIZABLE, unsigned=False, stored_int8=False).takes(site)
    assert not Scheme(QUANTIZABLE, unsigned=False, stored_int8=False, one_axis=False).takes(site)
    assert not TARGETS[Target.TENSORRT].scheme.one_axis


@pytest.mark.parametrize(
    ("shape", "groups", "odd"),
    [
        ((8, 1, 3, 3), 8, True),
        ((16, 2, 3, 3), 4, True),
        ((8, 4, 3, 3), 4, True),
        ((16, 4, 3, 3), 4, False),
        ((6, 6, 3, 3), 1, False),
    ],
)
def test_groups_that_four_does_not_divide_are_not_for_tensorrt(shape, groups, odd):
    """TensorRT has no INT8 form of them, and the engine would not be built."""
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", channels, 8, 8])
        for name, channels in (("x", shape[1] * groups), ("h", shape[1] * groups), ("y", shape[0]))
    ]
    weight = numpy_helper.from_array(np.ones(shape, np.float32), "w")
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Conv", ["h", "w"], ["y"], "a/b/Conv", group=groups),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[2:], [weight])
    (site,) = find_sites(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert TARGETS[Target.OPENVINO].scheme.takes(site)
    assert TARGETS[Target.TENSORRT].scheme.takes(site) is not odd
