"""Live input: windows of the last seconds are those of the same frames in a file, and who is slow loses frames only."""

import io
import os
import threading
from typing import cast

import av
import numpy as np
import pytest
from support.made_videos import make_video
from support.present import present

import x3ddeploy
from x3ddeploy.data.video import read_frames
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.live import LiveWindows
from x3ddeploy.prediction.sources import Frame, Newest, is_live, opened_frames, raw_frames, raw_size

FPS, FRAMES = 10, 31


class Estimator:
    """Finds persons of 17 joints, as files of keypoints say, each in a place of his own."""

    joints = 17

    def __init__(self, keypoints, scores):
        self.keypoints, self.scores, self.next = keypoints, scores, 0
        self.boxes = np.array([[50 * person, 0, 50 * person + 40, 60] for person in range(len(scores))], np.float32)

    def pictures(self, pictures):
        from x3ddeploy.pose.models import Persons

        frame, self.next = self.next, self.next + 1
        there = self.scores[:, frame].any(-1)
        return [Persons(self.boxes[there], self.keypoints[there, frame], self.scores[there, frame])]


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A video, its frames, and the keypoints of one person in it."""
    path = make_video(tmp_path_factory.mktemp("live") / "a.mp4", frames=FRAMES)
    random = np.random.default_rng(0)
    keypoints = (random.uniform(10, 50, (1, 1, 17, 2)) + random.normal(0, 2, (1, FRAMES, 17, 2))).astype(np.float32)
    scores = np.full((1, FRAMES, 17), 0.9, np.float32)
    np.savez(path.with_suffix(".npz"), keypoints=keypoints, keypoint_scores=scores)
    return path, read_frames(path, range(FRAMES)), keypoints, scores


def windows_of(recognizer, keypoints, scores, name="cam", **options):
    """Windows of a second, every half second."""
    return LiveWindows(
        name,
        recognizer.contract,
        recognizer.labels,
        recognizer._scorer(),
        cast(PoseEstimator, Estimator(keypoints, scores)),
        window_s=1.0,
        stride_s=0.5,
        **options,
    )


def test_windows_are_those_of_the_same_frames_in_a_file(bundle, filmed):
    path, pictures, keypoints, scores = filmed
    with x3ddeploy.open(bundle) as recognizer:
        windows = windows_of(recognizer, keypoints, scores)
        pushed = [windows.push(Frame(picture, 100 + number / FPS)) for number, picture in enumerate(pictures)]
        found = [entry for entry in pushed if entry is not None]
        expected = recognizer.predict(path, window=11, stride=5)
    assert [number for number, entry in enumerate(pushed) if entry is not None] == [10, 15, 20, 25, 30]
    assert [(round(start, 6), round(end, 6)) for _, start, end in found][:2] == [(0.0, 1.0), (0.5, 1.5)]
    for ((live,), _, _), filed in zip(found, expected, strict=True):
        for name, value in filed.scores.items():
            np.testing.assert_allclose(live.scores[name], value, atol=1e-6)
        assert present(live.people).frames_with_persons == present(filed.people).frames_with_persons == 11


def test_each_person_is_answered_alone_by_a_number_of_the_stream(bundle, filmed, tmp_path):
    """The answers are those of `predict --each-person` on a file; who has left is not answered, and nobody is told."""
    path, pictures, keypoints, scores = filmed
    keypoints = np.concatenate([keypoints, keypoints[..., ::-1]])
    scores = np.concatenate([scores, scores])
    scores[0, 15:], scores[1, 20:] = 0, 0
    keypoints[0, 15:], keypoints[1, 20:] = 0, 0
    np.savez(tmp_path / "two.npz", keypoints=keypoints, keypoint_scores=scores)
    with x3ddeploy.open(bundle) as recognizer:
        windows = windows_of(recognizer, keypoints, scores, each_person=True)
        pushed = [windows.push(Frame(picture, 100 + number / FPS)) for number, picture in enumerate(pictures)]
        filed = list(recognizer.predict_videos([path], tmp_path / "two.npz", window=11, stride=5, each_person=True))
    found = [[(entry.person, entry.label) for entry in entry[0]] for entry in pushed if entry is not None]
    assert [[person for person, _ in answers] for answers in found] == [[0, 1], [0, 1], [0, 1], [1], [None]]
    assert found[-1] == [(None, None)]
    by_window = {(entry.person, entry.window.start): entry.deployed for entry in filed}
    for number, entry in enumerate(entry for entry in pushed if entry is not None):
        for prediction in entry[0][: len(found[number])]:
            if prediction.seen:
                expected = by_window[prediction.person, 5 * number]
                np.testing.assert_allclose(prediction.deployed, expected, atol=1e-6)


def test_the_command_gives_a_source_on_as_it_was_typed(run, bundle, monkeypatch):
    asked = []

    def stream(self, source, *_, **__):
        asked.append(source)
        return iter(())

    monkeypatch.setattr(x3ddeploy.Recognizer, "stream", stream)
    for source in ("rtsp://user:word@camera/1?channel=2", "0"):
        process = run("predict", source, "--bundle", bundle)
        assert process.returncode == 0, process.stderr
    assert asked == ["rtsp://user:word@camera/1?channel=2", "0"]


def test_after_a_gap_that_no_window_spans_one_is_filled_anew(bundle, filmed):
    _, pictures, keypoints, scores = filmed
    times = [number / FPS + (5.0 if number >= 13 else 0.0) for number in range(FRAMES)]
    with x3ddeploy.open(bundle) as recognizer:
        windows = windows_of(recognizer, keypoints, scores)
        pushed = [windows.push(Frame(picture, at)) for picture, at in zip(pictures, times, strict=True)]
    found = [
        (number, round(entry[1], 6), round(entry[2], 6)) for number, entry in enumerate(pushed) if entry is not None
    ]
    assert found == [(10, 0.0, 1.0), (23, 6.3, 7.3), (28, 6.8, 7.8)]


def test_what_a_slow_machine_missed_is_not_made_up_for(bundle, filmed):
    _, pictures, keypoints, scores = filmed
    with x3ddeploy.open(bundle) as recognizer:
        windows = windows_of(recognizer, keypoints, scores)
        times = (0.0, 0.5, 1.1, 2.05, 2.1, 2.6)  # answers were due at 1.5 and at 2
        answered = [windows.push(Frame(pictures[0], at)) is not None for at in times]
    assert answered == [False, False, True, True, False, True]


def test_keypoints_that_cannot_be_meant_are_an_answer_without_a_label_and_no_end(bundle, filmed):
    _, pictures, keypoints, scores = filmed
    with x3ddeploy.open(bundle) as recognizer:
        windows = windows_of(recognizer, keypoints + 1000, scores, "rtsp://cam/1")
        found = [windows.push(Frame(pictures[0], number / FPS)) for number in range(11)][-1]
    (prediction,), _, _ = found
    assert prediction.label is None
    assert "outside of the picture" in prediction.notes[0]
    assert prediction.line(3).to_json()["video"] == "rtsp://cam/1"
    assert prediction.line(3).to_json()["fused"] == []


def test_a_network_that_needs_keypoints_wants_an_estimator(bundle):
    with x3ddeploy.open(bundle) as recognizer, pytest.raises(UsageError, match="needs keypoints"):
        recognizer.stream("0")


def test_pictures_of_another_size_are_refused(bundle, filmed):
    _, pictures, keypoints, scores = filmed
    with x3ddeploy.open(bundle) as recognizer:
        windows = windows_of(recognizer, keypoints, scores)
        windows.push(Frame(pictures[0], 0.0))
        with pytest.raises(DataError, match="changes the size"):
            windows.push(Frame(pictures[0][:10], 0.1))


def test_who_is_slow_loses_frames_that_are_counted_and_sees_the_newest():
    read, looked_at = threading.Event(), threading.Event()

    def fast():
        for number in range(50):
            yield np.full((2, 2, 3), number, np.uint8)
            if number == 2:
                looked_at.wait(60)
        read.set()

    newest = Newest(fast, "cam", again=False, tell=lambda text: None)
    seen = []
    for frame in newest:
        seen.append(int(frame.picture[0, 0, 0]))
        looked_at.set()
        read.wait(60)
    assert newest.seen == 50
    assert newest.dropped == 50 - len(seen) > 0
    assert seen[-2:] == [48, 49]
    assert seen[0] <= 2


def test_a_reader_that_fails_is_no_end_of_the_stream():
    def fails():
        yield np.zeros((2, 2, 3), np.uint8)
        raise RuntimeError("a library gave up")

    newest = iter(Newest(fails, "cam", again=True, tell=lambda text: None))
    next(newest)
    with pytest.raises(RuntimeError, match="a library gave up"):
        next(newest)


def test_nobody_to_tell_is_no_end_of_the_stream():
    def lost():
        raise OSError("connection reset")
        yield

    def closed(text):
        raise BrokenPipeError("stderr")

    with pytest.raises(BrokenPipeError, match="stderr"):
        list(Newest(lost, "rtsp://cam", again=True, tell=closed))


@pytest.mark.parametrize("kind", ["HTTPNotFoundError", "DecoderNotFoundError", "ExternalError", "InvalidDataError"])
def test_whatever_ffmpeg_says_is_a_stream_that_cannot_be_read(monkeypatch, kind):
    """Not all of it are OSErrors."""

    def refuse(*_, **__):
        raise getattr(av.error, kind)(1, "FFmpeg said so")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(DataError, match=r"rtsp://cam/1 cannot be read: FFmpeg said so"):
        list(Newest(opened_frames("rtsp://cam/1"), "rtsp://cam/1", again=False, tell=lambda text: None))


def test_a_lost_stream_is_opened_again_and_said(monkeypatch):
    monkeypatch.setattr("x3ddeploy.prediction.sources._PAUSES_S", (0.01,))
    opened = []

    def lost():
        opened.append(1)
        yield np.zeros((2, 2, 3), np.uint8)
        raise OSError("connection reset")

    told: list[str] = []
    newest = Newest(lost, "rtsp://cam", again=True, tell=told.append)
    for number, _ in enumerate(newest):
        if number == 2:
            break
    assert len(opened) >= 3
    assert told[0] == "rtsp://cam is lost (connection reset): trying again in 0.01 s"


def test_a_camera_that_is_not_there_is_one_error():
    with pytest.raises(DataError, match="97 cannot be read"):
        list(Newest(opened_frames("97"), "97", again=False, tell=lambda text: None))


def test_an_address_opens_no_file_of_this_machine(tmp_path, filmed):
    with pytest.raises(DataError, match="cannot be read"):
        list(Newest(opened_frames(f"file://{filmed[0]}"), "address", again=False, tell=lambda text: None))


def test_a_pipe_that_ends_within_a_picture_is_told():
    pictures = list(raw_frames(io.BytesIO(bytes(range(24))), 2, 4)())
    assert pictures[0].shape == (2, 4, 3)
    with pytest.raises(DataError, match="12 bytes before the end"):
        list(raw_frames(io.BytesIO(bytes(36)), 2, 4)())


def test_pictures_that_come_in_pieces_are_put_together():
    reading, writing = os.pipe()
    os.write(writing, bytes(range(20)))

    def write_the_rest():
        os.write(writing, bytes(range(20, 24)))
        os.close(writing)

    threading.Timer(0.05, write_the_rest).start()
    with io.FileIO(reading) as pipe:
        (picture,) = raw_frames(pipe, 2, 4)()
    assert picture.ravel().tolist() == list(range(24))


@pytest.mark.parametrize(("source", "live"), [("0", True), ("rtsp://a/b", True), ("-", True), ("a.mp4", False)])
def test_what_is_live(source, live):
    assert is_live(source) is live


@pytest.mark.parametrize("text", ["640", "0x480", "640x", "axb", "99999x99999"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="is no size"):
        raw_size(text)
