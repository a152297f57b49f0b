"""A folder that fills: each file is answered once, when it is whole, and who is slow loses the oldest."""

import os
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
from support.documents import of_its_type
from support.made_videos import make_keypoints, make_video, write_npz
from support.present import present

import x3ddeploy
from x3ddeploy.errors import UsageError
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.pose.models import Persons
from x3ddeploy.prediction import folder as folders
from x3ddeploy.prediction.folder import FilledFolder, FolderVideos, folder_frames

QUIET_NS = 100_000_000


@pytest.fixture
def quick(monkeypatch):
    """Files are whole after a tenth of a second."""
    monkeypatch.setattr(folders, "_QUIET_VIDEO_NS", QUIET_NS)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A video of 20 frames, 16 a second, with the keypoints of two persons beside it."""
    path = make_video(tmp_path_factory.mktemp("filmed") / "a.mp4")
    write_npz(path.with_suffix(".npz"), *make_keypoints())
    return path


def put(video, folder, name):
    """Copy a video and its keypoints, these first, as recorders that know of each other do."""
    shutil.copy(video.with_suffix(".npz"), folder / f"{name}.npz")
    return shutil.copy(video, folder / f"{name}.mp4")


def names(found):
    return [entry.path.name for entry in found]


def test_a_file_is_given_once_when_nobody_writes_it_and_anew_when_it_is_written_anew(tmp_path):
    (tmp_path / "old.mp4").write_bytes(b"old")
    os.utime(tmp_path / "old.mp4", (1, 1))
    files = FilledFolder(tmp_path, (".mp4",), QUIET_NS)
    assert names(files.come()) == ["old.mp4"]
    (tmp_path / ".copying.mp4").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    with (tmp_path / "new.mp4").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        assert names(files.come()) == []
        time.sleep(1.5 * QUIET_NS / 1e9)
        assert names(files.come()) == []  # quiet, and still open
    assert names(files.come()) == ["new.mp4"]
    assert names(files.come()) == []
    (tmp_path / "new.mp4").write_bytes(b"another")
    future = time.time() + 600
    os.utime(tmp_path / "new.mp4", (future, future))  # it was written a moment ago, however slow this machine is
    assert names(files.come()) == []
    time.sleep(1.2 * QUIET_NS / 1e9)
    assert names(files.come()) == ["new.mp4"]


def test_who_is_slow_loses_the_oldest_videos_but_none_that_were_there(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_MOST_WAITING", 2)
    for number in range(4):
        (tmp_path / f"{number}.mp4").write_bytes(b"")
        os.utime(tmp_path / f"{number}.mp4", (number + 1, number + 1))
    told: list[str] = []
    videos = FolderVideos(tmp_path, told.append, posed=False)
    came = iter(videos)
    first = [next(came).path.name for _ in range(4)]
    for number in range(4, 9):
        (tmp_path / f"{number}.mp4").write_bytes(b"")
        os.utime(tmp_path / f"{number}.mp4", (number + 1, number + 1))
    assert first == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    assert [next(came).path.name for _ in range(2)] == ["7.mp4", "8.mp4"]
    assert videos.dropped == 3
    assert told[0] == f"{tmp_path / '4.mp4'} is left out: 2 newer ones wait"


def test_videos_that_come_are_answered_as_files_are(quick, bundle, filmed, tmp_path):
    """A half-written one is told, and answered when the rest of it has come."""
    put(filmed, tmp_path, "first")
    whole = filmed.read_bytes()
    shutil.copy(filmed.with_suffix(".npz"), tmp_path / "second.npz")
    (tmp_path / "second.mp4").write_bytes(whole[:700])
    told: list[str] = []

    def tell(text):
        told.append(text)
        (tmp_path / "second.mp4").write_bytes(whole)

    with x3ddeploy.open(bundle) as recognizer:
        answers = recognizer.stream(tmp_path, window_s=0.5, stride_s=0.25, each_person=True, progress=tell)
        expected = list(recognizer.predict_videos([filmed], window=8, stride=4, each_person=True))
        found = [next(answers) for _ in expected]
        found += [next(answers) for _ in expected]
    assert [Path(answer.prediction.video).name for answer in found] == ["first.mp4"] * 8 + ["second.mp4"] * 8
    for answer, same in zip(found, [*expected, *expected], strict=True):
        assert (answer.prediction.window, answer.prediction.person) == (same.window, same.person)
        np.testing.assert_allclose(answer.prediction.deployed, same.deployed, atol=1e-6)
    assert "second.mp4 cannot be decoded" in told[0]
    assert all(answer.latency_s >= QUIET_NS / 1e9 for answer in found[8:])


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C comes where a folder is waited for."""

    def sleep(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "time", SimpleNamespace(**{**vars(time), "sleep": sleep}))


