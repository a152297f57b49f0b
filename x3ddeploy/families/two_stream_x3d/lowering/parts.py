"""The pieces of the recognizer in the form that is deployed: both backbones by a target's strategy, and the head."""

from __future__ import annotations

from x3ddeploy.families.base import LoweredPart
from x3ddeploy.families.two_stream_x3d.lowering.head import lower_head
from x3ddeploy.families.two_stream_x3d.lowering.strategy import TARGETS, lower
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.terms import Target


def lower_parts(network: TwoStreamX3D, target: Target) -> dict[str, LoweredPart]:
    """Each piece of the network in the form for a target; exact up to float rounding."""
    spec, strategy = network.spec, TARGETS[target]
    backbones = {
        "rgb_backbone": (network.rgb_backbone, spec.rgb_input.frames),
        "pose_backbone": (network.pose_backbone, spec.pose_input.frames),
    }
    parts = {
        name: LoweredPart(lower(backbone, frames, strategy), tuple(backbone.blocks))
        for name, (backbone, frames) in backbones.items()
    }
    return {**parts, "head": LoweredPart(lower_head(network.cls_head, network.fusion))}
