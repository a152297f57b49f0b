"""Half-typed graphs: float32 outside, half inside, and float32 where half would lose the mean or overflow."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.errors import GateError, X3DDeployError
from x3ddeploy.parity.metrics import compare
from x3ddeploy.precision.half import FLOAT16_TINY, REDUCTIONS, float32_nodes, to_half
from x3ddeploy.precision.make_half import require_close
from x3ddeploy.precision.qdq import insert_qdq
from x3ddeploy.precision.scan import overflowing_nodes
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import TARGETS
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.terms import Precision, Target


def types_of(graph):
    values = (*graph.graph.value_info, *graph.graph.input, *graph.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.fixture
def typed(recognizer):
    return to_half(recognizer, Precision.FP16, float32_nodes(recognizer))


def test_inputs_and_outputs_stay_float32_under_their_names(recognizer, typed):
    onnx.checker.check_model(typed, full_check=True)
    for values in ("input", "output"):
        assert [value.name for value in getattr(typed.graph, values)] == [
            value.name for value in getattr(recognizer.graph, values)
        ]
        assert all(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in getattr(typed.graph, values))


def test_convolutions_and_their_weights_are_half(typed):
    types = types_of(typed)
    constants = {tensor.name: tensor.data_type for tensor in typed.graph.initializer}
    convolutions = [node for node in typed.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        assert types[node.output[0]] == TensorProto.FLOAT16
        assert all(constants[name] == TensorProto.FLOAT16 for name in node.input[1:])


def test_the_mean_of_squeeze_and_excitation_is_float32(typed):
    types = types_of(typed)
    means = [node for node in typed.graph.node if node.op_type == "ReduceMean"]
    assert means
    assert all(types[node.input[0]] == types[node.output[0]] == TensorProto.FLOAT for node in means)


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_half_computes_the_same_to_its_own_precision(recognizer, typed, clips, runtime):
    expected = open_session("onnxruntime", recognizer.SerializeToString()).run(clips[2])
    actual = open_session(runtime, typed.SerializeToString()).run(clips[2])
    for name, value in expected.items():
        assert 0 < compare(value, actual[name]).relative < 5e-3


@pytest.mark.openvino
def test_bfloat16_computes_the_same_to_its_own_precision(recognizer, clips):
    typed = to_half(recognizer, Precision.BF16, float32_nodes(recognizer))
    onnx.checker.check_model(typed, full_check=True)
    assert typed.opset_import[0].version == 22
    expected = open_session("onnxruntime", recognizer.SerializeToString()).run(clips[2])
    actual = open_session("openvino", typed.SerializeToString()).run(clips[2])
    for name, value in expected.items():
        assert 1e-5 < compare(value, actual[name]).relative < 5e-2


def test_quantized_and_half_typed_graphs_have_half_scales_and_run(recognizer, ranges_of, clips):
    scheme = TARGETS[Target.TENSORRT].scheme
    sites = [site for site in find_sites(recognizer) if site.role in scheme.roles]
    quantized = insert_qdq(recognizer, sites, ranges_of(recognizer), scheme)
    typed = to_half(quantized, Precision.FP16, float32_nodes(quantized))
    onnx.checker.check_model(typed, full_check=True)
    assert typed.opset_import[0].version == 19
    scales = [tensor for tensor in typed.graph.initializer if "/scale" in tensor.name]
    assert scales
    assert all(tensor.data_type == TensorProto.FLOAT16 for tensor in scales)
    assert all((numpy_helper.to_array(tensor) >= FLOAT16_TINY).all() for tensor in scales)
    outputs = [open_session("onnxruntime", graph.SerializeToString()).run(clips[0]) for graph in (quantized, typed)]
    for name, value in outputs[0].items():
        assert compare(value, outputs[1][name]).relative < 0.06  # values between two levels round either way


def enlarged(recognizer, factor):
    """The same network with one convolution whose output is `factor` times as large."""
    model = onnx.ModelProto()
    model.CopyFrom(recognizer)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("rgb_backbone.conv5."):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))
    return model


def test_a_node_near_float16s_end_is_found_and_stays_float32(recognizer, clips):
    model = enlarged(recognizer, 2e4)
    assert overflowing_nodes(recognizer, clips[:2]) == {}
    found = overflowing_nodes(model, clips[:2])
    assert "rgb_backbone/conv5/Conv" in found
    assert not any(name.startswith("pose_backbone") for name in found)
    kept = {*float32_nodes(model), *found}
    actual = open_session("onnxruntime", to_half(model, Precision.FP16, kept).SerializeToString()).run(clips[0])
    assert all(np.isfinite(value).all() for value in actual.values())
    lost = open_session("onnxruntime", to_half(model, Precision.FP16, float32_nodes(model)).SerializeToString())
    expected = open_session("onnxruntime", model.SerializeToString()).run(clips[0])
    assert compare(expected["rgb_logits"], actual["rgb_logits"]).relative < 5e-3
    assert not compare(expected["rgb_logits"], lost.run(clips[0])["rgb_logits"]).relative < 5e-3


def test_weights_beyond_float16_are_refused_by_name(recognizer):
    with pytest.raises(X3DDeployError, match=r"rgb_backbone\.conv5\.weight"):
        to_half(enlarged(recognizer, 1e7), Precision.FP16, ())


@pytest.mark.parametrize(
    ("precision", "error", "passes"),
    [("fp16", 0.99e-2, True), ("fp16", 1.01e-2, False), ("bf16", 7.9e-2, True), ("bf16", 8.1e-2, False)]
    + [(precision, value, False) for precision in ("fp16", "bf16") for value in (math.nan, math.inf)],
)
def test_half_typed_graphs_are_held_to_what_their_precision_explains(precision, error, passes):
    errors = {"head -> scores": 0.0, "backbone -> feat": error}
    if passes:
        require_close(Precision(precision), errors)
    else:
        with pytest.raises(GateError, match="backbone -> feat"):
            require_close(Precision(precision), errors)


@pytest.mark.parametrize("op", sorted(REDUCTIONS))
def test_a_reductions_axes_move_with_the_opset(op):
    """An attribute up to opset 17, an input from 18 on: EPAM-Net's attention takes a maximum, ours means alone."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    node = helper.make_node(op, ["x"], ["y"], name="a/Reduce", axes=[2], keepdims=0)
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    typed = to_half(model, Precision.BF16, ())
    onnx.checker.check_model(typed, full_check=True)
    assert typed.opset_import[0].version > 17
