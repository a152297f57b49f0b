"""The parts of a bundle as ONNX models: both backbones, the head, and the recognizer that is all three."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx

from x3ddeploy.bundle import PARTS as PARTS
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import Block
from x3ddeploy.families.two_stream_x3d.lowering.head import lower_head
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.graphs.builder import BATCH_AXIS, GraphBuilder
from x3ddeploy.graphs.trace import Program, trace
from x3ddeploy.graphs.write import Value, Written, write
from x3ddeploy.lowering.strategy import lower, strategy_for

STREAM_INPUTS = {"rgb": "imgs", "pose": "heatmap_imgs"}


@dataclass(frozen=True)
class _Traced:
    """What the parts are made of: each is traced once, and written into its own graph and into the recognizer's."""

    programs: dict[str, Program]
    shapes: dict[str, tuple[int, ...]]  # of the inputs of each part, for one clip
    blocks: dict[str, list[str]]
    batch: int | str

    def given(self, graph: GraphBuilder, *names: str) -> dict[str, str]:
        return {name: graph.input(name, (self.batch, *self.shapes[name])) for name in names}

    def write(self, graph: GraphBuilder, part: str, inputs: dict[str, str]) -> Written:
        return write(self.programs[part], graph, part, inputs, self.blocks.get(part, ()))

    def give(self, graph: GraphBuilder, outputs: dict[str, Value]) -> dict[str, str]:
        """Declare a graph's outputs; the name that a tensor had -> its name outside."""
        for name, value in outputs.items():
            graph.output(value.name, name, (self.batch, *value.shape))
        return {value.name: name for name, value in outputs.items()}


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
    shapes = {name: shape[1:] for name, shape in {**spec.input_shapes(), **spec.feature_shapes()}.items()}
    frames = {"rgb": spec.rgb_input.frames, "pose": spec.pose_input.frames}
    programs, blocks = {}, {}
    for stream, source in STREAM_INPUTS.items():
        backbone = getattr(network, f"{stream}_backbone")
        programs[f"{stream}_backbone"] = trace(lower(backbone, frames[stream], strategy), {source: shapes[source]})
        blocks[f"{stream}_backbone"] = backbone.blocks
    programs["head"] = trace(
        lower_head(network.cls_head, network.fusion), {name: shapes[name] for name in spec.feature_shapes()}
    )
    traced = _Traced(programs, shapes, blocks, batch or BATCH_AXIS)
    models = {}
    for part in PARTS:
        graph = GraphBuilder(part)
        recorded = _recognizer(graph, traced) if part == "recognizer" else _part(graph, traced, part)
        models[part] = graph.model(replace(metadata(part), blocks=recorded).props())
    return models


def _part(graph: GraphBuilder, traced: _Traced, part: str) -> tuple[Block, ...]:
    written = traced.write(graph, part, traced.given(graph, *traced.programs[part].inputs.values()))
    features = part.replace("_backbone", "_feat")
    names = traced.give(graph, {name or features: value for name, value in written.outputs.items()})
    return tuple(Block(block.name, names.get(block.tensor, block.tensor)) for block in written.blocks)


def _recognizer(graph: GraphBuilder, traced: _Traced) -> tuple[Block, ...]:
    features: dict[str, str] = {}
    blocks: list[Block] = []
    for stream, source in STREAM_INPUTS.items():
        written = traced.write(graph, f"{stream}_backbone", traced.given(graph, source))
        features[f"{stream}_feat"] = written.outputs[""].name
        blocks += written.blocks
    traced.give(graph, traced.write(graph, "head", features).outputs)
    return tuple(blocks)
