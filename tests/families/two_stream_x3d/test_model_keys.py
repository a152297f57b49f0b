"""Every key of a training config's `model` is exported, known to change nothing, or refused by its name.

A user who loses this deploys another network than the one trained, and nothing in the weights shows it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoint_files import CONFIG, tiny_weights

from x3ddeploy.checkpoint import CHECKPOINT_CONFIG, read_config_text
from x3ddeploy.checkpoint.rules import DictRules, refusals
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint import expected_shapes, read_override, resolve_spec
from x3ddeploy.families.two_stream_x3d.checkpoint.model_keys import MODEL
from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import Resolved
from x3ddeploy.families.two_stream_x3d.demo import config_text
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, HeadSpec, Nonlinearity, StageSpec
from x3ddeploy.loading import load_network

CONFIGS = Path(__file__).parents[3] / "configs"


def _resolve(*edits: tuple[str, str]) -> Resolved:
    text = CONFIG
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return resolve_spec(tiny_weights(), read_config_text(text, CHECKPOINT_CONFIG))


def _in(place: str, keys: str) -> tuple[str, str]:
    """The edit that adds `keys` to the dict at `place`."""
    anchor = {
        "rgb_backbone": "rgb_backbone=dict(",
        "pose_backbone": "pose_backbone=dict(",
        "cls_head": "cls_head=dict(",
        "data_preprocessor": "data_preprocessor=dict(",
        "preprocessors": "preprocessors=dict(",
        "imgs": " imgs=dict(",
        "heatmap_imgs": "heatmap_imgs=dict(",
        "model": "model = dict(",
    }[place]
    return anchor, f"{anchor}{keys}, "


def test_identity_in_the_place_of_swish_is_part_of_the_network() -> None:
    resolved = _resolve(_in("pose_backbone", "use_swish=False"))
    assert resolved.spec.pose.activation is Nonlinearity.NONE
    assert resolved.origins["pose.activation"] == "checkpoint config"
    assert resolved.spec.rgb.activation is Nonlinearity.SWISH


def test_the_rgb_class_takes_use_swish_without_effect_and_says_so() -> None:
    resolved = _resolve(_in("rgb_backbone", "use_swish=False"))
    assert resolved.spec.rgb.activation is Nonlinearity.SWISH
    assert resolved.origins["rgb.activation"] == "default of X3DTemporalShift"
    assert any("rgb_backbone.use_swish is without effect" in note for note in resolved.notes)


@pytest.mark.parametrize(
    ("place", "keys", "named"),
    [
        ("model", "backbone=dict(type='RGBPoseConv3D')", "model.backbone"),
        ("model", "neck=dict(type='TPN')", "model.neck"),
        ("model", "type='MMRecognizer3D'", "model.type = 'MMRecognizer3D'"),
        ("model", "type=Recognizer", "model.type = (line"),
        ("rgb_backbone", "_scope_='mmpretrain'", "model.rgb_backbone._scope_ = 'mmpretrain'"),
        ("rgb_backbone", "type='X3D'", "model.rgb_backbone.type = 'X3D'"),
        ("rgb_backbone", "type='X3DTemporalShiftPose'", "model.rgb_backbone.type"),
        ("pose_backbone", "type='mmaction.X3DTemporalShift'", "model.pose_backbone.type"),
        ("rgb_backbone", "temporal_strides=(1, 2)", "model.rgb_backbone.temporal_strides = (1, 2)"),
        ("pose_backbone", "use_sta=True", "model.pose_backbone.use_sta = True"),
        ("pose_backbone", "attention=dict(type='CBAM')", "model.pose_backbone.attention"),
        ("pose_backbone", "pool1_stride=2", "model.pose_backbone.pool1_stride = 2"),
        ("pose_backbone", "norm_cfg=dict(type='BN3d', eps=1e-3)", "model.pose_backbone.norm_cfg.eps = 0.001"),
        ("pose_backbone", "norm_cfg=dict(type='GN', num_groups=8)", "model.pose_backbone.norm_cfg.type = 'GN'"),
        ("pose_backbone", "norm_cfg=dict(type='BN3d', eps=e)", "model.pose_backbone.norm_cfg.eps = (line"),
        ("pose_backbone", "norm_cfg=dict(type='BN3d', track_running_stats=False)", "norm_cfg.track_running_stats"),
        ("rgb_backbone", "act_cfg=dict(type='HSwish')", "model.rgb_backbone.act_cfg.type = 'HSwish'"),
        ("rgb_backbone", "act_cfg=dict(type='ReLU', negative_slope=1)", "rgb_backbone.act_cfg.negative_slope"),
        ("rgb_backbone", "conv_cfg=dict(type='Conv2plus1d')", "model.rgb_backbone.conv_cfg.type"),
        ("rgb_backbone", "conv_cfg=dict(type='Conv3d', padding_mode='reflect')", "conv_cfg.padding_mode"),
        ("rgb_backbone", "conv_cfg='Conv3d'", "model.rgb_backbone.conv_cfg = 'Conv3d'"),
        ("cls_head", "pool='max'", "model.cls_head.pool = 'max'"),
        ("cls_head", "loss_components=['rgb']", "model.cls_head.loss_components = ['rgb']"),
        ("preprocessors", "flow=dict(type='ActionDataPreprocessor')", "preprocessors.flow"),
        ("data_preprocessor", "scale=255", "model.data_preprocessor.scale = 255"),
        ("imgs", "to_rgb=True", "preprocessors.imgs.to_rgb = True"),
        ("imgs", "format_shape='NCHW'", "preprocessors.imgs.format_shape = 'NCHW'"),
        ("imgs", "to_float32=False", "preprocessors.imgs.to_float32 = False"),
        ("heatmap_imgs", "mean=[0.5]", "preprocessors.heatmap_imgs.mean = [0.5]"),
    ],
)
def test_what_would_be_lost_is_refused_by_its_path_and_value(place: str, keys: str, named: str) -> None:
    with pytest.raises(CheckpointError, match="the model is not supported as it is configured") as caught:
        _resolve(_in(place, keys))
    (line,) = caught.value.details
    assert named in line
    assert ": " in line


def test_all_that_is_refused_is_listed_at_once() -> None:
    with pytest.raises(CheckpointError) as caught:
        _resolve(_in("pose_backbone", "use_sta=True, x=1"), _in("cls_head", "y=2"))
    assert len(caught.value.details) == 3


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("model", "type='mmaction.RGBPoseX3DRecognizer', _scope_='mmaction', train_cfg=None, test_cfg=dict(a=1)"),
        (
            "rgb_backbone",
            "type='X3DTemporalShift', _scope_='mmaction', frozen_stages=2, with_cp=True, norm_eval=True, "
            "zero_init_residual=False, pretrained='x.pth', init_cfg=dict(type='Pretrained'), use_sta=False, "
            "norm_cfg=dict(type='SyncBN', requires_grad=False, momentum=0.01, eps=1e-5), "
            "act_cfg=dict(type='ReLU', inplace=True), conv_cfg=dict(type='Conv3d')",
        ),
        ("pose_backbone", "norm_cfg=None, act_cfg=None, conv_cfg=None, pretrained=find()"),
        (
            "cls_head",
            "dropout=dict(rgb=0.1, pose=0.9), init_std=1, loss_cls=dict(type='BCELossWithLogits'), topk=(1,), "
            "loss_weights=[1, 2, 3, 4], label_smooth_eps=0.1, multi_class=True, loss_components=('rgb', 'pose')",
        ),
        ("imgs", "to_rgb=False, to_float32=True, blending=dict(type='MixupBlending'), format_shape='NCTHW'"),
        ("heatmap_imgs", "format_shape='NCHW', mean=None"),
    ],
)
def test_what_changes_nothing_changes_nothing(place: str, keys: str) -> None:
    resolved = _resolve(_in(place, keys))
    assert resolved.spec == _resolve().spec
    assert resolved.notes == ()


def test_preprocessor_beside_the_model_is_held_to_the_same_rules() -> None:
    config = {"data_preprocessor": {"preprocessors": {"imgs": {"mean": [1, 2, 3], "std": [4, 5, 6], "to_rgb": True}}}}
    with pytest.raises(CheckpointError, match=r"data_preprocessor\.preprocessors\.imgs\.to_rgb"):
        resolve_spec(tiny_weights(), config)
    config["data_preprocessor"]["preprocessors"]["imgs"].pop("to_rgb")
    assert resolve_spec(tiny_weights(), config).spec.rgb_input.mean == (1.0, 2.0, 3.0)


def test_left_out_keys_have_their_class_defaults_whatever_a_preset_says() -> None:
    """The `tiny` preset fits these weights, and its values are not the classes'."""
    resolved = _resolve(
        ("conv1_stride=1, fold_div=4, ", ""), ("conv1_stride=2, fold_div=8, ", ""), (", spatial_strides=(1, 2)", ""),
        ("average_clips='score', ", ""), ("mean=[1.5, 2, 3], std=[4, 5.0, 6], ", ""),
    )  # fmt: skip
    assert (resolved.spec.rgb.stem_stride, resolved.spec.rgb.fold_div) == (2, 8)
    assert (resolved.spec.pose.stem_stride, resolved.spec.pose.fold_div) == (1, 4)
    assert [stage.stride for stage in resolved.spec.rgb.stages] == [2, 2]
    assert resolved.spec.head.average_clips == "none"
    assert (resolved.spec.rgb_input.mean, resolved.spec.rgb_input.std) == ((0.0,) * 3, (1.0,) * 3)
    for name, owner in (
        ("rgb.stem_stride", "X3DTemporalShift"),
        ("rgb.fold_div", "X3DTemporalShift"),
        ("rgb.stage_strides", "X3DTemporalShift"),
        ("rgb.activation", "X3DTemporalShift"),
        ("pose.stem_stride", "X3DTemporalShiftPose"),
        ("pose.activation", "X3DTemporalShiftPose"),
        ("head.average_clips", "RGBPoseHead"),
        ("rgb_input.mean", "ActionDataPreprocessor"),
    ):
        assert resolved.origins[name] == f"default of {owner}"


