"""Which block of a backbone an engine computes wrongly, by halving the network.

Marking every block's output would forbid the fusions that the fault may come from, so that the fault would go away.
Each step builds the network up to one block instead, with that block's output as its only one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from x3ddeploy.bundle.engine_options import BuildOptions
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.child_process import Request
from x3ddeploy.contract import Block
from x3ddeploy.data.arrays import CLIP_LIMIT, read_arrays
from x3ddeploy.parity.metrics import compare
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session

BISECT = f"{__name__}:bisect"

# Runs a graph on inputs; gives its only output.
Run = Callable[[onnx.ModelProto, Mapping[str, Array]], Array]


@dataclass(frozen=True)
class BisectRequest:
    """What to search.

    Attributes:
        graph: path of the graph that the engine was built from.
        reference: path of the float32 graph of the same part.
        inputs: path of an .npz with the part's inputs.
        options: options of the build.
        tolerance: relative error from which on a block counts as wrong.
    """

    graph: str
    reference: str
    inputs: str
    options: BuildOptions
    tolerance: float


def bisect(request: Request, progress: Step) -> Any:
    """The child's task. Request: BisectRequest; result: the block's name, or None."""
    from x3ddeploy.runtimes.tensorrt_session import session_of_plans
    from x3ddeploy.tensorrt.cuda import Cuda
    from x3ddeploy.tensorrt.trt import open_tensorrt

    wanted = msgspec.convert(request, BisectRequest)
    cuda, tensorrt = Cuda(), open_tensorrt(wanted.options.flavour, lambda severity, text: _log(severity, text))

    def run(graph: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
        progress(f"building up to {graph.graph.output[0].name}")
        network = tensorrt.parse(graph.SerializeToString())
        plan, _ = network.build(wanted.options, None, lambda text: None)
        (output,) = session_of_plans(cuda, tensorrt, [[plan]], host_code=True).run(feeds).values()
        return output

    inputs = read_arrays(Path(wanted.inputs), CLIP_LIMIT)
    graph = onnx.load(wanted.graph)
    return first_wrong_block(graph, onnx.load(wanted.reference), inputs, run, wanted.tolerance)


def blocks_of(graph: onnx.ModelProto) -> list[Block]:
    """The blocks that a graph records and that it holds the ends of, in their order."""
    made = {name for node in graph.graph.node for name in node.output}
    return [block for block in PartMetadata.of(graph).blocks if block.tensor in made]


def first_wrong_block(
    graph: onnx.ModelProto, reference: onnx.ModelProto, inputs: Mapping[str, Array], run: Run, tolerance: float
) -> str | None:
    """The first block whose output differs, found with about log2 of the blocks' number of runs.

    What is wrong is taken to stay wrong further on.

    Args:
        graph: a backbone or a recognizer, any precision.
        reference: its float32 form, which ONNX Runtime runs.
        inputs: inputs of the part.
        run: runs a graph on what is suspected.
        tolerance: relative error from which on an output counts as wrong.

    Returns:
        The block's name, or None where every block is right (what comes after them is to blame, then). What different
        inputs lead to is searched one after the other.
    """
    ways: dict[tuple[str, ...], list[Block]] = {}
    for block in blocks_of(graph):
        ways.setdefault(tuple(_inputs_of(graph, block.tensor)), []).append(block)
    declared = {value.name for value in reference.graph.output}
    for blocks in ways.values():
        tensors = tuple(block.tensor for block in blocks if block.tensor not in declared)
        expected = open_session("onnxruntime", reference.SerializeToString(), outputs=tensors).run(inputs)
        wrong = _first(blocks, partial(_is_wrong, graph, inputs, expected, run, tolerance))
        if wrong is not None:
            return wrong.name
    return None


def _first(items: Sequence[Block], is_wrong: Callable[[Block], bool]) -> Block | None:
    if not items or not is_wrong(items[-1]):
        return None
    right, wrong = -1, len(items) - 1
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if is_wrong(items[middle]):
            wrong = middle
        else:
            right = middle
    return items[wrong]


def _is_wrong(
    graph: onnx.ModelProto,
    inputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    run: Run,
    tolerance: float,
    block: Block,
) -> bool:
    part = up_to(graph, block.tensor)
    feeds = {value.name: inputs[value.name] for value in part.graph.input}
    return not compare(expected[block.tensor], run(part, feeds).astype(np.float32)).within(tolerance)


def up_to(graph: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The part of a graph that leads to one tensor, float32 at its end."""
    extractor = Extractor(graph)
    needed = _inputs_of(graph, tensor)
    part = extractor.extract_model(needed, [tensor])
    output = part.graph.output[0]
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        part.graph.node.append(helper.make_node("Cast", [tensor], [f"{tensor}/float"], to=TensorProto.FLOAT))
        output.name = f"{tensor}/float"
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    return part


def _inputs_of(graph: onnx.ModelProto, tensor: str) -> list[str]:
    producers = {name: node for node in graph.graph.node for name in node.output}
    sources, pending, seen = [], [tensor], set()
    inputs = {value.name for value in graph.graph.input}
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in inputs:
            sources.append(name)
        elif name in producers:
            pending += producers[name].input
    return sources


def _log(severity: str, message: str) -> None:
    sys.stderr.write(f"[{severity}] {message}\n")
