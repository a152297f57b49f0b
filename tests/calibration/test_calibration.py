"""A calibration from clips to a cache: it must be the same however often it was interrupted, and of no one else."""

import contextlib
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.documents import of_its_type

from x3ddeploy.calibration.cache import CalibrationKey, read_calibration
from x3ddeploy.calibration.choice import Chosen, RandomClips
from x3ddeploy.calibration.collect import plan_runs, tensor_sizes
from x3ddeploy.calibration.histogram import Histogram
from x3ddeploy.calibration.run import run_calibration
from x3ddeploy.calibration.statistics import TensorHistograms
from x3ddeploy.errors import BundleError, DataError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.precision.sites import find_sites

CLIPS = 25


@pytest.fixture(scope="module")
def recognizer(bundle):
    return onnx.load(bundle / "recognizer.onnx")


@pytest.fixture(scope="module")
def tensors(recognizer):
    return tuple(sorted({site.source for site in find_sites(recognizer)}))


def key_of(**changes):
    key = CalibrationKey("a" * 64, "tensorrt", {"kind": "random"}, ("random0",), "max", {"x3ddeploy": "1"})
    return replace(key, **changes)


def calibrate(recognizer, tensors, directory, source=None, key=None, on_clip=lambda done, total: None):
    chosen = Chosen(source or RandomClips(clip_inputs(PRESETS["tiny"]), CLIPS, 0), tuple(range(CLIPS)))
    said: list[str] = []
    result = run_calibration(
        recognizer, tensors, chosen, key or key_of(), directory, unsigned=False, progress=said.append, on_clip=on_clip
    )
    return result, said


def test_ranges_of_max_are_the_extremes_that_the_graph_gives(recognizer, tensors, tmp_path):
    from x3ddeploy.runtimes.registry import open_session

    calibration, _ = calibrate(recognizer, tensors, tmp_path)
    source = RandomClips(clip_inputs(PRESETS["tiny"]), CLIPS, 0)
    inner = tuple(name for name in tensors if name not in ("imgs", "heatmap_imgs"))
    session = open_session("onnxruntime", recognizer.SerializeToString(), outputs=inner)
    highest = dict.fromkeys(inner, 0.0)
    for index in range(CLIPS):
        values = session.run(source.load(index).inputs)
        highest = {name: max(highest[name], float(values[name].max())) for name in inner}
    for name in inner:
        assert calibration.tensors[name].high == pytest.approx(highest[name], rel=1e-5)


def test_an_interrupted_calibration_goes_on_and_gives_the_same(recognizer, tensors, tmp_path):
    whole, _ = calibrate(recognizer, tensors, tmp_path / "whole")

    def interrupt(done, total):
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(recognizer, tensors, tmp_path / "cut", on_clip=interrupt)
    counted = []
    resumed, said = calibrate(recognizer, tensors, tmp_path / "cut", on_clip=lambda done, total: counted.append(done))
    assert counted[0] == 14
    assert any("after 13 clips" in line for line in said)
    assert resumed == whole
    assert [file.suffix for file in (tmp_path / "cut").iterdir()] == [".json"]


def test_a_clip_that_is_cut_short_is_not_counted_by_half(recognizer, tensors, tmp_path, monkeypatch):
    whole, _ = calibrate(recognizer, tensors, tmp_path / "whole")
    added, add = [], Histogram.add

    def interrupted(histogram, values):
        added.append(histogram)
        if len(added) == 5 * len(tensors) - 1:  # of the fifth clip one tensor is counted after this one
            raise KeyboardInterrupt
        add(histogram, values)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Histogram, "add", interrupted)
        calibrate(recognizer, tensors, tmp_path / "cut")
    resumed, said = calibrate(recognizer, tensors, tmp_path / "cut")
    assert any("after 4 clips" in line for line in said)
    assert resumed == whole


