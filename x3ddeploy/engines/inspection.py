"""What an engine really computes in: the types that bound its builder, and the engine inspector's layers beside them.

Where a network is typed strongly, its types are the law (NetworkDefinitionCreationFlag::kSTRONGLY_TYPED): the parsed
network is the proof, and the inspector, which names fused layers as it likes, is a report. TensorRT 8.6 chooses; there
the inspector is all there is to ask.

The inspector's JSON names its fields alike in TensorRT 8.6 to 11 ("Name", "LayerType", "Inputs", "Metadata"), and words
the types differently: "Channel major FP16 format where channel % 8 == 0", "Half", "Thirty-two wide channel vectorized
row major Int8 format.", or "N/A due to dynamic shapes". A fused layer is named for its nodes, "a + b", "a || b" where
they run side by side, or "{ForeignNode[first...last]}", or has a name of its own and its nodes in "Metadata". All forms
below are taken from published outputs; tests/support/inspector_layers.py has them with their sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from x3ddeploy.engines.graph_precision import GraphPrecision
from x3ddeploy.errors import GateError
from x3ddeploy.tensorrt.trt import ParsedLayer
from x3ddeploy.terms import Precision

UNKNOWN = "unknown"
# Where types in the graph are not the law, TensorRT may pick a wider kernel that is faster; below half of what was
# asked for, the flag had no effect.
_MIN_SHARE_WEAKLY_TYPED = 0.5
_WIDTH = {"int8": 1, "fp16": 2, "bf16": 2, "fp32": 4}
# Longer and more particular words first: 'bfloat16' holds 'float', 'fp16' is part of 'bfp16'.
_WORDS = (("bf16", r"bf16|bfloat"), ("fp16", r"fp16|half|float16"), ("int8", r"int8"), ("fp32", r"fp32|float"))
_TACTIC = (("int8", r"i8i8|s8s8|i8f|int8|imma"), ("fp16", r"f16f16|h16816|h884|hmma|_f16"), ("fp32", r"f32f32|sgemm"))
_JOINTS = re.compile(r" \+ | \|\| |\{ForeignNode\[|\.\.\.|\]\}")
_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]+)\]")


@dataclass(frozen=True)
class LayerPrecision:
    """One convolution or fully connected layer.

    Attributes:
        node: name of the node in the graph.
        in_graph: precision that the graph's types ask for.
        runs: precision that it runs in; 'unknown' where that cannot be told.
        reason: why it is not INT8 where others are; '' otherwise.
        kernel: the tactic's name, where the inspector gives one.
        seen: what the inspector shows where that is not the proof; '' where it was not asked, or cannot tell.
    """

    node: str
    in_graph: str
    runs: str
    reason: str = ""
    kernel: str = ""
    seen: str = ""


@dataclass(frozen=True)
class PrecisionReport:
    """What an engine is.

    Attributes:
        source: what proves it: 'parsed network' of a strongly typed network, 'engine inspector' of another.
        strongly_typed: whether the types in the graph were the law when it was built.
        layers: every convolution and fully connected layer.
        engine_layers: number of layers after fusion; 0 where that is not known.
        reformats: number of those that only change a tensor's layout or type; None where that is not known.
    """

    source: str
    strongly_typed: bool
    layers: tuple[LayerPrecision, ...]
    engine_layers: int
    reformats: int | None

    @property
    def counts(self) -> dict[str, int]:
        """Number of layers by the precision that they run in."""
        names = [layer.runs for layer in self.layers]
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def wider(self) -> list[LayerPrecision]:
        """Layers that run in a wider type than was asked for."""
        return [layer for layer in self.layers if _WIDTH.get(layer.runs, 0) > _WIDTH.get(layer.in_graph, 4)]

    @property
    def unknown(self) -> list[LayerPrecision]:
        """Layers of which it cannot be told."""
        return [layer for layer in self.layers if layer.runs == UNKNOWN]

    @property
    def seen_wider(self) -> list[LayerPrecision]:
        """Layers that the inspector shows in a wider type than the one that proves it says; a report, no proof."""
        return [layer for layer in self.layers if _WIDTH.get(layer.seen, 0) > _WIDTH.get(layer.runs, 4)]

    @property
    def outside_int8(self) -> list[LayerPrecision]:
        """Layers that do not run in INT8 though others do or should, each with its reason."""
        return [layer for layer in self.layers if layer.reason and layer.runs != "int8"]

    def raise_if_not_as_asked(self, precision: Precision) -> None:
        """Raise GateError for an engine that is not what its graph asks for, or of which nothing can be told.

        Args:
            precision: what the user asked for. An INT8 part may be without INT8 layers, where quantization left them
                all in a higher precision; that is the graph's word, and stands in its report.
        """
        half = precision in (Precision.FP16, Precision.BF16)
        if half and self.layers and precision.value not in {layer.in_graph for layer in self.layers}:
            raise GateError(
                f"the graph asked for as {precision} has no {precision} layer",
                hint=f"x3ddeploy quantize --{precision}",
            )
        reduced = [layer for layer in self.layers if _WIDTH.get(layer.in_graph, 4) < _WIDTH["fp32"]]
        wrong = self.wider
        if self.strongly_typed:
            failed = bool(wrong)
        else:
            failed = bool(reduced) and len(wrong) > (1 - _MIN_SHARE_WEAKLY_TYPED) * len(reduced)
        if failed:
            raise GateError(
                f"the engine is not what was asked for: {len(wrong)} of {len(self.layers)} layers run in a wider type",
                details=[f"{layer.node}: asked {layer.in_graph}, runs {layer.runs}" for layer in wrong[:12]],
                hint="the engine was not kept; this TensorRT ignores the precision of the graph",
            )
        if self.layers and len(self.unknown) == len(self.layers):
            raise GateError(
                f"the {self.source} tells of none of the graph's {len(self.layers)} layers what they compute in",
                hint="an engine whose precision cannot be proven is not kept",
            )


def precision_of_engine(
    information: Mapping[str, Any], graph: Sequence[GraphPrecision], *, strongly_typed: bool
) -> PrecisionReport:
    """From the inspector's JSON.

    Args:
        information: with "Layers", each an object.
        graph: what the graph says of each layer.
        strongly_typed: see PrecisionReport.
    """
    layers = list(information.get("Layers", []))
    homes: dict[str, list[Mapping[str, Any]]] = {}
    for layer in layers:
        if not _is_reformat(layer):
            for node in _nodes_of(layer):
                homes.setdefault(node, []).append(layer)
    return PrecisionReport(
        source="engine inspector",
        strongly_typed=strongly_typed,
        layers=tuple(_layer(wanted, homes.get(wanted.node, [])) for wanted in graph),
        engine_layers=len(layers),
        reformats=sum(map(_is_reformat, layers)),
    )


def precision_of_network(network: Sequence[ParsedLayer], graph: Sequence[GraphPrecision]) -> PrecisionReport:
    """From a strongly typed network: what the builder was bound to, where the engine cannot be loaded to ask it."""
    parsed = {layer.name: layer for layer in network}
    names = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}

    def runs(wanted: GraphPrecision) -> str:
        layer = parsed.get(wanted.node)
        if layer is None:
            return UNKNOWN
        return "int8" if layer.reads_dequantized else names.get(layer.input_type, UNKNOWN)

    layers = tuple(LayerPrecision(item.node, item.precision, runs(item), item.reason) for item in graph)
    return PrecisionReport("parsed network", strongly_typed=True, layers=layers, engine_layers=0, reformats=None)


def with_inspection(proof: PrecisionReport, seen: PrecisionReport) -> PrecisionReport:
    """What a parsed network proves, and beside it what the inspector shows of the engine that was built of it."""
    layers = tuple(
        replace(layer, kernel=shown.kernel, seen="" if shown.runs == UNKNOWN else shown.runs)
        for layer, shown in zip(proof.layers, seen.layers, strict=True)
    )
    return replace(proof, layers=layers, engine_layers=seen.engine_layers, reformats=seen.reformats)


def _layer(wanted: GraphPrecision, homes: Sequence[Mapping[str, Any]]) -> LayerPrecision:
    computing = [layer for layer in homes if _computes(layer)] or list(homes)
    found = [_type_of_layer(layer) for layer in computing]
    runs = min(found, key=lambda name: _WIDTH.get(name, 9), default=UNKNOWN)
    reason = wanted.reason
    if wanted.precision == "int8" and runs != "int8":
        reason = "TensorRT did not take its Q/DQ pair"
    kernel = str(computing[0].get("TacticName", "")) if computing else ""
    return LayerPrecision(wanted.node, wanted.precision, runs, reason, kernel)


def _nodes_of(layer: Mapping[str, Any]) -> set[str]:
    """ONNX nodes that went into an engine's layer: from its metadata, and from the name that fusion gave it.

    Of a range of nodes the first and the last are named; what lies between only the metadata know.
    """
    names = {part.strip() for part in _JOINTS.split(str(layer.get("Name", ""))) if part}
    return names | set(_ONNX_LAYER.findall(str(layer.get("Metadata", ""))))


def _is_reformat(layer: Mapping[str, Any]) -> bool:
    kind = str(layer.get("LayerType", "")).lower()
    return kind == "reformat" or str(layer.get("Name", "")).startswith("Reformatting CopyNode")


def _computes(layer: Mapping[str, Any]) -> bool:
    text = f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}".lower()
    return any(word in text for word in ("conv", "gemm", "matrix", "matmul"))


def _type_of_layer(layer: Mapping[str, Any]) -> str:
    """What it multiplies: its weights tell best, then its kernel, then its first input that is more than a scale."""
    weights = layer.get("Weights")
    evidence = [_word(str(weights.get("Type", ""))) if isinstance(weights, Mapping) else UNKNOWN]
    evidence.append(_word(str(layer.get("TacticName", "")), _TACTIC))
    sources = [source for source in layer.get("Inputs", []) if isinstance(source, Mapping)]
    values = [source for source in sources if not _is_scale(source)] or sources
    evidence += [_word(str(source.get("Format/Datatype", source.get("Datatype", "")))) for source in values[:1]]
    return next((name for name in evidence if name != UNKNOWN), UNKNOWN)


def _is_scale(source: Mapping[str, Any]) -> bool:
    """Whether a layer's input is one number, or one a channel: a scale that was fused in."""
    dimensions = source.get("Dimensions")
    return isinstance(dimensions, list) and sum(size != 1 for size in dimensions) <= 1


def _word(text: str, words: Sequence[tuple[str, str]] = _WORDS) -> str:
    lowered = text.lower()
    return next((name for name, pattern in words if re.search(pattern, lowered)), UNKNOWN)
