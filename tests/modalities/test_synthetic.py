"""Synthetic clips: the same for the same seed, and of the spec's shapes."""

import numpy as np
import pytest

from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs, impulse_inputs, raw_inputs, synthetic_clip

INPUTS = clip_inputs(PRESETS["tiny"])


@pytest.mark.parametrize("name", PRESETS)
def test_shapes_and_types_are_the_specs(name):
    spec = PRESETS[name]
    inputs = raw_inputs(clip_inputs(spec), 2, seed=0)
    for key, shape in spec.input_shapes(2).items():
        assert inputs[key].shape == shape
        assert inputs[key].dtype == np.float32
    assert inputs["frames"].shape == (2, spec.rgb_input.frames, spec.rgb_input.height, spec.rgb_input.width, 3)
    assert inputs["frames"].dtype == np.uint8
    assert inputs["keypoint_scores"].shape == (2, 2, spec.pose_input.frames, spec.pose.in_channels, 1)


def test_the_same_seed_gives_the_same_clip_and_another_one_another():
    first, again, other = (synthetic_clip(INPUTS, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.keypoints, again.keypoints)
    assert not np.array_equal(first.frames, other.frames)


def test_clips_move_and_are_seen_by_both_streams():
    inputs = batch_inputs(clip_inputs(PRESETS["ntu60"]), 1, seed=0)
    for value in inputs.values():
        assert np.isfinite(value).all()
        assert np.abs(np.diff(value, axis=2)).max() > 0.1
    assert 0 < (inputs["heatmap_imgs"] > 0.1).mean() < 0.05  # heatmaps are sparse


def test_clips_of_a_batch_differ():
    imgs = batch_inputs(INPUTS, 2, seed=0)["imgs"]
    assert not np.array_equal(imgs[0], imgs[1])


@pytest.mark.parametrize("frame", [0, -1])
def test_an_impulse_lights_one_place_of_the_middle_clip(frame):
    for value in impulse_inputs(INPUTS, 3, frame).values():
        (place,) = np.argwhere(value)
        assert place[0] == 1
        assert place[2] == frame % value.shape[2]