def test_a_named_config_does_not_outrank_the_classes_that_trained() -> None:
    config = read_config_text(CONFIG.replace("fold_div=8, ", ""), CHECKPOINT_CONFIG)
    other = replace(
        read_override("tiny"), source=replace(PRESETS["tiny"], rgb=replace(PRESETS["tiny"].rgb, fold_div=2))
    )
    resolved = resolve_spec(tiny_weights(), config, other)
    assert resolved.spec.rgb.fold_div == 8
    assert any("default of X3DTemporalShift says 8" in note for note in resolved.notes)


# The way up that the network's authors name, as the original code writes it: no type, no stem, no strides.
WIDE = """
model = dict(
    type='RGBPoseX3DRecognizer',
    rgb_backbone=dict(gamma_w=1.2, gamma_b=2.25, gamma_d=2.5),
    pose_backbone=dict(in_channels=17, use_swish=False, fold_div=3),
    cls_head=dict(type='RGBPoseHead', num_classes=60, in_channels=[576, 216], average_clips='prob'),
    data_preprocessor=dict(
        type='RGBPoseDataPreprocessor',
        preprocessors=dict(
            imgs=dict(type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                      format_shape='NCTHW'),
            heatmap_imgs=dict(type='ActionDataPreprocessor'))))
test_pipeline = [
    dict(type='MMUniformSampleFrames', clip_len=dict(RGB=16, Pose=48), num_clips=1, test_mode=True),
    dict(type='MMDecode'),
    dict(type='MMCompact', hw_ratio=1.0, allow_imgpad=True),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='GeneratePoseTarget', sigma=0.6, use_score=True, with_kp=True, with_limb=False, scaling=0.25),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'heatmap_imgs'))]
"""


