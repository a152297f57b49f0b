"""Every number that decides whether something passes, just within and just beyond; the numbers stand here again.

Those of parity, of engines and of a precision's accuracy have tests of their own (tests/parity/test_gates.py,
tests/engines/test_engine_check.py, tests/precision/test_accuracy.py).
"""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.action_data import annotation, moving_picture, write_annotations, write_video
from support.fake_nvdec import Module

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.limits import beyond_limits
from x3ddeploy.bundle.manifest import FileEntry, Preprocessing
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.cli.failures import exit_code_of
from x3ddeploy.cli.main import main
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.decoders import frames_of
from x3ddeploy.data.people import check_keypoints, check_size
from x3ddeploy.errors import DataError, X3DDeployError
from x3ddeploy.precision.accuracy import StreamAccuracy
from x3ddeploy.precision.faithful import within_a_step
from x3ddeploy.precision.golden import with_golden
from x3ddeploy.precision.half import FLOAT16_MAX, FLOAT16_TINY, to_half
from x3ddeploy.precision.scan import overflowing_nodes
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Decoder, Precision
from x3ddeploy.timing.measure import is_stable


def report(path, median_ms):
    samples = (median_ms + 1e-3 * np.random.default_rng(0).standard_normal(40)).tolist()
    row = {"name": "onnxruntime/fp32", "scope": "compute", "precision": "fp32", "batch": 1}
    row |= {"shapes": {"imgs": [1, 3, 16, 224, 224]}, "samples_ms": samples}
    about = {"schema_version": 2, "machine": {"cpu": "a processor", "gpu": None}, "threads": 2, "ceilings": []}
    path.write_text(json.dumps({**about, "competitors": [row]}))
    return path


@pytest.mark.parametrize(("after_ms", "code"), [(104.9, 0), (105.1, 3)])
def test_a_median_may_grow_by_five_percent(tmp_path, capsys, after_ms, code):
    before, after = report(tmp_path / "a.json", 100), report(tmp_path / "b.json", after_ms)
    assert exit_code_of(main, ["bench", "--compare", str(before), str(after)]) == code
    (change,) = x3ddeploy.compare_benchmarks(before, after).changes
    assert change.verdict == ("slower" if code else "same")


@pytest.mark.parametrize(("after", "passes"), [(79.51, True), (79.49, False)])
def test_half_a_point_of_top1_may_be_lost(after, passes):
    found = StreamAccuracy(1.0, 80.0, after, {}, ())
    assert (found.failures("rgb", Recipe().max_drop) == []) is passes


@pytest.mark.parametrize(("beyond", "passes"), [(0.8e-5, True), (1.2e-5, False)])
def test_a_stored_weight_is_within_half_a_step_of_float32s(beyond, passes):
    for step in (1.0, 0.01):
        want = np.array([10.5 - 0.5 * beyond, -0.5 * (1 + beyond)]) * step
        assert within_a_step(np.array([10, 0], np.int8), want, np.array(step)) is passes


def model_of(node, *constants, size=1):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", values[:1], values[1:], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("precision", "bits"), [("fp16", 11), ("bf16", 8), ("int8", 11)])
def test_rounding_is_measured_by_half_a_unit_in_the_last_place(precision, bits):
    graph = model_of(helper.make_node("Identity", ["x"], ["y"], name="same"), size=1000)
    clip = {"x": np.ones((1, 1000), np.float32)}
    made = with_golden({"recognizer": graph}, precision, Execution("onnxruntime", "cpu", Precision.FP32), clip)
    assert made.rounding["recognizer -> y"].relative == pytest.approx(2.0**-bits, rel=0.01)


@pytest.mark.parametrize(("reached", "found"), [(8187.0, False), (8189.0, True)])
def test_an_eighth_of_float16s_end_stays_float32(reached, found):
    graph = model_of(helper.make_node("Mul", ["x", "x"], ["y"], name="square"))
    assert bool(overflowing_nodes(graph, [{"x": np.full((1, 1), math.sqrt(reached), np.float32)}])) is found


@pytest.mark.parametrize(("value", "passes"), [(65504.0, True), (65536.0, False)])
def test_a_weight_is_within_float16(value, passes):
    constant = numpy_helper.from_array(np.array([value], np.float32), "weight")
    graph = model_of(helper.make_node("Add", ["x", "weight"], ["y"], name="add"), constant)
    if passes:
        assert onnx.checker.check_model(to_half(graph, Precision.FP16, ())) is None
    else:
        with pytest.raises(X3DDeployError, match="beyond float16"):
            to_half(graph, Precision.FP16, ())
    assert (np.finfo(np.float16).max, np.finfo(np.float16).tiny) == (FLOAT16_MAX, FLOAT16_TINY)


