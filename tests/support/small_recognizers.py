"""Small forms of MMAction2's shipped configs, one a family."""

from __future__ import annotations

from typing import Any

from support.recognizers import config_of

POSEC3D = "skeleton/posec3d/slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint.py"


def posec3d(name: str = POSEC3D) -> dict[str, Any]:
    """PoseC3D with a block a stage: 2 clips of 8 frames of 24 x 24, each mirrored as well; 5 classes."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(base_channels=4, stage_blocks=(1, 1, 1))
        config["model"]["cls_head"].update(in_channels=64, num_classes=5)
        sample, _, _, resize, crop, *_ = config["test_pipeline"]
        sample.update(clip_len=8, num_clips=2)
        resize.update(scale=(-1, 24))
        crop.update(crop_size=24)

    return config_of(name, change)


def rgbposeconv3d() -> dict[str, Any]:
    """RGBPoseConv3D with a block a stage: 2 frames of 32 x 32, 8 heatmaps of 8 x 8, 2 clips, 5 classes."""

    def change(config: dict[str, Any]) -> None:
        backbone = config["model"]["backbone"]
        backbone["rgb_pathway"].update(base_channels=16, stage_blocks=(1, 1, 1, 1))
        backbone["pose_pathway"].update(base_channels=8, stage_blocks=(1, 1, 1))
        config["model"]["cls_head"].update(in_channels=[512, 128], num_classes=5)
        sample, _, _, resize, *_ = config["test_pipeline"]
        sample.update(clip_len={"RGB": 2, "Pose": 8}, num_clips=2)
        resize.update(scale=(32, 32))

    return config_of("skeleton/posec3d/rgbpose_conv3d/rgbpose_conv3d.py", change)


def stgcn(name: str, **backbone: Any) -> dict[str, Any]:
    """ST-GCN, ST-GCN++ or 2s-AGCN with three blocks, the last one wider and striding: 8 frames, 5 classes."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(
            base_channels=12, num_stages=3, inflate_stages=[3], down_stages=[3], **backbone
        )
        config["model"]["cls_head"].update(in_channels=24, num_classes=5)
        for step in config["test_pipeline"]:
            if step["type"] == "UniformSampleFrames":
                step.update(clip_len=8, num_clips=2)

    return config_of(f"skeleton/{name}", change)


STGCNPP = "stgcnpp/stgcnpp_8xb16-joint-u100-80e_ntu60-xsub-keypoint-2d.py"
STGCNPP_SPACE = "stgcnpp/stgcnpp_8xb16-bone-motion-u100-80e_ntu60-xsub-keypoint-3d.py"
STGCN = "stgcn/stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py"
AGCN = "2s-agcn/2s-agcn_8xb16-bone-u100-80e_ntu60-xsub-keypoint-3d.py"


def _frames(config: dict[str, Any], sampler: dict[str, Any], crops: str, size: int, layout: str = "NCHW") -> None:
    """Frames for a recognizer of video, of 5 classes."""
    config["model"]["cls_head"].update(num_classes=5)
    config["test_pipeline"] = [
        {"type": "DecordInit", "io_backend": "disk"},
        {"frame_interval": 1, "test_mode": True, **sampler},
        {"type": "DecordDecode"},
        {"type": "Resize", "scale": (-1, size)},
        {"type": crops, "crop_size": size},
        {"type": "FormatShape", "input_format": layout},
        {"type": "PackActionInputs"},
    ]


_ONE_STAGE = {"num_stages": 1, "strides": (1,), "dilations": (1,), "out_indices": (0,)}
_TWO_STAGES = {"num_stages": 2, "strides": (1, 2), "dilations": (1, 1), "out_indices": (1,)}


def tsn(num_clips: int = 3) -> dict[str, Any]:
    """TSN on a stage of ResNet-18: 3 segments, in ten crops of 32 x 32."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(depth=18, **_ONE_STAGE)
        config["model"]["cls_head"].update(in_channels=64)
        _frames(config, {"type": "SampleFrames", "clip_len": 1, "num_clips": num_clips}, "TenCrop", 32)

    return config_of("recognition/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py", change)


def tsm(num_clips: int = 4, **backbone: Any) -> dict[str, Any]:
    """TSM on ResNet-18: 4 segments, sampled twice, in three crops."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(depth=18, num_segments=4, **backbone)
        config["model"]["cls_head"].update(in_channels=512, num_segments=4)
        sampler = {"type": "SampleFrames", "clip_len": 1, "num_clips": num_clips, "twice_sample": True}
        _frames(config, sampler, "ThreeCrop", 32)

    return config_of("recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py", change)


def trn() -> dict[str, Any]:
    """TRN on a stage of ResNet-18: 5 segments, of which there are ten pairs, sampled twice, in three crops."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(depth=18, **_ONE_STAGE)
        config["model"]["cls_head"].update(in_channels=64, num_segments=5, hidden_dim=8)
        sampler = {"type": "SampleFrames", "clip_len": 1, "num_clips": 5, "twice_sample": True}
        _frames(config, sampler, "ThreeCrop", 32)

    return config_of("recognition/trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py", change)


def c2d() -> dict[str, Any]:
    """C2D on two stages of ResNet-18: 2 clips of 4 frames, in three crops of 32 x 32."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(depth=18, **_TWO_STAGES)
        config["model"]["cls_head"].update(in_channels=128)
        _frames(config, {"type": "SampleFrames", "clip_len": 4, "num_clips": 2}, "ThreeCrop", 32, "NCTHW")

    return config_of("recognition/c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb.py", change)


def tanet() -> dict[str, Any]:
    """TANet on two stages of ResNet-50: 4 segments of 32 x 32."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(num_segments=4, **_TWO_STAGES)
        config["model"]["cls_head"].update(in_channels=512, num_segments=4)
        _frames(config, {"type": "SampleFrames", "clip_len": 1, "num_clips": 4}, "CenterCrop", 32)

    return config_of("recognition/tanet/tanet_imagenet-pretrained-r50_8xb8-1x1x8-50e_sthv1-rgb.py", change)
