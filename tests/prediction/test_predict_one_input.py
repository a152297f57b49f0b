"""Predictions of a network of frames alone need no keypoints, and those of one of heatmaps alone no video."""

import json

import numpy as np
import pytest
from support.contracts import frames_contract, heatmaps_contract
from support.made_videos import (
    FRAMES,
    HEIGHT,
    WIDTH,
    coco,
    entry,
    make_keypoints,
    make_video,
    write_coco,
    write_npz,
    write_pickle,
)

from x3ddeploy.data import video as video_module
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.prediction.annotate import annotate_video
from x3ddeploy.prediction.inputs import KeypointFiles, find_videos
from x3ddeploy.prediction.predict import Windowing, open_video, predict_windows
from x3ddeploy.runtimes import base

NAMES = ["a", "b", "c"]


class Sums(base.Session):
    """The logits are sums over the first three channels."""

    runtime, version = "fake", "1"

    def run(self, feeds):
        (clips,) = feeds.values()
        return {"logits": clips[:, :3].sum((2, 3, 4))}


def predicted(path, contract, files=None, **windowing):
    video = open_video(path, KeypointFiles(files, 1), contract.inputs)
    predictions = list(predict_windows(video, contract, NAMES, Scorer(Sums(), contract, 1), Windowing(**windowing), 1))
    return video, predictions


def test_frames_alone_need_no_keypoints(tmp_path):
    contract = frames_contract()
    make_video(tmp_path / "clip.mp4")
    assert find_videos([tmp_path], contract.inputs) == [tmp_path / "clip.mp4"]
    video, predictions = predicted(tmp_path / "clip.mp4", contract, length=12, stride=8)
    assert [(entry.window.start, entry.window.end) for entry in predictions] == [(0, 12), (8, 20)]
    record = predictions[0].line(2).to_json()
    assert record["frames_with_persons"] is None
    assert record["label"] == record["classes"][0]["label"] == NAMES[int(predictions[0].deployed.argmax())]
    annotate_video(video, predictions, tmp_path / "drawn.mp4", lambda done, total: None)
    assert video_module.count_frames(tmp_path / "drawn.mp4") == FRAMES


def test_a_short_video_is_noted_without_keypoints_too(tmp_path):
    make_video(tmp_path / "clip.mp4", frames=3)
    _, (prediction,) = predicted(tmp_path / "clip.mp4", frames_contract())
    assert prediction.notes == ("3 frames are repeated to the 4 that the network takes",)


@pytest.mark.parametrize("kind", ["json", "pkl"])
def test_heatmaps_alone_need_no_video(tmp_path, kind, monkeypatch):
    contract = heatmaps_contract()
    file = tmp_path / f"clip.{kind}"
    if kind == "json":
        write_coco(file, coco(*make_keypoints()))
    else:
        write_pickle(file, entry("clip", *make_keypoints()))
    monkeypatch.setattr(video_module, "_opened", lambda path: pytest.fail("a video was opened"))
    assert find_videos([tmp_path], contract.inputs) == [file]
    assert find_videos([tmp_path / "clip.mp4"], contract.inputs) == [tmp_path / "clip.mp4"]
    for path in (file, tmp_path / "clip.mp4"):
        video, (prediction,) = predicted(path, contract)
        assert (video.info.frames, video.info.height, video.info.width) == (FRAMES, HEIGHT, WIDTH)
        record = json.loads(json.dumps(prediction.line(3).to_json()))
        assert record["start_s"] is None
        assert record["frames_with_persons"] == FRAMES


def test_the_video_says_the_size_where_the_keypoints_do_not(tmp_path):
    contract = heatmaps_contract()
    write_npz(tmp_path / "clip.npz", *make_keypoints())
    with pytest.raises(DataError, match="does not say how large"):
        predicted(tmp_path / "clip.mp4", contract)
    make_video(tmp_path / "clip.mp4")
    assert find_videos([tmp_path], contract.inputs) == [tmp_path / "clip.mp4"]
    video, (prediction,) = predicted(tmp_path / "clip.mp4", contract)
    write_coco(tmp_path / "other.json", coco(*make_keypoints()))
    _, (other,) = predicted(tmp_path / "other.json", contract)
    np.testing.assert_allclose(prediction.deployed, other.deployed)
    assert video.info.fps


def test_a_video_that_is_decoded_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="no video"):
        find_videos([tmp_path / "clip.mp4"], frames_contract().inputs)
