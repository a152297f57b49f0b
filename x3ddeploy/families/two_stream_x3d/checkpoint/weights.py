"""What the names and shapes of the weights say of the network: all but strides, shift fractions and activations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, HeadSpec, StageSpec
from x3ddeploy.text import shortened

# Far above any network of this kind (4 stages, 11 blocks); what lies beyond in a hostile file is just unexpected.
_MAX_STAGES = 16
_MAX_BLOCKS = 128
# Stand where weights say nothing, so that networks can be compared by what their weights do say.
_NO_STRIDE = 1
_NO_FOLD = 2
# A downsample where the channels stay is the one trace of a stride, though not of how large it is.
_SOME_STRIDE = 2
_LISTED = 12

_BLOCK = re.compile(r"layer([0-9]{1,3})\.([0-9]{1,4})\.(.+)", re.DOTALL)

Where = tuple[str, int]  # a tensor's name and the axis on which a width can be read


class WeightsSpec(NamedTuple):
    """Both backbones (strides, fold_div and activation are placeholders, see `without_trace`) and the head."""

    rgb: BackboneSpec
    pose: BackboneSpec
    head: HeadSpec


def without_trace(spec: BackboneSpec) -> BackboneSpec:
    """`spec` with placeholders for strides, fold_div and activation, which leave no trace in the weights."""
    stages = tuple(
        replace(stage, stride=_SOME_STRIDE if downsample else _NO_STRIDE)
        for stage, downsample in zip(spec.stages, spec.downsamples, strict=True)
    )
    return replace(spec, stages=stages, stem_stride=_NO_STRIDE, fold_div=_NO_FOLD, activation=BackboneSpec.activation)


def read_weights(state_dict: Mapping[str, Tensor]) -> WeightsSpec:
    """Depth, widths, squeeze-and-excitation, joints, classes and prototypes, each by the vote of all that show it.

    A single damaged tensor is outvoted here, so that it is the one that the layout check names.

    Raises:
        CheckpointError: what no remaining weight tells, listed.
    """
    shapes = _Shapes({key: tuple(value.shape) for key, value in state_dict.items()})
    rgb, pose = _backbone(shapes, "rgb"), _backbone(shapes, "pose")
    head = _head(shapes, rgb, pose)
    if shapes.unknown:
        raise CheckpointError(
            "the weights are not those of a two-stream X3D recognizer",
            details=shortened([f"missing or misshapen: {key}" for key in shapes.unknown], _LISTED),
            hint="give a checkpoint of the original two-stream network, with all of its weights",
        )
    return WeightsSpec(rgb, pose, head)


class _Shapes:
    """The tensors' shapes, and the names of those that would have been needed to tell something."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.all = shapes
        self.unknown: list[str] = []

    def vote(self, places: Iterable[Where]) -> int:
        """The width that most of `places` show; 1, and a line in `unknown`, where none shows any."""
        places = list(places)
        seen = [self.all[key][axis] for key, axis in places if key in self.all and axis < len(self.all[key])]
        positive = Counter(size for size in seen if size > 0)
        if not positive:
            self.unknown.append(places[0][0])
            return 1
        return positive.most_common(1)[0][0]

    def any_under(self, *prefixes: str) -> bool:
        return any(key.startswith(prefixes) for key in self.all)


def _backbone(shapes: _Shapes, stream: str) -> BackboneSpec:
    prefix = f"{stream}_backbone."
    blocks: dict[int, set[int]] = {}
    squeezed: set[tuple[int, int]] = set()
    downsampled: set[int] = set()
    for key in shapes.all:
        match = _BLOCK.fullmatch(key.removeprefix(prefix)) if key.startswith(prefix) else None
        if match and 1 <= (stage := int(match[1])) <= _MAX_STAGES and (block := int(match[2])) < _MAX_BLOCKS:
            blocks.setdefault(stage, set()).add(block)
            if match[3].startswith("se_module."):
                squeezed.add((stage, block))
            if block == 0 and match[3].startswith("downsample."):
                downsampled.add(stage)
    depths = [max(blocks.get(stage, {0})) + 1 for stage in range(1, max(blocks, default=1) + 1)]
    stages = []
    for number, depth in enumerate(depths, 1):
        squeeze = tuple(
            shapes.vote(_squeeze(f"{prefix}layer{number}.{index}")) if (number, index) in squeezed else 0
            for index in range(depth)
        )
        names = [f"{prefix}layer{number}.{index}" for index in range(depth)]
        channels = shapes.vote(where for name in names for where in _conv_bn(f"{name}.conv3"))
        width = shapes.vote(
            where for name in names for where in (*_conv_bn(f"{name}.conv1"), *_conv_bn(f"{name}.conv2"))
        )
        stages.append(StageSpec(depth, channels, width, _SOME_STRIDE if number in downsampled else _NO_STRIDE, squeeze))
    stem, last = f"{prefix}conv1_s", f"{prefix}conv5"
    spec = BackboneSpec(
        in_channels=shapes.vote([(f"{stem}.conv.weight", 1)]),
        stem_channels=shapes.vote(_conv_bn(stem)),
        stem_stride=_NO_STRIDE,
        stages=tuple(stages),
        out_channels=shapes.vote([*_conv_bn(last), (f"cls_head.fc_{stream}.weight", 1)]),
        fold_div=_NO_FOLD,
    )
    return without_trace(spec)  # stages whose channels change have a downsample, be it there or lost


def _head(shapes: _Shapes, rgb: BackboneSpec, pose: BackboneSpec) -> HeadSpec:
    fine = [f"cls_head.fc_{stream}" for stream in ("rgb", "pose")]
    coarse = [f"{name}_coarse" for name in fine]
    prototypes = [f"cls_head.fr_{stream}.spatio_cl_net" for stream in ("rgb", "pose")]
    has_coarse = shapes.any_under(*(f"{name}." for name in coarse))
    has_prototypes = shapes.any_under("cls_head.fr_rgb.", "cls_head.fr_pose.")
    return HeadSpec(
        rgb_channels=rgb.out_channels,
        pose_channels=pose.out_channels,
        classes=shapes.vote([*_affine(*fine), *((f"{name}.avg_f", 1) for name in prototypes)]),
        coarse_classes=shapes.vote(_affine(*coarse)) if has_coarse else 0,
        prototype_dim=shapes.vote(
            [*_affine(*(f"{name}.cl_fc" for name in prototypes)), *((f"{name}.avg_f", 0) for name in prototypes)]
        )
        if has_prototypes
        else 0,
    )


def _conv_bn(name: str) -> list[Where]:
    """Where a convolution's output channels show."""
    statistics = ("weight", "bias", "running_mean", "running_var")
    return [(f"{name}.conv.weight", 0), *((f"{name}.bn.{statistic}", 0) for statistic in statistics)]


def _squeeze(block: str) -> list[Where]:
    se = f"{block}.se_module"
    return [(f"{se}.fc1.weight", 0), (f"{se}.fc1.bias", 0), (f"{se}.fc2.weight", 1)]


def _affine(*names: str) -> list[Where]:
    return [(f"{name}.{kind}", 0) for name in names for kind in ("weight", "bias")]
