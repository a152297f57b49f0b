"""Keys that no shipped config has, several at a time: a video's scores are those of MMAction2's own test loop.

For the target `families` of make.
"""

from collections.abc import Callable
from typing import Any

import pytest
from support import small_recognizers
from support.own_test_loop import compare_scores, two_videos
from support.small_3d import small

pytest.importorskip("mmaction")
pytest.importorskip("decord")
pytestmark = pytest.mark.families
SIDE = 32

# Name -> the small config, what is changed of its parts, and of its test pipeline.
CASES: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, dict[str, Any]], dict[str, Any]]] = {
    "slowonly of other widths": (
        lambda: small("slowonly"),
        {
            "backbone": {
                "depth": 18, "base_channels": 6, "stage_blocks": (2, 1, 1, 2), "spatial_strides": (1, 2, 1, 2),
                "temporal_strides": (1, 1, 2, 1), "conv1_kernel": (3, 5, 5), "norm_cfg": {"type": "BN3d", "eps": 0.01},
            },
            "cls_head": {"in_channels": 48, "num_classes": 12, "average_clips": "score"},
            "test_cfg": {"max_testing_views": 2},
        },
        {"num_clips": 10, "frame_interval": 2},
    ),
    "slowonly that dilates": (
        lambda: small("slowonly"),
        {
            "backbone": {
                "act_cfg": {"type": "Swish"}, "inflate": ((1,), (0,), (1,), (0,)), "inflate_style": "3x3x3",
                "dilations": (1, 1, 2, 2), "spatial_strides": (1, 2, 1, 1), "style": "caffe",
            },
        },
        {"num_clips": 3, "frame_interval": 3, "out_of_bound_opt": "repeat_last"},
    ),
    "slowonly without its last stage": (
        lambda: small("slowonly"), {"backbone": {"out_indices": (2,)}, "cls_head": {"in_channels": 64}}, {}
    ),
    "slowfast of other ratios": (
        lambda: small("slowfast"),
        {
            "backbone": {"speed_ratio": 4, "resample_rate": 4, "channel_ratio": 4},
            "backbone.slow_pathway": {"fusion_kernel": 7, "lateral_infl": 3, "lateral_norm": True},
            "backbone.fast_pathway": {"base_channels": 4},
            "cls_head": {"in_channels": 640},
        },
        {"num_clips": 2},
    ),
    "i3d with gaussian attention": (
        lambda: small("i3d"),
        {"backbone": {"non_local_cfg": {"sub_sample": True, "use_scale": False, "mode": "gaussian"}}},
        {"num_clips": 2},
    ),
    "r2plus1d of leaky ReLUs": (
        lambda: small("r2plus1d"), {"backbone": {"act_cfg": {"type": "LeakyReLU", "negative_slope": 0.1}}}, {}
    ),
    "x3d without squeezing": (
        lambda: small("x3d"), {"backbone": {"se_ratio": None, "spatial_strides": (2, 1, 2, 2)}}, {"num_clips": 2}
    ),
    "ip-csn": (lambda: small("csn"), {"backbone": {"bottleneck_mode": "ip", "stage_blocks": (2, 1, 1, 2)}}, {}),
    "tpn, parallel": (lambda: small("tpn"), {"neck": {"flow_type": "parallel", "aux_head_cfg": None}}, {}),
    "tsn that ends early": (
        small_recognizers.tsn,
        {
            "backbone": {
                "num_stages": 4, "strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1), "out_indices": (1,),
                "norm_cfg": {"type": "BN2d", "eps": 0.01},
            },
            "cls_head": {"in_channels": 128, "average_clips": "prob"},
        },
        {},
    ),
    "tsm that pools over time": (
        small_recognizers.tsm, {"backbone": {"temporal_pool": True}, "cls_head": {"temporal_pool": True}}, {}
    ),
    "tsm that shifts whole blocks": (
        small_recognizers.tsm, {"backbone": {"shift_place": "block", "shift_div": 3}}, {"num_clips": 8}
    ),
    "trn of one scale": (small_recognizers.trn, {"cls_head": {"relation_type": "TRN", "average_clips": "score"}}, {}),
    "tanet of larger kernels": (
        small_recognizers.tanet,
        {"backbone": {"tam_cfg": {"alpha": 3, "adaptive_kernel_size": 5, "beta": 2, "conv1d_kernel_size": 5,
                                  "adaptive_convolution_padding": 2}}},
        {},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return two_videos(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_mmactions_own_test_loop(name, videos, tmp_path):
    make, changes, sampled = CASES[name]
    config = make()
    for path, keys in changes.items():
        place = config["model"]
        for part in path.split("."):
            place = place.setdefault(part, {})
        place.update(keys)
    next(step for step in config["test_pipeline"] if step["type"] == "SampleFrames").update(sampled)
    compare_scores(config, videos, tmp_path)
