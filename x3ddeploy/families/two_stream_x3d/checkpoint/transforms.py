"""Every transform of a test pipeline, and every parameter of it, by what an export makes of it.

The preprocessing that a bundle documents and x3ddeploy runs is MMAction2 1.2.0's: sample uniformly, decode, crop about
the persons, resize, draw heatmaps. Whatever else a pipeline does to its input is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from x3ddeploy.checkpoint.pipeline import Split, Step, frame_size, step_name
from x3ddeploy.checkpoint.rules import REPRESENTED, DictRules, Rule, harmless, only, refusals, shown

_FLIPPING = harmless("is used for limbs and doubled heatmaps alone, which are refused")

# In the order in which a pipeline has them.
TRANSFORMS: dict[str, dict[str, Rule | DictRules]] = {
    "MMUniformSampleFrames": {
        "clip_len": DictRules((), {"RGB": REPRESENTED, "Pose": REPRESENTED}),
        "num_clips": harmless("is how many clips of a video are averaged, an option of eval and predict"),
        "test_mode": harmless("chooses the fixed draw of frames, which is always taken"),
        "seed": only(255, why="frames are drawn with the seed 255"),
    },
    "MMDecode": {
        "io_backend": harmless("is how files are read"),
        "num_threads": harmless("is how fast videos are read"),
    },
    "MMCompact": {
        "padding": only(0.25, why="the crop about the persons is padded by 0.25"),
        "threshold": only(10, why="persons smaller than 10 pixels are not cropped to"),
        "hw_ratio": only(1, (1, 1), why="the crop about the persons is square"),
        "allow_imgpad": only(True, why="the crop about the persons may reach beyond the image"),
    },
    "Resize": {
        "scale": REPRESENTED,
        "keep_ratio": only(
            False, why="only keep_ratio=False gives every clip the same height and width", left_out=True
        ),
        "interpolation": only("bilinear", why="frames are resized bilinearly"),
        "lazy": only(False, why="frames are resized at once"),
    },
    "CenterCrop": {
        "crop_size": REPRESENTED,
        "lazy": only(False, why="frames are cropped at once"),
    },
    "Flip": {
        "flip_ratio": only(0, why="nothing is flipped at inference", left_out=0.5),
        **dict.fromkeys(("direction", "flip_label_map", "left_kp", "right_kp"), harmless("is used in flipping alone")),
        "lazy": harmless("is used in flipping alone"),
    },
    "GeneratePoseTarget": {
        "sigma": REPRESENTED,
        "scaling": REPRESENTED,
        "use_score": REPRESENTED,
        "with_kp": only(True, why="heatmaps of keypoints are drawn"),
        "with_limb": only(False, why="heatmaps of limbs are not drawn"),
        "double": only(False, why="heatmaps are not doubled by flipped ones"),
        **dict.fromkeys(("skeletons", "left_kp", "right_kp", "left_limb", "right_limb"), _FLIPPING),
    },
    "FormatShape": {
        "input_format": only("NCTHW", why="clips are fed as NCTHW"),
        "collapse": only(False, why="clips keep their axis"),
    },
    "PackActionInputs": {
        "collect_keys": only(
            ("imgs", "heatmap_imgs"), ("heatmap_imgs", "imgs"), why="the network is fed imgs and heatmap_imgs"
        ),
        "meta_keys": harmless("goes beside the input"),
        "algorithm_keys": harmless("goes beside the input"),
    },
}  # fmt: skip
# What only training does to its clips; it is passed over where a training pipeline stands in for a missing test one.
_AUGMENTATIONS = (
    "RandomResizedCrop", "RandomCrop", "MultiScaleCrop", "RandomRescale", "Resize", "Flip", "ColorJitter",
    "PytorchVideoWrapper",
)  # fmt: skip


def refused_transforms(pipeline: list[Any], split: Split) -> Iterator[str]:
    """One line for each transform, parameter or place in the order that the preprocessing does not have.

    Args:
        pipeline: readable steps.
        split: which pipeline it is; of a training pipeline the augmentations are passed over.
    """
    order = list(TRANSFORMS)
    last = -1
    for number, step in enumerate(pipeline):
        name, where = step_name(step), f"{split.value}_pipeline[{number}]"
        if split is Split.TRAIN and name in _AUGMENTATIONS:
            continue
        if name not in TRANSFORMS:
            kind = step.get("type") if isinstance(step, dict) else step
            yield f"{where} = {shown(kind)}: not a transform that the preprocessing knows"
            continue
        yield from refusals(step, DictRules((name,), TRANSFORMS[name]), f"{where} {name}")
        if order.index(name) <= last:
            yield f"{where} {name}: comes twice, or after {order[last]}, and the preprocessing has one order"
        last = max(last, order.index(name))
        if name == "CenterCrop":
            before, after = (frame_size(pipeline[:end], split) for end in (number, number + 1))
            if before != after:
                yield f"{where} CenterCrop to {shown(step.get('crop_size'))}: cuts frames, which are only resized"


def missing_transforms(pipeline: list[Step]) -> Iterator[str]:
    """What the preprocessing does to every clip, and a pipeline that resizes frames leaves out."""
    names = {step_name(step) for step in pipeline}
    if "Resize" in names and "MMCompact" not in names:
        yield "the test pipeline has no MMCompact; the preprocessing crops about the persons all the same"