def test_a_second_calibration_of_the_same_reads_the_cache(recognizer, tensors, tmp_path):
    first, _ = calibrate(recognizer, tensors, tmp_path)
    (file,) = tmp_path.glob("*.json")
    of_its_type("calibration", file.read_text())
    counted = []
    second, said = calibrate(recognizer, tensors, tmp_path, on_clip=lambda done, total: counted.append(done))
    assert second == first
    assert counted == []
    assert "ranges are those of" in said[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"graph_sha256": "b" * 64}, "graph_sha256"),
        ({"method": "mse"}, "method"),
        ({"clips": ("other",)}, "clips"),
        ({"data": {"kind": "annotations"}}, "data"),
        ({"versions": {"x3ddeploy": "2"}}, "versions"),
        ({"target": "openvino"}, "target"),
    ],
)
def test_a_foreign_or_stale_cache_is_refused_and_says_what_differs(recognizer, tensors, tmp_path, change, named):
    calibrate(recognizer, tensors, tmp_path)
    (file,) = tmp_path.glob("*.json")
    with pytest.raises(BundleError, match=named):
        read_calibration(file, key_of(**change))


def test_a_damaged_cache_is_refused(recognizer, tensors, tmp_path):
    calibrate(recognizer, tensors, tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(BundleError, match="cannot read the calibration"):
        read_calibration(file, key_of())


def test_a_damaged_partial_state_is_refused_by_name(recognizer, tensors, tmp_path):
    partial = tmp_path / f"{key_of().digest()}.partial.npz"
    partial.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match=r"partial\.npz"):
        calibrate(recognizer, tensors, tmp_path)


def test_a_partial_state_with_a_wrong_byte_anywhere_is_refused(tmp_path):
    counts = np.random.default_rng(0).integers(0, 9, (1, 200))
    about = json.dumps({"key": "key", "clips": ["a"], "tensors": {"x": [1.0, 0.0, 1.0, 0, 200]}}).encode()
    file = tmp_path / "state.npz"
    np.savez_compressed(file, about=np.frombuffer(about, np.uint8), counts=counts)
    content = file.read_bytes()
    assert TensorHistograms.load(file, "key").clips == ["a"]
    for place in range(0, len(content), 23):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with contextlib.suppress(DataError):  # some bytes say nothing: times, attributes
            assert TensorHistograms.load(file, "key").histograms["x"].counts.tolist() == counts[0].tolist()


def test_a_clip_that_is_not_finite_is_named(recognizer, tensors, tmp_path):
    class Broken(RandomClips):
        def load(self, index):
            clip = super().load(index)
            if index == 3:
                clip.inputs["imgs"][0, 0, 0, 0, 0] = np.nan
            return clip

    with pytest.raises(DataError, match="random3"):
        calibrate(recognizer, tensors, tmp_path, source=Broken(clip_inputs(PRESETS["tiny"]), CLIPS, 0))


def test_runs_are_grouped_so_that_none_holds_more_than_the_limit(recognizer, tensors):
    sizes = tensor_sizes(recognizer)
    limit = 4 * max(sizes[name] for name in tensors) + 1
    plan = plan_runs(recognizer, tensors, limit)
    assert len(plan.groups) > 2
    assert sorted(name for group in plan.groups for name in group) == sorted(tensors)
    inputs = {"imgs", "heatmap_imgs"}
    for group in plan.groups:
        assert sum(4 * sizes[name] for name in group if name not in inputs) <= limit


def test_grouped_runs_count_the_same(recognizer, tensors, tmp_path, monkeypatch):
    whole, _ = calibrate(recognizer, tensors, tmp_path / "whole")
    plan = plan_runs(recognizer, tensors, limit_bytes=1 << 16)
    assert len(plan.groups) > 3
    monkeypatch.setattr("x3ddeploy.calibration.run.plan_runs", lambda model, names: plan)
    grouped, _ = calibrate(recognizer, tensors, tmp_path / "grouped")
    # An output more or less changes what a runtime fuses, and with it the last bits.
    for name, tensor in whole.tensors.items():
        assert grouped.tensors[name].high == pytest.approx(tensor.high, rel=1e-4, abs=1e-6)
