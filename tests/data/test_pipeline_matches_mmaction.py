"""From a video and its keypoints to tensors: MMAction2's own transforms, side by side with ours.

Indices, crop and pixels are equal; heatmaps to 1e-5 and normalised pixels to 1e-4, the rounding of float32 sums in
another order. A difference here is accuracy lost between training and deployment.
"""

import copy
import importlib
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video

from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.data.video import iter_frames
from x3ddeploy.errors import DataError, MissingRequirementError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.modalities.crop import crop_about
from x3ddeploy.modalities.sampling import sample_clips

SPEC = replace(
    PRESETS["ntu60"],
    rgb_input=replace(PRESETS["ntu60"].rgb_input, frames=8, height=112, width=112),
    pose_input=replace(PRESETS["ntu60"].pose_input, frames=16, height=28, width=28),
)
FRAMES = 40
INPUTS = clip_inputs(SPEC)


def entry(**values):
    return {**annotation("clip"), **values}


def small_person():
    """All joints within a few pixels: too small to crop about."""
    random = np.random.default_rng(1)
    return entry(keypoint=(random.random((1, FRAMES, 17, 2)) * 6 + 40), keypoint_score=np.ones((1, FRAMES, 17)))


def at_the_border():
    """Persons at the upper left, whose box reaches outside on two sides."""
    item = annotation("clip", seed=3)
    item["keypoint"] = (item["keypoint"].astype(np.float32) * 0.5).astype(np.float16)
    return item


def with_nan():
    item = annotation("clip", seed=4)
    item["keypoint"][0, ::5, 3] = np.nan
    return item


CASES = {
    "two persons": entry,
    "one person": lambda: annotation("clip", persons=1, seed=2),
    "small person": small_person,
    "at the border": at_the_border,
    "not a number": with_nan,
    "nobody": lambda: entry(keypoint=np.zeros((1, FRAMES, 17, 2)), keypoint_score=np.zeros((1, FRAMES, 17))),
    "annotated at another size": lambda: annotation("clip", size=(1080, 1920), seed=5),
    "without scores": lambda: {key: value for key, value in entry().items() if key != "keypoint_score"},
}


@pytest.fixture(scope="module")
def mmaction():
    pytest.importorskip("mmaction")
    import_everything()
    return importlib.import_module("mmaction.registry")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", moving_picture(FRAMES), bf="2")


def by_mmaction(registry, item, video, clips, *, drawn=True):
    """The results of the test pipeline of RGBPoseConv3D's configs, of frames alone or with heatmaps, by step."""
    pytest.importorskip("decord")
    rgb, pose = SPEC.rgb_input, SPEC.pose_input
    steps = [
        {"type": "MMUniformSampleFrames", "num_clips": clips, "test_mode": True,
         "clip_len": {"RGB": rgb.frames, **({"Pose": pose.frames} if drawn else {})}},
        {"type": "MMDecode"},
        {"type": "MMCompact", "hw_ratio": 1.0, "allow_imgpad": True},
        {"type": "Resize", "scale": (rgb.width, rgb.height), "keep_ratio": False},
        {"type": "GeneratePoseTarget", "sigma": pose.sigma, "use_score": True, "with_kp": True, "with_limb": False,
         "scaling": pose.scaling},
        {"type": "FormatShape", "input_format": "NCTHW"},
    ]  # fmt: skip
    results = {**copy.deepcopy(item), "modality": "Pose", "filename": str(video), "start_index": 0}
    after = {}
    for step in steps:
        if step["type"] == "GeneratePoseTarget" and not drawn:
            continue
        results = registry.TRANSFORMS.build(step).transform(results)
        after[step["type"]] = copy.deepcopy(results)
    return after


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_tensors_are_mmaction2s(mmaction, tmp_path, video, case, clips):
    item = CASES[case]()
    after = by_mmaction(mmaction, item, video, clips)
    (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [item], {})).samples.values()
    indices = sample_clips(sample.frames, INPUTS, clips)
    np.testing.assert_array_equal(indices["imgs"].ravel(), after["MMUniformSampleFrames"]["RGB_inds"])
    np.testing.assert_array_equal(indices["heatmap_imgs"].ravel(), after["MMUniformSampleFrames"]["Pose_inds"])

    decoded = after["MMDecode"]
    keypoints = np.nan_to_num(decoded["keypoint"])
    crop = crop_about(keypoints, decoded["img_shape"], (SPEC.rgb_input.height, SPEC.rgb_input.width))
    assert (crop.bottom - crop.top, crop.right - crop.left) == after["MMCompact"]["img_shape"]
    np.testing.assert_array_equal([crop.frame(frame) for frame in decoded["imgs"]], after["Resize"]["imgs"])
    np.testing.assert_allclose(crop.keypoints(keypoints), after["Resize"]["keypoint"], rtol=1e-6)

    tensors = prepare_clips(partial(iter_frames, video), sample, INPUTS, indices)
    formatted = after["FormatShape"]
    mean, std = (
        np.array(value, np.float32).reshape(-1, 1, 1, 1) for value in (SPEC.rgb_input.mean, SPEC.rgb_input.std)
    )
    np.testing.assert_allclose(tensors["imgs"], (formatted["imgs"] - mean) / std, atol=1e-4)
    np.testing.assert_allclose(tensors["heatmap_imgs"], formatted["heatmap_imgs"], atol=1e-5)
    for name, shape in SPEC.input_shapes(clips).items():
        assert tensors[name].shape == shape
        assert tensors[name].dtype == np.float32


