"""A checkpoint to try the tools with: a preset's network in the original layout, with random weights.

Weights are random; BatchNorm statistics are those of moving synthetic clips, so that activations, and with them
numeric errors and latencies, are of a trained network's size. Its predictions mean nothing.

    python -m x3ddeploy.demo demo.pth
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click
import torch

from x3ddeploy.atomic import write_bytes
from x3ddeploy.cli.echo import echo
from x3ddeploy.cli.failures import exit_code_of
from x3ddeploy.cli.parameters import LARGEST_SEED, Count
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network as random_network
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import Activation, BackboneSpec, ModelSpec


def checkpoint_dict(network: TwoStreamX3D) -> dict[str, Any]:
    """The network as an MMEngine checkpoint: `meta` with the config as Python text, and `state_dict`."""
    return {
        "meta": {"epoch": 0, "iter": 0, "experiment_name": "x3ddeploy_demo", "cfg": config_text(network.spec)},
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
    swish = "" if spec.activation is Activation.SWISH else ", use_swish=False"
    return (
        f"dict(in_channels={spec.in_channels}, num_stages={len(spec.stages)}, stage_blocks={blocks}, "
        f"conv1_stride={spec.stem_stride}, spatial_strides={strides}, fold_div={spec.fold_div}{swish})"
    )


@click.command(help=__doc__)
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--preset", type=click.Choice(list(PRESETS)), default="ntu60", show_default=True)
@click.option("--seed", type=Count(LARGEST_SEED, least=0), default=0, show_default=True)
def main(output: Path, preset: str, seed: int) -> None:
    """Write the checkpoint."""
    buffer = io.BytesIO()
    torch.save(checkpoint_dict(random_network(PRESETS[preset], seed)), buffer)
    write_bytes(output, buffer.getvalue())
    echo(f"{output}: the {preset} network with RANDOM weights and realistic BatchNorm statistics")


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
