"""A training config of EPAM-Net as the one of the two-stream network that it has inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x3ddeploy.checkpoint.rules import DictRules, harmless, only, refusals
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint.model_keys import BACKBONES, RECOGNIZER

_OWN = "EPAMRecognizer"
# What the backbone's class builds its two backbones with; no key of a config says it.
FIXED: dict[str, dict[str, Any]] = {
    "rgb": {"gamma_w": 1, "gamma_b": 2.25, "gamma_d": 2.2, "in_channels": 3, "use_sta": False, "se_style": "half"},
    "pose": {"gamma_d": 1, "in_channels": 17, "base_channels": 24, "num_stages": 3, "stage_blocks": (5, 11, 7),
             "spatial_strides": (2, 2, 2), "conv1_stride": 1},
}  # fmt: skip
_BACKBONE = DictRules(
    ("EPAMBackbone",),
    {
        "num_classes": harmless("is not read: the head has the classes"),
        "attention_type": only("CBAM_spatial_efficient_temporal", why="other attentions are not exported"),
        "return_both_streams": only(True, why="the head takes the features of both streams"),
        **dict.fromkeys(("rgb_pretrained", "pose_pretrained"), harmless("says how weights start before training")),
        **dict.fromkeys(("freeze_rgb", "freeze_pose"), harmless("freezes parameters in training")),
        **{f"{stream}_backbone": harmless("is read as that of the two-stream network") for stream in BACKBONES},
    },
)


def as_two_stream(config: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The config with both backbones where the two-stream network has them.

    Raises:
        CheckpointError: the backbone is asked for what cannot be exported; each key is named.
    """
    model = config.get("model")
    if not isinstance(model, Mapping) or "backbone" not in model:
        return dict(config)
    backbone = model["backbone"]
    problems = list(refusals(backbone, _BACKBONE, "model.backbone"))
    if problems:
        raise CheckpointError(f"{origin} asks for what cannot be exported as it was trained", details=problems)
    inside = {
        f"{stream}_backbone": backbone.get(f"{stream}_backbone", {"type": BACKBONES[stream], **fixed})
        for stream, fixed in FIXED.items()
    }
    rest = {name: value for name, value in model.items() if name != "backbone"}
    kind = RECOGNIZER if model.get("type") == _OWN else model.get("type")
    return {**config, "model": {**rest, **inside, "type": kind}}