ALONE = {
    **{case: CASES[case] for case in ("two persons", "small person", "at the border", "annotated at another size")},
    "annotated at another size, float32": lambda: entry(
        **{"keypoint": (entry()["keypoint"] * np.float32(3.1)).astype(np.float32), "img_shape": (372, 496)}
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_frames_alone_are_cropped_about_all_frames_in_the_annotations_own_type(mmaction, tmp_path, video, case):
    item = ALONE[case]()
    after = by_mmaction(mmaction, item, video, 2, drawn=False)
    (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [item], {})).samples.values()
    inputs = {"imgs": INPUTS["imgs"]}
    tensors = prepare_clips(partial(iter_frames, video), sample, inputs, sample_clips(sample.frames, inputs, 2))
    mean, std = (
        np.array(value, np.float32).reshape(-1, 1, 1, 1) for value in (SPEC.rgb_input.mean, SPEC.rgb_input.std)
    )
    np.testing.assert_allclose(tensors["imgs"], (after["FormatShape"]["imgs"] - mean) / std, atol=1e-4)


def test_the_preprocessor_of_mmaction2_normalises_alike(mmaction, tmp_path, video):
    torch = importlib.import_module("torch")
    item = entry()
    formatted = by_mmaction(mmaction, item, video, 1)["FormatShape"]
    preprocessor = mmaction.MODELS.build(
        {
            "type": "ActionDataPreprocessor",
            "mean": list(SPEC.rgb_input.mean),
            "std": list(SPEC.rgb_input.std),
            "format_shape": "NCTHW",
        }
    )
    expected = preprocessor({"inputs": [torch.from_numpy(formatted["imgs"])], "data_samples": None})["inputs"]
    (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [item], {})).samples.values()
    tensors = prepare_clips(partial(iter_frames, video), sample, INPUTS, sample_clips(FRAMES, INPUTS))
    np.testing.assert_allclose(tensors["imgs"], expected[0].numpy(), atol=1e-4)


@pytest.fixture
def sample(tmp_path):
    def make(**values):
        path = write_annotations(tmp_path / "a.pkl", [entry(**values)], {})
        return next(iter(read_annotations(path).samples.values()))

    return make


def test_other_joints_than_the_networks_are_told(sample):
    other = sample(**annotation("clip", joints=25))
    with pytest.raises(DataError, match="clip has 25 joints, and the network takes 17"):
        prepare_clips(moving_picture().__getitem__, other, INPUTS, sample_clips(FRAMES, INPUTS))


@pytest.mark.parametrize("far", [1e6, np.inf])
def test_keypoints_that_cannot_be_pixels_are_told_before_they_cost_memory(sample, far):
    keypoint = annotation("clip")["keypoint"].astype(np.float32)
    keypoint[:, :, 0] = far
    with pytest.raises(DataError, match="keypoints"):
        prepare_clips(moving_picture().__getitem__, sample(keypoint=keypoint), INPUTS, sample_clips(FRAMES, INPUTS))


def test_without_opencv_it_is_said_what_to_install(sample, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingRequirementError, match=r"x3ddeploy\[video\]"):
        prepare_clips(moving_picture().__getitem__, sample(), INPUTS, sample_clips(FRAMES, INPUTS))
