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
