"""The preprocessing graphs give what the network was trained on, in every runtime."""

from dataclasses import replace

import numpy as np
import pytest
from support.contracts import two_streams
from support.present import of_type

from x3ddeploy.contract import Part
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.graphs.lint import check_model
from x3ddeploy.modalities import Heatmaps, modalities_of
from x3ddeploy.modalities.graphs import preprocessing_graphs, preprocessing_name
from x3ddeploy.modalities.synthetic import raw_inputs
from x3ddeploy.runtimes.registry import open_session

TINY = PRESETS["tiny"]
INPUTS = clip_inputs(TINY)
PARTS = two_streams().parts
OF_FRAMES, OF_KEYPOINTS = "preprocess_rgb", "preprocess_pose"  # what two-stream bundles have had from the beginning
RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]


def graph(name, batch=None, inputs=INPUTS):
    return preprocessing_graphs(inputs, PARTS, batch, lambda name: {"made": "here"})[name]


def test_a_graph_is_called_after_the_stream_whose_input_it_makes():
    assert [preprocessing_name(name, INPUTS, PARTS) for name in INPUTS] == [OF_FRAMES, OF_KEYPOINTS]
    both = {"backbone": Part(tuple(INPUTS), ("features",))}
    assert [preprocessing_name(name, INPUTS, both) for name in INPUTS] == [f"preprocess_{name}" for name in INPUTS]
    assert (
        preprocessing_name("imgs", {"imgs": INPUTS["imgs"]}, {"backbone": Part(("imgs",), ("features",))})
        == "preprocess"
    )


def session(name, runtime):
    return open_session(runtime, graph(name).SerializeToString())


@pytest.mark.parametrize("name", [OF_FRAMES, OF_KEYPOINTS])
@pytest.mark.parametrize("batch", [None, 2])
def test_graphs_are_clean_and_made_of_plain_operators(name, batch):
    model = graph(name, batch)
    check_model(model)
    assert {prop.key: prop.value for prop in model.metadata_props} == {"made": "here"}
    plain = "Cast Sub Div Transpose Mul Split Abs LessOrEqual GreaterOrEqual Where Max Min Add Floor Sign And Exp"
    plain += " Unsqueeze ReduceMax"
    assert {node.op_type for node in model.graph.node} <= set(plain.split())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_frames_become_normalised_clips(runtime, batch):
    raw = raw_inputs(INPUTS, batch, seed=2)
    actual = session(OF_FRAMES, runtime).run({"frames": raw["frames"]})["imgs"]
    np.testing.assert_allclose(actual, raw["imgs"], atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("batch", "persons"), [(1, 1), (1, 2), (3, 5), (2, 2)])
def test_keypoints_become_heatmaps(runtime, batch, persons):
    random = np.random.default_rng(batch * 10 + persons)
    pose, joints = TINY.pose_input, TINY.pose.in_channels
    drawing = of_type(Heatmaps, modalities_of(INPUTS)["heatmap_imgs"])
    keypoints = random.uniform(-12, 44, (batch, persons, pose.frames, joints, 2)).astype(np.float32)
    keypoints[:, :, :, 1] = np.round(keypoints[:, :, :, 1])
    keypoints[:, :, :, 2] = 0
    scores = random.uniform(0, 1, (batch, persons, pose.frames, joints)).astype(np.float32)
    scores[:, :, 0, :3] = 0, 9e-5, 1.1e-4
    keypoints[:, 0, 1, 3], keypoints[:, 0, 1, 4, 0], scores[:, 0, 1, 5] = np.nan, np.inf, np.nan
    keypoints[:, 0, 2, 3] = 1e30
    expected = np.stack([drawing.draw(k, s) for k, s in zip(keypoints, scores, strict=True)])
    actual = session(OF_KEYPOINTS, runtime).run({"keypoints": keypoints, "keypoint_scores": scores[..., None]})
    assert expected.max() > 0.3
    np.testing.assert_allclose(actual["heatmap_imgs"], expected, atol=1e-5)


def test_a_person_of_score_zero_adds_nothing():
    raw = raw_inputs(INPUTS, 1, seed=0)
    pose = session(OF_KEYPOINTS, "onnxruntime")
    alone = pose.run({name: raw[name][:, :1] for name in ("keypoints", "keypoint_scores")})["heatmap_imgs"]
    padded = {name: raw[name].copy() for name in ("keypoints", "keypoint_scores")}
    padded["keypoint_scores"][:, 1] = 0
    np.testing.assert_array_equal(pose.run(padded)["heatmap_imgs"], alone)


def test_frames_of_another_size_are_refused_by_name():
    raw = raw_inputs(INPUTS, 1, seed=0)["frames"]
    with pytest.raises(X3DDeployError, match=r"'frames' has shape \(1, 4, 31, 32, 3\)"):
        session(OF_FRAMES, "onnxruntime").run({"frames": raw[:, :, 1:]})


def test_the_whole_chain_feeds_the_recognizer(bundle):
    """Camera and pose estimator to scores: what an application does."""
    names = ("frames", "keypoints", "keypoint_scores", "scores")
    raw = {name: np.load(bundle / "golden" / f"{name}.npy") for name in names}
    graphs = ("preprocess_rgb", "preprocess_pose", "recognizer")
    parts = {name: open_session("onnxruntime", bundle / f"{name}.onnx") for name in graphs}
    inputs = parts["preprocess_rgb"].run({"frames": raw["frames"]})
    inputs |= parts["preprocess_pose"].run({name: raw[name] for name in ("keypoints", "keypoint_scores")})
    np.testing.assert_allclose(parts["recognizer"].run(inputs)["scores"], raw["scores"], atol=1e-5)


def test_a_model_trained_without_scores_takes_none():
    inputs = clip_inputs(replace(TINY, pose_input=replace(TINY.pose_input, use_score=False)))
    raw = raw_inputs(inputs, 2, seed=0)
    pose = open_session("onnxruntime", graph(OF_KEYPOINTS, inputs=inputs).SerializeToString())
    np.testing.assert_allclose(
        pose.run({"keypoints": raw["keypoints"]})["heatmap_imgs"], raw["heatmap_imgs"], atol=1e-5
    )
