"""What an engine computes in is read from it; one that is not what was asked for does not pass."""

import json
import re
import tarfile
from pathlib import Path

import pytest
from support import inspector_layers
from support.engine_graphs import graphs
from support.fake_tensorrt import SHAPES, Module
from support.present import present

from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.engines.graph_precision import GraphPrecision, graph_precisions
from x3ddeploy.engines.inspection import precision_of_engine, precision_of_network, with_inspection
from x3ddeploy.errors import GateError
from x3ddeploy.tensorrt.trt import TensorRT
from x3ddeploy.terms import Precision

ALL = list(SHAPES)


def graph_of(precision, part="recognizer", **changes):
    return graph_precisions(graphs(precision, **changes)[part])


def report(shape, precision, part="recognizer", **knobs):
    module = Module(SHAPES[shape])
    for name, value in knobs.items():
        setattr(module, name, value)
    graph = graphs(precision, opset17=shape == "8.6")[part]
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: None)
    options = BuildOptions(Flavour.TENSORRT, Precision(precision), Batches(1, 1, 8))
    plan, _ = tensorrt.parse(graph.SerializeToString()).build(options, None, lambda text: None)
    in_graph, strong = graph_precisions(graph), tensorrt.features.strongly_typed
    information = tensorrt.load(plan, host_code=False).inspect()
    seen = precision_of_engine(information, in_graph, strongly_typed=strong)
    if not strong:
        return seen
    return with_inspection(precision_of_network(tensorrt.parse(graph.SerializeToString()).layers(), in_graph), seen)


def test_the_graph_says_what_it_asks():
    assert {layer.precision for layer in graph_of("fp32")} == {"fp32"}
    assert {layer.precision for layer in graph_of("fp16")} == {"fp16"}
    int8 = {layer.node: layer for layer in graph_of("int8")}
    assert int8["rgb_backbone/layer1.0/conv1/Conv"].precision == "int8"
    depthwise = int8["rgb_backbone/layer1.0/conv2/Conv"]
    assert (depthwise.precision, depthwise.reason) == (
        "fp16",
        "the graph does not quantize it: a depthwise convolution",
    )
    assert int8["rgb_backbone/conv1_s/Conv"].reason == "the graph does not quantize it: the stem"
    assert int8["rgb_backbone/layer1.0/se_module/fc1"].reason.endswith("squeeze-and-excitation")


def test_what_quantization_left_out_keeps_its_reason():
    graph = graphs("int8")["recognizer"]
    found = graph_precisions(graph, {"rgb_backbone/layer1.0": "loses 2 points", "head/rgb/prototypes/MatMul": "sums"})
    reasons = {layer.node: layer.reason for layer in found}
    assert reasons["rgb_backbone/layer1.0/conv2/Conv"] == "loses 2 points"
    assert reasons["head/rgb/prototypes/MatMul"] == "sums"
    assert reasons["rgb_backbone/layer1.1/conv2/Conv"] != "loses 2 points"


@pytest.mark.parametrize("shape", ALL)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_layer_is_found_in_every_versions_words(shape, precision):
    found = report(shape, precision)
    assert found.unknown == []
    assert found.wider == found.seen_wider == []
    if shape != "8.6":
        assert [layer.seen for layer in found.layers] == [layer.runs for layer in found.layers]
    assert found.reformats == 1
    assert found.engine_layers == len(found.layers) + 1
    found.raise_if_not_as_asked(Precision(precision))


