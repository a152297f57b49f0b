"""A network of skeletons reads MMAction2's pickles, 2-D and 3-D, and our npz; no video is opened."""

import importlib

import numpy as np
import pytest
from support.action_data import annotation, write_annotations
from support.clip_files import write_clip
from support.contracts import CLASSES, one_input, skeleton_input
from support.present import present

from x3ddeploy.data import video as video_module
from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import DataError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.prediction.annotate import annotate_video
from x3ddeploy.prediction.inputs import KeypointFiles, find_videos
from x3ddeploy.prediction.predict import Windowing, open_video, predict_windows
from x3ddeploy.runtimes import base

LENGTH, CLIPS = 8, 2
LAST = [{"type": "PoseDecode"}, {"type": "FormatGCNInput", "num_person": 2}]
SAMPLE = {"type": "UniformSampleFrames", "clip_len": LENGTH, "num_clips": CLIPS, "test_mode": True}
PIXELS = [{"type": "PreNormalize2D"}, {"type": "GenSkeFeat", "dataset": "coco", "feats": ["jm"]}, SAMPLE, *LAST]
SPACE = [{"type": "PreNormalize3D"}, {"type": "GenSkeFeat", "feats": ["b"]}, SAMPLE, *LAST]


def contract_of(steps, joints):
    return one_input("keypoint", skeleton_input(steps, (2, LENGTH, joints, 3)))


IN_PIXELS, IN_SPACE = contract_of(PIXELS, 17), contract_of(SPACE, 25)


def in_space(name, label=0, seed=0, persons=2, frames=30):
    """As NTU's 3-D files are: no size, no scores; the second person comes late."""
    random = np.random.default_rng(seed)
    keypoint = random.uniform(-1, 1, (persons, 1, 25, 3)) + random.normal(0, 0.02, (persons, frames, 25, 3)).cumsum(1)
    keypoint[1:, :10] = 0
    return {"frame_dir": name, "label": label, "total_frames": frames, "keypoint": keypoint.astype(np.float16)}


def entries(make):
    return [make(f"c{index}", index % CLASSES, seed=index) for index in range(4)]


@pytest.fixture
def no_video(monkeypatch):
    monkeypatch.setattr(video_module, "_opened", lambda path: pytest.fail("a video was opened"))


@pytest.mark.parametrize(
    ("contract", "steps", "make"), [(IN_PIXELS, PIXELS, annotation), (IN_SPACE, SPACE, in_space)], ids=["2-D", "3-D"]
)
def test_a_pickle_gives_what_mmactions_dataset_gives(tmp_path, no_video, contract, steps, make):
    pytest.importorskip("mmaction")
    import_everything()
    path = write_annotations(tmp_path / "a.pkl", entries(make), {"train": ["c1"], "val": ["c0", "c2", "c3"]})
    dataset = importlib.import_module("mmaction.datasets").PoseDataset(
        str(path), [{**step, "_scope_": "mmaction"} for step in steps], split="val", test_mode=True
    )
    source = open_source(path, contract, split="val", clips=CLIPS)
    assert len(source) == len(dataset) == 3
    for index in range(3):
        clip, expected = source.load(index), dataset[index]
        np.testing.assert_array_equal(clip.inputs["keypoint"], expected["keypoint"])
        assert (clip.name, clip.label) == (expected["frame_dir"], expected["label"])
        assert present(clip.people).seen


def test_a_pickle_of_the_other_kind_is_refused(tmp_path):
    path = write_annotations(tmp_path / "a.pkl", [annotation("c", joints=25)], {"val": ["c"]})
    with pytest.raises(DataError, match="c: keypoints have 2 coordinates, and the network takes 3"):
        open_source(path, IN_SPACE).load(0)


