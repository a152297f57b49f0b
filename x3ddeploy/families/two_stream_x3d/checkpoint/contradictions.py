"""Where a config says one thing and the weights another: the weights are right, and the user is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from x3ddeploy.checkpoint.config import is_absent, lookup
from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families.two_stream_x3d.checkpoint.weights import WeightsSpec
from x3ddeploy.families.two_stream_x3d.config_keys import BackboneConfig, PoseBackboneConfig
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec

_CLASSES = {"rgb": BackboneConfig, "pose": PoseBackboneConfig}


def _depths(spec: BackboneSpec) -> Any:
    return tuple(stage.blocks for stage in spec.stages)


def _widths(spec: BackboneSpec) -> Any:
    return tuple(stage.width for stage in spec.stages)


def _squeezed(spec: BackboneSpec) -> Any:
    return tuple(stage.squeeze for stage in spec.stages)


# What the weights show of a backbone, and the keys that say it; each is compared where its config has such a key.
_QUANTITIES = (
    ("stem channels", ("base_channels", "gamma_w"), lambda spec: spec.stem_channels),
    ("blocks a stage", ("stage_blocks", "gamma_d"), _depths),
    (
        "stage channels",
        ("stage_channels", "base_channels", "gamma_w"),
        lambda spec: tuple(stage.channels for stage in spec.stages),
    ),
    ("bottleneck widths", ("stage_widths", "gamma_b"), _widths),
    ("output channels", ("out_channels", "gamma_b"), lambda spec: spec.out_channels),
)
_LARGEST = 1000  # no network of this kind has a factor, depth or width near it; hostile ones would ask for gigabytes


def contradictions(config: Mapping[str, Any], origin: str, weights: WeightsSpec) -> tuple[str, ...]:
    """One note for each value of `config` (named `origin`) that the weights contradict; both values are named."""
    said = [
        *_backbone(config, "rgb", weights.rgb),
        *_backbone(config, "pose", weights.pose),
        ("cls_head.num_classes", _read(config, "cls_head.num_classes"), weights.head.classes),
        ("cls_head.num_coarse_classes", _read(config, "cls_head.num_coarse_classes"), weights.head.coarse_classes),
        ("cls_head.prototype_dim", _read(config, "cls_head.prototype_dim"), weights.head.prototype_dim),
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
    stages = len(weights.stages)
    yield f"{prefix}.in_channels", _read(config, f"{prefix}.in_channels"), weights.in_channels
    stated_stages = _read(config, f"{prefix}.num_stages")
    yield f"{prefix}.num_stages", stated_stages, stages
    if stated_stages not in (None, stages):
        return
    kind = _CLASSES[stream]
    stated = {name: _read(config, f"{prefix}.{name}") for name in (field.name for field in fields(kind))}
    stated = {name: value for name, value in stated.items() if value is not None and name not in _TRACELESS}
    if lookup(config, f"model.{prefix}.se_ratio") is None:
        stated["se_ratio"] = None  # no squeeze-and-excitation
    try:
        implied = kind(**{**stated, "num_stages": stages, "spatial_strides": (1,) * stages}).spec()
        shape = {"stage_blocks": _depths(weights), "stage_widths": _widths(weights), "num_stages": stages}
        squeezed = kind(**{**stated, **shape, "spatial_strides": (1,) * stages}).spec()
    except (X3DDeployError, TypeError, ValueError, OverflowError) as error:
        if stated:
            yield prefix, f"no network's ({error.args[0] if error.args else error})", "what it is"
        return
    for quantity, keys, of in _QUANTITIES:
        named = next((key for key in keys if key in stated), None)
        if named is not None:
            yield f"{prefix}.{named}={stated[named]}: {quantity}", of(implied), of(weights)
    named = next((key for key in ("se_style", "se_ratio") if key in stated), None)
    if named is not None:  # of the depths and widths that the weights have, which have notes of their own
        what = f"{prefix}.{named}={stated[named]}: squeezed widths of each stage's blocks"
        yield what, _squeezed(squeezed), _squeezed(weights)


_TRACELESS = ("conv1_stride", "fold_div", "use_swish", "spatial_strides", "frozen_stages", "with_cp")


def _read(config: Mapping[str, Any], path: str) -> Any:
    """A number, word or flat tuple of numbers under `model`; None where the config has none that can be compared."""
    value = lookup(config, f"model.{path}")
    if is_absent(value) or isinstance(value, Unreadable):
        return None
    if isinstance(value, (list, tuple)):
        return tuple(value) if len(value) <= 16 and all(map(_is_size, value)) else None
    return value if _is_size(value) or value in ("half", "all") else None


def _is_size(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LARGEST
