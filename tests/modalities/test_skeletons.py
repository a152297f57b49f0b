"""Skeletons to the tensors of graph convolutions: MMAction2's own transforms side by side with ours, number by number.

Equal means equal: the same operations in the same floating types.
"""

import copy
import importlib
from typing import Any

import numpy as np
import pytest
from support.contracts import skeleton_input
from support.present import of_type

from x3ddeploy.errors import BundleError, DataError, UsageError
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.modalities import Skeletons, modalities_of
from x3ddeploy.modalities.graphs import preprocessing_graphs
from x3ddeploy.modalities.synthetic import batch_inputs, impulse_inputs, raw_inputs

FRAMES = 40
JOINTS = {"nturgb+d": 25, "openpose": 18, "coco": 17}


@pytest.fixture(scope="module")
def compose():
    pytest.importorskip("mmaction")
    import_everything()
    return importlib.import_module("mmengine.dataset").Compose


def moving(persons, joints, coordinates, frames=FRAMES, dtype=np.float16, seed=0):
    """Persons that sway; some joints are lost."""
    random = np.random.default_rng(seed)
    scale = (640, 480, 1)[:coordinates] if coordinates == 2 else (1, 1, 1)
    path = random.normal(0, 0.02, (persons, frames, joints, coordinates)).cumsum(1)
    keypoint = (random.uniform(0.2, 0.8, (persons, 1, joints, coordinates)) + path) * scale
    lost = random.random(keypoint.shape[:-1]) < 0.1
    keypoint[lost] = 0
    return keypoint.astype(dtype), np.where(lost, 0, random.uniform(0.3, 1, lost.shape)).astype(dtype)


def absent(keypoint, person, frames):
    keypoint = keypoint.copy()
    keypoint[person, frames] = 0
    return keypoint


def in_space(persons=2, **values):
    return {"keypoint": moving(persons, 25, 3, **values)[0]}


def in_pixels(persons=2, joints=17, image=(480, 640), **values):
    keypoint, score = moving(persons, joints, 2, **values)
    return {"keypoint": keypoint, "keypoint_score": score, **({"img_shape": image} if image else {})}


SPACE = {
    "two persons": in_space(),
    "one person": in_space(1, seed=2),
    "float32": in_space(dtype=np.float32),
    "the second is in more frames": {"keypoint": absent(in_space()["keypoint"], 0, slice(5, 20))},
    "empty at the beginning": {"keypoint": absent(in_space(1)["keypoint"], 0, slice(0, 3))},
    "fewer frames than a clip": in_space(frames=7),
    "nearly twice a clip": in_space(frames=23),
    "nobody": {"keypoint": np.zeros((1, FRAMES, 25, 3), np.float32)},
}
PIXELS = {
    "two persons": in_pixels(),
    "five persons": in_pixels(5, seed=3),
    "one person": in_pixels(1),
    "float32": in_pixels(dtype=np.float32, image=(1080, 1920)),
    "no size": in_pixels(image=None),
    "fewer frames than a clip": in_pixels(frames=7),
    "one frame": in_pixels(frames=1),
}


def pipeline(normalise, dataset, feats, *sampling, **formatted):
    return [
        {"type": normalise},
        {"type": "GenSkeFeat", "dataset": dataset, "feats": feats},
        *(sampling or ({"type": "UniformSampleFrames", "clip_len": 16, "num_clips": 3, "test_mode": True},)),
        {"type": "PoseDecode"},
        {"type": "FormatGCNInput", "num_person": 2, **formatted},
    ]


def theirs(compose, steps, entry):
    results = {**copy.deepcopy(entry), "total_frames": entry["keypoint"].shape[1]}
    return compose([{**step, "_scope_": "mmaction"} for step in steps])(results)["keypoint"]


def ours(steps, entry, expected):
    sampled: dict[str, Any] = next((step for step in steps if step["type"] == "UniformSampleFrames"), {})
    kind = of_type(Skeletons, modalities_of({"x": skeleton_input(steps, expected.shape[1:])})["x"])
    size, clips = entry.get("img_shape"), sampled.get("num_clips", 1)
    return kind.prepare(entry["keypoint"], entry.get("keypoint_score"), size, clips)