def test_the_command_watches_until_it_is_interrupted(interrupted, run, bundle, filmed, tmp_path):
    for path in (filmed.with_suffix(".npz"), filmed):
        os.utime(shutil.copy(path, tmp_path), (1, 1))
    process = run("predict", tmp_path, "--watch", "--bundle", bundle, "--seconds", 1, 1, "--json")
    assert process.returncode == 0, process.stderr
    answers = [of_its_type("predict-live", line) for line in process.stdout.splitlines()]
    assert [(answer["start_frame"], answer["end_frame"]) for answer in answers] == [(0, 16), (4, 20)]
    assert "2 answers, " in process.stderr


def test_an_empty_folder_is_left_by_an_interrupt(interrupted, run, bundle, tmp_path):
    process = run("predict", tmp_path, "--watch", "--bundle", bundle)
    assert process.returncode == 0, process.stderr
    assert "no window was full" in process.stderr


def test_pictures_that_come_are_a_stream(tmp_path):
    def put_picture(name, value):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((4, 6, 3), (0, 0, value), np.uint8))

    put_picture("old", 9)
    os.utime(tmp_path / "old.png", (1, 1))
    told: list[str] = []
    frames = folder_frames(tmp_path, told.append)()
    (tmp_path / "broken.png").write_bytes(b"none")
    put_picture("a", 1)
    os.utime(tmp_path / "a.png", (3, 3))
    os.utime(tmp_path / "broken.png", (2, 2))
    put_picture("b", 2)
    assert [next(frames)[0, 0].tolist() for _ in range(2)] == [[1, 0, 0], [2, 0, 0]]
    assert told == [
        f"1 pictures that lie in {tmp_path} already are not looked at",
        f"{tmp_path / 'broken.png'} is no picture that can be read",
    ]


class Estimator:
    """Finds one person, where he always is."""

    joints = 17

    def pictures(self, pictures):
        keypoints = np.random.default_rng(0).uniform(5, 40, (1, 17, 2)).astype(np.float32)
        return [Persons(np.array([[0, 0, 40, 60]], np.float32), keypoints, np.ones((1, 17), np.float32))]


def test_a_folder_of_pictures_gives_answers_about_the_last_seconds(bundle, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)

    answered = threading.Event()

    def fill():
        number = 0
        while not answered.wait(0.03):
            cv2.imwrite(str(tmp_path / f"{number:05}.jpg"), picture)
            number += 1

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        with x3ddeploy.open(bundle) as recognizer:
            answers = recognizer.stream(tmp_path, cast(PoseEstimator, Estimator()), window_s=0.3, stride_s=0.1)
            found = [next(answers) for _ in range(2)]
    finally:
        answered.set()
        filling.join()
    assert all(answer.prediction.seen and answer.prediction.video == str(tmp_path) for answer in found)
    bounds = [(present(answer.start_s), present(answer.end_s)) for answer in found]
    assert bounds[0][1] < bounds[1][1]
    assert all(end - start <= 0.3 for start, end in bounds)


def test_a_folder_that_is_not_there_is_told_at_once(bundle, tmp_path):
    with x3ddeploy.open(bundle) as recognizer, pytest.raises(UsageError, match="there is no folder"):
        recognizer.stream(tmp_path / "absent")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.mp4", "--seconds", "2", "1"], "--seconds is of live input, and these are files"),
        (["a.mp4", "--raw", "4x4"], "--raw is of live input, and these are files"),
        (["0", "--html", "page.html"], "--html is of files, and this is live input"),
        ([".", "--watch", "--workers", "2"], "--workers is of files, and this is live input"),
    ],
)
def test_options_of_the_other_kind_of_input_are_refused(run, bundle, arguments, said):
    process = run("predict", *arguments, "--bundle", bundle)
    assert process.returncode == 2
    assert said in process.stderr
