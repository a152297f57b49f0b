"""Small forms of MMAction2's shipped configs, one a family."""

from __future__ import annotations

from typing import Any

from support.recognizers import config_of

POSEC3D = "skeleton/posec3d/slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint.py"


def posec3d(name: str = POSEC3D) -> dict[str, Any]:
    """PoseC3D with a block a stage: 8 frames of 24 x 24, 5 classes."""

    def change(config: dict[str, Any]) -> None:
        config["model"]["backbone"].update(base_channels=4, stage_blocks=(1, 1, 1))
        config["model"]["cls_head"].update(in_channels=64, num_classes=5)
        config["test_pipeline"] = [
            {"type": "UniformSampleFrames", "clip_len": 8},
            {"type": "PoseDecode"},
            {"type": "MMCompact", "hw_ratio": 1.0, "allow_imgpad": True},
            {"type": "Resize", "scale": (24, 24), "keep_ratio": False},
            {"type": "GeneratePoseTarget", "sigma": 0.6, "use_score": True, "with_kp": True, "with_limb": False},
            {"type": "FormatShape", "input_format": "NCTHW_Heatmap"},
            {"type": "PackActionInputs"},
        ]

    return config_of(name, change)


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
