"""Profiles as trtexec writes them: 'input:1x3x16x224x224,other:1x17x48x56x56'."""

from __future__ import annotations

import re
from collections.abc import Mapping

from x3ddeploy.bundle.engine_options import Batches
from x3ddeploy.contract import Contract
from x3ddeploy.errors import UsageError

DEFAULT_BATCHES = Batches(1, 1, 8)

Shapes = Mapping[str, tuple[int, ...]]


def parse_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """Input names to shapes. Raises UsageError for another form."""
    shapes = {}
    for entry in text.split(","):
        name, _, shape = entry.strip().rpartition(":")
        if not name or not re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*", shape):
            raise UsageError(f"{entry!r} is not of the form NAME:1x3x16x224x224", hint="as in trtexec --minShapes")
        shapes[name] = tuple(int(axis) for axis in shape.split("x"))
    return shapes


def batches_from(contract: Contract, minimum: Shapes, optimum: Shapes, maximum: Shapes) -> Batches:
    """The profile that shapes ask for; all inputs share their first axis, and have the others fixed.

    Args:
        contract: says the inputs.
        minimum: shapes, or {} for the default of 1 clip.
        optimum: likewise; the default is the minimum.
        maximum: likewise; the default is 8 clips, or the optimum where that is more.

    Raises:
        UsageError: an input that is not there, another extent than the graphs', contradicting batches, or a minimum
            over the maximum.
    """
    given = [_batch(contract, shapes) for shapes in (minimum, optimum, maximum)]
    if contract.batch is not None:
        if any(batch not in (None, contract.batch) for batch in given):
            raise UsageError(
                f"the graphs of this bundle take {contract.batch} clips at a time, no other number",
                hint="export without --batch for a dynamic one",
            )
        return Batches(contract.batch, contract.batch, contract.batch)
    low, best, high = given
    low = low or min(DEFAULT_BATCHES.minimum, best or high or DEFAULT_BATCHES.minimum)
    best = best or max(low, DEFAULT_BATCHES.optimum)
    high = high or max(best, DEFAULT_BATCHES.maximum)
    if not 1 <= low <= best <= high:
        raise UsageError(f"a profile of {low} to {high} clips, best at {best}, is none")
    return Batches(low, best, high)


def _batch(contract: Contract, shapes: Shapes) -> int | None:
    taken = {name for part in contract.parts.values() for name in part.inputs}
    inputs = {name: value.shape for name, value in contract.inputs.items()}
    inputs |= {name: value.shape for name, value in contract.outputs.items() if name in taken}
    batches = set()
    for name, shape in shapes.items():
        if name not in inputs:
            raise UsageError(f"no graph has an input {name!r}", hint=f"one of: {', '.join(inputs)}")
        wanted = inputs[name][1:]
        if shape[1:] != wanted:
            extent = "x".join(map(str, wanted))
            raise UsageError(f"{name!r} is of N x {extent}: time and size are fixed at export")
        batches.add(shape[0])
    if len(batches) > 1:
        raise UsageError(f"the shapes ask for {', '.join(map(str, sorted(batches)))} clips at once: all inputs share N")
    return batches.pop() if batches else None
