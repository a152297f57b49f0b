"""The configs of MMAction2's wheel: each is told whose it is, and many go through export and parity as they are."""

import sys
from pathlib import Path

import pytest
from support.recognizers import config_of, save

import x3ddeploy
from x3ddeploy.checkpoint.config import read_config_file
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families import family_of
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.training_config import described, module_type
from x3ddeploy.mmaction_compat import config_path
from x3ddeploy.modalities import modalities_of

pytest.importorskip("mmaction")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from families_table import CONFIGS  # noqa: E402

sys.path.remove(str(BENCHMARKS))

# Backbones, or heads, of configs that are of no family.
OTHERS = {
    "MViT", "SwinTransformer3D", "TimeSformer", "UniFormer", "UniFormerV2", "VisionTransformer", "OmniResNet",
    "ResNetTIN", "TRNHead", "mmcls.ResNeXt", "mmpretrain.MobileOne", "timm.swin_base_patch4_window7_224",
    "torchvision.densenet161",
}  # fmt: skip
# What keeps a config of a known network from being exported, in the error's words.
REFUSED = {
    "slowonly_imagenet-pretrained-r50_32xb8-8x8x1-steplr-150e_kinetics710-rgb.py": "is not a literal",
    "slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow.py": "is not a number a channel",
    "tsn_imagenet-pretrained-r50_8xb32_5x1x3-110e_kinetics400-flow.py": "line 24 is not a literal",
    "slowonly_r50_8xb32-u48-240e_k400-keypoint.py": "DecompressPose",
    "i3d_imagenet-pretrained-r50-nl-embedded-gaussian_8xb8-32x2x1-100e_kinetics400-rgb.py": "`_base_`",
    "i3d_imagenet-pretrained-r50-nl-gaussian_8xb8-32x2x1-100e_kinetics400-rgb.py": "`_base_`",
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
    assert claimed >= 103
    assert set(refused) == set(REFUSED)
    assert all(REFUSED[name] in said for name, said in refused.items())


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
