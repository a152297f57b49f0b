"""From a bare video to keypoints and to actions, by a pose model."""

import json
import pickle
import shlex

import numpy as np
import pytest
from support.documents import of_its_type
from support.pose_graphs import constant_model, heatmap_model, yolo

from x3ddeploy.data.annotations import LabelledVideo, read_annotations
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.data.video import read_frames
from x3ddeploy.pose.annotations import write_annotations
from x3ddeploy.pose.estimate import Poses
from x3ddeploy.prediction.keypoints import read_npz_keypoints

FRAMES, SIZE = 10, (96, 128)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A top-down model of 17 joints, and a detector that finds a person on either side of a picture of 128 x 96."""
    folder = tmp_path_factory.mktemp("models")
    boxes = [(4, 8, 28, 40), (36, 8, 60, 40)]  # in pixels of 64 x 48
    constant_model(folder / "detector.onnx", (48, 64), yolo(boxes, [0.9, 0.8]))
    return heatmap_model(folder / "pose.onnx"), folder / "detector.onnx"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Two persons of three spots each, which drift to the right by a pixel a frame."""
    frames = np.full((FRAMES, *SIZE, 3), 90, np.uint8)
    for time in range(FRAMES):
        for left in (20, 84):
            for joint in range(3):
                x, y = left + 8 * joint + time, 30 + 16 * joint
                frames[time, y - 3 : y + 3, x - 3 : x + 3] = np.eye(3, dtype=np.uint8)[joint] * 255
    path = tmp_path_factory.mktemp("videos") / "two.mp4"
    write_video(path, frames)
    return path


def test_keypoints_of_each_person_are_kept_and_read_again(run, models, video, tmp_path):
    pose, detector = models
    process = run("pose", video, "--pose", pose, "--detector", detector, "-o", tmp_path / "two.npz")
    assert process.returncode == 0, process.stderr
    assert f"2 persons in {FRAMES} of {FRAMES} frames" in process.stdout
    command = shlex.split(process.stdout.splitlines()[-1].removeprefix("next: "))
    assert command == ["x3ddeploy", "predict", str(video), "--keypoints", str(tmp_path / "two.npz")]
    found = read_npz_keypoints(tmp_path / "two.npz")
    assert found.positions.shape == (2, FRAMES, 17, 2)
    assert found.image_size == SIZE
    for person, left in enumerate((20, 84)):
        for joint in range(3):
            expected = [(left + 8 * joint + time - 0.5, 30 + 16 * joint - 0.5) for time in range(FRAMES)]
            np.testing.assert_allclose(found.positions[person, :, joint], expected, atol=3)


def test_prediction_from_the_bare_video_is_that_from_the_kept_keypoints(run, models, video, bundle, tmp_path):
    pose, detector = models
    named = ("--pose", pose, "--detector", detector)
    of_its_type("pose", run("pose", video, *named, "-o", tmp_path, "--json").stdout)
    at_once = run("predict", video, *named, "--bundle", bundle, "--json")
    assert at_once.returncode == 0, at_once.stderr
    kept = run("predict", video, "--keypoints", tmp_path / "two.npz", "--bundle", bundle, "--json")
    assert json.loads(at_once.stdout)["fused"] == json.loads(kept.stdout)["fused"]
    assert json.loads(at_once.stdout)["frames_with_persons"] == FRAMES


def test_joints_that_the_network_does_not_take_and_options_that_fight_are_refused(run, models, video, bundle, tmp_path):
    other = heatmap_model(tmp_path / "other.onnx", joints=21)
    for options, told in (
        (("--pose", other), "finds 21 joints, and the network takes 17"),
        (("--pose", models[0], "--keypoints", tmp_path), "both give keypoints"),
        (("--detector", models[1]), "give --pose, too"),
    ):
        process = run("predict", video, *options, "--bundle", bundle)
        assert process.returncode == 2
        assert told in process.stderr
    halpe = heatmap_model(tmp_path / "halpe.onnx", joints=26)
    assert run("predict", video, "--pose", halpe, "--bundle", bundle).returncode == 0


def test_several_videos_go_into_a_folder(run, models, video, tmp_path):
    process = run("pose", video, video, "--pose", models[0], "-o", tmp_path / "one.npz")
    assert process.returncode == 2
    assert "name a folder" in process.stderr
    assert run("pose", video, "--pose", models[0], "-o", tmp_path / "folder").returncode == 0
    assert (tmp_path / "folder" / "two.npz").is_file()
    (tmp_path / "set.npz").mkdir()
    assert run("pose", video, "--pose", models[0], "-o", tmp_path / "set.npz").returncode == 0
    assert (tmp_path / "set.npz" / "two.npz").is_file()


