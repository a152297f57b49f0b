"""A network in the original layout, as its training code writes it: weights, and the config as Python text."""

from __future__ import annotations

from typing import Any

from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, ModelSpec, Nonlinearity

DEMO = "x3ddeploy_demo"  # what a demo checkpoint says that it is


def checkpoint_dict(network: TwoStreamX3D) -> dict[str, Any]:
    """The network as an MMEngine checkpoint: `meta` with the config as Python text, and `state_dict`."""
    return {
        "meta": {"epoch": 0, "iter": 0, "experiment_name": DEMO, "cfg": config_text(network.spec)},
        "state_dict": network.state_dict(),
    }


def config_text(spec: ModelSpec) -> str:
    """The spec as an MMAction2 config that the original training code writes into its checkpoints."""
    rgb, pose = spec.rgb_input, spec.pose_input
    coarse = f", num_coarse_classes={spec.head.coarse_classes}" if spec.head.coarse_classes else ""
    return f"""\
clip_len = dict(RGB={rgb.frames}, Pose={pose.frames})
model = dict(
    type='RGBPoseX3DRecognizer',
    rgb_backbone={_backbone_text(spec.rgb)},
    pose_backbone={_backbone_text(spec.pose)},
    cls_head=dict(
        type='RGBPoseHead', num_classes={spec.head.classes}{coarse},
        in_channels=[{spec.head.rgb_channels}, {spec.head.pose_channels}], average_clips='{spec.head.average_clips}'),
    data_preprocessor=dict(
        type='RGBPoseDataPreprocessor',
        preprocessors=dict(
            imgs=dict(type='ActionDataPreprocessor', mean={list(rgb.mean)}, std={list(rgb.std)}, format_shape='NCTHW'),
            heatmap_imgs=dict(type='ActionDataPreprocessor'))))
test_pipeline = [
    dict(type='MMUniformSampleFrames', clip_len=clip_len, num_clips=1, test_mode=True),
    dict(type='MMDecode'),
    dict(type='MMCompact', hw_ratio=1.0, allow_imgpad=True),
    dict(type='Resize', scale=({rgb.width}, {rgb.height}), keep_ratio=False),
    dict(
        type='GeneratePoseTarget', sigma={pose.sigma}, use_score={pose.use_score}, with_kp=True, with_limb=False,
        scaling={pose.scaling}),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'heatmap_imgs'))]
"""


def _backbone_text(spec: BackboneSpec) -> str:
    strides = tuple(stage.stride for stage in spec.stages)
    blocks = tuple(stage.blocks for stage in spec.stages)
    swish = "" if spec.activation is Nonlinearity.SWISH else ", use_swish=False"
    return (
        f"dict(in_channels={spec.in_channels}, num_stages={len(spec.stages)}, stage_blocks={blocks}, "
        f"conv1_stride={spec.stem_stride}, spatial_strides={strides}, fold_div={spec.fold_div}{swish})"
    )
