"""Where a config says one thing and the weights another: the weights are right, and the user is told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.checkpoint.settings import is_absent, lookup
from x3ddeploy.checkpoint.weights import WeightsSpec
from x3ddeploy.models.spec import BackboneSpec

# Blocks a stage of the X3D family before the depth factor gamma_d (https://arxiv.org/abs/2004.04730).
_BASE_BLOCKS = (1, 2, 5, 3)


def contradictions(config: Mapping[str, Any], origin: str, weights: WeightsSpec) -> tuple[str, ...]:
    """One note for each value of `config` (named `origin`) that the weights contradict; both values are named."""
    said = [
        *_backbone(config, "rgb", weights.rgb),
        *_backbone(config, "pose", weights.pose),
        ("cls_head.num_classes", _read(config, "cls_head.num_classes"), weights.head.classes),
        ("cls_head.num_coarse_classes", _read(config, "cls_head.num_coarse_classes"), weights.head.coarse_classes),
        (
            "cls_head.in_channels",
            _read(config, "cls_head.in_channels"),
            (weights.head.rgb_channels, weights.head.pose_channels),
        ),
    ]
    return tuple(
        f"{origin}: {name} is {stated}, but the weights say {actual}; the weights are right"
        for name, stated, actual in said
        if stated is not None and stated != actual
    )


def _backbone(config: Mapping[str, Any], stream: str, weights: BackboneSpec) -> Iterator[tuple[str, Any, Any]]:
    prefix = f"{stream}_backbone"
    depths = tuple(stage.blocks for stage in weights.stages)
    yield f"{prefix}.in_channels", _read(config, f"{prefix}.in_channels"), weights.in_channels
    yield f"{prefix}.num_stages", _read(config, f"{prefix}.num_stages"), len(depths)
    stage_blocks = _read(config, f"{prefix}.stage_blocks")
    if stage_blocks is not None:
        yield f"{prefix}.stage_blocks", stage_blocks, depths
        return
    factor = _read(config, f"{prefix}.gamma_d")
    if type(factor) in (int, float) and 0 < factor < 1000:
        implied = tuple(math.ceil(factor * blocks) for blocks in _BASE_BLOCKS[: len(depths)])
        yield f"{prefix}.gamma_d={factor}: blocks a stage", implied, depths


def _read(config: Mapping[str, Any], path: str) -> Any:
    """A scalar, or a flat tuple of numbers, under `model`; None where the config has none that can be compared."""
    value = lookup(config, f"model.{path}")
    if is_absent(value) or isinstance(value, Unreadable):
        return None
    if isinstance(value, (list, tuple)):
        return tuple(value) if len(value) <= 16 and all(type(item) in (int, float) for item in value) else None
    return value if type(value) in (int, float) else None