@pytest.mark.parametrize("shape", [shape for shape in ALL if shape != "8.6"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_types_that_bind_the_builder_are_the_proof_and_the_inspector_a_report(shape, precision):
    """Fused layers are named and typed as the inspector likes: a good engine must not fail for its words."""
    found = report(shape, precision, ignores_precision=True)
    found.raise_if_not_as_asked(Precision(precision))
    assert found.source == "parsed network"
    assert len(found.seen_wider) == len(found.layers)


@pytest.mark.parametrize("layer", inspector_layers.LAYERS)
def test_published_forms_of_layers_are_read(layer):
    shown, computing = inspector_layers.LAYERS[layer]
    in_graph = [GraphPrecision(node, "Conv", "fp16") for node in computing]
    found = precision_of_engine({"Layers": [shown]}, in_graph, strongly_typed=False)
    assert {entry.node: entry.runs for entry in found.layers} == computing


# Whole answers of the inspector that NVIDIA published (NVIDIA/TensorRT v8.6.0, tools/experimental/trt-engine-explorer,
# Apache License 2.0): ResNet-18 from PyTorch on an A100, ResNet-50 from TensorFlow on an RTX 3090, and two MobileNetV2.
# File -> convolutions and fully connected layers of the network, in what its engine was built, and its reformats.
PUBLISHED = {
    "pytorch-A100-fp32": (21, "fp32", 8),
    "pytorch-A100-fp16": (21, "fp16", 12),
    "pytorch-A100-qat": (21, "int8", 13),
    "pytorch-A100-qat-residual": (21, "int8", 3),
    "tensorflow-RTX-3090-fp32": (54, "fp32", 43),
    "tensorflow-RTX-3090-fp16": (54, "fp16", 26),
    "tensorflow-RTX-3090-qat": (53, "int8", 2),  # its stem goes by the name of its bias
    "mobilenet.qat": (53, "int8", 18),
    "mobilenet_v2_residuals.qat": (53, "int8", 3),
}
# ONNX nodes that compute, as PyTorch's and TensorFlow's exporters called them.
COMPUTING_NODE = re.compile(r"(?:Conv|Gemm)_\d+|Conv__\d+|resnet50/\S*/(?:Conv2D|MatMul)")


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_layer_is_found_in_engines_that_nvidia_published(name):
    layers, precision, reformats = PUBLISHED[name]
    with tarfile.open(Path(__file__).parent / "inspector_files.tar.xz") as archive:
        information = json.loads(present(archive.extractfile(f"{name}.json")).read(), strict=False)
    named = {word for layer in information["Layers"] for word in re.split(r" \+ | \|\| |\|", layer["Name"])}
    in_graph = [GraphPrecision(node, "Conv", precision) for node in named if COMPUTING_NODE.fullmatch(node)]
    report = precision_of_engine(information, in_graph, strongly_typed=False)
    assert report.counts == {precision: layers}
    assert (report.engine_layers, report.reformats) == (len(information["Layers"]), reformats)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_builder_that_ignores_the_precision_fails(precision):
    """Elsewhere such an engine went out as FP16 and ran in float32, unnoticed."""
    found = report("8.6", precision, ignores_precision=True)
    assert found.counts == {"fp32": len(found.layers)}
    with pytest.raises(GateError, match="not what was asked for") as error:
        found.raise_if_not_as_asked(Precision(precision))
    assert "runs fp32" in error.value.details[0]


def test_a_convolution_outside_int8_is_told_with_its_reason():
    reasons = {layer.node: layer.reason for layer in report("11", "int8").outside_int8}
    assert "depthwise" in reasons["pose_backbone/layer1.0/conv2/Conv"]
    assert "rgb_backbone/layer1.0/conv1/Conv" not in reasons


def layers_of(text, weights=None, tactic=""):
    node = "rgb_backbone/layer1.0/conv1/Conv"
    layer = {"Name": node, "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": text}], "TacticName": tactic}
    if weights:
        layer["Weights"] = {"Type": weights, "Count": 1}
    in_graph = [layer for layer in graph_of("int8") if layer.node == node]
    return precision_of_engine({"Layers": [layer]}, in_graph, strongly_typed=True)


@pytest.mark.parametrize(
    ("text", "weights", "tactic", "runs"),
    [
        ("Thirty-two wide channel vectorized row major Int8 format.", None, "", "int8"),
        ("Channel major INT8 format where column stride % 32 == 0", None, "", "int8"),
        ("Half", "Int8", "", "int8"),  # the scale is fused into the kernel
        ("N/A due to dynamic shapes", None, "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32", "int8"),
        ("N/A due to dynamic shapes", "Half", "", "fp16"),
        ("Two wide channel vectorized row major FP16 format", None, "", "fp16"),
        ("Row major linear BFloat16 format", None, "", "bf16"),
        ("Row major linear FP32", None, "", "fp32"),
        ("Float", "Float", "", "fp32"),
        ("N/A due to dynamic shapes", None, "", "unknown"),
    ],
)
def test_types_are_read_in_all_their_words(text, weights, tactic, runs):
    assert layers_of(text, weights, tactic).layers[0].runs == runs


def test_an_engine_that_tells_nothing_is_not_kept():
    with pytest.raises(GateError, match="tells of none"):
        layers_of("N/A due to dynamic shapes").raise_if_not_as_asked(Precision.INT8)


def test_an_engine_from_the_wrong_graph_is_not_fp16():
    found = report("11", "fp32")
    with pytest.raises(GateError, match="no fp16 layer"):
        found.raise_if_not_as_asked(Precision.FP16)


def test_a_weakly_typed_builder_may_choose_a_wider_kernel_here_and_there():
    in_graph = graph_of("fp16")
    layers = [
        {
            "Name": layer.node,
            "LayerType": "CaskConvolution",
            "Inputs": [{"Format/Datatype": "FP32" if index < 2 else "FP16"}],
        }
        for index, layer in enumerate(in_graph)
    ]
    weak = precision_of_engine({"Layers": layers}, in_graph, strongly_typed=False)
    assert len(weak.wider) == 2
    weak.raise_if_not_as_asked(Precision.FP16)
    strong = precision_of_engine({"Layers": layers}, in_graph, strongly_typed=True)
    with pytest.raises(GateError, match="2 of"):
        strong.raise_if_not_as_asked(Precision.FP16)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_parsed_network_tells_where_no_engine_can_be_loaded(precision):
    graph = graphs(precision)["recognizer"]
    network = TensorRT(Module(SHAPES["rtx"]), Flavour.RTX, print).parse(graph.SerializeToString())
    found = precision_of_network(network.layers(), graph_precisions(graph))
    assert found.source == "parsed network"
    assert found.unknown == []
    assert found.wider == []
    assert set(found.counts) == ({"fp16", "int8"} if precision == "int8" else {precision})
