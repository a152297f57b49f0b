"""`x3ddeploy data check`: what would stop training and evaluation is found in one look, sample by sample."""

import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video
from support.documents import of_its_type

import x3ddeploy
from x3ddeploy.data.folder import video_of
from x3ddeploy.errors import DataError

FRAMES = 12


def entry(name, label=0, **values):
    return {**annotation(name, label, frames=FRAMES, seed=label), **values}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Good, in NTU's two ways of naming, short, long, of another size, turned, and broken videos."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "good.mp4", moving_picture(FRAMES))
    write_video(folder / "ntu_rgb.avi", moving_picture(FRAMES), "mpeg4")
    write_video(folder / "plain.avi", moving_picture(FRAMES), "mpeg4")
    write_video(folder / "short.mp4", moving_picture(FRAMES - 5))
    write_video(folder / "long.mp4", moving_picture(FRAMES + 3))
    write_video(folder / "half.mp4", moving_picture(FRAMES, 48, 64))
    write_video(folder / "turned.mp4", moving_picture(FRAMES, 128, 96))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def found(report):
    return {finding.what: dict(zip(finding.names, finding.details, strict=True)) for finding in report.findings}


def test_a_good_set_has_nothing_to_complain_of(tmp_path, videos):
    entries = [entry("good", 0), entry("ntu", 1), entry("plain", 1)]
    path = write_annotations(tmp_path / "a.pkl", entries, {"train": ["good", "ntu"], "val": ["plain"]})
    report = x3ddeploy.check_data(path, videos)
    assert report.findings == ()
    report.raise_for_findings()
    assert (report.samples, report.classes, report.joints, report.frames) == (3, {0: 1, 1: 2}, {17: 3}, (12, 12.0, 12))
    assert report.splits["val"].without == (0,)
    assert report.pictures == {"128 x 96": 3}


def test_videos_are_compared_with_their_annotations(tmp_path, videos):
    names = ("missing", "short", "long", "half", "turned", "broken")
    path = write_annotations(tmp_path / "a.pkl", [entry(name) for name in names], {"train": list(names)})
    report = x3ddeploy.check_data(path, videos)
    told = found(report)
    assert set(told["without a video"]) == {"missing"}
    assert told["video shorter than annotated"] == {"short": "7 frames of 12"}
    assert told["video longer than annotated"] == {"long": "15 frames, 12 seen"}
    assert told["keypoints of another size, scaled"] == {"half": "128 x 96 for 64 x 48"}
    assert set(told["video that cannot be used"]) == {"turned", "broken"}
    assert [finding.fatal for finding in report.findings] == sorted((f.fatal for f in report.findings), reverse=True)
    with pytest.raises(DataError, match="4 things would stop"):
        report.raise_for_findings()


def test_persons_are_looked_at_without_any_video(tmp_path):
    nobody = np.zeros((1, FRAMES, 17, 2), np.float32)
    mostly = annotation("mostly", frames=FRAMES)["keypoint"].copy()
    mostly[:, 2:] = 0
    shares = annotation("shares", frames=FRAMES)["keypoint"] / 200
    entries = [
        entry("nobody", keypoint=nobody, keypoint_score=np.zeros((1, FRAMES, 17), np.float32)),
        entry("mostly", keypoint=mostly),
        entry("shares", keypoint=shares),
    ]
    told = found(x3ddeploy.check_data(write_annotations(tmp_path / "a.pkl", entries, {"s": ["nobody", "mostly"]})))
    assert told["nobody in any frame"] == {"nobody": ""}
    assert told["nobody in most frames"] == {"mostly": "10 of 12"}
    assert "shares" in told["keypoints that cannot be meant"]
    assert told["annotated, and in no split"] == {"shares": ""}


def test_splits_and_classes_are_looked_at(tmp_path):
    splits = {"x_train": ["a", "b", "b"], "x_val": ["b", "gone"], "y_val": ["a"]}
    told = found(x3ddeploy.check_data(write_annotations(tmp_path / "a.pkl", [entry("a", 0), entry("b", 3)], splits)))
    assert told["in a split, and not annotated"] == {"gone": "x_val"}
    assert told["more than once in a split"] == {"b": "2 times in x_train"}
    assert told["trained on and judged by"] == {"b": "x_train and x_val"}
    assert set(told["classes without any sample"]) == {"1", "2"}


def test_skeletons_in_space_and_lists_of_videos_are_sets_too(tmp_path, videos):
    space = entry("deep", keypoint=np.ones((1, FRAMES, 25, 3), np.float32), keypoint_score=None)
    del space["img_shape"], space["keypoint_score"]
    report = x3ddeploy.check_data(write_annotations(tmp_path / "a.pkl", [space], {}))
    assert (report.joints, report.coordinates, report.pictures, report.findings) == ({25: 1}, {3: 1}, {}, ())
    (tmp_path / "list.txt").write_text("good.mp4 0\nlong.mp4 0\n")
    report = x3ddeploy.check_data(tmp_path / "list.txt", videos)
    assert (report.frames, report.joints, report.findings) == ((12, 13.5, 15), {}, ())


def test_the_command_prints_what_it_found_and_ends_with_1(run, tmp_path, videos):
    names = [f"missing{number}" for number in range(7)]
    path = write_annotations(tmp_path / "a.pkl", [entry(name) for name in names], {"train": names})
    process = run("data", "check", path, "--videos", videos)
    assert process.returncode == 1
    assert "STOPS: 7 without a video: missing0" in process.stdout
    assert "and 2 more" in process.stdout
    as_json = run("data", "check", path, "--videos", videos, "--json")
    assert as_json.returncode == 1
    assert of_its_type("data-check", as_json.stdout)["findings"][0]["names"] == names
    assert run("data", "check", path, "--videos", tmp_path / "none").returncode == 2


def test_a_link_out_of_the_folder_is_no_video_of_it(tmp_path, videos):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "good.mp4").symlink_to(videos / "good.mp4")
    path = write_annotations(tmp_path / "a.pkl", [entry("good")], {})
    assert "good" in found(x3ddeploy.check_data(path, tmp_path / "videos"))["video that cannot be used"]


@pytest.mark.parametrize(
    ("name", "file"), [("good", "good.mp4"), ("ntu", "ntu_rgb.avi"), ("plain", "plain.avi"), ("none", "none.mp4")]
)
def test_the_file_of_a_sample_is_found_by_the_names_that_data_sets_use(videos, name, file):
    assert video_of(videos, name) == videos / file
