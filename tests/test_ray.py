"""On a Ray cluster of this machine: what one machine answers, also where workers are killed in the middle."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from support.clip_files import write_clip
from support.made_videos import make_keypoints, make_video, write_npz
from support.present import present
from support.ray_workers import squares, unopened

from x3ddeploy.bundle import Bundle
from x3ddeploy.cluster import Cluster, on_cluster
from x3ddeploy.errors import MissingRequirementError, X3DDeployError
from x3ddeploy.modalities.synthetic import batch_inputs

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: 'x3ddeploy[ray]'"),
]
TESTS = Path(__file__).parent
VIDEOS = 16
QUIET = print


@pytest.fixture(scope="module")
def ray():
    """A cluster of two cores, to which everything in this module is connected."""
    with pytest.MonkeyPatch.context() as patch:
        paths = (str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", ""))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))  # what workers import
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
        yield ray
        ray.shutdown()


def test_each_worker_is_opened_once_and_every_group_is_answered(ray, tmp_path):
    found = dict.fromkeys(range(20))
    for group, squared in on_cluster(Cluster(), partial(squares, tmp_path), range(20), QUIET, at_a_time=3):
        found |= dict(zip(group, present(squared), strict=True))
    assert found == {number: number**2 for number in range(20)}
    opened = (tmp_path / "opened").read_text().splitlines()
    assert 1 <= len(opened) == len(set(opened)) <= 2  # the second may come when all is done


def test_a_worker_that_dies_loses_nothing_but_what_kills_it_always(ray, tmp_path):
    items = [1, 2, -2, 3, -1, 4, 5, 6]
    found: dict[int, int | None] = {}
    for group, squared in on_cluster(Cluster(workers=1), partial(squares, tmp_path), items, QUIET, at_a_time=4):
        found |= dict.fromkeys(group) if squared is None else dict(zip(group, squared, strict=True))
    assert found == {number: None if number == -1 else number**2 for number in items}


def test_what_a_worker_raises_is_raised_here(ray, tmp_path):
    with pytest.raises(X3DDeployError, match="a worker failed: ZeroDivisionError: of a library"):
        list(on_cluster(Cluster(), partial(squares, tmp_path), [1, -3, 2], QUIET))
    with pytest.raises(X3DDeployError, match="ZeroDivisionError: when it is opened"):
        list(on_cluster(Cluster(), unopened, [1], QUIET))


def test_a_worker_that_fits_on_no_machine_is_told(ray):
    for cluster in (Cluster(cores=64), Cluster(gpus=1)):
        with pytest.raises(MissingRequirementError, match="no machine of the cluster has"):
            list(on_cluster(cluster, unopened, [1], QUIET))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    first = make_video(folder / "v00.mp4")
    for number in range(VIDEOS):
        if number:
            shutil.copy(first, folder / f"v{number:02}.mp4")
        write_npz(folder / f"v{number:02}.npz", *make_keypoints(seed=number))
    (folder / "v03.mp4").write_bytes(b"no video")
    return folder


def rows_of(file):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted(rows, key=lambda row: (row["video"], row.get("start_frame", 0)))


def ancestors(process):
    while process > 1:
        yield process
        process = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])


def at_work():
    """Process id of a worker of this process's cluster that is at a task, or None."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            title = (process / "cmdline").read_bytes()
            if (
                title.startswith(b"ray::MapWorker")
                and b".submit" in title
                and os.getpid() in ancestors(int(process.name))
            ):
                return int(process.name)
    return None


def kill_one(killed):
    while not killed:
        if victim := at_work():
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
        time.sleep(0.002)


@pytest.mark.parametrize("name", ["found.jsonl", "found.parquet"])
def test_a_worker_killed_in_the_middle_changes_no_answer(ray, folder, run, bundle, tmp_path, name):
    here, there = tmp_path / "here.jsonl", tmp_path / name
    words = ("predict", folder, "--bundle", bundle, "--window", 8, "--workers", 1)
    assert run(*words, "-o", here).returncode == 0
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(killed,), daemon=True)
    killer.start()
    process = run(*words, "-o", there, "--ray")
    assert process.returncode == 0, process.stderr
    killer.join(timeout=1)
    assert killed
    assert "1 of 16 videos were skipped" in process.stderr
    if name.endswith(".jsonl"):
        assert rows_of(there) == rows_of(here)
        assert len(rows_of(there)) == 1 + 4 * (VIDEOS - 1)
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(there).to_pylist()
        labels = {(row["video"], row["start_frame"]): row["label"] for row in rows}
        assert labels == {(row["video"], row.get("start_frame")): row.get("label") for row in rows_of(here)}


def test_an_evaluation_is_what_it_is_here(ray, run, bundle, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(20):  # more than a worker takes at a time
        inputs = batch_inputs(Bundle.open(bundle).contract.inputs, 1, seed=number)
        write_clip(clips / f"{number}.npz", label=number % 6, **inputs)
    words = ("eval", bundle, "--data", clips, "--runtime", "onnxruntime", "--precision", "fp32", "--json")
    here = run(*words, "-o", tmp_path / "here")
    there = run(*words, "-o", tmp_path / "there", "--workers", 1, "--ray", "--scores", tmp_path / "scores.jsonl")
    assert there.returncode == 0, there.stderr
    reports = [json.loads(process.stdout) for process in (here, there)]
    for report in reports:
        del report["loading"], report["results"][1]["against_reference"]
    assert reports[0] == reports[1]
    again = run(*words, "-o", tmp_path / "again", "--scores", tmp_path / "scores.jsonl")
    assert json.loads(again.stdout)["results"][0] == reports[0]["results"][0]


def test_a_cluster_of_its_own_leaves_standard_output_to_the_results(folder, spawn, bundle, tmp_path):
    videos = [folder / f"v{number:02}.mp4" for number in (0, 3, 1)]
    process = spawn("predict", *videos, "--bundle", bundle, "--json", "--workers", 1, "--ray", "local")
    assert process.returncode == 0, process.stderr
    assert "new Ray cluster" in process.stderr
    assert "skipped: " in process.stderr
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    assert {line["video"] for line in lines} == {str(videos[0]), str(videos[2])}
