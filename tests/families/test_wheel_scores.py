"""Shipped configs that no other test exports, from a video to its scores: as MMAction2's own test loop gives them.

Pictures are small, in the proportions of the config's pipeline; clips, crops and layers are its own. For the target
`families` of make.
"""

import pytest
from support.own_test_loop import compare_scores, two_videos
from support.recognizers import config_of

pytest.importorskip("mmaction")
pytest.importorskip("decord")
pytestmark = pytest.mark.families

SIDE = 32
CONFIGS = (
    "tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-50e_sthv2-rgb.py",
    "tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_sthv2-rgb.py",
    "trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb.py",
    "tanet/tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8-100e_kinetics400-rgb.py",
    "c2d/c2d_r50-in1k-pre_8xb32-16x4x1-100e_kinetics400-rgb.py",
    "slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb.py",
    "i3d/i3d_imagenet-pretrained-r50_8xb8-dense-32x2x1-100e_kinetics400-rgb.py",
    "tpn/tpn-slowonly_imagenet-pretrained-r50_8xb8-8x8x1-150e_kinetics400-rgb.py",
)


def shrink(config):
    """Crops of SIDE pixels, and what is scaled before them in proportion; frames are read of a video."""
    steps = config["test_pipeline"]
    side = next(step["crop_size"] for step in steps if "crop_size" in step)
    for step in steps:
        if "crop_size" in step:
            step["crop_size"] = SIDE
        elif step["type"] == "Resize":
            step["scale"] = tuple(part if part == -1 else round(part * SIDE / side) for part in step["scale"])
        elif step["type"] == "RawFrameDecode":
            step.clear()
            step["type"] = "DecordDecode"
    if steps[0]["type"] != "DecordInit":
        steps.insert(0, {"type": "DecordInit"})


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return two_videos(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_videos_scores_are_those_of_mmactions_own_test_loop(name, videos, tmp_path):
    compare_scores(config_of(f"recognition/{name}", shrink), videos, tmp_path)