def test_each_person_has_an_answer_that_is_as_if_alone(run, models, video, bundle, tmp_path):
    pose, detector = models
    assert run("pose", video, "--pose", pose, "--detector", detector, "-o", tmp_path / "two.npz").returncode == 0
    kept = dict(np.load(tmp_path / "two.npz"))
    kept["keypoint_scores"][1, 5:] = 0  # the second person leaves
    kept["keypoints"][1, 5:] = 0
    np.savez(tmp_path / "two.npz", **kept)
    common = ("--keypoints", tmp_path / "two.npz", "--bundle", bundle, "--window", 5, "--stride", 5)
    process = run("predict", video, *common, "--each-person", "--json")
    assert process.returncode == 0, process.stderr
    answers = [json.loads(line) for line in process.stdout.splitlines()]
    assert [(answer["person"], answer["start_frame"]) for answer in answers] == [(0, 0), (0, 5), (1, 0)]
    alone = {name: value if name == "image_size" else value[:1] for name, value in kept.items()}
    np.savez(tmp_path / "one.npz", **alone)
    process = run("predict", video, "--keypoints", tmp_path / "one.npz", *common[2:], "--json")
    first = [json.loads(line) for line in process.stdout.splitlines()]
    assert [answer["fused"] for answer in first] == [answer["fused"] for answer in answers[:2]]
    assert "person 1" in run("predict", video, *common, "--each-person").stdout


def test_names_stand_by_peoples_heads(run, models, video, bundle, tmp_path):
    pose, detector = models
    named = ("--pose", pose, "--detector", detector, "--bundle", bundle, "--each-person")
    process = run("predict", video, *named, "--annotate", tmp_path / "drawn.mp4")
    assert process.returncode == 0, process.stderr
    (frame,) = read_frames(tmp_path / "drawn.mp4", [0])
    scale = frame.shape[0] // SIZE[0]
    above = frame[: 26 * scale].astype(int)  # above both heads nothing was but grey
    left, right = above[:, : 64 * scale], above[:, 64 * scale :]
    for half, colour in ((left, (230, 159, 0)), (right, (86, 180, 233))):
        assert (np.abs(half - colour).max(-1) < 60).sum() > 20


def test_annotations_are_written_again_with_the_keypoints_that_are_found(run, models, video, tmp_path):
    pose, detector = models
    empty = np.zeros((1, FRAMES, 17, 2), np.float32)
    entries = [
        {"frame_dir": name, "label": label, "img_shape": SIZE, "total_frames": FRAMES, "keypoint": empty}
        for label, name in enumerate(("other", "clips/two", "three"), 3)
    ]
    names = [entry["frame_dir"] for entry in entries]
    (tmp_path / "set.pkl").write_bytes(
        pickle.dumps({"split": {"val": names, "train": names[:1]}, "annotations": entries}, protocol=4)
    )
    again = tmp_path / "two_rgb.avi"  # NTU's way of calling it
    again.write_bytes(video.read_bytes())
    given = ("--pose", pose, "--detector", detector, "--annotations", tmp_path / "set.pkl")
    process = run("pose", again, *given, "-o", tmp_path / "found.pkl")
    assert process.returncode == 0, process.stderr
    found = read_annotations(tmp_path / "found.pkl")
    assert found.splits == {"val": ("clips/two",)}
    (sample,) = found.split("val")
    assert (sample.label, sample.image_size) == (4, SIZE)
    assert sample.keypoints.shape == (2, FRAMES, 17, 2)
    assert (sample.scores > 0).any()
    for options, told in (
        ((again, *given, "-o", tmp_path / "found.npz"), "is no pickle"),
        ((again, *given[:4], "-o", tmp_path / "found.pkl"), "which have classes"),
        ((tmp_path / "unknown.mp4", *given, "-o", tmp_path / "found.pkl"), "have no annotation"),
        ((again, video, *given, "-o", tmp_path / "found.pkl"), "the same name"),
    ):
        process = run("pose", *options)
        assert process.returncode == 2
        assert told in process.stderr


def test_a_video_with_nobody_stays_in_the_annotations(tmp_path):
    nobody = Poses(np.zeros((0, 4, 17, 2), np.float32), np.zeros((0, 4, 17), np.float32), SIZE)
    write_annotations(tmp_path / "found.pkl", {LabelledVideo("walk", 2): nobody}, {"val": ["walk"]})
    (sample,) = read_annotations(tmp_path / "found.pkl").split("val")
    assert sample.keypoints.shape == (1, 4, 17, 2)
    assert not sample.scores.any()
