"""Configs that were written for the original network build here, and MMAction2's own names keep their meaning."""

import pytest
import torch
from mmengine.registry import DefaultScope

from x3ddeploy.checkpoint import read_config_file
from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.config_keys import BackboneConfig, PoseBackboneConfig, read_keys, round_width
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import Nonlinearity
from x3ddeploy.mmaction_compat import import_everything

import_everything()
from mmengine.registry import MODELS  # noqa: E402
from support.training_data import ROOT, TINY  # noqa: E402

# As the original training code writes it into its checkpoints: no types for the backbones, no map of coarse classes.
ORIGINAL = {
    "type": "RGBPoseX3DRecognizer",
    "rgb_backbone": {
        "fold_div": 8, "gamma_b": 2.25, "gamma_d": 2.2, "gamma_w": 1, "in_channels": 3, "num_stages": 4,
        "se_ratio": 0.0625, "se_style": "half", "spatial_strides": (2, 2, 2, 2), "use_swish": True,
    },
    "pose_backbone": {
        "base_channels": 24, "conv1_stride": 1, "fold_div": 4, "gamma_d": 1, "in_channels": 17, "num_stages": 3,
        "se_ratio": 0.0625, "spatial_strides": (2, 2, 2), "stage_blocks": (5, 11, 7), "use_swish": True,
    },
    "cls_head": {
        "type": "RGBPoseHead", "average_clips": "prob", "in_channels": [432, 216], "loss_components": ["rgb", "pose"],
        "loss_weights": [1.0, 1.5, 0.6, 1.2], "num_classes": 60, "num_coarse_classes": 8,
    },
    "data_preprocessor": {
        "type": "RGBPoseDataPreprocessor",
        "preprocessors": {
            "imgs": {
                "type": "ActionDataPreprocessor", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375],
                "format_shape": "NCTHW",
            },
            "heatmap_imgs": {"type": "ActionDataPreprocessor"},
        },
    },
}  # fmt: skip


def build(config, scope="x3ddeploy"):
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config)


def test_the_original_config_builds_the_published_network():
    model = build(ORIGINAL)
    assert model.rgb_backbone.spec == PRESETS["ntu60"].rgb
    assert model.pose_backbone.spec == PRESETS["ntu60"].pose
    assert model.cls_head.loss_weights == {"rgb": 1.0, "pose": 1.5, "rgb_coarse": 0.6, "pose_coarse": 1.2}


@pytest.mark.parametrize("name", ["ntu60", "ma52"])
def test_a_shipped_config_builds_its_preset(name):
    model = build(read_config_file(ROOT / "configs" / f"{name}.py")["model"])
    spec = PRESETS[name]
    assert (model.rgb_backbone.spec, model.pose_backbone.spec, model.cls_head.spec) == (spec.rgb, spec.pose, spec.head)


def test_weights_are_those_of_the_deployed_network():
    model = build(read_config_file(TINY)["model"])
    spec = PRESETS["tiny"]
    assert (model.rgb_backbone.spec, model.pose_backbone.spec) == (spec.rgb, spec.pose)
    network = TwoStreamX3D(type(spec)(spec.rgb, spec.pose, model.cls_head.spec, spec.rgb_input, spec.pose_input))
    assert all(result == [] for result in network.load_state_dict(model.state_dict(), strict=True))


def test_mmaction_head_keeps_its_name_in_its_own_scope():
    keys = {"type": "RGBPoseHead", "num_classes": 4, "in_channels": [8, 6]}
    assert type(build(keys, "mmaction")).__module__ == "mmaction.models.heads.rgbpose_head"
    assert type(build(keys)).__module__ == "x3ddeploy.families.two_stream_x3d.training.head"
    assert type(build({**keys, "type": "mmaction.RGBPoseHead"})).__module__ == "mmaction.models.heads.rgbpose_head"


def test_the_baseline_config_builds_mmactions_network():
    model = build(read_config_file(ROOT / "configs" / "rgbpose_conv3d.py")["model"])
    assert type(model).__name__ == "MMRecognizer3D"
    assert type(model.cls_head).__module__ == "mmaction.models.heads.rgbpose_head"


