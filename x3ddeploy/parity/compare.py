"""Parity of exported graphs against the training-form network: parts and whole, on clips and on impulses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from x3ddeploy.data.clips import batch_inputs, impulse_inputs
from x3ddeploy.errors import GateError
from x3ddeploy.models.recognizer import TwoStreamX3D
from x3ddeploy.models.spec import ModelSpec
from x3ddeploy.parity.metrics import Difference, compare
from x3ddeploy.runtimes.base import Array, Session

# Float32 sums of different order differ by some 1e-6 of the range over these networks' depth; a wrong frame, a
# missing bias or a leak between clips differs by more than 1e-2.
DEFAULT_TOLERANCE = 1e-5

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Case:
    """Inputs of a comparison, and what is particular about them."""

    name: str
    inputs: Arrays

    @property
    def batch(self) -> int:
        return len(self.inputs["imgs"])


@dataclass(frozen=True)
class Row:
    """One output of one part on one case."""

    part: str
    case: str
    batch: int
    output: str
    difference: Difference


def cases(spec: ModelSpec, batch: int | None) -> Iterator[Case]:
    """Clips in batches of 1 and 3, and impulses at the clip's ends, alone and between two dark clips.

    An impulse in the last frame of the middle clip must not reach the next clip's first frame: frames of neighbouring
    clips are neighbours in memory.

    Args:
        spec: says the shapes.
        batch: the only batch size that the graphs take, or None.
    """
    sizes = (1, 3) if batch is None else (batch,)
    for size in sizes:
        yield Case("clips", batch_inputs(spec, size, seed=size))
        for frame, name in ((0, "impulse in the first frame"), (-1, "impulse in the last frame")):
            yield Case(name, impulse_inputs(spec, size, frame))


def reference(network: TwoStreamX3D, inputs: Mapping[str, Array]) -> Arrays:
    """What the training-form network gives: features, logits, scores."""
    with torch.inference_mode():
        outputs = network(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def compare_parts(
    network: TwoStreamX3D,
    sessions: Mapping[str, Session],
    batch: int | None,
    on_case: Callable[[Case], None] = lambda case: None,
) -> list[Row]:
    """Every part in `sessions` against the training-form network, on all cases; nothing is judged yet.

    Args:
        network: the reference, in evaluation mode.
        sessions: part name to session. The head gets the reference's features, so that it is judged alone.
        batch: the only batch size that the graphs take, or None.
        on_case: told before each case.
    """
    rows = []
    for case in cases(network.spec, batch):
        on_case(case)
        expected = reference(network, case.inputs)
        available = {**case.inputs, **expected}
        for part, session in sessions.items():
            names = PART_INPUTS[part]
            actual = session.run({name: available[name] for name in names})
            rows += [Row(part, case.name, case.batch, name, compare(expected[name], actual[name])) for name in actual]
    return rows


PART_INPUTS = {
    "rgb_backbone": ("imgs",),
    "pose_backbone": ("heatmap_imgs",),
    "head": ("rgb_feat", "pose_feat"),
    "recognizer": ("imgs", "heatmap_imgs"),
}


def reference_rounding(network: TwoStreamX3D, case: Case, output: str) -> float:
    """Relative error of the float32 network itself against its float64 self: what no export can be held to."""
    exact = copy.deepcopy(network).double()
    inputs = {name: value.astype(np.float64) for name, value in case.inputs.items()}
    return compare(reference(exact, inputs)[output], reference(network, case.inputs)[output]).relative


def failures(rows: list[Row], tolerance: float) -> list[Row]:
    """The rows outside the tolerance."""
    return [row for row in rows if not row.difference.within(tolerance)]


def describe(row: Row) -> str:
    """One line for an error message."""
    where = f"{row.part} -> {row.output}, {row.case}, batch {row.batch}"
    if not row.difference.finite:
        return f"{where}: NaN or infinity"
    return f"{where}: relative error {row.difference.relative:.2e} (max {row.difference.max_abs:.2e})"


def parity_error(failed: list[Row], tolerance: float, block: str | None, rounding: float) -> GateError:
    """The error of a failed parity gate.

    Args:
        failed: rows outside the tolerance, at least one.
        tolerance: the gate.
        block: the first diverging one, where it is known.
        rounding: the reference's own, of the first failed row's output.
    """
    details = [describe(row) for row in failed[:12]]
    if len(failed) > len(details):
        details.append(f"... and {len(failed) - len(details)} more")
    if block:
        details.append(f"first diverging block: {block}")
    details.append(f"for comparison: PyTorch's float32 {failed[0].output} is {rounding:.1e} from its own float64")
    return GateError(
        f"parity failed: {len(failed)} outputs differ from PyTorch by more than {tolerance:g} of their range",
        details=details,
        hint="do not deploy this, unless the errors are of the size of PyTorch's own rounding: then the network "
        "amplifies rounding, and --verify-tol may say so",
    )
