"""Which nodes float16 cannot hold: a range scan before a graph is typed half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from x3ddeploy.calibration.collect import plan_runs
from x3ddeploy.graphs.roles import MOVES
from x3ddeploy.precision.half import FLOAT16_MAX
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session

# A clip unlike those scanned may reach further: this much room is kept under float16's largest value.
HEADROOM = 8.0
_LIMIT = FLOAT16_MAX / HEADROOM

# They give values no larger than those they get, and are not looked at themselves.
_PASSING = frozenset({"Relu"}) | MOVES
_BOUNDED = frozenset({"Sigmoid", "Softmax"})


def overflowing_nodes(model: onnx.ModelProto, clips: Sequence[Mapping[str, Array]]) -> dict[str, str]:
    """Nodes that give or read values near float16's end on any of the clips, each with what was seen.

    Args:
        model: float32 recognizer.
        clips: its inputs.
    """
    looked_at = [node.output[0] for node in model.graph.node if node.op_type not in _PASSING | _BOUNDED]
    large = {name: value for name, value in _largest(model, looked_at, clips).items() if not value <= _LIMIT}
    kept = {}
    for node in model.graph.node:
        reached = [large[name] for name in (*node.input, *node.output) if name in large]
        if not reached:
            continue
        kept[node.name] = f"reaches {max(reached):.3g}, float16 ends at {FLOAT16_MAX:.0f}"
        if node.op_type in _PASSING:
            large[node.output[0]] = max(reached)
    return kept


def _largest(model: onnx.ModelProto, tensors: Sequence[str], clips: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """Largest magnitude of each tensor over the clips."""
    outputs = {value.name for value in model.graph.output}
    largest = dict.fromkeys(tensors, 0.0)
    for group in plan_runs(model, tensors).groups:
        session = open_session(
            "onnxruntime", model.SerializeToString(), outputs=tuple(name for name in group if name not in outputs)
        )
        for clip in clips:
            values = session.run(clip)
            for name in group:
                largest[name] = max(largest[name], float(np.abs(values[name]).max()))
    return largest