def test_an_unknown_key_is_refused_with_the_one_that_was_meant():
    with pytest.raises(UsageError, match="fold_divs") as error:
        build({"type": "X3DTemporalShift", "fold_divs": 8})
    assert "did you mean 'fold_div'" in str(error.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"conv1_stride": 1},
        {"frozen_stages": 2},
        {"norm_cfg": {"type": "SyncBN"}},
        {"norm_cfg": {"type": "BN3d", "eps": 1e-3}},
        {"act_cfg": {"type": "ReLU", "negative_slope": 0.1}},
        {"se_style": "third"},
        {"spatial_strides": (2, 2)},
        {"num_stages": 5},
    ],
)
def test_keys_that_describe_another_network_are_refused(keys):
    with pytest.raises(UsageError):
        BackboneConfig(**keys).spec()


def test_left_out_keys_have_the_original_classes_defaults():
    """As in 9527haoyunlai/PCANetwork: depths 1, 2, 5, 3 and no widening for RGB; 5, 11, 7 and 2.25 for pose."""
    rgb, pose = BackboneConfig().spec(), PoseBackboneConfig().spec()
    assert [(stage.blocks, stage.channels, stage.width, stage.stride) for stage in rgb.stages] == [
        (1, 24, 24, 2), (2, 48, 48, 2), (5, 96, 96, 2), (3, 192, 192, 2)
    ]  # fmt: skip
    assert (rgb.stem_stride, rgb.fold_div, rgb.out_channels) == (2, 8, 192)
    assert pose == PRESETS["ntu60"].pose


def test_use_swish_is_what_the_original_classes_make_of_it():
    assert BackboneConfig(use_swish=False).spec().activation is Nonlinearity.SWISH
    pose = build({"type": "X3DTemporalShiftPose", "use_swish": False, "num_stages": 1, "stage_blocks": (2,)})
    block = pose.layer1[1]
    x = torch.randn(1, 24, 3, 4, 4)
    pose.eval()
    assert torch.equal(block(x), torch.relu(block.conv3(block.conv2(block.conv1(block.shift(x)))) + x))


def test_mmactions_harmless_keys_are_taken():
    keys = {"conv_cfg": {"type": "Conv3d"}, "norm_cfg": {"type": "BN3d", "requires_grad": True}, "with_cp": False}
    assert read_keys(PoseBackboneConfig, "X3DTemporalShiftPose", {**keys, "stage_blocks": (5, 11, 7)}).spec() == (
        PRESETS["ntu60"].pose
    )


def test_widths_round_as_mmaction_rounds_them():
    from mmaction.models.backbones.x3d import X3D

    for width in range(1, 500, 7):
        for factor in (1 / 16, 0.5, 1.0, 2.25):
            assert round_width(width, factor) == X3D._round_width(width, factor)


def test_initialisation_is_kaiming_unit_norms_and_small_classifiers():
    model = build(read_config_file(TINY)["model"])
    torch.nn.init.zeros_(model.rgb_backbone.conv1_s.bn.weight)
    model.init_weights()
    assert model.rgb_backbone.conv1_s.bn.weight.eq(1).all()
    assert 0.005 < model.cls_head.fc_rgb.weight.detach().std() < 0.015
    fan_out = model.rgb_backbone.conv1_s.conv.weight[:, 0].numel()
    assert model.rgb_backbone.conv1_s.conv.weight.detach().std() == pytest.approx((2 / fan_out) ** 0.5, rel=0.2)


def test_residual_branches_can_start_at_zero():
    backbone = build({"type": "X3DTemporalShift", "num_stages": 1, "spatial_strides": (2,), "zero_init_residual": True})
    backbone._params_init_info = {}
    type(backbone).init_weights(backbone)
    assert backbone.layer1[0].conv3.bn.weight.eq(0).all()


def test_norm_eval_keeps_batch_norm_statistics():
    backbone = build({"type": "X3DTemporalShift", "num_stages": 1, "spatial_strides": (2,), "norm_eval": True}).train()
    before = backbone.conv1_s.bn.running_mean.clone()
    backbone(torch.randn(2, 3, 2, 8, 8))
    assert torch.equal(before, backbone.conv1_s.bn.running_mean)
