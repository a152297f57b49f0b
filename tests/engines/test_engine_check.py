"""Engines beside PyTorch: what is gated, by how much, and what is said where something cannot be compared."""

import builtins
from dataclasses import replace

import numpy as np
import onnx
import pytest
from engine_graphs import graphs, inputs
from fake_cuda import FakeCuda
from fake_tensorrt import SHAPES, Module

from x3ddeploy.bundle import Bundle, Precision
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, EnginePrecision, Flavour
from x3ddeploy.engines.bisect import block_outputs, first_wrong_block, up_to
from x3ddeploy.engines.check import CheckRequest, _flips, compare_session
from x3ddeploy.engines.trt import TensorRT
from x3ddeploy.errors import GateError
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.runtimes.tensorrt_session import session_of_plans


def result_of(bundle, part="recognizer", precision="fp32", error=0.0, largest=4, manifest=None):
    """Build the bundle's float32 graph with the fake, add an error to what it gives, and compare."""
    opened = Bundle.open(bundle)
    cuda = FakeCuda()
    module = Module(SHAPES["11"], cuda)
    module.error = error
    tensorrt = TensorRT(module, Flavour.TENSORRT, lambda severity, text: None)
    options = BuildOptions(Flavour.TENSORRT, EnginePrecision.FP32, Batches(1, 1, largest))
    plan, _ = tensorrt.parse(opened.part_path(part).read_bytes()).build(options, None, lambda text: None)
    wanted = CheckRequest(str(bundle), part, (("",),), EnginePrecision(precision), options.batches, Flavour.TENSORRT)
    if manifest:
        opened = Bundle(opened.path, manifest(opened.manifest))
    return compare_session(opened, wanted, session_of_plans(cuda, tensorrt, [[plan]]))


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


@pytest.mark.parametrize(
    ("precision", "error", "passes"),
    [("fp32", 5e-5, True), ("fp32", 5e-4, False), ("fp16", 4e-3, True), ("fp16", 2e-2, False)],
)
def test_each_precision_is_held_to_its_tolerance(bundle, precision, error, passes):
    result = result_of(bundle, precision=precision, error=error)
    assert bool(result.failures) != passes
    if not passes:
        with pytest.raises(GateError, match="comparisons with PyTorch fail") as failure:
            result.raise_for_failures("recognizer")
        assert failure.value.exit_code == 3


def test_fp16_logits_are_held_closer_than_the_rest(bundle):
    result = result_of(bundle, precision="fp16", error=7e-3)
    assert {row.output.rpartition("_")[2] for row in result.failures} == {"logits"}


def test_nan_fails_whatever_the_precision(bundle):
    for precision in ("fp32", "fp16", "int8"):
        result = result_of(bundle, precision=precision, error=float("nan"))
        assert len(result.failures) == len(result.rows)
        assert "NaN or infinity" in result.failures[0].describe()


def test_int8_is_held_to_what_its_graph_does_on_the_golden_clip(bundle):
    def with_error(error):
        entry = Precision(None, False, {}, None, {f"recognizer -> {name}": error for name in OUTPUTS})
        return lambda manifest: replace(manifest, precisions={"int8": entry})

    lenient = result_of(bundle, precision="int8", error=0.05, manifest=with_error(0.05))
    strict = result_of(bundle, precision="int8", error=0.05, manifest=with_error(0.01))
    assert lenient.failures == []
    assert {row.case.partition(",")[0] for row in strict.failures if row.tolerance} == {"golden clip"}


OUTPUTS = ("rgb_logits", "pose_logits", "rgb_coarse_logits", "pose_coarse_logits", "scores")


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
    counted = []
    graph, reference = graphs(precision)["recognizer"], graphs("fp32")["recognizer"]
    assert first_wrong_block(graph, reference, inputs("recognizer", 1), runs(counted, wrong), 2e-2) == wrong
    assert len(counted) <= 2 + 4  # one a stream, then halving 7 blocks
    assert len(block_outputs(graph)) == 13


def test_where_every_block_is_right_none_is_named():
    counted = []
    graph = graphs("fp16")["recognizer"]
    assert first_wrong_block(graph, graphs("fp32")["recognizer"], inputs("recognizer", 1), runs(counted), 2e-2) is None
    assert len(counted) == 2


def test_a_network_up_to_a_block_has_that_output_alone_in_float32():
    part = up_to(graphs("fp16")["recognizer"], "pose_backbone/layer1.0/Relu")
    onnx.checker.check_model(part, full_check=True)
    assert [value.name for value in part.graph.input] == ["heatmap_imgs"]
    assert len(part.graph.output) == 1
    assert part.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
