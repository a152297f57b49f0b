"""Engines beside PyTorch: what is gated, by how much, and what is said where something cannot be compared."""

import builtins
import shutil
from dataclasses import replace
from typing import cast

import numpy as np
import onnx
import pytest
from support.engine_graphs import graphs, inputs
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import SHAPES, Module

from x3ddeploy.bundle import MANIFEST, Bundle, PrecisionEntry, Spread, seal
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.engines.bisect import blocks_of, first_wrong_block, up_to
from x3ddeploy.engines.check import CheckRequest, CheckResult, _flips, _Tolerances, compare_session
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.runtimes.tensorrt_session import session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.trt import TensorRT
from x3ddeploy.terms import Precision

OUTPUTS = ("rgb_logits", "pose_logits", "rgb_coarse_logits", "pose_coarse_logits", "scores")


@pytest.fixture(scope="module")
def lower(bundle, tmp_path_factory):
    """A bundle whose lower precisions give the very outputs of float32: what is tested is the gate."""
    path = shutil.copytree(bundle, tmp_path_factory.mktemp("lower") / "deploy")
    golden = load_golden(Bundle.open(path))
    for precision in ("fp16", "int8"):
        (path / "golden" / precision).mkdir()
        for name in ("rgb_feat", "pose_feat", *OUTPUTS):
            np.save(path / "golden" / precision / f"{name}.npy", golden[name])
    manifest = Bundle.open(path).manifest
    (path / MANIFEST).unlink()
    seal(path, manifest)
    return path


def held_to(rounding=0.0):
    """A manifest whose lower precisions have this rounding, in each measure."""
    spread = Spread(rounding, rounding, rounding)
    entry = PrecisionEntry(None, False, {}, None, {}, {f"recognizer -> {name}": spread for name in OUTPUTS})
    return lambda manifest: replace(manifest, precisions={"fp16": entry, "int8": entry})


def result_of(bundle, part="recognizer", precision="fp32", error=0.0, largest=4, manifest=None, gain=1.0):
    """Build the bundle's float32 graph with the fake, add an error to what it gives, and compare."""
    opened = Bundle.open(bundle)
    cuda = FakeCuda()
    module = Module(SHAPES["11"], cuda)
    module.error, module.gain = error, gain
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: None)
    options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, largest))
    plan, _ = tensorrt.parse(opened.part_path(part).read_bytes()).build(options, None, lambda text: None)
    wanted = CheckRequest(str(bundle), part, (("",),), Precision(precision), options.batches, Flavour.TENSORRT)
    opened = Bundle(opened.path, (manifest or held_to())(opened.manifest))
    return compare_session(opened, wanted, session_of_plans(cast(Cuda, cuda), tensorrt, [[plan]]))


@pytest.mark.parametrize("part", ["rgb_backbone", "pose_backbone", "head", "recognizer"])
def test_a_right_engine_passes_on_golden_random_and_impulse_clips(bundle, part):
    result = result_of(bundle, part)
    result.raise_for_failures(part)
    cases = {row.case for row in result.rows}
    assert {"golden clip", "golden clip, recorded", "golden clip, replayed", "clips, replayed"} <= cases
    assert any(case.startswith("impulse in the last frame") for case in cases)
    assert {row.batch for row in result.rows} == {1, 3}


def test_cases_beyond_the_profile_are_left_out(bundle):
    assert {row.batch for row in result_of(bundle, largest=2).rows} == {1}


def golden_rows(result):
    return [row for row in result.rows if row.case.startswith("golden clip")]


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize(
    ("precision", "rounding", "most"),
    [("fp32", 0.0, 1e-4), ("fp16", 0.0, 5e-3), ("fp16", 0.01, 0.02), ("int8", 0.0, 5e-3), ("int8", 0.01, 0.02)],
)
def test_each_precision_is_held_to_its_tolerance(lower, precision, rounding, most, passes):
    def worst(result):
        measures = ("relative",) if precision == "fp32" else ("relative", "rms", "channels")
        return max(getattr(row.difference, name) for row in golden_rows(result) for name in measures)

    scale = worst(result_of(lower, precision=precision, error=0.01)) / 0.01
    error = most / scale * (0.98 if passes else 1.02)
    result = result_of(lower, precision=precision, error=error, manifest=held_to(rounding))
    assert all(row.passed for row in golden_rows(result)) == passes
    if not passes:
        with pytest.raises(GateError, match="comparisons with golden outputs and PyTorch fail") as failure:
            result.raise_for_failures("recognizer")
        assert failure.value.exit_code == 3


def test_fp16_logits_are_held_closer_than_the_rest_off_the_golden_clip(lower):
    result = result_of(lower, precision="fp16", error=7e-3, manifest=held_to(0.1))
    assert {row.output.rpartition("_")[2] for row in result.failures} == {"logits"}


@pytest.mark.parametrize("passes", [True, False])
def test_fp16_features_are_held_to_one_percent_off_the_golden_clip(lower, passes):
    entry = PrecisionEntry(None, False, {}, None, {}, {"rgb_backbone -> rgb_feat": Spread(0.1, 0.1, 0.1)})

    def rows(error):
        changed = result_of(
            lower,
            "rgb_backbone",
            "fp16",
            error,
            manifest=lambda manifest: replace(manifest, precisions={"fp16": entry}),
        )
        return [row for row in changed.rows if not row.case.startswith("golden clip")]

    scale = max(row.difference.relative for row in rows(1e-3)) / 1e-3
    assert all(row.passed for row in rows(1e-2 / scale * (0.98 if passes else 1.02))) is passes


