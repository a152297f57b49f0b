"""`x3ddeploy predict`: one line a window, and no video is left out without a word."""

import json
import re

import numpy as np
import pytest
from support.documents import of_its_type
from support.present import present

from x3ddeploy.cli.main import main
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.data.video import count_frames
from x3ddeploy.errors import BundleError, DataError, UsageError


def predict(*arguments):
    """In this process, for what fails early: a new one takes seconds to start."""
    main(["predict", *map(str, arguments)], standalone_mode=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of 12 frames with their keypoints."""
    folder = tmp_path_factory.mktemp("videos")
    random = np.random.default_rng(0)
    for name in ("first", "second"):
        write_video(folder / f"{name}.mp4", random.integers(0, 255, (12, 48, 48, 3), np.uint8))
        keypoints = random.uniform(8, 40, (1, 12, 17, 2)).astype(np.float32)
        np.savez(folder / f"{name}.npz", keypoints=keypoints, keypoint_scores=np.ones((1, 12, 17), np.float32))
    return folder


@pytest.fixture
def with_broken(folder, tmp_path):
    """Beside a good video one that is damaged, one without keypoints, and one of more frames than its keypoints."""
    for name in ("first.mp4", "first.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    for name in ("damaged", "lonely", "longer"):
        (tmp_path / f"{name}.mp4").write_bytes(
            (folder / "first.mp4").read_bytes()[: 700 if name == "damaged" else None]
        )
    (tmp_path / "damaged.npz").write_bytes((folder / "first.npz").read_bytes())
    arrays = np.load(folder / "first.npz")
    np.savez(tmp_path / "longer.npz", **{name: arrays[name][:, :11] for name in arrays.files})
    return tmp_path


def test_each_window_is_a_line_for_people_and_for_machines(run, bundle, folder):
    video = folder / "first.mp4"
    process = run("predict", video, "--bundle", bundle, "--window", 6, "--stride", 4)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert len(lines) == 3  # 0-5, 4-9, 6-11
    assert "frames 4-9  0.25-0.62 s" in lines[1]
    process = run("predict", video, "--bundle", bundle, "--window", 6, "--stride", 4, "--json", "--top-k", 2)
    records = [of_its_type("predict", line) for line in process.stdout.splitlines()]
    assert [(record["start_frame"], record["end_frame"]) for record in records] == [(0, 6), (4, 10), (6, 12)]
    for line, record in zip(lines, records, strict=True):
        assert record["schema_version"] == 1
        assert len(record["rgb"]) == len(record["pose"]) == 2
        assert f"{record['label']} {record['fused'][0]['score']:.1%}" in line
    assert "\x1b" not in process.stdout + process.stderr


def test_a_folder_is_predicted_and_annotated_video_by_video(run, bundle, folder, tmp_path):
    out = tmp_path / "drawn.mp4"  # a folder, whatever it is called
    out.mkdir()
    process = run("predict", folder, "--bundle", bundle, "--json", "--annotate", out, "--runtime", "torch")
    assert process.returncode == 0, process.stderr
    records = [of_its_type("predict", line) for line in process.stdout.splitlines()]
    assert [record["video"] for record in records] == [str(folder / "first.mp4"), str(folder / "second.mp4")]
    assert [count_frames(out / f"{name}.mp4") for name in ("first", "second")] == [12, 12]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("damaged", r"damaged\.mp4 cannot be decoded"),
        ("lonely", r"there is no lonely\{\.npz"),
        ("longer", r"longer\.mp4 has 12 frames, and .*longer\.npz has keypoints of 11"),
    ],
)
def test_a_video_that_cannot_be_predicted_is_an_error_that_names_it(bundle, with_broken, name, said):
    with pytest.raises(DataError, match=said):
        predict(with_broken / f"{name}.mp4", "--bundle", bundle)


def test_videos_that_cannot_be_predicted_are_skipped_by_name_where_asked(run, bundle, with_broken):
    process = run("predict", with_broken, "--bundle", bundle, "--on-error", "skip", "--json")
    assert process.returncode == 0, process.stderr
    assert [json.loads(line)["video"] for line in process.stdout.splitlines()] == [str(with_broken / "first.mp4")]
    for name in ("damaged", "lonely", "longer"):
        assert f"{name}.mp4" in process.stderr
    assert "3 of 4 videos were skipped" in process.stderr


def test_skipping_everything_is_a_failure(bundle, with_broken):
    with pytest.raises(DataError, match="none of the 1 videos"):
        predict(with_broken / "lonely.mp4", "--bundle", bundle, "--on-error", "skip")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stride", 2], "--window"),
        (["--runtime", "torch", "--precision", "fp16"], "float32 only"),
        (["--annotate", "out.avi"], ".mp4"),
        (["--annotate", "first.mp4"], "write over a video"),
        (["--html", "page.txt"], "ends in .html"),
        (["second.mp4", "--html", "page.html"], "page of one video, and there are 2"),
        (["--keypoints", "absent.npz"], "no keypoints"),
    ],
)
def test_requests_that_make_no_sense_are_usage_errors(bundle, folder, monkeypatch, arguments, said):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError) as caught:
        predict("first.mp4", "--bundle", bundle, *arguments)
    assert said in str(caught.value)


def test_a_page_is_written_beside_the_lines(bundle, folder, tmp_path, capsys):
    page = tmp_path / "pages" / "first.html"
    predict(folder / "first.mp4", "--bundle", bundle, "--window", 6, "--each-person", "--json", "--html", page)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    data = json.loads(present(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL))[1])
    (row,) = data["rows"]
    told = [(start, end, data["names"][best]) for start, end, best, *_ in row["windows"]]
    assert told == [(record["start_frame"], record["end_frame"], record["label"]) for record in records]
    assert data["skeletons"]["persons"] == 1


def test_one_file_is_no_place_for_several_annotated_videos(bundle, folder, tmp_path):
    with pytest.raises(UsageError, match="one file, and there are 2 videos"):
        predict(folder, "--bundle", bundle, "--annotate", tmp_path / "out.mp4")


def test_a_precision_that_the_bundle_lacks_is_told(bundle, folder):
    with pytest.raises(BundleError, match=r"int8/recognizer\.onnx"):
        predict(folder / "first.mp4", "--bundle", bundle, "--precision", "int8")
