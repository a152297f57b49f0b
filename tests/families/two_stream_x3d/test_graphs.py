"""Exported graphs keep the rules that TensorRT 8.6 to 11, ONNX Runtime and OpenVINO ask for."""

import copy
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from support.parts import PARTS
from support.present import of_type, present

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.errors import BundleError, X3DDeployError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead
from x3ddeploy.families.two_stream_x3d.lowering import strategy
from x3ddeploy.families.two_stream_x3d.lowering.strategy import TARGETS, Layout, Strategy
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import Nonlinearity, StageSpec, spec_of
from x3ddeploy.families.two_stream_x3d.x3d import X3DBlock
from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.graphs.lint import check_model, lint
from x3ddeploy.graphs.work import multiply_adds
from x3ddeploy.loading import restore_network
from x3ddeploy.modalities.synthetic import batch_inputs, impulse_inputs
from x3ddeploy.parity.metrics import compare
from x3ddeploy.runtimes.registry import open_session


def parts_of(network, target="tensorrt", batch=None):
    return build_parts(network, target, batch, "0" * 64)


@pytest.fixture(scope="module")
def parts(tiny_network):
    return parts_of(tiny_network)


@pytest.fixture(scope="module", params=TARGETS)
def parts_of_target(request, tiny_network):
    """Each target, and its parts."""
    return request.param, parts_of(tiny_network, request.param)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_every_target_is_clean(parts_of_target, part):
    target, models = parts_of_target
    model = models[part]
    check_model(model)
    assert lint(model) == []
    kernels = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    ranks = {kernels[node.input[1]] for node in model.graph.node if node.op_type == "Conv"}
    assert ranks == ({4} if TARGETS[target].layout is Layout.FRAMES else {5}) or part == "head"
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"ScatterND", "Loop", "If", "BatchNormalization", "Constant", "Identity", "Shape"}
    assert ("Gather" in operators) == (TARGETS[target].shift_as_gather and part != "head")


def test_names_say_which_stage_and_block_a_node_belongs_to(parts):
    names = [node.name for node in parts["recognizer"].graph.node]
    assert len(set(names)) == len(names)
    assert all(name.startswith(("rgb_backbone/", "pose_backbone/", "head/")) for name in names)
    assert {"rgb_backbone/layer2.1/conv1/Conv", "pose_backbone/layer1.0/se_module/fc1", "head/fuse"} <= set(names)
    weights = {tensor.name for tensor in parts["recognizer"].graph.initializer}
    assert {"rgb_backbone.layer2.1.conv1.weight", "cls_head.fc_rgb.bias"} <= weights


def test_a_part_says_what_it_is(parts, tiny_network):
    for part, model in parts.items():
        metadata = PartMetadata.of(model)
        assert (metadata.part, metadata.precision, metadata.model) == (part, "fp32", tiny_network.model)


def test_a_foreign_onnx_file_has_no_metadata():
    with pytest.raises(BundleError, match="no readable x3ddeploy metadata"):
        PartMetadata.of(onnx.ModelProto())


def breakages():
    def add_node(op):
        def change(model):
            node = helper.make_node(op, [model.graph.node[-1].output[0]], ["planted"], name="planted")
            model.graph.node.append(node)
            model.graph.output.append(helper.make_tensor_value_info("planted", TensorProto.FLOAT, None))

        return change

    def external(model):
        model.graph.initializer[0].data_location = TensorProto.EXTERNAL

    def unused(model):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "lonely"))

    def same_name(model):
        model.graph.node[1].name = model.graph.node[0].name

    def opset(model):
        model.opset_import[0].version = 21

    def domain(model):
        model.graph.node[0].domain = "com.example"

    yield from ((add_node(op), op) for op in ("Identity", "BatchNormalization", "ScatterND", "If", "Loop", "Constant"))
    yield external, "outside the file"
    yield unused, "'lonely' is used by no node"
    yield same_name, "share a name"
    yield opset, "opset"
    yield domain, "com.example"


