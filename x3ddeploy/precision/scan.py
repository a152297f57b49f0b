"""Which nodes float16 cannot hold: a range scan before a graph is typed half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from x3ddeploy.calibration.collect import plan_runs
from x3ddeploy.precision.half import FLOAT16_MAX
from x3ddeploy.precision.sites import MOVES
from x3ddeploy.runtimes.base import Array, open_session

# A clip unlike those scanned may reach further: this much room is kept under float16's largest value.
HEADROOM = 8.0

_BOUNDED = frozenset({"Sigmoid", "Softmax", "Relu"}) | MOVES  # no larger than their inputs, or than one


def overflowing_nodes(model: onnx.ModelProto, clips: Sequence[Mapping[str, Array]]) -> dict[str, str]:
    """Nodes whose values come near float16's end on any of the clips, each with what was seen.

    Args:
        model: float32 recognizer.
        clips: its inputs.
    """
    outputs = {value.name for value in model.graph.output}
    candidates = [node for node in model.graph.node if node.op_type not in _BOUNDED]
    tensors = [node.output[0] for node in candidates]
    limit = FLOAT16_MAX / HEADROOM
    largest = dict.fromkeys(tensors, 0.0)
    for group in plan_runs(model, tensors).groups:
        session = open_session(
            "onnxruntime", model.SerializeToString(), outputs=tuple(name for name in group if name not in outputs)
        )
        for clip in clips:
            values = session.run(clip)
            for name in group:
                largest[name] = max(largest[name], float(np.abs(values[name]).max()))
    return {
        node.name: f"reaches {largest[node.output[0]]:.3g}, float16 ends at {FLOAT16_MAX:.0f}"
        for node in candidates
        if not largest[node.output[0]] <= limit
    }