@pytest.mark.parametrize("feats", [["j"], ["b"], ["jm"], ["bm"], ["j", "b", "jm", "bm"], ["bm", "j"]])
def test_features_are_mmactions(compose, feats):
    cases = [(pipeline("PreNormalize3D", "nturgb+d", feats), entry) for entry in SPACE.values()]
    cases += [(pipeline("PreNormalize2D", "coco", feats), entry) for entry in PIXELS.values()]
    cases += [(pipeline("PreNormalize2D", "openpose", feats), in_pixels(joints=18))]
    for steps, entry in cases:
        expected = theirs(compose, steps, entry)
        assert expected.dtype == np.float32
        np.testing.assert_array_equal(ours(steps, entry, expected), expected)


SAMPLE = {"type": "UniformSampleFrames", "clip_len": 16, "test_mode": True}
BONES = {"type": "JointToBone", "dataset": "coco", "target": "b"}
OTHERS = {
    "another seed": pipeline("PreNormalize2D", "coco", ["j"], {**SAMPLE, "seed": 7}),
    "the only person again": pipeline("PreNormalize2D", "coco", ["j"], mode="loop"),
    "padded by repetition": pipeline("PreNormalize2D", "coco", ["jm"], {"type": "PadTo", "length": 50}),
    "padded by zeros": pipeline("PreNormalize2D", "coco", ["j"], {"type": "PadTo", "length": 50, "mode": "zero"}),
    "scores joined at the end": [{"type": "PreNormalize2D"}, SAMPLE, *pipeline("", "coco", ["j"])[3:]],
    "another picture": [{"type": "PreNormalize2D", "img_shape": (720, 1280)}, *pipeline("", "coco", ["j"])[1:]],
    "features step by step": [
        BONES,
        {"type": "ToMotion", "dataset": "coco", "source": "b", "target": "bm"},
        {"type": "MergeSkeFeat", "feat_list": ["b", "bm"]},
        SAMPLE,
        {"type": "PoseDecode"},
        {"type": "FormatGCNInput", "num_person": 3},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("entry", [in_pixels(1), in_pixels(image=None)], ids=["one person", "no size"])
def test_other_steps_and_parameters_are_mmactions(compose, name, entry):
    if name == "features step by step":
        entry = {key: entry[key] for key in ("keypoint",)}
    expected = theirs(compose, OTHERS[name], entry)
    np.testing.assert_array_equal(ours(OTHERS[name], entry, expected), expected)


@pytest.mark.parametrize(
    "turning",
    [{"align_spine": False}, {"align_shoulder": False}, {"zaxis": [3, 2], "xaxis": [5, 9]}],
)
def test_turning_is_mmactions(compose, turning):
    steps = pipeline("PreNormalize3D", "nturgb+d", ["j"])
    steps[0] = {**steps[0], **turning}
    expected = theirs(compose, steps, in_space())
    np.testing.assert_array_equal(ours(steps, in_space(), expected), expected)


GOOD = pipeline("PreNormalize2D", "coco", ["j"], SAMPLE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: {"type": "PoseCompact"}}, "the step PoseCompact is not understood"),
        ({0: {"type": "PreNormalize2D", "threshold": 1}}, "PreNormalize2D threshold is not understood"),
        ({0: {"type": "PreNormalize2D", "img_shape": 7}}, "PreNormalize2D img_shape = 7"),
        ({0: {"type": "PreNormalize3D", "zaxis": [0]}}, "PreNormalize3D zaxis"),
        ({1: {"type": "GenSkeFeat", "dataset": "h36m"}}, "GenSkeFeat dataset = 'h36m'"),
        ({1: {"type": "GenSkeFeat", "dataset": "coco", "feats": ["k"]}}, "GenSkeFeat feats"),
        ({2: {**SAMPLE, "test_mode": False}}, "UniformSampleFrames test_mode = False"),
        ({2: {"type": "UniformSampleFrames"}}, "UniformSampleFrames clip_len = 0"),
        ({2: {**SAMPLE, "clip_len": 17}}, "persons in 17 frames"),
        ({4: {"type": "FormatGCNInput", "num_person": 3}}, "of 3 persons"),
        ({4: {"type": "FormatGCNInput", "mode": "mirror"}}, "FormatGCNInput mode = 'mirror'"),
        ({1: {"type": "GenSkeFeat", "dataset": "coco", "feats": ["j", "b"]}}, "make 2 features"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change, said):
    steps = [change.get(index, step) for index, step in enumerate(GOOD)]
    with pytest.raises(BundleError, match=f"'x' cannot be prepared: .*{said}"):
        modalities_of({"x": skeleton_input(steps, (2, 16, 17, 3))})


def kind_of(steps, shape):
    return modalities_of({"x": skeleton_input(steps, shape)})["x"]


def test_skeletons_that_the_network_was_not_trained_on_are_refused():
    pixels = kind_of(GOOD, (2, 16, 17, 3))
    space = kind_of(pipeline("PreNormalize3D", "nturgb+d", ["j"], SAMPLE), (2, 16, 25, 3))
    keypoint, score = moving(1, 17, 2)
    with pytest.raises(DataError, match="there are 17 joints, and the network takes 25"):
        space.prepare(keypoint, score, (480, 640))
    with pytest.raises(DataError, match="keypoints have 2 coordinates, and the network takes 3"):
        space.prepare(moving(1, 25, 2)[0], None, None)
    with pytest.raises(DataError, match="there are 3 skeletons"):
        space.prepare(moving(3, 25, 3)[0], None, None)
    with pytest.raises(DataError, match="there are 18 joints"):
        pixels.prepare(*moving(1, 18, 2), (480, 640))
    with pytest.raises(DataError, match="40 frames, and the network takes at most 16"):
        padded = kind_of(pipeline("PreNormalize2D", "coco", ["j"], {"type": "PadTo", "length": 16}), (2, 16, 17, 3))
        padded.prepare(keypoint, score, (480, 640))


def test_joints_that_are_no_number_are_not_found():
    kind = kind_of(GOOD, (2, 16, 17, 3))
    keypoint, score = moving(1, 17, 2)
    lost, scored = keypoint.copy(), score.copy()
    keypoint[0, ::3, 4], lost[0, ::3, 4], scored[0, ::3, 4] = np.nan, 0, 0
    made = kind.prepare(keypoint, score, (480, 640))
    np.testing.assert_array_equal(made, kind.prepare(lost, scored, (480, 640)))
    assert np.isfinite(made).all()


def test_skeletons_have_no_preprocessing_graph_and_that_is_said():
    with pytest.raises(UsageError, match="no preprocessing graph for 'keypoint'"):
        preprocessing_graphs({"keypoint": skeleton_input(GOOD, (2, 16, 17, 3))}, {}, None, lambda name: {})


@pytest.mark.parametrize(
    ("steps", "shape", "raw"),
    [
        (GOOD, (2, 16, 17, 3), {"keypoints": (3, 2, 16, 17, 2), "keypoint_scores": (3, 2, 16, 17, 1)}),
        (
            pipeline("PreNormalize3D", "nturgb+d", ["j", "bm"], SAMPLE),
            (2, 16, 25, 6),
            {"keypoints": (3, 2, 16, 25, 3)},
        ),
    ],
    ids=["pixels", "space"],
)
def test_figures_move_and_impulses_light_one_value(steps, shape, raw):
    inputs = {"keypoint": skeleton_input(steps, shape)}
    made = raw_inputs(inputs, 3, seed=1)
    assert {name: value.shape for name, value in made.items()} == {**raw, "keypoint": (3, *shape)}
    assert modalities_of(inputs)["keypoint"].raw_shapes(3, 2) == raw
    clip = batch_inputs(inputs, 1, seed=1)["keypoint"][0]
    assert np.isfinite(clip).all()
    assert np.abs(np.diff(clip[..., :2], axis=1)).max() > 0.01
    assert not np.array_equal(made["keypoint"][0], made["keypoint"][1])
    for frame in (0, -1):
        (place,) = np.argwhere(impulse_inputs(inputs, 3, frame)["keypoint"])
        assert tuple(place[:3]) == (1, 1, frame % 16)
