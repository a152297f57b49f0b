"""What a two-stream recognizer is: frozen data, checked at construction, free of any framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from x3ddeploy.errors import X3DDeployError


class HeadKind(Enum):
    """The head's form: MMAction2's own, with coarse classes beside, with class prototypes on top."""

    PLAIN = "plain"
    HIERARCHICAL = "hierarchical"
    PROTOTYPE = "prototype"


class Nonlinearity(Enum):
    """What stands between a block's depthwise convolution (and its squeeze-and-excitation) and its projection."""

    SWISH = "swish"
    NONE = "none"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise X3DDeployError(f"invalid model specification: {message}")


@dataclass(frozen=True)
class StageSpec:
    """One stage: `blocks` bottleneck blocks, the first of them with `stride` on H and W.

    Attributes:
        channels: channels of the stage's output.
        width: channels inside the bottleneck, int(2.25 x channels) in the published networks.
        squeeze: per block, the squeeze-and-excitation's inner width; 0 where the block has none.
    """

    blocks: int
    channels: int
    width: int
    stride: int
    squeeze: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(self.blocks > 0 and self.channels > 0 and self.width > 0 and self.stride > 0, f"{self}")
        _require(len(self.squeeze) == self.blocks and min(self.squeeze) >= 0, f"one squeeze width a block in {self}")


