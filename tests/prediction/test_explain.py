"""An explanation points where the class is: heat to the place that makes it, evidence to the joint that does."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import onnx
import pytest
import torch
from support.contracts import (
    CLASSES,
    JOINTS,
    LENGTH,
    SIZE,
    frames_contract,
    heatmaps_contract,
    one_input,
    skeleton_input,
)
from support.documents import of_its_type
from support.made_videos import make_keypoints, make_video, write_npz
from support.present import present

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import People
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.data.video import VideoInfo, count_frames, probe
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.modalities import sample_clips
from x3ddeploy.prediction.draw_explanation import draw_explanation
from x3ddeploy.prediction.explain import explain_window
from x3ddeploy.prediction.gradcam import GradCam
from x3ddeploy.prediction.predict import OpenedVideo, Prediction
from x3ddeploy.prediction.windows import Window
from x3ddeploy.progress import QUIET
from x3ddeploy.runtimes.base import Session

FRAMES = 8


class Network(Session):
    """A session of one set of logits, which a function computes."""

    runtime = "made"

    def __init__(self, logits):
        self.logits = logits

    def run(self, feeds):
        return {"logits": np.asarray(self.logits(*feeds.values()), np.float32)}


def of_red(graph, pool=(2, 3, 4)):
    """Class 1 is how red the pictures are, 2 how blue, both after a rectifier; nothing else counts."""
    x = graph.input("imgs", ("N", 3, LENGTH, SIZE, SIZE))
    weight = np.zeros((2, 3, 1, 4, 4), np.float32)
    weight[0, 0], weight[1, 2] = 1 / 16, 1 / 16
    y = graph.node("Conv", x, graph.constant("w", weight), name="c", kernel_shape=[1, 4, 4], strides=[1, 4, 4])
    y = graph.node("Relu", y, name="map")
    y = graph.node("Flatten", graph.node("ReduceMean", y, name="pool", axes=list(pool), keepdims=1), name="flat")
    classes = graph.constant("fc", np.array([[0, 3, 0], [0, -1, 2]], np.float32))
    graph.output(graph.node("MatMul", y, classes, name="fc/MatMul"), "logits", ("N", CLASSES))


def bundle_of(tmp_path, contract):
    graph = GraphBuilder("net")
    of_red(graph)
    path = tmp_path / "recognizer.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(graph.model({})), path)
    return SimpleNamespace(path=tmp_path, contract=contract, part_path=lambda part: path)


def prediction_of(path, contract, frames=FRAMES):
    scores = {name: np.full(CLASSES, 1 / CLASSES) for name in contract.scores}
    people = People(frames, frames, seen=True)
    return Prediction(path, Window(0, frames), Fraction(8), people, (), scores, [f"c{n}" for n in range(CLASSES)])


@pytest.fixture(scope="module")
def red_square(tmp_path_factory):
    """A video, dark but for a red square at its right border, under the middle, from its second half on."""
    pictures = np.zeros((FRAMES, 64, 64, 3), np.uint8)
    pictures[FRAMES // 2 :, 32:48, 48:, 0] = 255
    path = tmp_path_factory.mktemp("red") / "red.mp4"
    write_video(path, pictures)
    return path


def test_heat_is_where_and_when_the_class_is(tmp_path, red_square):
    contract = frames_contract()
    video = OpenedVideo(red_square, probe(red_square), None)
    scorer = Scorer(Network(lambda imgs: np.zeros((len(imgs), CLASSES))), contract, 1)
    found = explain_window(
        video, prediction_of(red_square, contract), 1, bundle_of(tmp_path, contract), scorer, None, QUIET
    )
    heat = present(found.heat)
    values, (left, top, right, bottom) = heat.values, heat.box
    assert (left, top, right, bottom) == (0, 0, 64, 64)
    assert values.shape == (LENGTH, SIZE, SIZE)
    _, rows, columns = np.nonzero(values > 0.5 * values.max())
    assert 7 <= rows.min() <= rows.max() <= 12  # 8 to 11 is the square, and between places heat is linear
    assert 11 <= columns.min() <= columns.max() <= 15
    shares = {entry.frame: entry.share for entry in present(found.report().frames)}
    assert sum(share for frame, share in shares.items() if frame >= FRAMES // 2) > 0.99
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    draw_explanation(video, found, drawn, QUIET)
    assert sorted(int(file.stem) for file in drawn.glob("*.png")) == sorted(shares)
    assert json.loads((drawn / "explanation.json").read_text())["label"] == "c1"


def test_class_maps_add_up_to_the_logit_behind_a_linear_head(tmp_path):
    """Their mean over the places is the logit, as class activation maps have it; a fixed batch changes nothing."""
    contract = frames_contract()
    clip = {"imgs": np.random.default_rng(0).normal(size=(1, 3, LENGTH, SIZE, SIZE)).astype(np.float32)}
    fixed = dataclasses.replace(
        contract,
        inputs={"imgs": dataclasses.replace(contract.inputs["imgs"], shape=(3, 3, LENGTH, SIZE, SIZE))},
        outputs={"logits": dataclasses.replace(contract.outputs["logits"], shape=(3, CLASSES))},
    )
    means = []
    for asked in (contract, fixed):
        cam = GradCam(bundle_of(tmp_path, asked))
        (value,) = cam.maps(clip, 1).maps.values()
        means.append(value.mean())
        logit = cam._front.run(clip)["logits"][0, 1]
        cam.close()
        assert value.shape == (LENGTH, 4, 4)
    assert means == pytest.approx([logit, logit], rel=1e-4)


def test_the_weights_are_the_gradients_of_the_training_form(bundle, tiny_network):
    """The tiny network's head is no linear one: PyTorch's own gradients of the same map, within float32 differences."""
    opened = open_whole(Path(bundle))
    random = np.random.default_rng(1)
    clip = {
        name: random.normal(size=shape).astype(np.float32) for name, shape in opened.contract.input_shapes(1).items()
    }
    cam = GradCam(opened)
    (found,) = cam.maps(clip, 2).maps.values()
    cam.close()
    tensors = {name: torch.from_numpy(value) for name, value in clip.items()}
    features: dict[str, torch.Tensor] = {}
    for part in opened.contract.backbones:
        features |= tiny_network.part(part)(*(tensors[name] for name in opened.contract.parts[part].inputs))
    features = {name: value.detach().requires_grad_() for name, value in features.items()}
    logits = tiny_network.part("head")(*(features[name] for name in opened.contract.parts["head"].inputs))
    shares = opened.contract.scores[opened.contract.deployed].shares()
    sum(share * logits[name][0, 2] for name, share in shares.items()).backward()
    name = opened.contract.parts["rgb_backbone"].outputs[0]
    slopes = present(features[name].grad)[0].sum((1, 2, 3))
    expected = (slopes[:, None, None, None] * features[name].detach()[0]).sum(0).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def skeletons(steps=2):
    step = {"type": "UniformSampleFrames", "clip_len": LENGTH, "num_clips": 2, "test_mode": True}
    pipeline = [{"type": "PreNormalize2D"}, step, {"type": "PoseDecode"}, {"type": "FormatGCNInput", "num_person": 2}]
    return one_input("keypoint", skeleton_input(pipeline, (2, LENGTH, JOINTS, 3)))


@pytest.fixture
def walking():
    """Two persons of 17 joints who move, in pictures of 60 x 80 pixels."""
    random = np.random.default_rng(0)
    keypoints = random.uniform(10, 50, (2, 1, JOINTS, 2)) + random.normal(0, 2, (2, FRAMES, JOINTS, 2))
    return Annotation(
        "walk", 0, (60, 80), FRAMES, keypoints.astype(np.float32), np.ones((2, FRAMES, JOINTS), np.float32)
    )


def drawn_of_wrist(maps):
    """How much is drawn of joint 9, by clip."""
    return maps[:, 9].sum((1, 2, 3)) / 5


def wrist_from_middle(joints):
    """How far joint 9 is from the picture's middle, by clip."""
    return np.abs(joints[..., 9, 0]).sum((1, 2))


