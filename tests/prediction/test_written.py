"""`predict -o`: the lines that `--json` prints, failed videos by name; a second run looks at what is missing alone."""

import json
import shutil
import sys

import pytest
from support.documents import of_its_type
from support.made_videos import make_keypoints, make_video, write_npz

NAMES = ("a", "b", "broken", "c")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "a.mp4")
    for seed, name in enumerate(NAMES):
        if name != "a":
            shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
        write_npz(folder / f"{name}.npz", *make_keypoints(seed=seed))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def written(folder, run, bundle, tmp_path_factory):
    """The finished command, and its file."""
    file = tmp_path_factory.mktemp("out") / "found.jsonl"
    return run("predict", folder, "--bundle", bundle, "--window", 8, "-o", file), file


def rows_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_lines_are_those_that_are_printed(folder, run, bundle, written):
    process, file = written
    assert (process.returncode, process.stdout) == (0, f"written: {file}\n")
    assert "1 of 4 videos were skipped" in process.stderr
    printed = run("predict", folder, "--bundle", bundle, "--window", 8, "--json", "--on-error", "skip").stdout
    rows = rows_of(file)
    failed = [row for row in rows if "error" in row]
    assert [row["video"] for row in failed] == [str(folder / "broken.mp4")]
    assert len({row.pop("run") for row in rows}) == 1
    assert [row.pop("rows") for row in rows] == [4] * 4 * 2 + [1] + [4] * 4
    assert [row for row in rows if "error" not in row] == list(map(json.loads, printed.splitlines()))


def test_lines_are_of_their_types(written):
    for line in written[1].read_text().splitlines():
        of_its_type("predict-failed-row" if "error" in json.loads(line) else "predict-row", line)


def test_the_second_run_looks_at_what_is_missing_alone(folder, run, bundle, written, tmp_path):
    whole = written[1].read_bytes()
    file = tmp_path / "found.jsonl"
    file.write_bytes(whole[:-10])  # of the last video
    copy = shutil.copytree(folder, tmp_path / "videos")
    (copy / "a.mp4").write_bytes(b"nobody looks")
    process = run("predict", *(copy / f"{name}.mp4" for name in NAMES), "--bundle", bundle, "--window", 8, "-o", file)
    assert process.returncode == 0, process.stderr  # the copies are other videos: all are looked at, and a fails
    assert [row["video"] for row in rows_of(file) if "error" in row].count(str(copy / "a.mp4")) == 1
    file.write_bytes(whole[:-10])
    process = run("predict", folder, "--bundle", bundle, "--window", 8, "-o", file)
    assert "3 of 4 videos are in" in process.stderr
    assert file.read_bytes() == whole


def test_other_options_and_other_ends_are_refused(folder, run, bundle, written):
    whole = written[1].read_bytes()
    process = run("predict", folder, "--bundle", bundle, "--window", 9, "-o", written[1])
    assert (process.returncode, written[1].read_bytes()) == (2, whole)
    assert "other settings" in process.stderr
    for words, said in (
        (("-o", "found.csv"), ".jsonl or .parquet"),
        (("-o", "found.jsonl", "--json"), "leave one out"),
        (("--ray-workers", 2), "no cluster"),
        (("--ray", "--annotate", "drawn"), "a cluster draws nothing"),
        (("--ray", "videos"), "no address of a Ray cluster"),
    ):
        process = run("predict", folder, "--bundle", bundle, *words)
        assert (process.returncode, said in process.stderr) == (2, True), process.stderr


def test_a_run_in_which_every_video_fails_fails_again(folder, run, bundle, tmp_path):
    words = ("predict", folder / "broken.mp4", "--bundle", bundle, "-o", tmp_path / "found.jsonl")
    for _ in range(2):
        process = run(*words)
        assert process.returncode == 1
        assert "none of the 1 videos could be used" in process.stderr
    assert run(*words[:-1], tmp_path / "other.jsonl", "--on-error", "raise").returncode == 1
    assert rows_of(tmp_path / "other.jsonl") == []


def test_parquet_holds_the_same(folder, run, bundle, written, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    process = run("predict", folder, "--bundle", bundle, "--window", 8, "-o", tmp_path / "found.parquet")
    assert process.returncode == 0, process.stderr
    found = parquet.read_table(tmp_path / "found.parquet").to_pylist()
    rows = rows_of(written[1])
    for row, line in zip(found, rows, strict=True):
        assert {name: value for name, value in row.items() if value is not None or name in line} == line


def test_without_ray_its_install_command_is_told(folder, run, bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    process = run("predict", folder, "--bundle", bundle, "-o", tmp_path / "found.jsonl", "--ray", "local")
    assert process.returncode == 4
    assert "pip install 'x3ddeploy[ray]'" in process.stderr
    assert not (tmp_path / "found.jsonl").exists()