@pytest.mark.parametrize(("change", "said"), breakages())
def test_lint_names_a_planted_violation(parts, change, said):
    model = copy.deepcopy(parts["rgb_backbone"])
    change(model)
    assert any(said in problem for problem in lint(model)), lint(model)


def test_check_lists_every_problem_in_one_error(parts):
    model = copy.deepcopy(parts["head"])
    for name in ("first", "second"):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), name))
    with pytest.raises(X3DDeployError) as error:
        check_model(model)
    assert "'first'" in str(error.value)
    assert "'second'" in str(error.value)


def test_the_builder_refuses_names_that_would_mix_up_weights():
    graph = GraphBuilder("g")
    graph.constant("w", np.zeros(2, np.float32))
    assert graph.constant("w", np.zeros(2, np.float32)) == "w"
    with pytest.raises(X3DDeployError, match="two different constants"):
        graph.constant("w", np.ones(2, np.float32))
    graph.node("Relu", "x")
    with pytest.raises(X3DDeployError, match="two nodes"):
        graph.node("Relu", "y")


@pytest.mark.parametrize(("coarse", "prototypes"), [(0, 0), (3, 0), (3, 12), (0, 12)])
def test_every_kind_of_head_exports_the_outputs_it_has(tiny_network, coarse, prototypes):
    spec = replace(
        tiny_network.spec, head=replace(tiny_network.spec.head, coarse_classes=coarse, prototype_dim=prototypes)
    )
    network = TwoStreamX3D(spec).eval()
    network.cls_head = TwoStreamHead(spec.head).eval()
    features = {
        name: np.random.default_rng(0).random(shape, np.float32) for name, shape in spec.feature_shapes(3).items()
    }
    with torch.inference_mode():
        expected = network.classify(**{name: torch.from_numpy(value) for name, value in features.items()})
    actual = open_session("onnxruntime", parts_of(network)["head"].SerializeToString()).run(features)
    assert set(actual) == set(expected)
    assert ("rgb_coarse_logits" in actual) == bool(coarse)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value.numpy(), atol=1e-5)


def other_backbones():
    """What the presets lack: no activation, no downsampling where neither stride nor channels change, SE everywhere."""
    tiny = PRESETS["tiny"]
    first = StageSpec(2, 8, 22, 1, (8, 8))
    rgb, pose = (
        replace(backbone, stages=(first, *backbone.stages[1:]), activation=Nonlinearity.NONE)
        for backbone in (tiny.rgb, tiny.pose)
    )
    return replace(tiny, rgb=replace(rgb, activation=Nonlinearity.SWISH), pose=pose)


@pytest.mark.parametrize("target", TARGETS)
def test_other_backbones_export_what_their_training_form_computes(target):
    network = random_network(other_backbones())
    assert of_type(X3DBlock, network.rgb_backbone.stages[0][0]).downsample is None
    recognizer = parts_of(network, target)["recognizer"]
    assert spec_of(PartMetadata.of(recognizer).model) == network.spec
    assert not any("swish" in node.name for node in recognizer.graph.node if node.name.startswith("pose"))
    inputs = batch_inputs(clip_inputs(network.spec), 2, seed=5)
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.inference_mode():
        expected, rebuilt = network(**tensors), restore_network(recognizer)(**tensors)
        # The definition, block by block: what is left out here is what no weight would show.
        block = of_type(X3DBlock, network.pose_backbone.stages[0][1])
        x = torch.rand(1, 8, 6, 8, 8)
        projected = block.conv3(present(block.se_module)(block.conv2(block.conv1(block.shift(x)))))
        assert torch.equal(block(x), torch.relu(projected + x))
    actual = open_session("onnxruntime", recognizer.SerializeToString()).run(inputs)
    for name, value in actual.items():
        np.testing.assert_allclose(value, expected[name].numpy(), atol=2e-5, err_msg=name)
        np.testing.assert_allclose(rebuilt[name].numpy(), expected[name].numpy(), atol=2e-5, err_msg=name)


