"""Config keys of the original backbones, with their defaults, as a BackboneSpec; an unknown key is refused."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, Nonlinearity, StageSpec

# Blocks a stage before the depth factor gamma_d (https://arxiv.org/abs/2004.04730).
_BASE_BLOCKS = (1, 2, 5, 3)
_WIDTH_DIVISOR = 8
_MAX_WIDTH_LOSS = 0.9
# What the network is made of; a config may say so, and nothing else.
_FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "conv_cfg": {"type": ("Conv3d",)},
    "norm_cfg": {"type": ("BN3d", "BN"), "requires_grad": (True,), "eps": (1e-5,), "momentum": (0.1,)},
    "act_cfg": {"type": ("ReLU",), "inplace": (True, False)},
}

Config = TypeVar("Config")


@dataclass(frozen=True)
class BackboneConfig:
    """The keys of `X3DTemporalShift` with the original class's defaults, and more of our own.

    Attributes:
        gamma_w: factor of all widths.
        gamma_b: bottleneck width by stage width.
        gamma_d: factor of the depths 1, 2, 5, 3, where `stage_blocks` gives none.
        base_channels: channels of the stem; stage i has 2**i times as many.
        se_style: squeeze-and-excitation in every other block ('half') or in 'all'.
        se_ratio: squeezed by bottleneck width; None for no squeeze-and-excitation.
        use_swish: without effect, as in the original class: there is always swish. Of the pose class alone, False
            leaves the swish out.
        conv1_stride: 2 and no other: the original class has no such key.
        stage_channels, stage_widths, out_channels: for a network whose widths the gammas do not describe.
        norm_eval: BatchNorm keeps its statistics in training.
        zero_init_residual: each residual branch starts at zero.
        pretrained: a checkpoint of this backbone alone.
    """

    in_channels: int = 3
    base_channels: int = 24
    gamma_w: float = 1.0
    gamma_b: float = 1.0
    gamma_d: float = 1.0
    num_stages: int = 4
    stage_blocks: tuple[int, ...] | None = None
    stage_channels: tuple[int, ...] | None = None
    stage_widths: tuple[int, ...] | None = None
    out_channels: int | None = None
    conv1_stride: int = 2
    spatial_strides: tuple[int, ...] = (2, 2, 2, 2)
    se_style: str = "half"
    se_ratio: float | None = 1 / 16
    use_swish: bool = True
    fold_div: int = 8
    norm_eval: bool = False
    zero_init_residual: bool = False
    frozen_stages: int = -1
    with_cp: bool = False
    pretrained: str | None = None
    conv_cfg: Mapping[str, Any] | None = None
    norm_cfg: Mapping[str, Any] | None = None
    act_cfg: Mapping[str, Any] | None = None

    fixed: ClassVar[tuple[tuple[str, Any], ...]] = (("conv1_stride", 2),)

    def spec(self) -> BackboneSpec:
        """The network that these keys describe.

        Raises:
            UsageError: values that no such network has.
        """
        self._refuse_other_networks()
        blocks = self._one_a_stage("stage_blocks", self.stage_blocks) or tuple(
            math.ceil((self.gamma_d or 1) * depth) for depth in _BASE_BLOCKS[: self.num_stages]
        )
        strides = self._one_a_stage("spatial_strides", self.spatial_strides)
        stem = round_width(self.base_channels, self.gamma_w) if self.gamma_w else self.base_channels
        channels = self._one_a_stage("stage_channels", self.stage_channels) or tuple(
            stem * 2**stage for stage in range(self.num_stages)
        )
        widths = self._one_a_stage("stage_widths", self.stage_widths) or tuple(
            int(stage * self.gamma_b) for stage in channels
        )
        stages = tuple(
            StageSpec(depth, stage, width, stride, self._squeeze(depth, width))
            for depth, stage, width, stride in zip(blocks, channels, widths, strides, strict=True)
        )
        out_channels = self.out_channels or int(channels[-1] * self.gamma_b)
        return BackboneSpec(
            self.in_channels, stem, self.conv1_stride, stages, out_channels, self.fold_div, self.activation()
        )

    def activation(self) -> Nonlinearity:
        """What stands before each block's projection."""
        return Nonlinearity.SWISH

    def _squeeze(self, depth: int, width: int) -> tuple[int, ...]:
        if self.se_ratio is None:
            return (0,) * depth
        squeezed = round_width(width, self.se_ratio)
        return tuple(squeezed if self.se_style == "all" or block % 2 == 0 else 0 for block in range(depth))

    def _one_a_stage(self, name: str, values: Iterable[int] | None) -> tuple[int, ...]:
        chosen = tuple(values or ())[: self.num_stages]  # the original classes cut longer ones, too
        if values is not None and len(chosen) != self.num_stages:
            raise UsageError(f"{name} {chosen} has {len(chosen)} values, and num_stages is {self.num_stages}")
        return chosen

    def _refuse_other_networks(self) -> None:
        if not 1 <= self.num_stages <= len(_BASE_BLOCKS):
            raise UsageError(f"num_stages {self.num_stages} is not in 1..{len(_BASE_BLOCKS)}")
        if self.se_style not in ("half", "all"):
            raise UsageError(f"se_style {self.se_style!r} is neither 'half' nor 'all'")
        for name, only in (("frozen_stages", -1), ("with_cp", False), *self.fixed):
            if getattr(self, name) != only:
                raise UsageError(f"{name}={getattr(self, name)} is not supported", hint=f"leave it at {only}")
        for name, known in _FIXED.items():
            for key, stated in (getattr(self, name) or {}).items():
                if stated not in known.get(key, ()):
                    only = f", only {known[key][0]!r}" if key in known else ""
                    hint = "to share BatchNorm's statistics between processes set sync_bn='torch' beside `model`"
                    raise UsageError(f"{name} {key} {stated!r} is not supported{only}", hint=hint)


