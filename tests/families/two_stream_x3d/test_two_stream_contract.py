import pytest

from x3ddeploy.contract import Block, InputKind
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS


@pytest.fixture
def contract():
    return two_stream_contract(PRESETS["tiny"], (2.0, 1.0), None, {})


def test_both_backbones_run_before_the_head(contract):
    assert contract.waves == (("rgb_backbone", "pose_backbone"), ("head",))
    assert contract.backbones == ("rgb_backbone", "pose_backbone")


def test_scores_are_the_streams_and_their_fusion(contract):
    assert contract.logits == {"rgb": "rgb_logits", "pose": "pose_logits"}
    assert contract.scores["fused"].shares() == {"rgb_logits": 2 / 3, "pose_logits": 1 / 3}
    assert contract.classes == 6


def test_shapes_are_those_of_the_specification(contract):
    assert contract.input_shapes(3) == PRESETS["tiny"].input_shapes(3)
    assert {name: value.shape[1:] for name, value in contract.outputs.items() if name.endswith("_feat")} == {
        name: shape[1:] for name, shape in PRESETS["tiny"].feature_shapes().items()
    }
    assert contract.batch is None
    assert two_stream_contract(PRESETS["tiny"], (1, 1), 4, {}).batch == 4


def test_inputs_tell_how_they_are_prepared(contract):
    frames = contract.of_kind(InputKind.FRAMES)["imgs"]
    assert frames.transform("Normalize").parameters["mean"] == list(PRESETS["tiny"].rgb_input.mean)
    assert contract.inputs["heatmap_imgs"].transform("GeneratePoseTarget").parameters["sigma"] == 0.6


def test_a_plain_head_has_no_coarse_logits():
    from dataclasses import replace

    spec = PRESETS["tiny"]
    plain = replace(spec, head=replace(spec.head, coarse_classes=0, prototype_dim=0))
    blocks = {"rgb_backbone": [Block("conv1_s", "rgb_backbone/conv1_s/Relu")]}
    contract = two_stream_contract(plain, (1, 1), None, blocks)
    assert contract.parts["head"].outputs == ("rgb_logits", "pose_logits", "scores")
    assert contract.parts["rgb_backbone"].blocks == (Block("conv1_s", "rgb_backbone/conv1_s/Relu"),)
