"""Small scales in float16 leave a convolution's bias what it is."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.runtimes.onnxruntime_session import OnnxRuntimeSession


def test_a_bias_behind_small_scales_is_kept():
    constants = {
        "x_scale": np.float16(0.01), "w_scale": np.full(1, 1e-4, np.float16), "bias": np.full(1, 0.5, np.float16),
        "weight": np.full((1, 1, 1, 1), 100, np.int8), "x_zero": np.int8(0), "w_zero": np.zeros(1, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("QuantizeLinear", ["half", "x_scale", "x_zero"], ["x_int8"]),
        helper.make_node("DequantizeLinear", ["x_int8", "x_scale", "x_zero"], ["x_back"]),
        helper.make_node("DequantizeLinear", ["weight", "w_scale", "w_zero"], ["w_back"], axis=0),
        helper.make_node("Conv", ["x_back", "w_back", "bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y_half"]),
        helper.make_node("QuantizeLinear", ["y_half", "x_scale", "x_zero"], ["y_int8"]),
        helper.make_node("DequantizeLinear", ["y_int8", "x_scale", "x_zero"], ["y_back"]),
        helper.make_node("Cast", ["y_back"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, 1, 2))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    session = OnnxRuntimeSession(model.SerializeToString(), "cpu", 1)
    y = session.run({"x": np.array([[[[0, 1]]]], np.float32)})["y"]
    np.testing.assert_allclose(y.ravel(), [0.5, 0.51], atol=2e-3)
