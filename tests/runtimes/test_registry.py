"""Runtimes by name: what is chosen for a bundle, what is refused, and what is said of what is not here."""

from dataclasses import replace

import numpy as np
import pytest

from x3ddeploy.bundle import Bundle, EngineEntry
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.errors import BundleError, MissingRequirementError, UsageError, X3DDeployError
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.runtimes.choice import choose
from x3ddeploy.runtimes.registry import (
    REFERENCE,
    RUNTIMES,
    Execution,
    graph_runtimes,
    open_part,
    open_session,
    require,
)
from x3ddeploy.terms import Precision
from x3ddeploy.text import shell_word


@pytest.fixture(scope="module")
def opened(bundle):
    return Bundle.open(bundle)


@pytest.mark.parametrize("name", ["torch", *graph_runtimes()])
def test_every_session_names_its_tensors_and_can_be_closed(opened, name):
    execution = Execution(name, "cpu", Precision.FP32)
    golden = load_golden(opened)
    with open_part(opened, execution, "head") as session:
        part = opened.contract.parts["head"]
        assert tuple(session.inputs) == part.inputs
        assert set(session.outputs) == set(part.outputs)
        assert session.inputs["rgb_feat"] == (None, *golden["rgb_feat"].shape[1:])
        outputs = session.run({name: golden[name] for name in part.inputs})
        np.testing.assert_allclose(outputs["scores"], golden["scores"], atol=1e-5)
    with pytest.raises(AttributeError):
        session.run({name: golden[name] for name in part.inputs})


def test_all_that_is_installed_runs_all_that_the_bundle_has(opened):
    choice = choose(opened)
    assert [execution.runtime for execution in choice.executions] == ["torch", *graph_runtimes()]
    assert choose(opened, ["onnxruntime"], None, ["fp32"]).executions == (
        Execution("onnxruntime", "cpu", Precision.FP32),
    )


def test_bfloat16_runs_where_its_kernels_are(opened):
    half = replace(opened, manifest=replace(opened.manifest, precisions={"bf16": None}))
    choice = choose(half)
    assert Execution("openvino", "cpu", Precision.BF16) in choice.executions
    assert not any(execution.runtime == "torch" and execution.precision == "bf16" for execution in choice.executions)
    assert "onnxruntime bf16: its cpu kernels do not compute in bf16" in choice.left_out


def test_what_is_not_installed_is_told_or_an_error_where_it_was_asked_for(opened, monkeypatch):
    monkeypatch.setitem(RUNTIMES, "openvino", replace(RUNTIMES["openvino"], package="not_installed_anywhere"))
    (told,) = [line for line in choose(opened).left_out if line.startswith("openvino")]
    assert "pip install" in told
    with pytest.raises(MissingRequirementError) as caught:
        choose(opened, ["openvino"])
    assert caught.value.exit_code == 4


def test_a_device_that_is_not_here_is_missing_and_one_that_is_none_is_a_usage_error():
    with pytest.raises(MissingRequirementError, match="CUDAExecutionProvider"):
        require("onnxruntime", "cuda")
    with pytest.raises(MissingRequirementError, match="NPU"):
        require("openvino", "npu")
    with pytest.raises(UsageError, match="no device 'npu'"):
        require("onnxruntime", "npu")
    with pytest.raises(UsageError, match="tensorflow"):
        require("tensorflow")


def test_a_precision_that_the_bundle_lacks_says_how_to_make_it(opened):
    with pytest.raises(BundleError, match="no int8 graph") as caught:
        choose(opened, ["onnxruntime"], None, ["int8"])
    assert f"`x3ddeploy quantize {shell_word(opened.path)} --int8`" in caught.value.hint
    with pytest.raises(UsageError, match="fp12"):
        choose(opened, [], None, ["fp12"])
    with pytest.raises(UsageError, match="float32 only"):
        open_part(opened, Execution("torch", "cpu", Precision.INT8))


def test_engines_take_part_where_the_bundle_has_some_and_need_a_gpu(opened):
    options = BuildOptions(Flavour.RTX, Precision.FP16, Batches(1, 1, 1))
    entry = EngineEntry("head", "0", "1.7", None, ("8.9",), None, options)
    with_engine = replace(opened, manifest=replace(opened.manifest, engines={"engines/x/head.fp16.plan": entry}))
    assert not any("tensorrt" in line for line in choose(opened).left_out)
    assert any(line.startswith("tensorrt-rtx:") for line in choose(with_engine).left_out)
    with pytest.raises(MissingRequirementError, match="NVIDIA"):
        open_part(with_engine, Execution("tensorrt-rtx", "cuda", Precision.FP16))


def test_a_runtime_of_engines_takes_no_graph(opened, monkeypatch):
    monkeypatch.setattr("x3ddeploy.runtimes.tensorrt_engines.require_device", lambda device: None)
    with pytest.raises(UsageError, match="engines"):
        open_session("tensorrt-rtx", opened.part_path("head"))


def test_wrong_names_and_shapes_are_refused_all_at_once(opened):
    with pytest.raises(X3DDeployError) as caught:
        open_part(opened, REFERENCE, "head").run({"rgb_feat": np.zeros((1, 2), np.float32), "other": np.zeros(1)})
    assert len(caught.value.details) == 3
