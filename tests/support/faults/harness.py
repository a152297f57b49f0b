"""Injects a fault, proves that it changes what is computed, and asks the gate."""

from functools import cache

import pytest

from support.faults.exact import run_exactly
from support.faults.micro import SPEC, network
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.parity.compare import cases, compare_parts, failures
from x3ddeploy.parity.gates import FLOAT32_FLOOR, Float32Gate
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import Reference
from x3ddeploy.runtimes.registry import open_session

# A fault that changes less than this in float64 is no fault: ten times the least that the float32 gate tells apart.
LEAST_CHANGE = 10 * FLOAT32_FLOOR


@cache
def reference():
    """The network in float64, which remembers what it gave for a clip."""
    return Reference(network())


@cache
def exact_cases():
    """Inputs of each case and, as float64, what the network gives for them; batches of three first."""
    made = sorted(cases(clip_inputs(SPEC), None), key=lambda case: -case.batch)
    return [{**case.inputs, **reference().outputs(case.inputs)} for case in made]


def change(graph, part):
    """How far a graph is from the network, both in float64: largest share of an output's range over the cases.

    It stops at the first case that is far enough.
    """
    largest = 0.0
    for case in exact_cases():
        for name, value in run_exactly(
            graph, {name: case[name] for name in network().contract().parts[part].inputs}
        ).items():
            largest = max(largest, compare(case[name], value).relative)
        if largest > LEAST_CHANGE:
            break
    return largest


def moved(faulty, right, part):
    """How far one graph of lower precision is from another, both in float64; as `change`."""
    largest = 0.0
    for case in exact_cases():
        feeds = {name: case[name] for name in network().contract().parts[part].inputs}
        expected, actual = run_exactly(right, feeds), run_exactly(faulty, feeds)
        largest = max(largest, *(compare(expected[name], actual[name]).relative for name in expected))
        if largest > LEAST_CHANGE:
            break
    return largest


def patched(inject, build):
    """What `build` gives while a fault is in the code."""
    patch = pytest.MonkeyPatch()
    try:
        inject(patch.setattr)
        return build()
    finally:
        patch.undo()


def refused(parts, target):
    """Names of the parts that the export's parity gate does not let pass."""
    runtime = "openvino" if target == "openvino" else "onnxruntime"
    sessions = {part: open_session(runtime, graph.SerializeToString()) for part, graph in parts.items()}
    rows = compare_parts(reference(), network().contract(), sessions)
    return {row.part for row in failures(rows, Float32Gate(reference().rounding))}