def test_graphs_of_older_versions_tell_their_network(parts, tiny_network):
    old = copy.deepcopy(parts["rgb_backbone"])
    props = {prop.key: prop.value for prop in old.metadata_props}
    props["x3ddeploy.spec"] = props.pop("x3ddeploy.model")
    del props["x3ddeploy.family"], props["x3ddeploy.blocks"]
    onnx.helper.set_model_props(old, props)
    metadata = PartMetadata.of(old)
    assert (metadata.family, metadata.model, metadata.fusion) == ("two_stream_x3d", tiny_network.model, (1, 1))
    assert "activation" not in metadata.model["rgb"]  # files of before there was a choice say the same


@pytest.mark.parametrize("target", TARGETS)
def test_a_graph_gives_its_network_back(tiny_network, target):
    """The torch runtime has nothing but the file: the rebuilt network must be the exported one."""
    rebuilt = restore_network(parts_of(tiny_network, target)["recognizer"])
    inputs = [torch.rand(shape) for shape in tiny_network.spec.input_shapes(2).values()]
    with torch.inference_mode():
        for name, value in tiny_network(*inputs).items():
            assert torch.allclose(rebuilt(*inputs)[name], value, atol=2e-5), name


def test_an_altered_weight_shape_is_not_rebuilt_into_something_else(parts):
    model = copy.deepcopy(parts["rgb_backbone"])
    weight = next(t for t in model.graph.initializer if t.name == "rgb_backbone.conv5.weight")
    weight.CopyFrom(numpy_helper.from_array(np.zeros((2, 2, 1, 1), np.float32), weight.name))
    with pytest.raises(BundleError, match="conv5"):
        restore_network(model)


def test_multiply_adds_are_those_of_the_published_networks(monkeypatch):
    monkeypatch.setitem(strategy.TARGETS, "tensorrt", Strategy(Layout.FRAMES, width_multiple=1, input_multiple=1))
    models = parts_of(TwoStreamX3D(PRESETS["ntu60"]))
    for part, expected in (("rgb_backbone", 4.26e9), ("pose_backbone", 3.36e9)):
        work = multiply_adds(models[part])
        assert work is not None
        assert sum(work.values()) == pytest.approx(expected, rel=0.01), part


def test_frames_share_one_named_axis_so_that_runtimes_can_fuse_shortcuts(parts):
    shapes = {v.name: v.type.tensor_type.shape.dim for v in parts["rgb_backbone"].graph.value_info}
    assert shapes["rgb_backbone/layer1.0/Add"][0].dim_param == "N*4"
    assert shapes["rgb_backbone/layer2.1/conv3/Conv"][0].dim_param == "N*4"


@pytest.mark.openvino
def test_openvino_keeps_its_digits_on_a_flat_clip():
    """Squeeze-and-excitation over 50,000 equal terms: summed one by one in float32 they are off by 1e-4 and more."""
    tiny = PRESETS["tiny"]
    stage = replace(tiny.rgb.stages[0], blocks=1, squeeze=(8,))
    spec = replace(
        tiny,
        rgb=replace(tiny.rgb, stem_stride=1, stages=(stage,)),
        rgb_input=replace(tiny.rgb_input, frames=16, height=112, width=112),
    )
    network = random_network(spec)
    clip = impulse_inputs(clip_inputs(spec), 1, frame=0)["imgs"]
    with torch.inference_mode():
        expected = network.rgb_backbone(torch.from_numpy(clip)).numpy()
    model = parts_of(network, "openvino")["rgb_backbone"].SerializeToString()
    actual = open_session("openvino", model).run({"imgs": clip})["rgb_feat"]
    assert compare(expected, actual).relative < 1e-5
