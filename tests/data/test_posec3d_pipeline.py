"""PoseC3D's own test pipelines of joints and of limbs, clips and their mirror images: MMAction2's beside ours."""

import copy
import importlib

import numpy as np
import pytest
from support.action_data import annotation, write_annotations

from x3ddeploy.checkpoint.config import read_config_file
from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.mmaction.inputs import heatmaps_input
from x3ddeploy.families.mmaction.training_config import described
from x3ddeploy.mmaction_compat import config_path, import_everything
from x3ddeploy.modalities import one_view, sample_clips

pytest.importorskip("mmaction")
JOINTS = "skeleton/posec3d/slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint.py"
LENGTH, CLIPS = 8, 3
LIMBS = "skeleton/posec3d/slowonly_r50_8xb16-u48-240e_ntu60-xsub-limb.py"


def limbs_that_coincide():
    item = annotation("clip", seed=6)
    item["keypoint"][:, ::3, 7] = item["keypoint"][:, ::3, 5]  # an arm of no length
    return item


CASES = {
    "two persons": lambda: annotation("clip", frames=30),
    "fewer frames than a clip": lambda: annotation("clip", frames=5, seed=1),
    "upright": lambda: annotation("clip", frames=40, size=(128, 96), persons=1, seed=2),
    "joints that coincide": limbs_that_coincide,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [JOINTS, LIMBS])
def test_heatmaps_are_mmaction2s(tmp_path, name, case):
    import_everything()
    registry = importlib.import_module("mmaction.registry")
    config, item = read_config_file(config_path(name)), CASES[case]()
    config["test_pipeline"][0].update(clip_len=LENGTH, num_clips=CLIPS)  # of 48 and 10: MMAction2 draws limbs slowly
    config["test_dataloader"]["dataset"]["pipeline"] = config["test_pipeline"]
    results = {**copy.deepcopy(item), "modality": "Pose", "start_index": 0}
    for step in config["test_pipeline"][:-1]:
        results = registry.TRANSFORMS.build(step).transform(results)
    value = heatmaps_input(described(config, "config"), Wishes(), 17)
    assert (value.clip_shape, value.views.count) == ((17, LENGTH, 64, 64), 2 * CLIPS)
    (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [item], {})).samples.values()
    inputs = {"heatmap_imgs": value}
    made = prepare_clips(lambda _: [], sample, inputs, sample_clips(sample.frames, inputs))["heatmap_imgs"]
    np.testing.assert_allclose(made, results["imgs"], atol=1e-5)
    assert made.dtype == np.float32
    one = one_view(inputs)
    alone = prepare_clips(lambda _: [], sample, one, sample_clips(sample.frames, one))["heatmap_imgs"]
    assert alone.shape == (1, *value.clip_shape)
