"""An export's graphs against PyTorch, in the runtime that they were lowered for, before they are kept."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import onnx

from x3ddeploy.exporting.parts import ExportOptions, serialize
from x3ddeploy.families.network import Network
from x3ddeploy.memory import kept_by_malloc
from x3ddeploy.modalities.synthetic import raw_inputs
from x3ddeploy.parity.blocks import compare_blocks, first_diverging
from x3ddeploy.parity.compare import GOLDEN_SEED, ParityRow, cases, compare_parts, failures, parity_error
from x3ddeploy.parity.document import SCHEMA_VERSION as PARITY_SCHEMA_VERSION
from x3ddeploy.parity.document import JudgedRow, ParityReport
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import Reference
from x3ddeploy.runtimes.registry import open_session, require

_RUNTIME_OF_TARGET = {"openvino": "openvino"}  # every other target's graphs are verified in ONNX Runtime


def parity_report(rows: list[ParityRow], gate: Float32Gate, runtime: str) -> ParityReport:
    """What goes into parity.json."""
    return ParityReport(
        schema_version=PARITY_SCHEMA_VERSION,
        tolerance=gate.explicit,
        reference="PyTorch, training-form network, float64",
        runtime=runtime,
        rule=gate.describe(),
        rounding=dict(gate.rounding),
        passed=not failures(rows, gate),
        rows=tuple(JudgedRow(**vars(row), tolerance=gate.tolerance(row.part, row.output)) for row in rows),
    )


def runtime_of(target: str) -> str:
    """Name of the runtime in which graphs of a target are compared."""
    return _RUNTIME_OF_TARGET.get(target, "onnxruntime")


@kept_by_malloc()
def compare_graphs(
    network: Network,
    reference: Reference,
    graphs: dict[str, onnx.ModelProto],
    options: ExportOptions,
    progress: Callable[[str], None],
) -> tuple[list[ParityRow], Float32Gate]:
    """Every output of every graph against PyTorch, and what they were held to.

    Args:
        network: the training form.
        reference: its outputs in float64.
        graphs: name -> graph.
        options: how they were exported.
        progress: receives each case.

    Raises:
        GateError: an output is too far off; it names the first diverging block.
    """
    runtime = runtime_of(options.target)
    parts = network.contract().parts
    with ThreadPoolExecutor() as pool:  # a runtime lays one graph out in one thread
        opened = pool.map(lambda part: open_session(runtime, serialize(graphs[part])), parts)
        sessions = dict(zip(parts, opened, strict=True))
    progress("computing PyTorch's float64, and its float32 beside it")
    rows = compare_parts(
        reference,
        network.contract(options.batch),
        sessions,
        lambda case: progress(f"comparing in {runtime}: {case.name}, batch {case.batch}"),
    )
    if options.preprocess:
        rows += compare_preprocessing(network, graphs, runtime, options)
    gate = Float32Gate(reference.rounding, options.tolerance)
    failed = failures(rows, gate)
    if failed:
        raise parity_error(failed, gate, _diverging_block(network, graphs, failed, options))
    worst = max(row.difference.relative for row in rows)
    progress(f"parity holds: {len(rows)} comparisons, largest relative error {worst:.1e}")
    return rows, gate


def _diverging_block(
    network: Network, graphs: dict[str, onnx.ModelProto], failed: list[ParityRow], options: ExportOptions
) -> str | None:
    contract = network.contract(options.batch)
    for part in contract.backbones:
        if any(row.part == part for row in failed):
            case = next(cases(contract.inputs, options.batch))
            inputs = {name: case.inputs[name] for name in contract.parts[part].inputs}
            blocks = compare_blocks(network, part, serialize(graphs[part]), runtime_of(options.target), inputs)
            block = first_diverging(blocks, options.tolerance)
            if block:
                return block
    return None


def compare_preprocessing(
    network: Network, graphs: dict[str, onnx.ModelProto], runtime: str, options: ExportOptions
) -> list[ParityRow]:
    """What graphs of the preprocessing make of raw clips, against what the host makes of them."""
    inputs = network.contract(options.batch).inputs
    raw = raw_inputs(inputs, options.batch or 1, GOLDEN_SEED)
    rows = []
    for part in (name for name in graphs if name not in network.contract().parts):
        output = graphs[part].graph.output[0].name
        session = open_session(runtime, serialize(graphs[part]))
        actual = session.run({value.name: raw[value.name] for value in graphs[part].graph.input})[output]
        rows.append(ParityRow(part, "clips", len(actual), output, compare(raw[output], actual)))
    return rows


def require_runtime_of(target: str) -> None:
    """Fail before any work where the runtime that a target's parity check needs is not installed."""
    require(runtime_of(target))
