"""Every value of the specification must come from where it is known; a guessed one is a silently wrong deployment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.checkpoint_files import CONFIG, tiny_weights, trained_weights
from torch import Tensor

from x3ddeploy.checkpoint import CHECKPOINT_CONFIG, read_config_text
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint import (
    Override,
    Resolved,
    expected_shapes,
    read_override,
    resolve_spec,
)
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec, StageSpec

TINY = PRESETS["tiny"]


def _config(text: str = CONFIG) -> dict:
    return read_config_text(text, CHECKPOINT_CONFIG)


def _edited(old: str, new: str) -> dict:
    assert old in CONFIG
    return _config(CONFIG.replace(old, new))


def _random_weights(spec: ModelSpec) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in expected_shapes(spec).items()}


def _unknown_network() -> ModelSpec:
    """No preset has its backbones."""
    stage = StageSpec(1, 12, 20, 2, (8,))
    return replace(TINY, rgb=replace(TINY.rgb, stages=(stage, stage)))


def test_config_of_the_checkpoint_decides_what_weights_cannot() -> None:
    resolved = resolve_spec(trained_weights(), _config())
    spec = resolved.spec
    assert [stage.stride for stage in spec.rgb.stages] == [1, 2]
    assert [stage.stride for stage in spec.pose.stages] == [2, 1]
    assert (spec.rgb.stem_stride, spec.pose.stem_stride) == (2, 1)
    assert (spec.rgb.fold_div, spec.pose.fold_div) == (8, 4)
    assert (spec.rgb_input.frames, spec.pose_input.frames) == (5, 7)  # the pipeline's, not the loose variable's
    assert (spec.rgb_input.width, spec.rgb_input.height) == (40, 32)  # MMAction2's scale is (w, h)
    assert (spec.pose_input.width, spec.pose_input.height) == (10, 8)
    assert spec.rgb_input.mean == (1.5, 2.0, 3.0)
    assert spec.rgb_input.std == (4.0, 5.0, 6.0)
    assert (spec.pose_input.sigma, spec.pose_input.scaling, spec.pose_input.use_score) == (0.7, 0.25, False)
    assert spec.head.average_clips == "score"
    assert spec.pose_input.keypoint_order == "coco17"
    assert resolved.origins["rgb.fold_div"] == resolved.origins["rgb_input.mean"] == "checkpoint config"
    assert resolved.notes == ("left out 2 weights that serve training only (cls_head.fr_coarse_*)",)


def test_every_field_has_an_origin() -> None:
    origins = resolve_spec(tiny_weights(), _config()).origins
    for part in dataclasses.fields(ModelSpec):
        for value in dataclasses.fields(getattr(TINY, part.name)):
            assert f"{part.name}.{value.name}" in origins
    assert origins["rgb.stages"] == origins["head.classes"] == "weights"
    assert origins["pose_input.height"] == "derived"


@pytest.mark.parametrize("name", PRESETS)
def test_weights_alone_give_the_preset_that_they_fit(name: str) -> None:
    resolved = resolve_spec(_random_weights(PRESETS[name]))
    assert resolved.spec == PRESETS[name]
    assert resolved.origins["rgb.fold_div"] == f"preset {name}"


@pytest.mark.parametrize(("coarse", "prototypes"), [(0, 0), (5, 0), (3, 12)])
def test_head_is_read_off_the_weights(coarse: int, prototypes: int) -> None:
    head = replace(TINY.head, classes=9, coarse_classes=coarse, prototype_dim=prototypes)
    assert resolve_spec(_random_weights(replace(TINY, head=head))).spec.head == head


def test_other_joints_fit_no_preset_and_are_in_no_coco_order() -> None:
    spec = replace(TINY, pose=replace(TINY.pose, in_channels=25))
    with pytest.raises(CheckpointError, match="does not tell"):
        resolve_spec(_random_weights(spec))
    resolved = resolve_spec(_random_weights(spec), override=read_override("tiny"))
    assert resolved.spec.pose.in_channels == 25
    assert resolved.spec.pose_input.keypoint_order == "dataset"


def test_nothing_is_guessed_for_an_unknown_network() -> None:
    with pytest.raises(CheckpointError) as caught:
        resolve_spec(_random_weights(_unknown_network()))
    assert {"rgb.fold_div", "rgb_input.mean", "pose_input.sigma"} <= set(caught.value.details)
    assert "--config" in caught.value.hint


def test_config_file_fills_what_the_checkpoint_lacks(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    own = {"model": {"rgb_backbone": {"fold_div": 16}}}
    resolved = resolve_spec(_random_weights(_unknown_network()), own, read_override(str(path)))
    assert resolved.spec.rgb.fold_div == 16
    assert resolved.origins["rgb.fold_div"] == "checkpoint config"
    assert resolved.origins["pose.fold_div"] == f"config {path}"
    assert any("rgb.fold_div is 8, but checkpoint config says 16" in note for note in resolved.notes)


def test_preset_by_name_is_taken_and_a_typo_helped() -> None:
    assert read_override("ntu60") == Override("preset ntu60", PRESETS["ntu60"])
    with pytest.raises(CheckpointError, match="did you mean 'ntu60'"):
        read_override("ntu6")


def _resolve_edited(old: str, new: str) -> Resolved:
    return resolve_spec(tiny_weights(), _edited(old, new))


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("type='Resize'),", "type='Resize'), dict(type='CenterCrop', crop_size=(40, 32)),", (40, 32)),
        ("type='Resize'", "type='mmaction.datasets.transforms.Resize'", (40, 32)),
        ("type='Resize'", "type='mmaction.Resize', _scope_='mmaction', interpolation='bilinear'", (40, 32)),
        ("    dict(keep_ratio=False, scale=(40, 32), type='Resize'),\n", "", None),
    ],
)
def test_frame_size_is_the_last_fixed_one_or_unknown(old: str, new: str, size: tuple[int, int] | None) -> None:
    resolved = _resolve_edited(old, new)
    known = (resolved.spec.rgb_input.width, resolved.spec.rgb_input.height)
    assert known == (size or (TINY.rgb_input.width, TINY.rgb_input.height))
    assert resolved.origins["rgb_input.width"] == ("checkpoint config" if size else "preset tiny")


def test_pipeline_of_the_data_loader_goes_before_the_variable() -> None:
    pipeline = "[dict(type='MMUniformSampleFrames', clip_len=dict(RGB=8, Pose=9))]"
    config = _config(CONFIG + f"test_dataloader = dict(dataset=dict(type='R', dataset=dict(pipeline={pipeline})))")
    assert resolve_spec(tiny_weights(), config).spec.rgb_input.frames == 8


@pytest.mark.parametrize("split", ["val", "train"])
def test_other_splits_serve_where_there_is_no_test_pipeline(split: str) -> None:
    assert _resolve_edited("test_pipeline", f"{split}_pipeline").spec.rgb_input.frames == 5


def test_augmentations_of_a_training_pipeline_are_passed_over_and_nothing_else_is() -> None:
    augmented = (
        "dict(type='RandomResizedCrop'), dict(keep_ratio=False, scale=(40, 32), type='Resize'), dict(type='Flip')"
    )
    training = CONFIG.replace("test_pipeline", "train_pipeline")
    text = training.replace("type='Resize')", f"type='Resize'), {augmented}")
    assert resolve_spec(tiny_weights(), _config(text)).spec.rgb_input.width == 40
    with pytest.raises(CheckpointError, match=r"train_pipeline\[4\] = 'Blur'"):
        resolve_spec(tiny_weights(), _config(training.replace("type='Resize')", "type='Resize'), dict(type='Blur')")))


def test_clip_length_without_a_pipeline_is_the_variable() -> None:
    spec = _resolve_edited("test_pipeline", "unused").spec
    assert (spec.rgb_input.frames, spec.pose_input.frames) == (4, 6)


def test_left_out_heatmap_values_are_mmaction_defaults() -> None:
    stated = "scaling=1 / 4, sigma=0.7, type='GeneratePoseTarget', use_score=False"
    resolved = _resolve_edited(stated, "type='GeneratePoseTarget'")
    pose_input = resolved.spec.pose_input
    assert (pose_input.sigma, pose_input.scaling, pose_input.use_score) == (0.6, 1.0, True)
    assert resolved.origins["pose_input.sigma"] == "default of GeneratePoseTarget"


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        ("num_classes=6", "num_classes=60", ("60", "6")),
        ("num_coarse_classes=3", "num_coarse_classes=8", ("8", "3")),
        ("in_channels=17", "in_channels=25", ("25", "17")),
        ("in_channels=[24, 20]", "in_channels=[432, 20]", ("(432, 20)", "(24, 20)")),
        ("stage_blocks=(2, 2)", "stage_blocks=(5, 11)", ("(5, 11)", "(2, 2)")),
        ("num_stages=2", "num_stages=2, gamma_d=2.2", ("(3, 5)", "(2, 3)")),
        ("num_stages=2", "num_stages=2, base_channels=16, stage_channels=(10, 16)", ("16", "8")),
        ("num_stages=2", "num_stages=2, stage_channels=(12, 16)", ("(12, 16)", "(10, 16)")),
        ("num_stages=2", "num_stages=2, stage_widths=(22, 40)", ("(22, 40)", "(22, 36)")),
        ("num_stages=2", "num_stages=2, out_channels=32", ("32", "24")),
        (
            "num_stages=2",
            "num_stages=2, stage_blocks=(2, 3), stage_widths=(22, 36), se_style='all'",
            ("((8, 8), (8, 8, 8))", "((8, 0), (8, 0, 8))"),
        ),
        ("num_stages=2", "num_stages=4", ("4", "2")),
    ],
)
def test_weights_win_over_the_config_with_a_note(old: str, new: str, both: tuple[str, str]) -> None:
    (note,) = _resolve_edited(old, new).notes
    assert f"is {both[0]}, but the weights say {both[1]}" in note


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fold_div=8", "fold_div=compute()"),
        ("fold_div=8", "fold_div='8'"),
        ("fold_div=8", "fold_div=1"),
        ("fold_div=8", "fold_div=True"),
        ("spatial_strides=(1, 2)", "spatial_strides=(2,)"),
        ("conv1_stride=1", "conv1_stride=0"),
        ("conv1_stride=1", "conv1_stride=1, use_swish='yes'"),
        ("mean=[1.5, 2, 3]", "mean=[1.5, 2]"),
        ("std=[4, 5.0, 6]", "std=[4, 0, 6]"),
        ("sigma=0.7", "sigma=-1"),
        ("scale=(40, 32)", "scale=(40, 10**9)"),
        ("scale=(40, 32)", "scale=(40, 1000000000)"),
        ("RGB=5", "RGB=frames()"),
        ("type='MMDecode'", "type=MMDecode"),
        ("average_clips='score'", "average_clips=['score']"),
    ],
)
def test_unusable_config_value_is_asked_for_and_never_guessed(old: str, new: str) -> None:
    """A preset with the same backbones would be a guess; one that the user names is an answer."""
    with pytest.raises(CheckpointError, match="does not tell") as caught:
        _resolve_edited(old, new)
    assert all("checkpoint config: " in line for line in caught.value.details)
    resolved = resolve_spec(tiny_weights(), _edited(old, new), read_override("tiny"))
    assert any(note.startswith("checkpoint config: ") and "from the preset tiny" in note for note in resolved.notes)


@pytest.mark.parametrize("config", [{}, {"clip_len": 8}, {"test_dataloader": {"dataset": []}}, {"model": {}}])
def test_config_that_says_nothing_leaves_all_to_the_preset(config: dict) -> None:
    assert resolve_spec(tiny_weights(), config).spec == TINY


@pytest.mark.parametrize(
    "config",
    [
        {"model": 3},
        {"model": {"rgb_backbone": [1]}},
        {"model": {"cls_head": None}},
        {"test_pipeline": [3, None, {}]},
        {"test_pipeline": [{"type": 4}]},
    ],
)
def test_config_of_a_wrong_shape_is_refused(config: dict) -> None:
    with pytest.raises(CheckpointError, match="is not supported as it is configured"):
        resolve_spec(tiny_weights(), config)


BLOCK = "rgb_backbone.layer2.1."


def _drop(pattern: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {key: value for key, value in weights.items() if pattern not in key}


def _renamed(old: str, new: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {key.replace(old, new): value for key, value in weights.items()}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_drop(f"{BLOCK}conv1.conv.weight"), f"missing: {BLOCK}conv1.conv.weight"),
        (_drop(BLOCK), f"missing: {BLOCK}conv1.conv.weight"),
        (_drop("rgb_backbone.layer1."), "rgb_backbone.layer1.0.conv3.conv.weight"),
        (_drop("rgb_backbone.layer"), "rgb_backbone.layer1.0.conv3.conv.weight"),
        (_drop("pose_backbone.conv1_s.conv"), "pose_backbone.conv1_s.conv.weight"),
        (_drop("cls_head.fc_pose."), "missing: cls_head.fc_pose.weight"),
        (_drop("cls_head."), "cls_head.fc_rgb.weight"),
        (_drop("avg_f"), "missing: cls_head.fr_rgb.spatio_cl_net.avg_f"),
        (_renamed("layer2.1.", "layer2.7."), "missing: rgb_backbone.layer2.1.conv1.conv.weight"),
        (_renamed("layer2.1.", "layer2.1000000."), "unexpected: rgb_backbone.layer2.1000000"),
        (_renamed("layer2.", "layer1000000."), "unexpected: rgb_backbone.layer1000000.0"),
        (lambda weights: weights | {"cls_head.extra": torch.ones(1)}, "unexpected: cls_head.extra"),
        (
            lambda weights: weights | {f"{BLOCK}conv3.conv.weight": torch.ones(16, 35, 1, 1, 1)},
            f"of another shape: {BLOCK}conv3.conv.weight: (16, 35, 1, 1, 1) where (16, 36, 1, 1, 1) is expected",
        ),
        (
            lambda weights: weights | {f"{BLOCK}conv1.conv.weight": torch.ones(())},
            f"of another shape: {BLOCK}conv1.conv.weight: ()",
        ),
        (
            lambda weights: weights | {"rgb_backbone.conv1_s.conv.weight": torch.ones(8, 4, 1, 3, 3)},
            "takes 4 channels",
        ),
        (lambda weights: {}, "rgb_backbone.conv1_s.conv.weight"),
    ],
)
def test_damaged_weights_are_named_in_one_error(damage: Callable, named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        resolve_spec(damage(tiny_weights()), _config())
    assert named in str(caught.value)


def test_all_kinds_of_damage_are_listed_together() -> None:
    weights = tiny_weights() | {"cls_head.extra": torch.ones(1), "rgb_backbone.conv5.bn.bias": torch.ones(3)}
    del weights["cls_head.fc_rgb.bias"]
    with pytest.raises(CheckpointError, match="1 missing, 1 unexpected, 1 of another shape"):
        resolve_spec(weights)


def test_a_million_hostile_names_give_a_short_error() -> None:
    one = torch.ones(1)
    weights = {f"rgb_backbone.layer{index}.0.conv1.conv.weight": one for index in range(200_000)}
    weights |= {f"rgb_backbone.layer1.{index}.se_module.x": one for index in range(200_000)}
    with pytest.raises(CheckpointError) as caught:
        resolve_spec(tiny_weights() | weights)
    assert len(caught.value.details) < 50
