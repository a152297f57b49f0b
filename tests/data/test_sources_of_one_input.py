"""A network of frames alone needs no keypoints, and one of heatmaps alone decodes no video."""

import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video
from support.contracts import JOINTS, LENGTH, SIZE, frames_contract, heatmaps_contract
from support.present import of_type, present

from x3ddeploy.data import video as video_module
from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.prepare import prepare_clips, seen_of_frames
from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.modalities import Frames, modalities_of, sample_clips
from x3ddeploy.modalities.crop import Crop

LENGTHS = 20
FRAMES, HEATMAPS, COMPACT = frames_contract(), heatmaps_contract(), frames_contract(compact=True)


@pytest.fixture(scope="module")
def picture():
    return moving_picture(LENGTHS, 32, 48)


@pytest.fixture
def videos(tmp_path, picture):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "clip.mp4", picture)
    return tmp_path


def entry():
    return annotation("clip", 1, LENGTHS, (32, 48))


def test_frames_alone_see_the_whole_picture(picture):
    indices = sample_clips(LENGTHS, FRAMES.inputs, 2)
    made = prepare_clips(picture.__getitem__, None, FRAMES.inputs, indices)
    whole = Crop(0, 0, 48, 32, SIZE, SIZE)
    normalise = of_type(Frames, modalities_of(FRAMES.inputs)["imgs"]).normalise
    expected = [normalise(np.stack([whole.frame(picture[index]) for index in clip])) for clip in indices["imgs"]]
    assert list(made) == ["imgs"]
    np.testing.assert_array_equal(made["imgs"], np.stack(expected))


def test_frames_that_are_cropped_about_persons_need_them(tmp_path, picture):
    indices = sample_clips(LENGTHS, COMPACT.inputs)
    with pytest.raises(DataError, match="no keypoints"):
        prepare_clips(picture.__getitem__, None, COMPACT.inputs, indices)
    (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [entry()], {})).samples.values()
    made = prepare_clips(picture.__getitem__, sample, COMPACT.inputs, indices)["imgs"]
    assert np.abs(made - prepare_clips(picture.__getitem__, None, FRAMES.inputs, indices)["imgs"]).max() > 0.1


def test_joints_of_frames_that_are_not_drawn_widen_a_crop_that_nothing_is_drawn_in(tmp_path, picture):
    indices = sample_clips(LENGTHS, COMPACT.inputs)
    never_seen = max(set(range(LENGTHS)) - set(indices["imgs"].ravel()))
    still, stirred = entry(), entry()
    still["keypoint"][:] = still["keypoint"][:, :1]
    stirred["keypoint"][:] = still["keypoint"]
    stirred["keypoint"][:, never_seen, 0] = (40, 30)
    crops = []
    for item in (still, stirred):
        (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [item], {})).samples.values()
        for within in (slice(None), slice(0, never_seen)):
            seen = seen_of_frames(sample, COMPACT.inputs, indices, (32, 48), within=within)
            crops.append(seen["imgs"])
    assert crops[0] == crops[1] == crops[3]
    assert crops[2] != crops[0]


def test_an_input_that_is_not_cropped_sees_the_whole_picture_beside_one_that_is(tmp_path, picture):
    (sample,) = read_annotations(write_annotations(tmp_path / "a.pkl", [entry()], {})).samples.values()
    inputs = {**FRAMES.inputs, **HEATMAPS.inputs}
    indices = sample_clips(LENGTHS, inputs)
    made = prepare_clips(picture.__getitem__, sample, inputs, indices)
    for contract, annotation_ in ((FRAMES, None), (HEATMAPS, sample)):
        for name, alone in prepare_clips(picture.__getitem__, annotation_, contract.inputs, indices).items():
            np.testing.assert_array_equal(made[name], alone)


def without_keypoints():
    return {"frame_dir": "clip", "label": 1}


@pytest.mark.parametrize("item", [entry, without_keypoints])
def test_annotations_need_no_keypoints_for_frames_alone(videos, item):
    write_annotations(videos / "annotations.pkl", [item()], {"val": ["clip"]})
    clip = open_source(videos, FRAMES, clips=2).load(0)
    assert (clip.label, clip.people, clip.clips) == (1, None, 2)
    assert clip.inputs["imgs"].shape == (2, 3, LENGTH, SIZE, SIZE)
    if item is without_keypoints:
        with pytest.raises(DataError, match="1 of 1 annotations") as caught:
            open_source(videos, HEATMAPS)
        assert caught.value.details == ("clip: without img_shape, total_frames, keypoint",)