def _half(blocks: int, width: int) -> tuple[int, ...]:
    return tuple(width if block % 2 == 0 else 0 for block in range(blocks))


def test_a_wide_and_deep_network_of_the_original_exports_without_options(tmp_path: Path) -> None:
    """Widths and depths by hand: 24 x 1.2 to 32, doubled a stage; 2.5 x (1, 2, 5, 3) rounded up; widths x 2.25."""
    stages = tuple(
        StageSpec(blocks, channels, width, 2, _half(blocks, squeeze))
        for blocks, channels, width, squeeze in (
            (3, 32, 72, 8),
            (5, 64, 144, 16),
            (13, 128, 288, 24),
            (8, 256, 576, 40),
        )
    )
    pose = replace(PRESETS["ntu60"].pose, fold_div=3, activation=Nonlinearity.NONE)
    spec = replace(
        PRESETS["ntu60"],
        rgb=BackboneSpec(3, 32, 2, stages, 576, fold_div=8),
        pose=pose,
        head=HeadSpec(576, 216, classes=60),
        rgb_input=replace(PRESETS["ntu60"].rgb_input, height=256, width=256),
        pose_input=replace(PRESETS["ntu60"].pose_input, height=64, width=64),
    )
    weights = {name: torch.rand(shape) for name, shape in expected_shapes(spec).items()}
    torch.save({"meta": {"cfg": WIDE}, "state_dict": weights}, tmp_path / "wide.pth")
    loaded = load_network(tmp_path / "wide.pth")
    assert loaded.network.spec == spec
    assert loaded.notes == ()
    assert loaded.origins["rgb.stem_stride"] == "default of X3DTemporalShift"
    assert not [origin for origin in loaded.origins.values() if origin.startswith("preset")]


