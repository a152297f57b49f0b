"""What verbs write beside bundles, killed or out of space at each change of the disk: old or new files, and no others.

That verbs write through these functions alone is asked wherever a test runs one (support/command.py).
"""

import errno
import os
import resource
import shutil
from fractions import Fraction
from itertools import count
from types import SimpleNamespace
from typing import cast

import numpy as np
import onnx
import pytest
from support.disk_faults import contents, full_at, killed_at

from x3ddeploy.api import bench
from x3ddeploy.benchmarking.document import BenchReport
from x3ddeploy.calibration.cache import CalibrationKey
from x3ddeploy.calibration.choice import Chosen
from x3ddeploy.calibration.run import run_calibration
from x3ddeploy.data.annotations import LabelledVideo
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.pose.annotations import write_annotations
from x3ddeploy.pose.estimate import Poses
from x3ddeploy.precision import trials
from x3ddeploy.prediction import draw_explanation as drawing
from x3ddeploy.prediction.annotate import video_writer
from x3ddeploy.prediction.explain import Explanation
from x3ddeploy.prediction.predict import OpenedVideo
from x3ddeploy.progress import QUIET
from x3ddeploy.rows import open_rows


def benchmark(folder, version):
    bench._written(folder, cast(BenchReport, {"version": version}))


def explanation(folder, version):
    prediction = SimpleNamespace(window=None)
    found = SimpleNamespace(prediction=prediction, frames=np.arange(2), report=lambda: {"version": version})
    drawing.draw_explanation(cast(OpenedVideo, None), cast(Explanation, found), folder, QUIET)


def keypoints(folder, version):
    poses(version).save(folder / "video.npz")


def annotations(folder, version):
    write_annotations(folder / "set.pkl", {LabelledVideo("video", 0): poses(version)}, {"val": ["video"]})


def poses(version):
    return Poses(np.full((1, 2, 17, 2), version, np.float32), np.ones((1, 2, 17), np.float32), (8, 8))


def calibration(folder, version):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy")
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x], [y]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    clips = [SimpleNamespace(name=str(i), inputs={"x": np.full((1, 4), i * version, np.float32)}) for i in range(12)]
    chosen = cast(Chosen, SimpleNamespace(indices=range(12), load=lambda start: clips[start:]))
    key = CalibrationKey("0" * 64, "openvino", {"kind": str(version)}, (), "max", {})
    run_calibration(
        model, ("y",), chosen, key, folder / "calib", unsigned=False, progress=QUIET, on_clip=lambda done, total: None
    )


def journal(folder, version):
    trials._write_journal(folder / "calib" / "trials.npz", "key", {"stream": np.full((2, 2), version)})


def parquet(folder, version):
    schema = lambda arrow: arrow.schema([("clip", arrow.string()), ("score", arrow.int64())])  # noqa: E731
    known = []
    with open_rows(folder / "rows.parquet", "clip", "run", lambda name, rows: known.append(name), schema) as rows:
        for name in (str(number) for number in range(version)):
            if name not in known:
                rows.add([{"clip": name, "score": 1}])


# Each writes an old version and a new one.
OUTPUTS = (benchmark, explanation, keypoints, annotations, calibration, journal, parquet)


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """What pages and pictures show plays no part."""
    for name in ("render_html", "render_markdown"):
        monkeypatch.setattr(bench, name, str)
    pictures = [(frame, np.zeros((4, 4, 3), np.uint8)) for frame in range(2)]
    monkeypatch.setattr(drawing, "_pictures", lambda video, frames: pictures)
    monkeypatch.setattr(drawing, "_drawer", lambda video, e: lambda frame, picture: picture + e.report()["version"])


@pytest.mark.parametrize("fault", [killed_at, full_at])
@pytest.mark.parametrize("write", OUTPUTS, ids=lambda write: write.__name__)
def test_at_any_change_of_the_disk_files_are_old_or_new_and_a_rerun_is_good(write, fault, tmp_path):
    if write is parquet:
        pytest.importorskip("pyarrow")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write(old, 1)
    shutil.copytree(old, new)
    write(new, 2)
    before, after = contents(old), contents(new)
    assert before != after
    for at in count(1):
        tried = tmp_path / "tried"
        shutil.rmtree(tried, ignore_errors=True)
        shutil.copytree(old, tried)
        reached = fault(at, lambda: write(tried, 2))  # noqa: B023 (it is called at once)
        if fault is full_at:
            problem, reached = reached
            assert problem is None or isinstance(problem, X3DDeployError), (at, problem)
            assert problem is None or "No space left" in str(problem)
            assert not [name for name in contents(tried) if name.endswith(".partial")], at
        if not reached:
            break
        for name, content in contents(tried).items():
            assert content in (before.get(name), after.get(name)) or ".partial" in name, (at, name)
        write(tried, 2)
        assert contents(tried) == after, at
    assert at > 5


def video(folder):
    with video_writer(folder / "out.mp4", Fraction(25), (16, 16)) as write:
        for _ in range(4):
            write(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))


def lines(folder):
    with open_rows(folder / "rows.jsonl", "clip", "run", lambda name, rows: None, lambda arrow: None) as rows:
        for number in range(4):
            rows.add([{"schema_version": 1, "clip": str(number)}])


@pytest.mark.parametrize("write", [video, lines], ids=lambda write: write.__name__)
def test_a_disk_that_is_full_in_the_middle_of_a_librarys_write_is_told(write, tmp_path):
    """What does not go through Python's `os`: FFmpeg's files and buffered ones."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(X3DDeployError, match=os.strerror(errno.EFBIG)):
            write(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    write(tmp_path)
    assert len(contents(tmp_path)) == 1
