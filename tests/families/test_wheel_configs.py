"""The configs of MMAction2's wheel: each is told whose it is, and many go through export and parity as they are."""

import sys
from pathlib import Path

import pytest
import torch
from support.recognizers import config_of, save, text_of

import x3ddeploy
from x3ddeploy.checkpoint.config import read_config_file
from x3ddeploy.errors import CheckpointError, X3DDeployError
from x3ddeploy.families import family_named, family_of
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.training_config import described, module_type
from x3ddeploy.loading import load_network
from x3ddeploy.mmaction_compat import config_path
from x3ddeploy.modalities import modalities_of

pytest.importorskip("mmaction")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from families_table import CONFIGS  # noqa: E402

sys.path.remove(str(BENCHMARKS))

# Backbones, or heads, of configs that are of no family.
OTHERS = {
    "MViT", "SwinTransformer3D", "TimeSformer", "UniFormer", "UniFormerV2", "VisionTransformer", "ResNetTIN",
    "TRNHead", "mmcls.ResNeXt", "mmpretrain.MobileOne", "timm.swin_base_patch4_window7_224", "torchvision.densenet161",
}  # fmt: skip
# What keeps a config of a known network from being exported, in the error's words.
REFUSED = {
    "slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow.py": "is not a number a channel",
    "tsn_imagenet-pretrained-r50_8xb32_5x1x3-110e_kinetics400-flow.py": "line 24 is not a literal",
}


def shipped():
    """Every config of a recognizer that has a family, with it, or what keeps it from having one."""
    root = config_path("skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py").parents[3]
    for path in sorted([*root.glob("recognition/**/*.py"), *root.glob("skeleton/**/*.py")]):
        try:
            config = read_config_file(path)
        except X3DDeployError as error:
            yield path.name, None, error
            continue
        if "model" in config:
            yield path.name, config, family_of((), config)


def test_each_config_is_of_one_family_and_understood_or_refused_by_name():
    claimed, refused = 0, {}
    for name, config, family in shipped():
        if config is None:
            refused[name] = str(family)
        elif family is None:
            assert {module_type(config, "backbone"), module_type(config, "cls_head")} & OTHERS, name
        else:
            claimed += 1
            channels = 17 if family.name in ("posec3d", "rgbposeconv3d") else 3
            try:
                modalities_of(family.inputs(described(config, "config"), Wishes(), channels))
            except X3DDeployError as error:
                refused[name] = str(error)
    assert claimed >= 105
    assert set(refused) == set(REFUSED)
    assert all(REFUSED[name] in said for name, said in refused.items())


# What recognizes no action of a whole clip -> the word of the refusal that says what it is.
NO_RECOGNIZERS = {
    "detection/slowonly/slowonly_kinetics400-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb.py": "detector",
    "detection/videomae/vit-base-p16_videomae-k400-pre_8xb8-16x4x1-20e-adamw_ava-kinetics-rgb.py": "detector",
    "localization/bmn/bmn_2xb8-400x100-9e_activitynet-feature.py": "localizer",
    "localization/bsn/bsn_pgm_400x100_activitynet-feature.py": "localizer",
    "recognition_audio/resnet/tsn_r18_8xb320-64x1x1-100e_kinetics400-audio-feature.py": "audio",
    "multimodal/vindlu/vindlu_beit-base_vqa-mc_msrvtt-mc.py": "text",
    "recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py": "transformer",
    "recognition/tin/tin_kinetics400-pretrained-tsm-r50_1x1x8-50e_kinetics400-rgb.py": "TIN: .* mmcv-lite",
    "recognition/tsn/custom_backbones/tsn_imagenet-pretrained-dense161_8xb32-1x1x3-100e_kinetics400-rgb.py": (
        r"another package.*torchvision\.densenet161"
    ),
}


@pytest.mark.parametrize("name", NO_RECOGNIZERS)
def test_what_is_of_no_family_is_refused_by_what_it_is(tmp_path, name):
    config = read_config_file(config_path(name))
    built = {key: value for key, value in config.items() if key in ("model", "dataset_type")}
    kept = {"meta": {"cfg": text_of(built)}, "state_dict": {"backbone.weight": torch.zeros(1)}}
    torch.save(kept, tmp_path / "best.pth")
    with pytest.raises(CheckpointError, match=f"best.pth is .*{NO_RECOGNIZERS[name]}"):
        load_network(tmp_path / "best.pth")


def test_mmaction_is_imported_before_a_familys_own_classes_of_it_are(monkeypatch):
    config = config_of("recognition/trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py")
    asked = []
    family = family_named("trn")
    monkeypatch.setattr(type(family), "require", lambda self: asked.append("require"))

    def own(self):
        asked.append("own")
        return {}

    monkeypatch.setattr(type(family), "own", own)
    with pytest.raises(CheckpointError):
        family.load({}, config, Wishes())
    assert asked[0] == "require"


@pytest.mark.families
@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_goes_through_export_and_parity(tmp_path, name):
    configured = CONFIGS[name]
    checkpoint = save(tmp_path / "best.pth", config_of(configured.path))
    size = None if configured.size is None else (configured.size, configured.size)
    exported = x3ddeploy.export(
        checkpoint, tmp_path / "deploy", target="onnxruntime", size=size, frames=configured.frames
    )
    graph = exported.bundle.part_path("recognizer").read_bytes()
    assert b"ConstantOfShape" not in graph
    verification = x3ddeploy.verify(exported.bundle.path, runtimes=["openvino"])
    assert verification.checks
    assert not verification.failures
