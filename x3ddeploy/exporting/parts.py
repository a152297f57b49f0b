"""A network's graphs: each piece by itself, the recognizer that is all of them, and those that prepare clips."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from x3ddeploy.bundle import Source
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.contract import WHOLE, Block, Contract, Shape
from x3ddeploy.families import family_named
from x3ddeploy.families.base import LoweredPart
from x3ddeploy.families.network import Network
from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.graphs.lint import check_model
from x3ddeploy.graphs.trace import Program, trace
from x3ddeploy.graphs.write import Value, Written, write
from x3ddeploy.memory import collected_later
from x3ddeploy.modalities.graphs import preprocessing_graphs
from x3ddeploy.terms import Precision, Target


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        target: lowering target.
        batch: fixed number of clips, None for a dynamic axis.
        preprocess: also write the preprocessing graphs.
        tolerance: largest relative error of any output; None for a factor of PyTorch's own float32 rounding.
        labels: class names, or None.
        overwrite: replace a bundle even if that loses files which export does not make.
    """

    target: str
    batch: int | None
    preprocess: bool
    tolerance: float | None
    labels: tuple[str, ...] | None
    overwrite: bool


@dataclass(frozen=True)
class _Traced:
    """What the parts are made of: each is traced once, and written into its own graph and into the recognizer's."""

    contract: Contract
    lowered: dict[str, LoweredPart]
    programs: dict[str, Program]

    def shape(self, tensor: str) -> Shape:
        described = self.contract.inputs.get(tensor) or self.contract.outputs[tensor]
        return described.shape

    def given(self, graph: GraphBuilder, part: str) -> dict[str, str]:
        return {name: graph.input(name, self.shape(name)) for name in self.contract.parts[part].inputs}

    def write(self, graph: GraphBuilder, part: str, tensors: dict[str, str]) -> tuple[dict[str, Value], Written]:
        """The piece's outputs by the contract's names, and what was written."""
        described = self.contract.parts[part]
        inputs = {name: tensors[name] for name in described.inputs}
        lowered = self.lowered[part]
        path = part if lowered.path is None else lowered.path
        written = write(self.programs[part], graph, path, inputs, lowered.blocks)
        (alone, *_) = described.outputs
        return {name or alone: value for name, value in written.outputs.items()}, written


def build_parts(network: Network, target: str, batch: int | None, source_sha256: str) -> dict[str, onnx.ModelProto]:
    """Lower the network and write its parts down.

    Args:
        network: training form with its weights.
        target: lowering target.
        batch: fixed number of clips; None leaves the axis dynamic, named 'N'.
        source_sha256: SHA-256 of the checkpoint, for the graphs' metadata.

    Returns:
        Part name to model, in the contract's order.
    """
    contract = network.contract(batch)
    lowered = family_named(contract.family).lower(network, Target(target))
    traced = _Traced(contract, lowered, {})
    for name, piece in lowered.items():
        of_clip = {tensor: traced.shape(tensor)[1:] for tensor in contract.parts[name].inputs}
        traced.programs[name] = trace(
            piece.module, {tensor: tuple(map(int, shape)) for tensor, shape in of_clip.items()}
        )
    models = {}
    for part in contract.parts:
        graph = GraphBuilder(part)
        pieces = [name for wave in contract.waves for name in wave] if part == WHOLE else [part]
        blocks = _part(graph, traced, part, pieces)
        metadata = part_metadata(network, part, target, source_sha256)
        models[part] = graph.model(replace(metadata, blocks=blocks).props())
    return models


def part_metadata(network: Network, part: str, target: str, source_sha256: str) -> PartMetadata:
    """What a float32 graph of a network says of itself."""
    fusion = network.contract().fusion
    return PartMetadata(part, Precision.FP32.value, target, network.family, network.model, fusion, source_sha256)


def _part(graph: GraphBuilder, traced: _Traced, part: str, pieces: list[str]) -> tuple[Block, ...]:
    """Write the pieces of a part one behind the other, joined by the names of their tensors; gives their blocks."""
    tensors = traced.given(graph, part)
    values: dict[str, Value] = {}
    blocks: list[Block] = []
    for piece in pieces:
        outputs, written = traced.write(graph, piece, tensors)
        values |= outputs
        tensors |= {name: value.name for name, value in outputs.items()}
        blocks += written.blocks
    outside = {}
    for name in traced.contract.parts[part].outputs:
        graph.output(values[name].name, name, traced.shape(name))
        outside[values[name].name] = name
    return tuple(Block(block.name, outside.get(block.tensor, block.tensor)) for block in blocks)


@collected_later()
def build_graphs(network: Network, source: Source, options: ExportOptions) -> dict[str, onnx.ModelProto]:
    """All graphs of a bundle by name, each checked against ONNX's rules and ours."""
    graphs = build_parts(network, options.target, options.batch, source.sha256)
    for graph in graphs.values():
        check_model(graph)
    if options.preprocess:
        contract = network.contract(options.batch)
        made = preprocessing_graphs(
            contract.inputs,
            contract.parts,
            options.batch,
            lambda name: part_metadata(network, name, options.target, source.sha256).props(),
        )
        for graph in made.values():
            check_model(graph)
        graphs |= made
    return graphs


def serialize(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model."""
    return model.SerializeToString(deterministic=True)
