"""The original layout of the weights: which tensors a network has, and in what shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from x3ddeploy.checkpoint.listing import shortened
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint.weights import WeightsSpec
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, HeadSpec, ModelSpec

Shapes = Iterator[tuple[str, tuple[int, ...]]]

# Coarse prototypes, a loss of the training alone.
TRAINING_ONLY = ("cls_head.fr_coarse_rgb.", "cls_head.fr_coarse_pose.")

_LISTED = 12


def expected_shapes(spec: ModelSpec | WeightsSpec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of `spec`, in the original layout, without `num_batches_tracked`."""
    return {
        **{f"rgb_backbone.{name}": shape for name, shape in _backbone(spec.rgb)},
        **{f"pose_backbone.{name}": shape for name, shape in _backbone(spec.pose)},
        **{f"cls_head.{name}": shape for name, shape in _head(spec.head)},
    }


def check_layout(state_dict: Mapping[str, Tensor], spec: ModelSpec | WeightsSpec) -> dict[str, Tensor]:
    """The weights that inference needs, exactly those of `expected_shapes(spec)`.

    Raises:
        CheckpointError: weights are missing, unexpected (other than what serves training only) or of another shape;
            one error lists all three.
    """
    expected = expected_shapes(spec)
    missing = [key for key in expected if key not in state_dict]
    unexpected = [key for key in state_dict if key not in expected and not key.startswith(TRAINING_ONLY)]
    misshapen = [
        f"{key}: {tuple(state_dict[key].shape)} where {shape} is expected"
        for key, shape in expected.items()
        if key in state_dict and tuple(state_dict[key].shape) != shape
    ]
    if missing or unexpected or misshapen:
        raise CheckpointError(
            f"the weights are not those of a two-stream X3D recognizer: {len(missing)} missing, "
            f"{len(unexpected)} unexpected, {len(misshapen)} of another shape",
            details=[
                *shortened([f"missing: {key}" for key in missing], _LISTED, "missing"),
                *shortened([f"unexpected: {key}" for key in unexpected], _LISTED, "unexpected"),
                *shortened([f"of another shape: {line}" for line in misshapen], _LISTED, "of another shape"),
            ],
            hint="give a checkpoint of the original two-stream network, with all of its weights",
        )
    return {key: state_dict[key] for key in expected}


def _backbone(spec: BackboneSpec) -> Shapes:
    yield from _conv_bn("conv1_s", spec.stem_channels, spec.in_channels, kernel=3)
    channels = spec.stem_channels
    for number, (stage, downsample) in enumerate(zip(spec.stages, spec.downsamples, strict=True), 1):
        for index, squeeze in enumerate(stage.squeeze):
            block = f"layer{number}.{index}"
            if index == 0 and downsample:
                yield from _conv_bn(f"{block}.downsample", stage.channels, channels)
            yield from _conv_bn(f"{block}.conv1", stage.width, channels)
            yield from _conv_bn(f"{block}.conv2", stage.width, 1, kernel=3)  # depthwise
            yield from _conv_bn(f"{block}.conv3", stage.channels, stage.width)
            if squeeze:
                yield from _affine(f"{block}.se_module.fc1", (squeeze, stage.width, 1, 1, 1))
                yield from _affine(f"{block}.se_module.fc2", (stage.width, squeeze, 1, 1, 1))
            channels = stage.channels
    yield from _conv_bn("conv5", spec.out_channels, channels)


def _head(spec: HeadSpec) -> Shapes:
    for stream, channels in (("rgb", spec.rgb_channels), ("pose", spec.pose_channels)):
        yield from _affine(f"fc_{stream}", (spec.classes, channels))
        if spec.coarse_classes:
            yield from _affine(f"fc_{stream}_coarse", (spec.coarse_classes, channels))
        if spec.prototype_dim:
            prototypes = f"fr_{stream}.spatio_cl_net"
            yield from _affine(f"{prototypes}.cl_fc", (spec.prototype_dim, channels))
            yield f"{prototypes}.avg_f", (spec.prototype_dim, spec.classes)


def _conv_bn(name: str, out_channels: int, in_channels: int, kernel: int = 1) -> Shapes:
    yield f"{name}.conv.weight", (out_channels, in_channels, 1, kernel, kernel)
    for statistic in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.bn.{statistic}", (out_channels,)


def _affine(name: str, weight: tuple[int, ...]) -> Shapes:
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]
