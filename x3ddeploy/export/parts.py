"""The parts of a bundle as ONNX models: both backbones, the head, and the recognizer that is all three."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from torch import nn

from x3ddeploy.bundle import PARTS as PARTS
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.export.emit import Value, emit
from x3ddeploy.export.emit_head import emit_head
from x3ddeploy.export.graph import BATCH_AXIS, Dims, GraphBuilder
from x3ddeploy.lowering.head import lower_head
from x3ddeploy.lowering.strategy import lower, strategy_for
from x3ddeploy.models.head import Head
from x3ddeploy.models.recognizer import TwoStreamX3D
from x3ddeploy.models.spec import ModelSpec

STREAM_INPUTS = {"rgb": "imgs", "pose": "heatmap_imgs"}


@dataclass(frozen=True)
class _Lowered:
    """What the parts are made of."""

    spec: ModelSpec
    backbones: dict[str, nn.Module]
    head: Head
    inputs: dict[str, Value]
    fusion: tuple[float, float]
    batch: int | str

    def dims(self, value: Value) -> Dims:
        return (self.batch, *value.shape)

    def backbone(self, graph: GraphBuilder, stream: str) -> Value:
        source = self.inputs[stream]
        graph.input(source.name, self.dims(source))
        with graph.scope(f"{stream}_backbone"):
            return emit(self.backbones[stream], graph, source, f"{stream}_backbone")


def build_parts(
    network: TwoStreamX3D, metadata: Callable[[str], PartMetadata], target: str, batch: int | None
) -> dict[str, onnx.ModelProto]:
    """Lower the network and write it down as the four parts.

    Args:
        network: training form with its weights.
        metadata: gives a part's metadata by its name.
        target: lowering target.
        batch: fixed number of clips; None leaves the axis dynamic, named 'N'.

    Returns:
        Part name to model, in the order of PARTS.
    """
    spec, strategy = network.spec, strategy_for(target)
    frames = {"rgb": spec.rgb_input.frames, "pose": spec.pose_input.frames}
    lowered = _Lowered(
        spec=spec,
        backbones={
            stream: lower(network.get_submodule(f"{stream}_backbone"), frames[stream], strategy)  # type: ignore[arg-type]
            for stream in STREAM_INPUTS
        },
        head=lower_head(network.cls_head),
        inputs={stream: Value(name, spec.input_shapes()[name][1:]) for stream, name in STREAM_INPUTS.items()},
        fusion=network.fusion,
        batch=batch or BATCH_AXIS,
    )
    builders = (_rgb_backbone, _pose_backbone, _head, _recognizer)
    models = {}
    for part, build in zip(PARTS, builders, strict=True):
        graph = GraphBuilder(part)
        build(graph, lowered)
        models[part] = graph.model(metadata(part).props())
    return models


def _rgb_backbone(graph: GraphBuilder, lowered: _Lowered) -> None:
    _backbone(graph, lowered, "rgb")


def _pose_backbone(graph: GraphBuilder, lowered: _Lowered) -> None:
    _backbone(graph, lowered, "pose")


def _backbone(graph: GraphBuilder, lowered: _Lowered, stream: str) -> None:
    features = lowered.backbone(graph, stream)
    graph.output(features.name, f"{stream}_feat", lowered.dims(features))


def _head(graph: GraphBuilder, lowered: _Lowered) -> None:
    features = [Value(name, shape[1:]) for name, shape in lowered.spec.feature_shapes().items()]
    for value in features:
        graph.input(value.name, lowered.dims(value))
    _head_outputs(graph, lowered, *features)


def _recognizer(graph: GraphBuilder, lowered: _Lowered) -> None:
    _head_outputs(graph, lowered, *(lowered.backbone(graph, stream) for stream in STREAM_INPUTS))


def _head_outputs(graph: GraphBuilder, lowered: _Lowered, rgb_feat: Value, pose_feat: Value) -> None:
    for name, value in emit_head(lowered.head, graph, rgb_feat, pose_feat, lowered.fusion).items():
        graph.output(value.name, name, lowered.dims(value))
