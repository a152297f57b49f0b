"""A test pipeline that does anything else to its input than the exported preprocessing does is refused by name."""

from __future__ import annotations

import pytest
from support.checkpoint_files import CONFIG, tiny_weights

from x3ddeploy.checkpoint import CHECKPOINT_CONFIG, read_config_text
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint import resolve_spec
from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import Resolved

RESIZE = "dict(keep_ratio=False, scale=(40, 32), type='Resize'),"
TARGET = "dict(scaling=1 / 4, sigma=0.7, type='GeneratePoseTarget', use_score=False, with_kp=True, with_limb=False),"


def _resolve(old: str, new: str) -> Resolved:
    assert old in CONFIG
    return resolve_spec(tiny_weights(), read_config_text(CONFIG.replace(old, new), CHECKPOINT_CONFIG))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (RESIZE, RESIZE + "dict(type='ColorJitter'),", "test_pipeline[4] = 'ColorJitter'"),
        (RESIZE, RESIZE + "dict(type='Normalize', mean=[0], std=[1]),", "'Normalize'"),
        (RESIZE, RESIZE + "dict(type='RandomResizedCrop'),", "'RandomResizedCrop'"),
        (RESIZE, RESIZE + "dict(type='ThreeCrop', crop_size=(20, 16)),", "'ThreeCrop'"),
        (RESIZE, RESIZE + "dict(type='CenterCrop', crop_size=24),", "CenterCrop to 24: cuts frames"),
        (RESIZE, RESIZE + "dict(type='CenterCrop', crop_size=size),", "CenterCrop to (line"),
        (RESIZE, RESIZE + "dict(type='Flip', left_kp=[1], right_kp=[2]),", "Flip.flip_ratio is left out, which means"),
        (RESIZE, RESIZE + "dict(type='Flip', flip_ratio=1),", "Flip.flip_ratio = 1"),
        (RESIZE, RESIZE + "'Resize',", "test_pipeline[4] = 'Resize'"),
        (RESIZE, RESIZE + "dict(scale=(40, 32)),", "test_pipeline[4] = None"),
        (RESIZE, RESIZE * 2, "Resize: comes twice"),
        (RESIZE, "dict(type='Resize', scale=(-1, 256)),", "Resize.keep_ratio is left out, which means True"),
        (RESIZE, "dict(type='Resize', scale=(40, 32), keep_ratio=True),", "Resize.keep_ratio = True"),
        (RESIZE, RESIZE.replace("type=", "interpolation='area', type="), "Resize.interpolation = 'area'"),
        (RESIZE, RESIZE.replace("type=", "lazy=True, type="), "Resize.lazy = True"),
        (RESIZE, RESIZE.replace("type=", "backend='pillow', type="), "Resize.backend = 'pillow'"),
        ("type='MMCompact'", "type='MMCompact', padding=0.5", "MMCompact.padding = 0.5"),
        ("type='MMCompact'", "type='MMCompact', threshold=30", "MMCompact.threshold = 30"),
        ("hw_ratio=1.0", "hw_ratio=(1.0, 2)", "MMCompact.hw_ratio = (1.0, 2)"),
        ("allow_imgpad=True", "allow_imgpad=False", "MMCompact.allow_imgpad = False"),
        ("type='MMCompact'", "type='PoseCompact'", "'PoseCompact'"),
        ("num_clips=1", "num_clips=1, seed=7", "MMUniformSampleFrames.seed = 7"),
        ("num_clips=1", "num_clips=1, frame_interval=2", "MMUniformSampleFrames.frame_interval = 2"),
        ("RGB=5)", "RGB=5, Flow=5)", "clip_len.Flow = 5"),
        ("type='MMUniformSampleFrames'", "type='UniformSample'", "'UniformSample'"),
        ("type='MMDecode'", "type='MMDecode', to_bgr=True", "MMDecode.to_bgr = True"),
        ("with_limb=False", "with_limb=True", "GeneratePoseTarget.with_limb = True"),
        ("with_limb=False", "with_limb=flag", "GeneratePoseTarget.with_limb = (line"),
        ("with_kp=True", "with_kp=False", "GeneratePoseTarget.with_kp = False"),
        ("with_kp=True", "with_kp=True, double=True", "GeneratePoseTarget.double = True"),
        ("input_format='NCTHW'", "input_format='NCTHW_Heatmap'", "FormatShape.input_format = 'NCTHW_Heatmap'"),
        ("input_format='NCTHW'", "input_format='NCTHW', collapse=True", "FormatShape.collapse = True"),
        ("('imgs', 'heatmap_imgs')", "('imgs', 'flow_imgs')", "PackActionInputs.collect_keys"),
        (f"    {RESIZE}\n    {TARGET}", f"    {TARGET}\n    {RESIZE}", "Resize: comes twice, or after Gen"),
    ],
)  # fmt: skip
def test_another_input_is_refused_by_transform_and_parameter(old: str, new: str, named: str) -> None:
    with pytest.raises(CheckpointError, match="the test pipeline is not supported as it is configured") as caught:
        _resolve(old, new)
    assert any(named in line for line in caught.value.details), caught.value.details


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (RESIZE, RESIZE + "dict(type='CenterCrop', crop_size=(40, 32)),"),
        (RESIZE, RESIZE + "dict(type='Flip', flip_ratio=0, left_kp=[1], right_kp=[2]),"),
        (RESIZE, RESIZE.replace("type=", "interpolation='bilinear', lazy=False, _scope_='mmaction', type=")),
        ("hw_ratio=1.0", "hw_ratio=(1, 1.0), padding=0.25, threshold=10"),
        ("num_clips=1", "num_clips=10, seed=255"),
        ("type='MMDecode'", "type='mmaction.MMDecode', io_backend='disk'"),
        ("with_limb=False", "with_limb=False, double=False, left_kp=[1], right_kp=[2], skeletons=((0, 1),)"),
        ("('imgs', 'heatmap_imgs')", "['heatmap_imgs', 'imgs'], meta_keys=('img_shape',)"),
    ],
)
def test_the_same_input_in_other_words_is_taken(old: str, new: str) -> None:
    resolved = _resolve(old, new)
    assert resolved.spec == _resolve(RESIZE, RESIZE).spec
    assert resolved.notes == ()


def test_a_pipeline_without_the_crop_about_persons_is_noted() -> None:
    (note,) = _resolve("    dict(allow_imgpad=True, hw_ratio=1.0, type='MMCompact'),\n", "").notes
    assert "no MMCompact" in note


def test_validation_pipeline_in_the_test_ones_place_is_held_to_the_same_rules() -> None:
    text = CONFIG.replace("test_pipeline", "val_pipeline").replace(RESIZE, RESIZE + "dict(type='ColorJitter'),")
    with pytest.raises(CheckpointError, match=r"val_pipeline\[4\] = 'ColorJitter'"):
        resolve_spec(tiny_weights(), read_config_text(text, CHECKPOINT_CONFIG))
