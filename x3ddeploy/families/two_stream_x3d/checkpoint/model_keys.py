"""Every key of a config's `model` dict, class by class.

Read off the public code of the original classes (9527haoyunlai/PCANetwork, ahmed-nady/Multimodal-Action-Recognition,
MMAction2 1.2.0) and off the classes of the family's training, which take a few keys more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x3ddeploy.checkpoint.config import is_absent, lookup
from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.checkpoint.rules import REPRESENTED, SHOWN, DictRules, harmless, only, refusals
from x3ddeploy.errors import CheckpointError

RECOGNIZER = "RGBPoseX3DRecognizer"
BACKBONES = {"rgb": "X3DTemporalShift", "pose": "X3DTemporalShiftPose"}
HEAD = "RGBPoseHead"
PREPROCESSOR = "ActionDataPreprocessor"

_LOSS = harmless("belongs to the loss")
_START = harmless("says how weights start before training")

# The original classes build BatchNorm3d with eps 1e-5 whatever a config says, or with what it says: the code in the
# field differs, so only what is the same in both is taken. The same of convolutions and activations.
_NORM = DictRules(
    ("BN3d", "BN", "SyncBN"),
    {
        "requires_grad": harmless("freezes parameters in training"),
        "momentum": harmless("moves the running statistics in training"),
        "eps": only(1e-5, why="BatchNorm is exported with eps 1e-05"),
    },
    optional=True,
)
_CONV = DictRules(("Conv3d",), {}, optional=True)
_ACT = DictRules(("ReLU",), {"inplace": harmless("saves memory")}, optional=True)


def _backbone(stream: str, stem: DictRules | Any, use_swish: Any) -> DictRules:
    return DictRules(
        (BACKBONES[stream],),
        {
            "in_channels": SHOWN,
            "base_channels": SHOWN,
            "gamma_w": SHOWN,
            "gamma_b": SHOWN,
            "gamma_d": SHOWN,
            "num_stages": SHOWN,
            "stage_blocks": SHOWN,
            "stage_channels": SHOWN,
            "stage_widths": SHOWN,
            "out_channels": SHOWN,
            "se_style": SHOWN,
            "se_ratio": SHOWN,
            "spatial_strides": REPRESENTED,
            "fold_div": REPRESENTED,
            "conv1_stride": stem,
            "use_swish": use_swish,
            "use_sta": only(False, None, why="attention blocks are not exported"),
            "conv_cfg": _CONV,
            "norm_cfg": _NORM,
            "act_cfg": _ACT,
            "frozen_stages": harmless("freezes parameters in training"),
            "norm_eval": harmless("keeps running statistics in training; inference uses them always"),
            "with_cp": harmless("saves memory in training"),
            "zero_init_residual": _START,
            "pretrained": _START,
        },
    )


MODEL = DictRules(
    (RECOGNIZER,),
    {
        "rgb_backbone": _backbone(
            "rgb",
            only(2, why="the original class has no such key and strides by 2"),
            harmless("is accepted and without effect: the class has swish always"),
        ),
        "pose_backbone": _backbone("pose", REPRESENTED, REPRESENTED),
        "cls_head": DictRules(
            (HEAD,),
            {
                "num_classes": SHOWN,
                "in_channels": SHOWN,
                "num_coarse_classes": SHOWN,
                "prototype_dim": SHOWN,
                "average_clips": REPRESENTED,
                "loss_components": only(
                    ("rgb", "pose"),
                    ("rgb", "pose", "rgb_coarse", "pose_coarse"),
                    why="the scores of both streams, rgb and pose, are exported",
                ),
                "dropout": harmless("is off at inference"),
                "init_std": _START,
                "coarse_of": _LOSS,
                "loss_cls": _LOSS,
                "loss_weights": _LOSS,
                "multi_class": _LOSS,
                "label_smooth_eps": _LOSS,
                "topk": harmless("says which accuracies are logged"),
            },
        ),
        "data_preprocessor": DictRules(
            ("RGBPoseDataPreprocessor", "MultiModalDataPreprocessor"),
            {
                "preprocessors": DictRules(
                    (),
                    {
                        "imgs": DictRules(
                            (PREPROCESSOR,),
                            {
                                "mean": REPRESENTED,
                                "std": REPRESENTED,
                                "to_rgb": only(False, None, why="frames are fed as R, G, B; BGR is not supported"),
                                "to_float32": only(True, why="the network is fed float32"),
                                "format_shape": only("NCTHW", why="clips are normalised channel by channel as NCTHW"),
                                "blending": harmless("mixes clips in training"),
                            },
                        ),
                        "heatmap_imgs": DictRules(
                            (PREPROCESSOR,),
                            {
                                "mean": only(None, why="heatmaps are fed as they are drawn"),
                                "std": only(None, why="heatmaps are fed as they are drawn"),
                                "to_rgb": only(False, None, why="joints keep their order"),
                                "to_float32": only(True, why="the network is fed float32"),
                                "format_shape": harmless("matters to normalisation alone, which heatmaps have not"),
                                "blending": harmless("mixes clips in training"),
                            },
                        ),
                    },
                ),
            },
            optional=True,
        ),
        "train_cfg": harmless("is stored by the class and never read"),
        "test_cfg": harmless("is stored by the class and never read"),
    },
)  # fmt: skip


def check_model_keys(config: Mapping[str, Any], origin: str) -> None:
    """Refuse a config whose `model` asks for more than the specification says and the weights show.

    Raises:
        CheckpointError: names each such key by its dotted path, with its value and the reason.
    """
    found: list[str] = []
    if "model" in config and not isinstance(config["model"], Unreadable):
        found += refusals(config["model"], MODEL, "model")
    beside = config.get("data_preprocessor")
    place = MODEL.keys["data_preprocessor"]
    assert isinstance(place, DictRules)
    if is_absent(lookup(config, "model.data_preprocessor")) and not isinstance(beside, Unreadable):
        found += refusals(beside, place, "data_preprocessor")  # MMEngine gives it to a model that has none of its own
    refuse(found, origin, "the model")


def refuse(found: list[str], origin: str, what: str) -> None:
    """Raise one error with all of `found`, if any."""
    if found:
        raise CheckpointError(
            f"{origin}: {what} is not supported as it is configured",
            details=found[:_LISTED] + ([f"... and {len(found) - _LISTED} more"] if len(found) > _LISTED else []),
            hint="what leaves no trace in the weights would be lost silently. A key without effect can be removed from "
            "the config that the checkpoint carries (meta['cfg'])",
        )


_LISTED = 20