@pytest.mark.parametrize("stride", [1, 3])
def test_strides_that_the_weights_contradict_are_refused(stride: int) -> None:
    """Where channels stay, a stage has a downsample if its stride is not 1: the one trace of a stride."""
    first = StageSpec(2, 8, 22, stride, (8, 0))
    spec = replace(PRESETS["tiny"], rgb=replace(PRESETS["tiny"].rgb, stages=(first, *PRESETS["tiny"].rgb.stages[1:])))
    weights = {name: torch.zeros(shape) for name, shape in expected_shapes(spec).items()}
    assert ("rgb_backbone.layer1.0.downsample.conv.weight" in weights) == (stride != 1)
    config = read_config_text(config_text(spec), CHECKPOINT_CONFIG)
    assert resolve_spec(weights, config).spec.rgb == spec.rgb
    config["model"]["rgb_backbone"]["spatial_strides"] = (1 if stride != 1 else 2, 2)
    with pytest.raises(CheckpointError, match=r"rgb\.layer1: the checkpoint config says stride"):
        resolve_spec(weights, config)


def test_longer_lists_of_strides_are_cut_as_the_original_cuts_them() -> None:
    resolved = _resolve(("spatial_strides=(1, 2)", "spatial_strides=(1, 2, 2, 2)"))
    assert [stage.stride for stage in resolved.spec.rgb.stages] == [1, 2]


def test_no_squeeze_and_excitation_is_no_contradiction() -> None:
    rgb = PRESETS["tiny"].rgb
    bare = replace(
        PRESETS["tiny"], rgb=replace(rgb, stages=tuple(replace(s, squeeze=(0,) * s.blocks) for s in rgb.stages))
    )
    weights = {name: torch.zeros(shape) for name, shape in expected_shapes(bare).items()}
    text = CONFIG.replace(*_in("rgb_backbone", "se_style='half', se_ratio=None"))
    resolved = resolve_spec(weights, read_config_text(text, CHECKPOINT_CONFIG))
    assert resolved.spec.rgb.stages[0].squeeze == (0, 0)
    assert resolved.notes == ()


@pytest.mark.parametrize("name", ["ntu60", "ma52", "synth", "tiny"])
def test_shipped_configs_are_understood_key_by_key(name: str) -> None:
    config: Any = read_override(str(CONFIGS / f"{name}.py")).source
    assert list(refusals(config["model"], MODEL, "model")) == []


def test_every_rule_says_why() -> None:
    def rules(place: DictRules) -> list[str]:
        return [
            why for rule in place.keys.values() for why in (rules(rule) if isinstance(rule, DictRules) else [rule.why])
        ]

    assert len(rules(MODEL)) > 60
    assert all(len(why) > 10 for why in rules(MODEL))
