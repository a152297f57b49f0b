"""Parity of exported graphs against the training-form network: parts and whole, on clips and on impulses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from x3ddeploy.contract import Contract, Input
from x3ddeploy.errors import GateError
from x3ddeploy.modalities.synthetic import batch_inputs, impulse_inputs
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.metrics import Difference, compare_output
from x3ddeploy.parity.reference import Reference, single
from x3ddeploy.runtimes.base import Array, Session

# The first clip of each batch is the golden clip.
GOLDEN_SEED = 0

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Case:
    """Inputs of a comparison, and what is particular about them."""

    name: str
    inputs: Arrays

    @property
    def batch(self) -> int:
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class ParityRow:
    """One output of one part on one case."""

    part: str
    case: str
    batch: int
    output: str
    difference: Difference


def cases(inputs: Mapping[str, Input], batch: int | None) -> Iterator[Case]:
    """A clip alone and in a batch of 3 different ones, and impulses at the clip's ends, alone and between dark clips.

    There are four different clips in all, whatever the batch: the reference computes each of them once.

    An impulse in the last frame of the middle clip must not reach the next clip's first frame: frames of neighbouring
    clips are neighbours in memory.

    Args:
        inputs: inputs of the network.
        batch: the only batch size that the graphs take, or None.
    """
    sizes = (1, 3) if batch is None else (batch,)
    different = [batch_inputs(inputs, 1, GOLDEN_SEED), impulse_inputs(inputs, 1, -1), impulse_inputs(inputs, 1, 0)]
    for size in sizes:
        clips = [different[index % len(different)] for index in range(size)]
        yield Case("clips", {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]})
        for frame, name in ((0, "impulse in the first frame"), (-1, "impulse in the last frame")):
            yield Case(name, impulse_inputs(inputs, size, frame))


def compare_parts(
    reference: Reference,
    contract: Contract,
    sessions: Mapping[str, Session],
    on_case: Callable[[Case], None] = lambda case: None,
) -> list[ParityRow]:
    """Every part in `sessions` against the training-form network in float64, on all cases; nothing is judged yet.

    Args:
        reference: the network; afterwards it knows its own rounding on the same clips.
        contract: contract of the network.
        sessions: part name to session. Each gets what the reference gives, so that it is judged alone.
        on_case: called before each case.
    """
    every = list(cases(contract.inputs, contract.batch))
    with ThreadPoolExecutor(1) as pool:  # one output is compared while the next ones are computed
        compared: list[Future[ParityRow]] = []
        for case, expected in zip(every, reference.outputs_of([case.inputs for case in every]), strict=True):
            on_case(case)
            available = {**case.inputs, **single(expected)}
            for part, session in sessions.items():
                actual = session.run({name: available[name] for name in contract.parts[part].inputs})
                compared += [
                    pool.submit(_row, part, case, name, expected[name], value) for name, value in actual.items()
                ]
        return [row.result() for row in compared]


def _row(part: str, case: Case, output: str, expected: Array, actual: Array) -> ParityRow:
    return ParityRow(part, case.name, case.batch, output, compare_output(output, expected, actual))


def failures(rows: Iterable[ParityRow], gate: Float32Gate) -> list[ParityRow]:
    """The rows outside the gate. Raises GateError where there is nothing to judge by."""
    judged = list(rows)
    if not judged:
        raise GateError("nothing was compared with PyTorch", hint="this is a defect of x3ddeploy: report it")
    return [row for row in judged if not row.difference.within(gate.tolerance(row.part, row.output))]


def describe(row: ParityRow) -> str:
    """One line for an error message."""
    where = f"{row.part} -> {row.output}, {row.case}, batch {row.batch}"
    if not row.difference.finite:
        return f"{where}: NaN or infinity"
    return f"{where}: relative error {row.difference.relative:.2e} (max {row.difference.max_abs:.2e})"


def parity_error(failed: list[ParityRow], gate: Float32Gate, block: str | None) -> GateError:
    """The error of a failed parity gate.

    Args:
        failed: rows outside the gate, at least one.
        gate: what they were held to.
        block: the first diverging one, where it is known.
    """
    details = [f"{describe(row)}, at most {gate.tolerance(row.part, row.output):.1e}" for row in failed[:12]]
    if len(failed) > len(details):
        details.append(f"... and {len(failed) - len(details)} more")
    if block:
        details.append(f"first diverging block: {block}")
    for label in dict.fromkeys(f"{row.part} -> {row.output}" for row in failed):
        if label in gate.rounding:
            details.append(
                f"for comparison: {label} of PyTorch's float32 is {gate.rounding[label]:.1e} from its own float64"
            )
    return GateError(
        f"parity failed: {len(failed)} outputs are too far from PyTorch's float64 ({gate.describe()})",
        details=details,
        hint="do not deploy this; report it with the checkpoint's config",
    )