def test_off_the_golden_clip_each_precision_has_its_own_tolerance_and_margin(lower):
    """The numbers written out: eight times FP16's for BF16; for INT8 twice its golden error and half a percent."""
    opened, golden_error = Bundle.open(lower), {"recognizer -> rgb_logits": 0.1}
    entry = PrecisionEntry(None, False, {}, None, golden_error, {"recognizer -> scores": Spread(0, 0, 0)})
    manifest = replace(opened.manifest, precisions=dict.fromkeys(("fp16", "bf16", "int8"), entry))
    expected = np.array([[4.0, 1.0]], np.float32)

    def row(precision, output):
        batches, flavour = Batches(1, 1, 1), Flavour.TENSORRT
        wanted = CheckRequest(str(lower), "recognizer", (), Precision(precision), batches, flavour)
        return _Tolerances(Bundle(lower, manifest), wanted)._row("session", "random", 1, output, expected, expected)

    assert row("bf16", "rgb_logits").tolerance == pytest.approx(0.04)
    assert row("bf16", "scores").tolerance == pytest.approx(0.08)
    assert row("fp16", "rgb_logits").margin == pytest.approx(2 * 5e-3 * 4)
    assert row("bf16", "rgb_logits").margin == pytest.approx(2 * 0.04 * 4)
    assert row("int8", "rgb_logits").margin == pytest.approx(2 * (2 * 0.1 + 5e-3) * 4)


def test_nan_fails_whatever_the_precision(lower):
    for precision in ("fp32", "fp16", "int8"):
        result = result_of(lower, precision=precision, error=float("nan"))
        assert len(result.failures) == len(result.rows)
        assert "NaN or infinity" in result.failures[0].describe()


def test_int8_is_held_to_what_its_own_graph_gave_on_the_golden_clip(lower):
    lenient = result_of(lower, precision="int8", error=0.02, manifest=held_to(0.05))
    strict = result_of(lower, precision="int8", error=0.02, manifest=held_to(0.005))
    assert all(row.passed for row in golden_rows(lenient))
    assert {row.case.partition(",")[0] for row in strict.failures if row.tolerance} == {"golden clip"}


@pytest.mark.parametrize("gain", [0.0, -1.0, 0.9])
def test_an_int8_feature_of_zeros_or_of_another_size_fails(lower, gain):
    """Beside PyTorch, what INT8 costs a full-size feature is more than its range: there zeros would pass."""
    spread = Spread(0.02, 0.02, 0.02)
    entry = PrecisionEntry(
        None, False, {}, None, {"rgb_backbone -> rgb_feat": 0.5}, {"rgb_backbone -> rgb_feat": spread}
    )
    changed = {"manifest": lambda manifest: replace(manifest, precisions={"int8": entry})}
    assert result_of(lower, "rgb_backbone", "int8", **changed).failures == []
    failures = result_of(lower, "rgb_backbone", "int8", gain=gain, **changed).failures
    assert {row.case.partition(",")[0] for row in failures} == {"golden clip"}


def test_a_bundle_without_golden_outputs_of_its_precision_is_refused(lower):
    with pytest.raises(BundleError, match="no golden outputs of its own int8 graphs"):
        result_of(lower, precision="int8", manifest=lambda manifest: replace(manifest, precisions={}))


def test_no_comparison_is_no_proof():
    with pytest.raises(GateError, match="nothing was compared"):
        CheckResult((), ()).raise_for_failures("recognizer")


def test_a_flip_counts_where_the_reference_was_clear():
    reference = np.array([[1.0, 0.0], [1.0, 0.99], [0.0, 1.0]])
    actual = np.array([[0.0, 1.0], [0.99, 1.0], [0.0, 1.0]])
    assert _flips(reference, actual, 0.05) == 1
    assert _flips(reference, actual, 0.001) == 2
    assert _flips(reference[:, :1], actual[:, :1], 0.0) == 0


def test_without_pytorch_the_golden_clip_is_compared_and_the_rest_is_said(bundle, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "x3ddeploy.parity.compare":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    result = result_of(bundle)
    assert {row.case.partition(",")[0] for row in result.rows} == {"golden clip"}
    assert result.notes == ("random clips and impulses were not compared: No module named 'torch'",)


# --- bisection -------------------------------------------------------------------------------------------------------


def runs(counted, wrong=""):
    """Run graphs in ONNX Runtime, with an error from the block `wrong` on."""

    def run(graph, feeds):
        counted.append(graph.graph.output[0].name)
        (output,) = open_session("onnxruntime", graph.SerializeToString()).run(feeds).values()
        holds = wrong and any(node.name.startswith(f"{wrong}/") for node in graph.graph.node)
        return output + 1 if holds else output

    return run


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    "wrong", ["rgb_backbone/conv1_s", "rgb_backbone/layer2.1", "pose_backbone/layer1.0", "pose_backbone/conv5"]
)
def test_the_first_wrong_block_is_found(precision, wrong):
    counted: list[str] = []
    graph, reference = graphs(precision)["recognizer"], graphs("fp32")["recognizer"]
    assert first_wrong_block(graph, reference, inputs("recognizer", 1), runs(counted, wrong), 2e-2) == wrong
    assert len(counted) <= 2 + 4  # one a stream, then halving 7 blocks
    assert len(blocks_of(graph)) == 13


def test_where_every_block_is_right_none_is_named():
    counted: list[str] = []
    graph = graphs("fp16")["recognizer"]
    assert first_wrong_block(graph, graphs("fp32")["recognizer"], inputs("recognizer", 1), runs(counted), 2e-2) is None
    assert len(counted) == 2


def test_a_network_up_to_a_block_has_that_output_alone_in_float32():
    part = up_to(graphs("fp16")["recognizer"], "pose_backbone/layer1.0/Relu")
    onnx.checker.check_model(part, full_check=True)
    assert [value.name for value in part.graph.input] == ["heatmap_imgs"]
    assert len(part.graph.output) == 1
    assert part.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
