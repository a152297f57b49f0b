"""MMAction2's 3-D recognizers, made small from the configs of its wheel: a block a stage, few channels, 5 classes."""

from __future__ import annotations

from typing import Any

from support.recognizers import config_of

CLASSES, _SIZE = 5, 32
CONFIGS = {
    "slowonly": "recognition/slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb.py",
    "slowfast": "recognition/slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py",
    "i3d": "recognition/i3d/i3d_imagenet-pretrained-r50-nl-dot-product_8xb8-32x2x1-100e_kinetics400-rgb.py",
    "r2plus1d": "recognition/r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb.py",
    "c3d": "recognition/c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb.py",
    "x3d": "recognition/x3d/x3d_s_13x6x1_facebook-kinetics400-rgb.py",
    "csn": "recognition/csn/ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb.py",
    "tpn": "recognition/tpn/tpn-slowonly_r50_8xb8-8x8x1-150e_kinetics400-rgb.py",
    "omnisource": "recognition/omnisource/slowonly_r50_8xb16-8x8x1-256e_imagenet-kinetics400-rgb.py",
}
_BLOCKS = {"base_channels": 4, "stage_blocks": (1, 1, 1, 1)}
_PATHWAYS = {"slow_pathway": {**_BLOCKS, "base_channels": 16}, "fast_pathway": {**_BLOCKS, "base_channels": 2}}
# Family -> frames of a clip, what its backbone is made of, channels that its head reads. C3D's and OmniResNet's are
# fixed by their classes.
_SMALL: dict[str, tuple[int, dict[str, Any], int]] = {
    "slowonly": (4, _BLOCKS, 128),
    "slowfast": (16, _PATHWAYS, 576),
    "i3d": (8, {**_BLOCKS, "inflate": (1, 1, 1, 1), "non_local": ((0,), (1,), (0,), (0,))}, 128),
    "r2plus1d": (8, {**_BLOCKS, "depth": 18}, 32),
    "c3d": (16, {"out_dim": 2048}, 4096),
    "x3d": (4, {"gamma_w": 0.4, "gamma_b": 1, "gamma_d": 0.4}, 128),
    "csn": (8, _BLOCKS, 128),
    "tpn": (8, _BLOCKS, 2048),
    "omnisource": (4, {"layers": (1, 1, 1, 1)}, 2048),
}


def small(family: str, clips: int = 1, crops: str = "CenterCrop") -> dict[str, Any]:
    """A small form of one of `CONFIGS`: frames of 32 x 32 pixels."""
    frames, changes, features = _SMALL[family]

    def change(config: dict[str, Any]) -> None:
        backbone, head = config["model"]["backbone"], config["model"]["cls_head"]
        for key, value in changes.items():
            backbone[key] = {**backbone[key], **value} if isinstance(value, dict) else value
        head["in_channels"] = features
        if family == "omnisource":
            head.update(image_classes=3, video_classes=CLASSES)
        else:
            head["num_classes"] = CLASSES
        if family == "tpn":
            _small_pyramid(config["model"]["neck"])
        config["test_pipeline"] = [
            {"type": "DecordInit"},
            {"type": "SampleFrames", "clip_len": frames, "frame_interval": 1, "num_clips": clips, "test_mode": True},
            {"type": "DecordDecode"},
            {"type": "Resize", "scale": (-1, _SIZE)},
            {"type": crops, "crop_size": _SIZE},
            {"type": "FormatShape", "input_format": "NCTHW"},
            {"type": "PackActionInputs"},
        ]

    return config_of(CONFIGS[family], change)


def _small_pyramid(neck: dict[str, Any]) -> None:
    neck.update(in_channels=(64, 128), out_channels=64)
    neck["spatial_modulation_cfg"].update(in_channels=(64, 128), out_channels=128)
    neck["level_fusion_cfg"].update(in_channels=(64, 64), mid_channels=(64, 64), out_channels=32)
    neck["aux_head_cfg"]["out_channels"] = CLASSES
