"""Named networks, as data. Sources: the published two-stream X3D temporal-shift configurations."""

from __future__ import annotations

from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, HeadSpec, ModelSpec, PoseInput, RGBInput, StageSpec

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def _stage(blocks: int, channels: int, width: int, squeeze: int) -> StageSpec:
    """A published stage: stride 2, squeeze-and-excitation in blocks 0, 2, 4, ... ('half')."""
    return StageSpec(blocks, channels, width, 2, tuple(squeeze if block % 2 == 0 else 0 for block in range(blocks)))


_RGB_STAGES = (_stage(3, 24, 54, 8), _stage(5, 48, 108, 8), _stage(11, 96, 216, 16), _stage(7, 192, 432, 32))
_POSE_STAGES = (_stage(5, 24, 54, 8), _stage(11, 48, 108, 8), _stage(7, 96, 216, 16))


def _full_size(joints: int, keypoint_order: str, head: HeadSpec) -> ModelSpec:
    return ModelSpec(
        rgb=BackboneSpec(3, 24, 2, _RGB_STAGES, 432, fold_div=8),
        pose=BackboneSpec(joints, 24, 1, _POSE_STAGES, 216, fold_div=4),
        head=head,
        rgb_input=RGBInput(16, 224, 224, IMAGENET_MEAN, IMAGENET_STD),
        pose_input=PoseInput(48, 56, 56, sigma=0.6, scaling=0.25, keypoint_order=keypoint_order),
    )


PRESETS: dict[str, ModelSpec] = {
    "ntu60": _full_size(17, "coco17", HeadSpec(432, 216, classes=60, coarse_classes=8, prototype_dim=256)),
    "ma52": _full_size(28, "dataset", HeadSpec(432, 216, classes=52, coarse_classes=7, prototype_dim=256)),
    # For tests: every kind of block and an odd width, in milliseconds. 10 channels are not divisible by a fold of 4.
    "tiny": ModelSpec(
        rgb=BackboneSpec(3, 8, 2, (_stage(2, 10, 22, 8), _stage(3, 16, 36, 8)), 24, fold_div=8),
        pose=BackboneSpec(17, 8, 1, (_stage(2, 10, 22, 8), _stage(2, 16, 36, 8)), 20, fold_div=4),
        head=HeadSpec(24, 20, classes=6, coarse_classes=3, prototype_dim=12),
        rgb_input=RGBInput(4, 32, 32, IMAGENET_MEAN, IMAGENET_STD),
        pose_input=PoseInput(6, 16, 16, sigma=0.6, scaling=0.5),
    ),
}
