"""Shipped configs that no other test exports, from a video to its scores: as MMAction2's own test loop gives them.

Pictures are small, in the proportions of the config's pipeline; clips, crops and layers are its own. For the target
`families` of make.
"""

import json

import numpy as np
import pytest
from support.own_test_loop import listed_videos, scored_by_mmaction
from support.recognizers import config_of, save

import x3ddeploy
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.probabilities import softmax

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
    folder = listed_videos(tmp_path_factory.mktemp("videos"))
    lines = (folder / "val.txt").read_text().splitlines(keepends=True)
    (folder / "val.txt").write_text("".join(lines[:2]))
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_a_videos_scores_are_those_of_mmactions_own_test_loop(name, videos, tmp_path):
    import_everything()
    config = config_of(f"recognition/{name}", shrink)
    exported = x3ddeploy.export(save(tmp_path / "best.pth", config), tmp_path / "deploy", target="onnxruntime")
    expected, _ = scored_by_mmaction(config, videos)
    rows = tmp_path / "scores.jsonl"
    x3ddeploy.evaluate(
        exported.bundle.path, data=videos / "val.txt", runtimes=["onnxruntime"], scores=rows, output=tmp_path / "report"
    )
    is_score = exported.bundle.contract.outputs["logits"].average == "score"
    given: dict[str, list[np.ndarray]] = {}
    for row in map(json.loads, rows.read_text().splitlines()):
        mean = np.array([row["averages"]["logits"]])
        given.setdefault(row["runtime"], []).append(softmax(mean)[0] if is_score else mean[0])
    assert set(given) == {"torch", "onnxruntime"}
    for scores in given.values():
        np.testing.assert_allclose(np.stack(scores), expected, atol=1e-5)
