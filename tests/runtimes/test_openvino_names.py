"""OpenVINO's plugin merges layers, and a port then has several names; a session's outputs are the graph's own."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.runtimes.registry import open_session

pytestmark = pytest.mark.openvino
pytest.importorskip("openvino")


def test_an_output_keeps_its_name_where_a_reshape_is_merged_with_what_comes_after():
    constants = {"weight": np.eye(4, dtype=np.float32), "shape": np.array([-1, 8], np.int64)}
    nodes = [
        helper.make_node("Gemm", ["x", "weight"], ["product"]),
        helper.make_node("Reshape", ["product", "shape"], ["a_reshape"]),
        helper.make_node("Relu", ["a_reshape"], ["z_relu"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("z_relu", TensorProto.FLOAT, ["M", 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.arange(-8, 8, dtype=np.float32).reshape(4, 4)
    with open_session("openvino", model.SerializeToString()) as session:
        assert session.outputs == ("z_relu",)
        np.testing.assert_array_equal(session.run({"x": x})["z_relu"], np.maximum(x, 0).reshape(2, 8))