@dataclass(frozen=True)
class BackboneSpec:
    """One stream's backbone. Time is never strided: T frames in, T frames out.

    Attributes:
        in_channels: 3 for RGB, the number of joints for pose.
        stem_stride: stride of the stem on H and W.
        fold_div: 1/fold_div of the channels shift one frame ahead, as many one frame back, the rest stay.
        out_channels: channels of `conv5`, the features' width.
        activation: activation of every block.
    """

    in_channels: int
    stem_channels: int
    stem_stride: int
    stages: tuple[StageSpec, ...]
    out_channels: int
    fold_div: int
    activation: Nonlinearity = Nonlinearity.SWISH

    def __post_init__(self) -> None:
        _require(self.in_channels > 0 and self.stem_channels > 0 and self.out_channels > 0, "positive channels")
        _require(self.stem_stride > 0, f"stem_stride {self.stem_stride}")
        _require(len(self.stages) > 0, "at least one stage")
        _require(self.fold_div >= 2, f"fold_div {self.fold_div}: two folds must fit into the channels")

    @property
    def downsamples(self) -> tuple[bool, ...]:
        """Per stage, whether its first block projects the path that it adds to: where stride or channels change it."""
        before = (self.stem_channels, *(stage.channels for stage in self.stages))
        return tuple(
            stage.stride != 1 or channels != stage.channels
            for channels, stage in zip(before, self.stages, strict=False)
        )

    def feature_size(self, size: int) -> int:
        """Height or width of the features for an input of `size`: each stride rounds up."""
        for stride in (self.stem_stride, *(stage.stride for stage in self.stages)):
            size = -(-size // stride)
        return size


@dataclass(frozen=True)
class HeadSpec:
    """The classification head.

    Attributes:
        coarse_classes: 0 where the head has no coarse classifiers.
        prototype_dim: width of the embedding that is compared with the class prototypes; 0 where there are none.
        average_clips: how a video's clips are averaged: 'prob', 'score' or 'none' (MMAction2's words).
    """

    rgb_channels: int
    pose_channels: int
    classes: int
    coarse_classes: int = 0
    prototype_dim: int = 0
    average_clips: str = "prob"

    def __post_init__(self) -> None:
        _require(self.rgb_channels > 0 and self.pose_channels > 0 and self.classes > 0, f"{self}")
        _require(self.coarse_classes >= 0 and self.prototype_dim >= 0, f"{self}")
        _require(self.average_clips in ("prob", "score", "none"), f"average_clips {self.average_clips!r}")

    @property
    def kind(self) -> HeadKind:
        if self.prototype_dim:
            return HeadKind.PROTOTYPE
        return HeadKind.HIERARCHICAL if self.coarse_classes else HeadKind.PLAIN


@dataclass(frozen=True)
class RGBInput:
    """One RGB clip: T frames of H x W; a pixel enters as (value - mean) / std, values in 0..255, channels R, G, B."""

    frames: int
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        _require(min(self.frames, self.height, self.width) > 0, f"{self}")
        _require(min(self.std) > 0, f"std {self.std}")


@dataclass(frozen=True)
class PoseInput:
    """One clip of keypoint heatmaps: T frames of H x W, one channel a joint (MMAction2's GeneratePoseTarget).

    Attributes:
        sigma: standard deviation of a keypoint's Gaussian, in heatmap pixels.
        scaling: heatmap pixels a frame pixel.
        use_score: whether a keypoint's score is its Gaussian's peak (else 1).
        keypoint_order: 'coco17', or 'dataset' where the order is that of the annotations trained on.
    """

    frames: int
    height: int
    width: int
    sigma: float
    scaling: float
    use_score: bool = True
    keypoint_order: str = "coco17"

    def __post_init__(self) -> None:
        _require(min(self.frames, self.height, self.width) > 0, f"{self}")
        _require(self.sigma > 0 and self.scaling > 0, f"{self}")
        _require(self.keypoint_order in ("coco17", "dataset"), f"keypoint_order {self.keypoint_order!r}")


@dataclass(frozen=True)
class ModelSpec:
    """The whole recognizer: two backbones, the head, and what each stream is fed."""

    rgb: BackboneSpec
    pose: BackboneSpec
    head: HeadSpec
    rgb_input: RGBInput
    pose_input: PoseInput

    def __post_init__(self) -> None:
        _require(self.head.rgb_channels == self.rgb.out_channels, "the head's and the RGB backbone's channels differ")
        _require(
            self.head.pose_channels == self.pose.out_channels, "the head's and the pose backbone's channels differ"
        )

    def input_shapes(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Shapes of `imgs` (N,C,T,H,W) and `heatmap_imgs` (N,K,T,H,W) for a batch of clips."""
        rgb, pose = self.rgb_input, self.pose_input
        return {
            "imgs": (batch, self.rgb.in_channels, rgb.frames, rgb.height, rgb.width),
            "heatmap_imgs": (batch, self.pose.in_channels, pose.frames, pose.height, pose.width),
        }

    def feature_shapes(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Shapes of `rgb_feat` and `pose_feat` (N,C,T,H,W) for a batch of clips."""
        return {
            f"{stream}_feat": (
                batch,
                backbone.out_channels,
                clip.frames,
                *map(backbone.feature_size, (clip.height, clip.width)),
            )
            for stream, backbone, clip in (("rgb", self.rgb, self.rgb_input), ("pose", self.pose, self.pose_input))
        }


def flat_values(spec: ModelSpec) -> dict[str, str]:
    """Every value of a spec by its dotted name ('rgb.fold_div'), as text for people."""
    values = {}
    for group, part in vars(spec).items():
        for name in (field.name for field in fields(part)):
            value = getattr(part, name)
            values[f"{group}.{name}"] = _stages_text(value) if name == "stages" else text_of(value)
    for stream in ("rgb", "pose"):
        strides = tuple(stage.stride for stage in getattr(spec, stream).stages)
        values[f"{stream}.stage_strides"] = text_of(strides)
    return values


def _stages_text(stages: tuple[StageSpec, ...]) -> str:
    return ", ".join(f"{stage.blocks} x {stage.channels} ({stage.width})" for stage in stages)


def text_of(value: object) -> str:
    """One value of a spec as text for people."""
    if isinstance(value, Enum):
        return str(value.value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def model_of(spec: ModelSpec) -> dict[str, Any]:
    """A specification as literals, as bundles and graphs keep it."""
    import msgspec  # benchmarks of PyTorch alone go without

    model: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    for stream in ("rgb", "pose"):
        # Left out where it is the default: files that were exported before it could be anything else say the same.
        if model[stream].get("activation") == BackboneSpec.activation.value:
            del model[stream]["activation"]
    return model


def spec_of(model: Mapping[str, Any]) -> ModelSpec:
    """The specification that `model_of` was given. Raises ValueError or X3DDeployError where it is none."""
    import msgspec  # as above

    model_spec: ModelSpec = msgspec.convert(model, ModelSpec)
    return model_spec