@pytest.mark.parametrize(
    ("contract", "wrist"), [(heatmaps_contract(), drawn_of_wrist), (skeletons(), wrist_from_middle)]
)
def test_evidence_is_of_the_joint_that_makes_the_class(walking, contract, wrist):
    video = OpenedVideo(Path("walk"), VideoInfo(FRAMES, 60, 80, None), walking)
    scorer = Scorer(Network(lambda clips: wrist(clips)[:, None] * (0, 1, 0)), contract, 4)
    bundle = cast(Bundle, SimpleNamespace(contract=contract))
    found = explain_window(video, prediction_of("walk", contract), 1, bundle, scorer, None, QUIET)
    assert found.heat is None
    joints = present(found.joints)
    assert joints.argmax() == 9
    assert joints[9] > 0.1
    np.testing.assert_allclose(np.delete(joints, 9), 0, atol=1e-5)
    first, *_ = present(found.report().joints)
    assert (first.name, first.joint) == ("left_wrist", 9)
    assert first.score_without < found.view_score


def test_a_joint_that_is_left_out_leaves_the_others_and_the_crop_as_they_are(walking):
    inputs = heatmaps_contract().inputs
    indices = sample_clips(FRAMES, inputs, fps=None)
    whole, less = (
        prepare_clips(lambda wanted: (), walking, inputs, indices, without=without)["heatmap_imgs"]
        for without in (None, 4)
    )
    assert whole[:, 4].any()
    assert not less[:, 4].any()
    np.testing.assert_array_equal(np.delete(whole, 4, 1), np.delete(less, 4, 1))


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    path = make_video(tmp_path_factory.mktemp("filmed") / "a.mp4")
    write_npz(path.with_suffix(".npz"), *make_keypoints())
    return path


