"""Clips are made of the frames that MMAction2 takes: other frames are another test set, and other accuracies."""

import importlib

import numpy as np
import pytest

from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.modalities.sampling import sample_clips, uniform_indices

LENGTHS = [1, 2, 7, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 80, 95, 96, 97, 103, 300]
RGB, POSE = 16, 48
INPUTS = clip_inputs(PRESETS["ntu60"])


@pytest.fixture(scope="module")
def transforms():
    pytest.importorskip("mmaction")
    import_everything()
    return importlib.import_module("mmaction.registry").TRANSFORMS


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("clips", [1, 3, 10])
def test_testing_takes_mmaction2s_frames(transforms, frames, clips):
    build = {"type": "MMUniformSampleFrames", "clip_len": {"RGB": RGB, "Pose": POSE}, "num_clips": clips}
    sampler = transforms.build({**build, "test_mode": True})
    results = sampler.transform({"total_frames": frames, "modality": "Pose"})
    indices = sample_clips(frames, INPUTS, clips)
    np.testing.assert_array_equal(indices["imgs"].ravel(), results["RGB_inds"])
    np.testing.assert_array_equal(indices["heatmap_imgs"].ravel(), results["Pose_inds"])
    assert indices["imgs"].shape == (clips, RGB)


@pytest.mark.parametrize("frames", LENGTHS)
def test_testing_takes_the_frames_of_the_single_stream_sampler_too(transforms, frames):
    sampler = transforms.build({"type": "UniformSampleFrames", "clip_len": POSE, "num_clips": 2, "test_mode": True})
    keypoint = np.random.default_rng(0).random((2, frames, 17, 2))
    keypoint[1, frames // 2 :] = 0  # a person who leaves
    results = sampler.transform({"total_frames": frames, "keypoint": keypoint})
    np.testing.assert_array_equal(uniform_indices(frames, POSE, 2).ravel(), results["frame_inds"])


@pytest.mark.parametrize("frames", LENGTHS)
def test_training_draws_what_mmaction2_draws(transforms, frames):
    sampler = transforms.build(
        {"type": "MMUniformSampleFrames", "clip_len": {"RGB": RGB, "Pose": POSE}, "num_clips": 2}
    )
    np.random.seed(7)
    results = sampler.transform({"total_frames": frames, "modality": "Pose"})
    indices = sample_clips(frames, INPUTS, 2, np.random.RandomState(7))
    np.testing.assert_array_equal(indices["imgs"].ravel(), results["RGB_inds"])
    np.testing.assert_array_equal(indices["heatmap_imgs"].ravel(), results["Pose_inds"])


@pytest.mark.parametrize("frames", LENGTHS)
def test_indices_lie_in_the_video_and_in_order(frames):
    indices = uniform_indices(frames, 16)
    assert indices.min() >= 0
    assert indices.max() < frames
    if frames >= 16:
        assert (np.diff(indices[0]) > 0).all()


def test_frames_that_are_as_many_as_the_clip_takes_are_all_taken():
    np.testing.assert_array_equal(uniform_indices(16, 16, 2), [np.arange(16)] * 2)


def test_testing_leaves_numpys_global_generator_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    uniform_indices(100, 16)
    assert np.random.random() == expected
