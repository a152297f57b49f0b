"""Multiply-adds are those of every product, whether its factors are weights or computed."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from x3ddeploy.graphs.work import multiply_adds


def test_products_of_computed_tensors_count_as_attention_and_adaptive_graphs_have_them():
    weight = numpy_helper.from_array(np.zeros((6, 4), np.float32), "weight")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["keys"], "by_weight"),  # (N, 5, 6) x (6, 4)
        helper.make_node("Transpose", ["keys"], ["values"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["keys", "values"], ["y"], "by_each_other"),  # (N, 5, 4) x (N, 4, 5)
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 5, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5, 5])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert multiply_adds(model) == {"by_weight": 5 * 6 * 4, "by_each_other": 5 * 4 * 5}
