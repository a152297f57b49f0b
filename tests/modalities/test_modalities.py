"""What a contract says of an input is what is done to its clips; what is not understood is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
from support.contracts import JOINTS, LENGTH, SIZE, frames_input, heatmaps_input
from support.present import of_type

from x3ddeploy.contract import BATCH_AXIS, Input, InputKind, Transform
from x3ddeploy.errors import BundleError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities import Frames, Heatmaps, modalities_of, needs_frames, needs_keypoints
from x3ddeploy.modalities.graphs import preprocessing_graphs
from x3ddeploy.modalities.synthetic import impulse_inputs, raw_inputs
from x3ddeploy.runtimes.registry import open_session

TIME_FIRST = {"imgs": frames_input(shape=(LENGTH, 3, SIZE, SIZE))}


@pytest.mark.parametrize("name", PRESETS)
def test_settings_are_the_contracts(name):
    spec = PRESETS[name]
    kinds = modalities_of(clip_inputs(spec))
    imgs, heatmaps = of_type(Frames, kinds["imgs"]), of_type(Heatmaps, kinds["heatmap_imgs"])
    assert (imgs.mean, imgs.std, imgs.view.length) == (spec.rgb_input.mean, spec.rgb_input.std, spec.rgb_input.frames)
    assert imgs.view.size == heatmaps.view.size == (spec.rgb_input.height, spec.rgb_input.width)
    drawn = (heatmaps.sigma, heatmaps.scaling, heatmaps.use_score, heatmaps.height, heatmaps.joints)
    pose = spec.pose_input
    assert drawn == (pose.sigma, pose.scaling, pose.use_score, pose.height, spec.pose.in_channels)


def with_steps(value, *steps):
    return replace(value, pipeline=steps)


FRAMES = frames_input()
SAMPLE, RESIZE, NORMALISE = FRAMES.pipeline


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (frames_input(Transform("ColorJitter")), "the step ColorJitter is not understood"),
        (frames_input(Transform("GeneratePoseTarget")), "the step GeneratePoseTarget is not understood"),
        (with_steps(FRAMES, SAMPLE, RESIZE, RESIZE), "are not in the order"),
        (with_steps(FRAMES, RESIZE, SAMPLE), "are not in the order"),
        (with_steps(FRAMES, RESIZE), "there is no step UniformSampleFrames"),
        (with_steps(FRAMES, SAMPLE, NORMALISE), "there is no step Resize"),
        (with_steps(FRAMES, Transform("UniformSampleFrames", {"clip_len": 9}), RESIZE), "clip_len = 9"),
        (with_steps(FRAMES, SAMPLE, Transform("Resize", {"scale": [-1, 256]})), r"scale = \[-1, 256\]"),
        (with_steps(FRAMES, SAMPLE, Transform("Resize", {"scale": [8, 8]})), "leaves the width or the height"),
        (with_steps(FRAMES, SAMPLE, Transform("Resize", {"scale": [8, 8], "keep_ratio": False})), "of 8 x 8 pixels"),
        (with_steps(FRAMES, SAMPLE, Transform("Resize", {"scale": [16, 16], "keep_ratio": True})), "keep_ratio = True"),
        (with_steps(FRAMES, SAMPLE, RESIZE, Transform("Normalize", {"to_bgr": True})), "to_bgr is not understood"),
        (with_steps(FRAMES, SAMPLE, RESIZE, Transform("Normalize", {"std": [1, 0, 1]})), "Normalize mean"),
        (heatmaps_input(double=True), "its steps give Views.*flip=True.*, and Views.*flip=False.* are stated"),
        (heatmaps_input(with_limb=True), "draws 0 joints and 17 limbs"),
        (heatmaps_input(with_limb=True, skeletons=[[0, 99]]), "draws 16 joints and 1 limbs"),
        (heatmaps_input(with_limb=True, skeletons=[[0]]), "is not pairs of joints"),
        (heatmaps_input(double=True, left_kp=[99]), "left_kp = .99. is not channels of 17"),
        (heatmaps_input(sigma=-1), "sigma = -1"),
        (frames_input(shape=(4, LENGTH, SIZE, SIZE)), "neither"),
        (Input(InputKind.SKELETON, (BATCH_AXIS, 2, 8, 17, 3), ()), "make 1 features of 0 persons in 0 frames"),
    ],
)
def test_what_is_not_understood_is_refused(value, said):
    with pytest.raises(BundleError, match=f"'x' cannot be prepared: .*{said}"):
        modalities_of({"x": value})


def test_two_inputs_of_one_kind_are_refused():
    with pytest.raises(BundleError, match="'b' is of the same kind, frames"):
        modalities_of({"a": FRAMES, "b": FRAMES})


def test_who_needs_what():
    frames, compact, heatmaps = ({"x": value} for value in (FRAMES, frames_input(compact=True), heatmaps_input()))
    assert [needs_frames(value) for value in (frames, compact, heatmaps)] == [True, True, False]
    assert [needs_keypoints(value) for value in (frames, compact, heatmaps)] == [False, True, True]


def test_clips_of_two_dimensional_networks_have_the_time_in_front():
    raw = raw_inputs(TIME_FIRST, 2, seed=1)
    assert set(raw) == {"frames", "imgs"}
    usual = raw_inputs({"imgs": FRAMES}, 2, seed=1)
    np.testing.assert_array_equal(raw["frames"], usual["frames"])
    np.testing.assert_array_equal(raw["imgs"], usual["imgs"].swapaxes(1, 2))
    (graph,) = preprocessing_graphs(TIME_FIRST, {}, None, lambda name: {}).values()
    made = open_session("onnxruntime", graph.SerializeToString()).run({"frames": raw["frames"]})["imgs"]
    np.testing.assert_allclose(made, raw["imgs"], atol=1e-5)
    ((clip, time, _, _, _),) = np.argwhere(impulse_inputs(TIME_FIRST, 3, -1)["imgs"])
    assert (clip, time) == (1, LENGTH - 1)


def test_heatmaps_alone_are_made_of_keypoints_alone():
    inputs = {"heatmap_imgs": heatmaps_input()}
    raw = raw_inputs(inputs, 2, seed=1)
    assert set(raw) == {"keypoints", "keypoint_scores", "heatmap_imgs"}
    assert raw["keypoints"].shape == (2, 2, LENGTH, JOINTS, 2)
    (graph,) = preprocessing_graphs(inputs, {}, None, lambda name: {}).values()
    assert [value.name for value in graph.graph.input] == ["keypoints", "keypoint_scores"]