@pytest.mark.parametrize(("cv", "stable"), [(0.0199, True), (0.0201, False)])
def test_medians_that_scatter_by_two_percent_are_stable(cv, stable):
    apart = cv * math.sqrt(1.5)
    assert is_stable([*5 * [1 - apart], *5 * [1.0], *5 * [1 + apart]]) is stable


@pytest.mark.parametrize(("levels", "passes"), [(15, True), (17, False)])
def test_another_decoders_frame_is_within_16_levels_of_ffmpegs(tmp_path, monkeypatch, levels, passes):
    nvdec = Module()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", nvdec)
    nvdec.change = lambda picture: np.where(picture < 128, picture + levels, picture - levels)
    read = frames_of(Decoder.NVDEC, write_video(tmp_path / "a.mp4", moving_picture(2)))
    if passes:
        assert len([*read([0])]) == 1
    else:
        with pytest.raises(DataError, match="otherwise than FFmpeg"):
            [*read([0])]


@pytest.mark.parametrize(("empty", "told"), [(6, False), (7, True)])
def test_nobody_in_more_than_half_of_the_frames_is_told(tmp_path, empty, told):
    entry = annotation("a", frames=12)
    entry["keypoint"][:, :empty] = 0
    found = x3ddeploy.check_data(write_annotations(tmp_path / "a.pkl", [entry], {"s": ["a"]})).findings
    assert ("nobody in most frames" in [finding.what for finding in found]) is told


def one_person(places, scores, size=(96, 128)):
    return Annotation("clip", 0, size, 1, np.float32(places)[None, None], np.float32(scores)[None, None])


TEN = [[30.0 + joint, 40.0] for joint in range(10)]
BESIDE = [[-500.0, 40.0]]
PEOPLE = {
    "a score of 1.5": (one_person(TEN, [1.5, *9 * [1]]), True),
    "a score over 1.5": (one_person(TEN, [1.51, *9 * [1]]), False),
    "a score of -0.5": (one_person(TEN, [-0.5, *9 * [1]]), True),
    "a score under -0.5": (one_person(TEN, [-0.51, *9 * [1]]), False),
    "all in the first pixel and a half": (one_person([[0.3, 1.49]], [1]), False),
    "beyond the first pixel and a half": (one_person([[0.3, 1.51]], [1]), True),
    "a picture of four pixels": (one_person([[0.3, 1.4]], [1], (4, 4)), False),
    "a picture of three pixels": (one_person([[0.3, 1.4]], [1], (3, 3)), True),
    "half outside": (one_person([*5 * BESIDE, *TEN[:5]], 10 * [1]), True),
    "more than half outside": (one_person([*5 * BESIDE, *TEN[:5]], [*5 * [1], *4 * [1], 0.9]), False),
}


@pytest.mark.parametrize("case", PEOPLE)
def test_what_may_be_a_skeleton(case):
    sample, passes = PEOPLE[case]
    if passes:
        check_keypoints(sample, None)
    else:
        with pytest.raises(DataError):
            check_keypoints(sample, None)


@pytest.mark.parametrize(("annotated", "passes"), [((1359, 1000), False), ((1361, 1000), True)])
def test_a_turned_picture_is_one_whose_sides_fit_to_two_percent(annotated, passes):
    if passes:
        check_size("clip", annotated, (96, 128))
    else:
        with pytest.raises(DataError):
            check_size("clip", annotated, (96, 128))


def test_a_picture_that_is_square_to_two_percent_is_not_turned():
    check_size("clip", (1009, 1000), (1000, 1009))
    with pytest.raises(DataError):
        check_size("clip", (1011, 1000), (1000, 1011))


@pytest.fixture(scope="module")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.mark.parametrize(("size", "problems"), [(1 << 42, 0), ((1 << 42) + 1, 1)])
def test_a_file_is_of_at_most_4_tib(manifest, size, problems):
    assert len(beyond_limits(replace(manifest, files={"a": FileEntry("0" * 64, size)}))) == problems


@pytest.mark.parametrize(("size", "problems"), [(1 << 14, 0), ((1 << 14) + 1, 1)])
def test_an_axis_is_of_at_most_16384(manifest, size, problems):
    graphs = {"front": Preprocessing({"frames": ("T", size)}, ("imgs",))}
    assert len(beyond_limits(replace(manifest, preprocessing=graphs))) == problems


@pytest.mark.parametrize(("width", "problems"), [(1024, 0), (1025, 1)])
def test_a_clip_is_of_at_most_8_gib(manifest, width, problems):
    imgs = replace(manifest.inputs["imgs"], shape=("N", 128, 1 << 14, width))
    assert len(beyond_limits(replace(manifest, inputs={**manifest.inputs, "imgs": imgs}))) == problems
