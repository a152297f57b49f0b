"""Golden outputs of a lower precision's own graphs, and how far rounding alone takes them.

A quantized graph amplifies rounding: a value that lies between two levels goes to the other one where a sum is taken in
another order, and what follows differs by a whole step. So the distance of two right runtimes is of the size of the
precision's own error, and is measured: the same graph runs on the golden clip with every value moved by no more than
the precision can tell apart (`benchmarks/gate_rounding.py` shows that this is what runtimes differ by).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from x3ddeploy.bundle.golden import npy_bytes
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import GateError
from x3ddeploy.exporting.parts import serialize
from x3ddeploy.parity.gates import LOWER_FACTOR, LOWER_FLOOR
from x3ddeploy.parity.metrics import Spread, compare_output
from x3ddeploy.runtimes.base import Array, Session
from x3ddeploy.runtimes.registry import Execution, open_session
from x3ddeploy.terms import Precision

# Half a unit in the last place: float16 has 11 significant bits, bfloat16 8. INT8 graphs for TensorRT have float16
# between their quantized layers; other INT8 graphs round the same at their quantized tensors, whatever the step was.
_STEP = {Precision.FP16: 2.0**-11, Precision.BF16: 2.0**-8, Precision.INT8: 2.0**-11}
# The largest of four draws was up to 1.7 times too small for the few logits of small heads.
_DRAWS = 8

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Graphs:
    """A precision's graphs and what they give on the golden clip.

    Attributes:
        parts: graphs of the parts by name, with their metadata.
        outputs: every tensor that the parts give; what the whole gives, too, is the whole's.
        rounding: 'part -> output' -> the largest of several draws.
    """

    parts: dict[str, onnx.ModelProto]
    outputs: dict[str, Array]
    rounding: dict[str, Spread]

    def golden_files(self) -> dict[str, bytes]:
        """One .npy a tensor, named for it."""
        return {f"{name}.npy": npy_bytes(value) for name, value in self.outputs.items()}


def with_golden(parts: Mapping[str, onnx.ModelProto], precision: str, execution: Execution, clip: Arrays) -> Graphs:
    """Run the parts one behind the other, and the whole.

    Args:
        parts: graphs by name, all of one precision; each behind those that it needs.
        precision: any but float32.
        execution: what runs them.
        clip: the golden inputs of the network.

    Raises:
        GateError: an output is not finite, or the parts compute something else than the whole.
    """
    known = dict(clip)
    outputs: dict[str, dict[str, Array]] = {}
    rounding: dict[str, Spread] = {}
    for part, graph in parts.items():
        with open_session(execution.runtime, serialize(graph), device=execution.device) as session:
            feeds = {name: known[name] for name in session.inputs}
            outputs[part] = session.run(feeds)
            broken = [name for name, value in outputs[part].items() if not np.isfinite(value).all()]
            if broken:
                raise GateError(f"{precision}: {part} -> {', '.join(broken)} is not finite on the golden clip")
            for name, spread in _rounding(session, feeds, outputs[part], _STEP[Precision(precision)]).items():
                rounding[f"{part} -> {name}"] = spread
        if part != WHOLE:
            known |= outputs[part]
    for name, value in outputs[WHOLE].items():
        for part in parts:
            if part != WHOLE and name in outputs[part]:
                _require_same(precision, part, name, outputs[part][name], value, rounding)
    made = {name: value for name, value in known.items() if name not in clip}
    return Graphs(dict(parts), {**made, **outputs[WHOLE]}, rounding)


def _require_same(
    precision: str, part: str, name: str, actual: Array, expected: Array, rounding: dict[str, Spread]
) -> None:
    """A part's output is the whole's. Few values are rounded in one part alone, and chance may move none of them."""
    own, whole = f"{part} -> {name}", f"{WHOLE} -> {name}"
    rounding[own] = rounding[own].worst(rounding[whole])
    difference = compare_output(name, expected, actual)
    if not difference.within(rounding[whole].times(LOWER_FACTOR, LOWER_FLOOR)):
        raise GateError(
            f"{precision}: {name} of the parts is {difference.relative:.1e} of its range from the {WHOLE}'s",
            hint="do not deploy this, and report it: parts and whole are the same network",
        )


def _rounding(session: Session, feeds: Arrays, outputs: Arrays, step: float) -> dict[str, Spread]:
    """How far each output goes where each input value is moved by up to `step` of itself; the largest of the draws."""
    worst: dict[str, Spread] = {}
    for seed in range(_DRAWS):
        random = np.random.default_rng(seed)
        moved = {
            name: (value.astype(np.float64) * (1 + step * random.uniform(-1, 1, value.shape))).astype(np.float32)
            for name, value in feeds.items()
        }
        for name, value in session.run(moved).items():
            spread = compare_output(name, outputs[name], value).spread
            worst[name] = spread.worst(worst.get(name, spread))
    return worst
