"""In what the convolutions of a graph are really computed, and what a runtime added around them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

_INTEGER_TYPES = frozenset({"i8", "u8"})


@dataclass(frozen=True)
class Convolutions:
    """Convolutions of one graph in one runtime, after the runtime's own optimisation.

    Attributes:
        convolutions: number of convolutions in all.
        int8: number of those that compute on INT8 values.
        conversions: nodes between them that change type or layout.
        bf16: number of those that compute on bfloat16 values.
    """

    convolutions: int
    int8: int
    conversions: int
    bf16: int = 0


def convolutions_in(runtime: str, model: onnx.ModelProto) -> Convolutions | None:
    """Ask the runtime; None where it does not tell."""
    ask = _RUNTIMES.get(runtime)
    return ask(model) if ask else None


def _onnxruntime(model: onnx.ModelProto) -> Convolutions:
    import onnxruntime

    with tempfile.TemporaryDirectory() as directory:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(directory) / "optimized.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        types = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    quantized = types.count("QLinearConv")
    changing = ("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput", "Cast", "Transpose")
    return Convolutions(
        convolutions=quantized + types.count("Conv") + types.count("FusedConv"),
        int8=quantized,
        conversions=sum(types.count(name) for name in changing),
    )


def _openvino(model: onnx.ModelProto) -> Convolutions:
    from x3ddeploy.runtimes.openvino_session import compiled, read

    layers = [
        (info["layerType"].astype(str), info["runtimePrecision"].astype(str))
        for info in (
            node.get_rt_info() for node in compiled(read(model.SerializeToString()), None).get_runtime_model().get_ops()
        )
    ]
    convolutions = [precision for kind, precision in layers if kind == "Convolution"]
    return Convolutions(
        convolutions=len(convolutions),
        int8=sum(precision in _INTEGER_TYPES for precision in convolutions),
        conversions=sum(kind in ("Reorder", "Convert", "FakeQuantize") for kind, _ in layers),
        bf16=convolutions.count("bf16"),
    )


_RUNTIMES: dict[str, Callable[[onnx.ModelProto], Convolutions]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}