def test_the_command_draws_and_prints(run, bundle, filmed, tmp_path):
    process = run("explain", filmed, "--bundle", bundle, "--frames", 4, 16, "--person", 1, "-o", tmp_path / "why.mp4",
                  "--json")  # fmt: skip
    assert process.returncode == 0, process.stderr
    told = of_its_type("explain", process.stdout)
    with x3ddeploy.open(bundle) as recognizer:
        predicted = recognizer.predict_videos([filmed], window=12, stride=4, each_person=True)
        (same,) = (entry for entry in predicted if entry.person == 1 and entry.window == Window(4, 16))
    assert (told["label"], told["person"]) == (same.label, 1)
    assert told["score"] == pytest.approx(float(same.deployed.max()), abs=1e-6)
    assert len(told["joints"]) == 17
    assert sum(frame["share"] for frame in told["frames"]) == pytest.approx(1, abs=1e-6)
    assert count_frames(tmp_path / "why.mp4") == 12
    process = run("explain", filmed, "--bundle", bundle, "--label", "3")
    assert "class 3" in process.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "juggle"}, "no class 'juggle'"),
        ({"person": 5}, "no person 5"),
        ({"frames": (4, 40)}, "which has 20"),
        ({"output": "a.mp4"}, "cannot write an explanation"),
    ],
)
def test_what_is_not_there_cannot_be_explained(bundle, filmed, monkeypatch, options, said):
    monkeypatch.chdir(filmed.parent)
    with pytest.raises(UsageError, match=said):
        x3ddeploy.explain("a.mp4", bundle=bundle, **options)


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_each_runtime_explains_its_own_answer(bundle, filmed, monkeypatch, runtime):
    words = {"bundle": bundle, "frames": (4, 16)}
    expected = x3ddeploy.explain(filmed, **words)
    opened = []

    class Watched(GradCam):
        def __init__(self, bundle, *place):
            opened.append(place)
            super().__init__(bundle, *place)

    monkeypatch.setattr("x3ddeploy.prediction.explain.GradCam", Watched)
    found = x3ddeploy.explain(filmed, runtime=runtime, **words)
    assert opened == [("openvino", "cpu") if runtime == "openvino" else ("onnxruntime", "cpu")]
    assert found.view_score == pytest.approx(expected.view_score, abs=1e-5)
    np.testing.assert_allclose(present(found.joints), present(expected.joints), atol=1e-3)
    heat = present(expected.heat).values
    np.testing.assert_allclose(present(found.heat).values, heat, atol=0.02 * heat.max())


def test_a_precision_that_the_bundle_lacks_is_not_explained_in_another(bundle, filmed):
    with pytest.raises(BundleError, match="int8"):
        x3ddeploy.explain(filmed, bundle=bundle, precision="int8")
