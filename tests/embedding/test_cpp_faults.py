"""The C++ self-test finds the same single faults as Python's gates, and fails where it cannot compare."""

import json
import shutil

import numpy as np
import onnx
import pytest
from support.cpp_programs import damage_manifest, start
from support.cpp_project import HAS_ONNXRUNTIME
from support.faults.editing import bypass, own_input, set_attribute, swap_inputs
from support.faults.golden_data import LOGITS
from support.faults.scales import LOST_BIASES, WEIGHTS, two_scales_in_a_pair

from x3ddeploy.bundle import Bundle
from x3ddeploy.files import sha256_of
from x3ddeploy.parity.gates import lower_tolerance

pytestmark = pytest.mark.openvino
OUTPUTS = (*LOGITS, "scores")
RUNTIMES = ("onnxruntime", "openvino") if HAS_ONNXRUNTIME else ("openvino",)  # the first one starts faster


@pytest.fixture(scope="module")
def faulty(quantized, tmp_path_factory):
    """Function: the bundle with an edit in the recognizer of one precision, sealed as if it had been made so."""
    copy = shutil.copytree(quantized, tmp_path_factory.mktemp("faulty") / "deploy")
    whole = (copy / "manifest.json").read_text()

    def make(precision, edit):
        (copy / "manifest.json").write_text(whole)
        name = "recognizer.onnx" if precision == "fp32" else f"{precision}/recognizer.onnx"
        graph = onnx.load(quantized / name)
        edit(graph)
        del graph.graph.value_info[:]
        (copy / name).write_bytes(graph.SerializeToString())
        entry = {"sha256": sha256_of(copy / name), "size_bytes": (copy / name).stat().st_size}
        damage_manifest(copy, lambda manifest: manifest["files"].update({name: entry}))
        return copy

    return make


def outcome(cli, bundle, precision, runtime=RUNTIMES[0]):
    process = start(cli, bundle, "--self-test", "--precision", precision, "--runtime", runtime, "--threads", 1)
    return process.returncode, process.stdout.decode() + process.stderr.decode()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_right_graphs_pass(cli, quantized, precision, runtime):
    code, text = outcome(cli, quantized, precision, runtime)
    assert code == 0, text


# One of squeeze-and-excitation moves the logits by half of what runtimes differ by in INT8. `x3ddeploy verify`, which
# reads the graph, finds it; here the graph's sha256 is what there is.
BELOW_ROUNDING = "rgb_backbone.layer1.0.se_module.fc2: bias lost"


@pytest.mark.parametrize("name", sorted({*LOST_BIASES} - {BELOW_ROUNDING}))
def test_every_lost_bias_of_an_int8_graph_is_found(cli, faulty, name):
    code, text = outcome(cli, faulty("int8", LOST_BIASES[name][1]), "int8")
    assert code == 3, text


SHIFT = "rgb_backbone/layer1.0/shift"
GRAPHS = {
    "bias lost": LOST_BIASES["rgb_backbone.layer1.0.conv1: bias lost"][1],
    "excitation: bias lost": LOST_BIASES["rgb_backbone.layer1.0.se_module.fc2: bias lost"][1],
    "weight flushed": WEIGHTS["largest weight flushed to zero"][1],
    "channels exchanged": WEIGHTS["two output channels exchanged"][1],
    "shift reversed": lambda model: swap_inputs(model, f"{SHIFT}/Concat", 0, 1),
    "shift wraps": lambda model: set_attribute(model, f"{SHIFT}/after_last", mode="edge"),
    "zero frame before": lambda model: own_input(
        model, f"{SHIFT}/after_last", 1, np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64)
    ),
    "swish missing": lambda model: bypass(model, "pose_backbone/layer1.1/swish/Mul"),
    "residual missing": lambda model: bypass(model, "pose_backbone/layer1.1/Add"),
}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_fault_of_the_graph_is_found(cli, faulty, precision, name):
    code, text = outcome(cli, faulty(precision, GRAPHS[name]), precision)
    assert code == 3, text


def test_a_tensor_dequantized_by_anothers_scale_is_found(cli, faulty):
    assert outcome(cli, faulty("int8", two_scales_in_a_pair), "int8")[0] == 3


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_tolerances_are_pythons(cli, quantized, precision):
    process = start(cli, quantized, "--self-test", "--precision", precision, "--json")
    assert process.returncode == 0, process.stderr.decode()
    report = json.loads(process.stdout)
    made = Bundle.open(quantized).manifest.precisions[precision]
    for name in OUTPUTS:
        expected = lower_tolerance(made, f"recognizer -> {name}").relative
        assert report[name]["tolerance"] == pytest.approx(expected, rel=1e-6)
        assert report[name]["passed"]


def golden_file(bundle, precision, name):
    return bundle / "golden" / (f"{name}.npy" if precision == "fp32" else f"{precision}/{name}.npy")


def edit_golden(change):
    def spoil(file):
        np.save(file, change(np.load(file)))

    return spoil


def with_nan(value):
    value[0, 0] = np.nan
    return value


GOLDEN = {
    "zeroed": (edit_golden(np.zeros_like), 3),
    "rolled": (edit_golden(lambda value: np.roll(value, 1, 1)), 3),
    "not finite": (edit_golden(with_nan), 3),
    "another shape": (edit_golden(np.transpose), 1),
    "empty": (edit_golden(lambda value: value[:0]), 1),
    "missing": (lambda file: file.unlink(), 1),
}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("damage", GOLDEN)
def test_golden_outputs_that_are_not_those_fail(cli, quantized, tmp_path, precision, damage):
    copy = shutil.copytree(quantized, tmp_path / "copy")
    spoil, expected = GOLDEN[damage]
    for name in ("pose_coarse_logits", "scores"):
        spoil(golden_file(copy, precision, name))
        code, text = outcome(cli, copy, precision)
        assert code == expected, text


def test_a_nan_does_not_hide_behind_the_value_after_it(cli, faulty):
    def first_class_is_not_a_number(model):
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "cls_head.fc_rgb.bias")
        value = onnx.numpy_helper.to_array(bias).copy()
        value[0] = np.nan
        bias.CopyFrom(onnx.numpy_helper.from_array(value, bias.name))

    assert outcome(cli, faulty("fp32", first_class_is_not_a_number), "fp32")[0] in (1, 3)


@pytest.mark.parametrize("damage", ["no golden clip", "no golden outputs", "no rounding", "rounding of nothing"])
def test_a_self_test_without_something_to_compare_is_an_error(cli, quantized, tmp_path, damage):
    copy = shutil.copytree(quantized, tmp_path / "copy")

    def rounding(manifest):
        return manifest["precisions"]["int8"]["rounding"]

    {
        "no golden clip": lambda: (copy / "golden" / "imgs.npy").unlink(),
        "no golden outputs": lambda: shutil.rmtree(copy / "golden" / "int8"),
        "no rounding": lambda: damage_manifest(copy, lambda manifest: rounding(manifest).clear()),
        "rounding of nothing": lambda: damage_manifest(
            copy, lambda manifest: rounding(manifest).update({"recognizer -> scores": dict.fromkeys(SPREAD, None)})
        ),
    }[damage]()
    code, text = outcome(cli, copy, "int8")
    assert code == 1, text
    assert "error:" in text


SPREAD = ("relative", "rms", "channels")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "x", "1e400"])
def test_a_tolerance_that_is_none_is_refused(cli, bundle, value):
    assert start(cli, bundle, "--self-test", "--tolerance", value).returncode == 2