def test_raw_npz_hold_what_skeletons_are_made_of(tmp_path):
    (tmp_path / "space").mkdir()
    (tmp_path / "pixels").mkdir()
    space, pixels = in_space("a"), annotation("a")
    np.savez(tmp_path / "space" / "a.npz", keypoints=space["keypoint"], label=2)
    posed = {"keypoints": pixels["keypoint"], "keypoint_scores": pixels["keypoint_score"]}
    np.savez(tmp_path / "pixels" / "a.npz", **posed, image_size=np.array(pixels["img_shape"]))
    for folder, contract, entry in (("space", IN_SPACE, space), ("pixels", IN_PIXELS, pixels)):
        pickled = write_annotations(tmp_path / f"{folder}.pkl", [entry], {"val": ["a"]})
        made = open_source(tmp_path / folder, contract, clips=CLIPS).load(0)
        expected = open_source(pickled, contract, clips=CLIPS).load(0)
        np.testing.assert_array_equal(made.inputs["keypoint"], expected.inputs["keypoint"])
    with pytest.raises(DataError, match="holds keypoint_scores, keypoints") as caught:
        np.savez(tmp_path / "pixels" / "a.npz", **posed)
        open_source(tmp_path / "pixels", IN_PIXELS).load(0)
    assert caught.value.hint == "raw clips hold keypoints, keypoint_scores, image_size"


class Sums(base.Session):
    """The logits are sums over the first coordinates."""

    runtime, version = "fake", "1"

    def run(self, feeds):
        return {"logits": feeds["keypoint"].sum((1, 2, 3))}


def predicted(path, contract, **windowing):
    video = open_video(path, KeypointFiles(None, 1), contract.inputs)
    scorer = Scorer(Sums(), contract, 1)
    return video, list(predict_windows(video, contract, ["a", "b", "c"], scorer, Windowing(**windowing), 1))


def test_skeletons_alone_are_predicted_without_a_video(tmp_path, no_video):
    space, pixels = in_space("a", frames=20), annotation("b", frames=20)
    np.savez(tmp_path / "a.npz", keypoints=space["keypoint"])
    for name in ("b", "nosize"):
        size = {"image_size": np.array(pixels["img_shape"])} if name == "b" else {}
        write_clip(
            tmp_path / f"{name}.npz",
            keypoints=pixels["keypoint"],
            keypoint_scores=pixels["keypoint_score"],
            **size,
        )
    assert len(find_videos([tmp_path], IN_SPACE.inputs)) == 3
    video, predictions = predicted(tmp_path / "a.npz", IN_SPACE, length=12, stride=8)
    assert [(entry.window.start, entry.window.end) for entry in predictions] == [(0, 12), (8, 20)]
    # Each window is a video of its own.
    write_annotations(tmp_path / "w.pkl", [{**space, "total_frames": 12, "keypoint": space["keypoint"][:, 8:20]}],
                      {"val": ["a"]})  # fmt: skip
    cut = open_source(tmp_path / "w.pkl", IN_SPACE).load(0).inputs["keypoint"]
    scores = Scorer(Sums(), IN_SPACE, 1)([{"keypoint": cut}]).by_logits["logits"][0]
    np.testing.assert_allclose(predictions[1].deployed, scores)
    with pytest.raises(DataError, match="keypoints in space"):
        annotate_video(video, predictions, tmp_path / "out.mp4", lambda done, total: None)
    (only,) = predicted(tmp_path / "b.npz", IN_PIXELS)[1]
    assert only.seen
    with pytest.raises(DataError, match="does not say how large"):
        predicted(tmp_path / "nosize.npz", IN_PIXELS)


def test_joints_under_a_score_are_not_found(tmp_path):
    entry = annotation("a")
    lost = {**entry, "keypoint": entry["keypoint"].copy(), "keypoint_score": entry["keypoint_score"].copy()}
    under = entry["keypoint_score"] < 0.5
    lost["keypoint"][under], lost["keypoint_score"][under] = 0, 0
    for name, item in (("all", entry), ("lost", lost)):
        write_annotations(tmp_path / f"{name}.pkl", [item], {"val": ["a"]})
    made = open_source(tmp_path / "all.pkl", IN_PIXELS, min_keypoint_score=0.5).load(0).inputs["keypoint"]
    np.testing.assert_array_equal(made, open_source(tmp_path / "lost.pkl", IN_PIXELS).load(0).inputs["keypoint"])
    assert not np.array_equal(made, open_source(tmp_path / "all.pkl", IN_PIXELS).load(0).inputs["keypoint"])