@dataclass(frozen=True)
class PoseBackboneConfig(BackboneConfig):
    """The keys of `X3DTemporalShiftPose`: the same with the original pose class's defaults."""

    in_channels: int = 17
    gamma_b: float = 2.25
    gamma_d: float = 2.2
    num_stages: int = 3
    stage_blocks: tuple[int, ...] | None = (5, 11, 7)
    conv1_stride: int = 1
    spatial_strides: tuple[int, ...] = (2, 2, 2)
    fold_div: int = 4

    fixed: ClassVar[tuple[tuple[str, Any], ...]] = ()

    def activation(self) -> Nonlinearity:
        return Nonlinearity.SWISH if self.use_swish else Nonlinearity.NONE


def round_width(width: float, factor: float) -> int:
    """`width * factor` to the nearest multiple of 8, at least 8, one step up where that loses more than 10 %."""
    scaled = width * factor
    rounded = max(_WIDTH_DIVISOR, int(scaled + _WIDTH_DIVISOR / 2) // _WIDTH_DIVISOR * _WIDTH_DIVISOR)
    return rounded + _WIDTH_DIVISOR if rounded < _MAX_WIDTH_LOSS * scaled else rounded


def read_keys(kind: type[Config], name: str, keys: Mapping[str, Any]) -> Config:
    """A config's keys as the dataclass `kind`; `name` is the module's, for errors.

    Raises:
        UsageError: a key that the module does not have, or one too few; all of them are listed.
    """
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    unknown = [key for key in keys if key not in known]
    if unknown:
        close = {key: difflib.get_close_matches(key, known, n=1) for key in unknown}
        raise UsageError(
            f"{name} has no key {', '.join(unknown)}",
            details=[f"{key}: did you mean {match[0]!r}?" for key, match in close.items() if match],
            hint=f"its keys: {', '.join(known)}",
        )
    try:
        return kind(**keys)
    except TypeError as error:  # a required key is missing
        raise UsageError(f"{name}: {str(error).partition('() ')[2] or error}") from error
