"""Injects a fault, proves that it changes what is computed, and asks the gate."""

import copy
from functools import cache

import numpy as np
import pytest
from editing import bare
from exact import run_exactly
from micro import SPEC, network

from x3ddeploy.parity.compare import PART_INPUTS, cases, compare_parts, failures
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import Reference, run_network
from x3ddeploy.runtimes.registry import open_session

# Far over what a gate may let pass on the smallest network: a fault that changes less in float64 proves nothing.
LEAST_CHANGE = 1e-4


@cache
def exact_cases():
    """Inputs of each case and, as float64, what the network gives for them; batches of three first."""
    exact = copy.deepcopy(network()).double()
    found = []
    for case in sorted(cases(SPEC, None), key=lambda case: -case.batch):
        inputs = {name: value.astype(np.float64) for name, value in case.inputs.items()}
        found.append({**inputs, **run_network(exact, inputs)})
    return found


def change(graph, part):
    """How far a graph is from the network, both in float64: largest share of an output's range over the cases.

    It stops at the first case that is far enough.
    """
    largest = 0.0
    for case in exact_cases():
        for name, value in run_exactly(graph, {name: case[name] for name in PART_INPUTS[part]}).items():
            largest = max(largest, compare(case[name], value).relative)
        if largest > LEAST_CHANGE:
            break
    return largest


def moved(faulty, right, part):
    """How far one graph of lower precision is from another, both in float64; as `change`."""
    largest = 0.0
    for case in exact_cases():
        feeds = {name: case[name] for name in PART_INPUTS[part]}
        expected, actual = run_exactly(right, feeds), run_exactly(faulty, feeds)
        largest = max(largest, *(compare(expected[name], actual[name]).relative for name in expected))
        if largest > LEAST_CHANGE:
            break
    return largest


def edited(graph, edit):
    """A copy of a graph with the fault in it."""
    faulty = bare(graph)
    edit(faulty)
    return faulty


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
    rows = compare_parts(known_reference(), SPEC, sessions, None)
    return {row.part for row in failures(rows, Float32Gate(known_reference().rounding))}


@cache
def known_reference():
    """The network in float64, each clip computed once."""
    return Reference(network())