def test_a_list_of_videos_is_a_data_set(videos):
    listed = videos / "val.txt"
    listed.write_text("videos/clip.mp4 2\n")
    source = open_source(listed, FRAMES)
    assert (source.names(), source.labels()) == (["videos/clip.mp4"], [2])
    listed.write_text("clip.mp4 2\n")
    again = open_source(listed, FRAMES, videos=videos / "videos")
    np.testing.assert_array_equal(again.load(0).inputs["imgs"], source.load(0).inputs["imgs"])
    with pytest.raises(UsageError, match="needs keypoints"):
        open_source(listed, HEATMAPS)
    with pytest.raises(UsageError, match="has no split"):
        open_source(listed, FRAMES, split="val")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clip.mp4\n", "line 1: no file and class"),
        ("clip.mp4 one\n", "line 1: no file and class"),
        ("a.mp4 0\n../a.mp4 1\n", "line 2: frame_dir leads out"),
        ("a.mp4 0\na.mp4 1\n", "line 2: a.mp4 occurs twice"),
        ("a.mp4 99999999999999999999\n", "line 1: its class is no number"),
    ],
)
def test_lines_that_are_no_videos_are_listed(tmp_path, text, said):
    (tmp_path / "val.txt").write_text(text)
    with pytest.raises(DataError, match="lines cannot be used") as caught:
        open_source(tmp_path / "val.txt", FRAMES)
    assert caught.value.details[0].startswith(said)


def test_heatmaps_alone_open_no_video(tmp_path, monkeypatch):
    write_annotations(tmp_path / "annotations.pkl", [entry()], {"val": ["clip"]})
    monkeypatch.setattr(video_module, "_opened", lambda path: pytest.fail("a video was opened"))
    source = open_source(tmp_path, HEATMAPS, clips=2)
    clip = source.load(0)
    assert clip.inputs["heatmap_imgs"].shape == (2, JOINTS, LENGTH, SIZE // 2, SIZE // 2)
    assert clip.inputs["heatmap_imgs"].max() > 0.2
    assert present(clip.people).seen
    assert "videos_sha256" not in source.description


def test_raw_clips_hold_what_the_inputs_are_made_of(tmp_path, picture):
    (tmp_path / "frames").mkdir()
    (tmp_path / "heatmaps").mkdir()
    item = entry()
    keypoints, scores = item["keypoint"].astype(np.float32), item["keypoint_score"].astype(np.float32)
    np.savez(tmp_path / "frames" / "a.npz", frames=picture, label=2)
    posed = {"keypoints": keypoints, "keypoint_scores": scores}
    np.savez(tmp_path / "heatmaps" / "a.npz", **posed, image_size=np.array([32, 48]))
    frames = open_source(tmp_path / "frames", FRAMES).load(0)
    assert (frames.label, frames.people, frames.inputs["imgs"].shape) == (2, None, (1, 3, LENGTH, SIZE, SIZE))
    heatmaps = open_source(tmp_path / "heatmaps", HEATMAPS).load(0).inputs["heatmap_imgs"]
    write_annotations(tmp_path / "annotations.pkl", [item], {"val": ["clip"]})
    np.testing.assert_array_equal(heatmaps, open_source(tmp_path, HEATMAPS).load(0).inputs["heatmap_imgs"])
    with pytest.raises(DataError, match="holds frames") as caught:
        open_source(tmp_path / "frames", HEATMAPS).load(0)
    assert caught.value.hint == "raw clips hold keypoints, keypoint_scores, image_size"


def test_ready_clips_are_exactly_the_inputs(tmp_path):
    np.savez(tmp_path / "a.npz", imgs=np.zeros((3, LENGTH, SIZE, SIZE), np.float32))
    assert open_source(tmp_path, FRAMES).load(0).people is None
    with pytest.raises(DataError, match="holds imgs") as caught:
        open_source(tmp_path, HEATMAPS).load(0)
    assert caught.value.hint == "it must hold heatmap_imgs"
