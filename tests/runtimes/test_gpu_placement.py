"""ONNX Runtime on a GPU: what it leaves to the CPU, and whether its float32 is float32."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from x3ddeploy.doctor.probes import TINY_MODEL
from x3ddeploy.runtimes.base import FallbackError

onnxruntime = pytest.importorskip("onnxruntime")
gpu = pytest.importorskip("x3ddeploy.runtimes.onnxruntime_session")

RECORDED = "session.record_ep_graph_assignment_info"


@pytest.mark.skipif(not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"), reason="too old")
def test_nodes_on_the_cpu_are_listed_by_a_session_that_records_them():
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(RECORDED, "1")
    session = onnxruntime.InferenceSession(TINY_MODEL, options, providers=["CPUExecutionProvider"])
    assert gpu.nodes_on_cpu(session) == [("", "Conv")]


def test_shape_nodes_compute_nothing():
    shapes = [("a", "Shape"), ("b", "Gather"), ("c", "Concat"), ("d", "Unsqueeze"), ("e", "Cast")]
    assert gpu.computing_nodes(shapes) == []
    assert gpu.computing_nodes([*shapes, ("conv1", "FusedConv"), ("", "Gemm")]) == [
        "conv1 (FusedConv)",
        "a node (Gemm)",
    ]


@pytest.fixture
def played(monkeypatch):
    """A build of ONNX Runtime with CUDA and TensorRT: gives what its sessions were asked, and what is on the CPU."""
    told: dict[str, Any] = {"cpu": []}

    class Session:
        def __init__(self, model, options, providers):
            told["providers"], told["override"] = dict(providers), os.environ.get("NVIDIA_TF32_OVERRIDE")
            told["recorded"] = options.get_session_config_entry(RECORDED)
            self.get_providers = lambda: [*told["providers"], "CPUExecutionProvider"]

        def disable_fallback(self):
            pass

        def get_provider_graph_assignment_info(self):
            nodes = [SimpleNamespace(name=name, op_type=kind) for name, kind in told["cpu"]]
            return [SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes)]

        def get_inputs(self):
            return []

        get_outputs = get_inputs

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return told


def test_shape_nodes_on_the_cpu_are_listed_and_a_convolution_there_is_refused(played):
    played["cpu"] = [("shape", "Shape")]
    session = gpu.OnnxRuntimeSession(TINY_MODEL, "cuda", None)
    assert (session.cpu_nodes, session.device, played["recorded"]) == ([("shape", "Shape")], "cuda:0", "1")
    played["cpu"].append(("conv1", "Conv"))
    with pytest.raises(FallbackError, match=r"leave nodes to the CPU: conv1 \(Conv\)"):
        gpu.OnnxRuntimeSession(TINY_MODEL, "cuda", None)


@pytest.mark.parametrize("before", [None, "1"])
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_float32_is_not_tf32_unless_that_was_asked_for(played, device, before, monkeypatch):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    if before:
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", before)
    gpu.OnnxRuntimeSession(TINY_MODEL, device, None)
    assert played["providers"]["CUDAExecutionProvider"]["use_tf32"] == "0"
    assert played["override"] == "0"
    assert os.environ.get("NVIDIA_TF32_OVERRIDE") == before
    gpu.open_tf32(TINY_MODEL, device)
    assert "use_tf32" not in played["providers"]["CUDAExecutionProvider"]
    assert played["override"] == before
