"""Pose models and detectors that need no training: coloured spots are joints, and persons are where they are told."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = np.array((123.675, 116.28, 103.53)), np.array((58.395, 57.12, 57.375))
HEIGHT, WIDTH = 64, 48


def save(path, nodes, inputs, outputs, constants, opset=17):
    graph = helper.make_graph(
        nodes,
        "pose",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def _spots(joints):
    """1x1 convolution whose channel k is about 1 where the picture shows joint k's colour, of normalised pixels."""
    colours = np.full((3, 3), -1.0) + 2 * np.eye(3)  # R less G and B, ...
    weights = np.stack([colours[joint % 3] * STD / 255 for joint in range(joints)])
    bias = np.array([(colours[joint % 3] * MEAN / 255).sum() for joint in range(joints)])
    return weights.reshape(joints, 3, 1, 1).astype(np.float32), bias.astype(np.float32)


def heatmap_model(path, joints=17, batch="N"):
    """Top-down: (N, 3, 64, 48) to heatmaps (N, K, 32, 24)."""
    weights, bias = _spots(joints)
    nodes = [
        helper.make_node("Conv", ["input", "weights", "bias"], ["colours"]),
        helper.make_node("AveragePool", ["colours"], ["heatmaps"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    return save(path, nodes, {"input": (batch, 3, HEIGHT, WIDTH)}, ["heatmaps"], {"weights": weights, "bias": bias})


def simcc_model(path, joints=17):
    """Top-down: (N, 3, 64, 48) to (N, K, 48) and (N, K, 64), smoothed so that a spot has one peak."""
    weights, bias = _spots(joints)
    nodes = [
        helper.make_node("Conv", ["input", "weights", "bias"], ["colours"]),
        helper.make_node("AveragePool", ["colours"], ["smooth"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        helper.make_node("ReduceMax", ["smooth"], ["simcc_x"], axes=[2], keepdims=0),
        helper.make_node("ReduceMax", ["smooth"], ["simcc_y"], axes=[3], keepdims=0),
    ]
    outputs = ["simcc_x", "simcc_y"]
    return save(path, nodes, {"input": ("N", 3, HEIGHT, WIDTH)}, outputs, {"weights": weights, "bias": bias})


def constant_model(path, size, *answers):
    """One picture (1, 3, H, W) to the same tensors, whatever it shows."""
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        *(
            helper.make_node("Add", [f"constant{place}", "nothing"], [f"answer{place}"])
            for place in range(len(answers))
        ),
    ]
    constants = {f"constant{place}": np.asarray(answer, np.float32) for place, answer in enumerate(answers)}
    outputs = [f"answer{place}" for place in range(len(answers))]
    return save(path, nodes, {"images": (1, 3, *size)}, outputs, constants | {"zero": np.float32(0)})


def yolo(boxes, scores, joints=(), classes=80, candidates=100):
    """(1, 4 + classes, A), or (1, 5 + 3K, A) with joints: boxes x0, y0, x1, y1 in pixels of the model's input."""
    rows = np.zeros((candidates, 4 + classes if not len(joints) else 5 + 3 * np.shape(joints)[1]), np.float32)
    for place, ((x0, y0, x1, y1), score) in enumerate(zip(boxes, scores, strict=True)):
        rows[place, :5] = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, score
        if len(joints):
            rows[place, 5:] = np.asarray(joints[place], np.float32).ravel()
    return rows.T[None]
