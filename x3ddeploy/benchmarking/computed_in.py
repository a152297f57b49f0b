"""In what the convolutions of a graph are really computed, and what a runtime added around them."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from x3ddeploy.benchmarking.competitor import Competitor
from x3ddeploy.bundle import Bundle


def computed_in(bundle: Bundle, competitors: Sequence[Competitor]) -> dict[str, dict[str, int]]:
    """Competitor -> precision -> number of convolutions; of engines, fully connected layers count as well.

    The CPU runtimes compute in float32 what they do not compute in INT8, float16 graphs included.
    """
    found = {}
    for entry in competitors:
        if not entry.loaded.is_ours:
            continue
        counts = _of_engines(bundle, entry) if entry.loaded.engine_bytes is not None else _of_graph(bundle, entry)
        if counts:
            found[entry.name] = {precision: count for precision, count in counts.items() if count}
    return found


def _of_graph(bundle: Bundle, entry: Competitor) -> dict[str, int]:
    where = convolutions_in(entry.loaded.runtime, onnx.load(bundle.part_path("recognizer", entry.loaded.precision)))
    return {"fp32": where.convolutions - where.int8, "int8": where.int8} if where else {}


def _of_engines(bundle: Bundle, entry: Competitor) -> dict[str, int]:
    """From the reports that `build-trt` wrote beside the plans."""
    counts: Counter[str] = Counter()
    for name, engine in bundle.manifest.engines.items():
        options = engine.options
        fits = options.precision.value == entry.loaded.precision and engine.version == entry.loaded.version
        if fits and engine.part in bundle.contract.pieces:
            report = json.loads((bundle.path / f"{name.removesuffix('.plan')}.json").read_bytes())
            counts.update(report.get("built", {}).get("precision", {}).get("counts", {}))
    return dict(counts)


_INTEGER_TYPES = frozenset({"i8", "u8"})


@dataclass(frozen=True)
class Convolutions:
    """Of one graph in one runtime, after the runtime's own optimisation.

    Attributes:
        convolutions: in all.
        int8: of them, those that compute on INT8 values.
        conversions: nodes between them that change type or layout.
    """

    convolutions: int
    int8: int
    conversions: int


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
    from x3ddeploy.runtimes.openvino_session import compiled

    layers = [
        (info["layerType"].astype(str), info["runtimePrecision"].astype(str))
        for info in (
            node.get_rt_info() for node in compiled(model.SerializeToString(), None).get_runtime_model().get_ops()
        )
    ]
    convolutions = [precision for kind, precision in layers if kind == "Convolution"]
    return Convolutions(
        convolutions=len(convolutions),
        int8=sum(precision in _INTEGER_TYPES for precision in convolutions),
        conversions=sum(kind in ("Reorder", "Convert", "FakeQuantize") for kind, _ in layers),
    )


_RUNTIMES: dict[str, Callable[[onnx.ModelProto], Convolutions]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}
