"""A bfloat16-typed graph is computed in bfloat16 where the processor has it, and nothing else is."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.present import present

from x3ddeploy.precision.half import to_half
from x3ddeploy.terms import Precision
from x3ddeploy.timing.convolutions import convolutions_in

pytestmark = pytest.mark.openvino
CHANNELS = 32


@pytest.fixture(scope="module")
def graphs():
    """Two convolutions, in float32 and bfloat16-typed."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.normal(0, 0.1, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32), f"w{index}")
        for index in range(2)
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="first", pads=[1] * 4),
        helper.make_node("Conv", ["a", "w1"], ["y"], name="second", pads=[1] * 4),
    ]
    shape = helper.make_tensor_type_proto(TensorProto.FLOAT, (1, CHANNELS, 16, 16))
    x, y = (helper.make_value_info(name, shape) for name in "xy")
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_graph(nodes, "two", [x], [y], weights)
    model = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opset, ir_version=8))
    return {"fp32": model, "bf16": to_half(model, Precision.BF16, ())}


def test_convolutions_run_in_what_the_graph_says(graphs):
    from x3ddeploy.runtimes.openvino_session import computes_bfloat16

    expected = 2 if computes_bfloat16() else 0
    assert present(convolutions_in("openvino", graphs["bf16"])).bf16 == expected
    assert present(convolutions_in("openvino", graphs["fp32"])).bf16 == 0


def test_a_processor_without_it_is_said_and_values_are_those_of_bfloat16(graphs, monkeypatch):
    from x3ddeploy.runtimes import openvino_session
    from x3ddeploy.runtimes.registry import open_session

    clip = {"x": np.random.default_rng(1).normal(0, 1, (1, CHANNELS, 16, 16)).astype(np.float32)}
    exact = open_session("openvino", graphs["fp32"].SerializeToString())
    monkeypatch.setattr(openvino_session, "computes_bfloat16", lambda device="CPU": False)
    half = open_session("openvino", graphs["bf16"].SerializeToString())
    assert "computes no bfloat16" in half.notes[0]
    assert exact.notes == ()
    wanted = exact.run(clip)["y"]
    assert 1e-4 < np.abs(half.run(clip)["y"] - wanted).max() / np.abs(wanted).max() < 3e-2
