"""Profiles as trtexec writes them: 'input:1x3x16x224x224,other:1x17x48x56x56'."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from x3ddeploy.bundle.engine_options import DEFAULT_PERSONS, Batches
from x3ddeploy.bundle.manifest import Manifest
from x3ddeploy.contract import BATCH_AXIS, PERSONS_AXIS
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


@dataclass(frozen=True)
class Profile:
    """Numbers of clips, and of persons in the graphs that draw them, that engines take."""

    batches: Batches
    persons: Batches


def profile_from(manifest: Manifest, minimum: Shapes, optimum: Shapes, maximum: Shapes) -> Profile:
    """The profile that shapes ask for; all inputs share their first axis, those of persons their second, too.

    Args:
        manifest: says the inputs of all graphs.
        minimum: shapes, or {} for the default of 1 clip.
        optimum: sizes that kernels are chosen for; the default is the minimum.
        maximum: largest sizes; the default is 8 clips, or the optimum where that is more.

    Raises:
        UsageError: an input that is not there, another extent than the graphs', contradicting batches, or a minimum
            over the maximum.
    """
    given = [_sizes(manifest, shapes) for shapes in (minimum, optimum, maximum)]
    clips, persons = ([sizes.get(axis) for sizes in given] for axis in (BATCH_AXIS, PERSONS_AXIS))
    fixed = manifest.batch
    if fixed is None:
        return Profile(_range(clips, DEFAULT_BATCHES, "clips"), _range(persons, DEFAULT_PERSONS, "persons"))
    if any(count not in (None, fixed) for count in clips):
        raise UsageError(
            f"the graphs of this bundle take {fixed} clips at a time, no other number",
            hint="export without --batch for a dynamic one",
        )
    return Profile(Batches(fixed, fixed, fixed), _range(persons, DEFAULT_PERSONS, "persons"))


def _range(given: Sequence[int | None], default: Batches, what: str) -> Batches:
    low, best, high = given
    low = low or min(default.minimum, best or high or default.minimum)
    best = best or (max(low, default.optimum) if high is None else min(max(low, default.optimum), high))
    high = high or max(best, default.maximum)
    if not 1 <= low <= best <= high:
        raise UsageError(f"a profile of {low} to {high} {what}, best at {best}, is none")
    return Batches(low, best, high)


def _sizes(manifest: Manifest, shapes: Shapes) -> dict[str, int]:
    """The sizes that shapes give to axes of any size, by the axis's name."""
    inputs = {name: shape for graph in manifest.tensors.values() for name, shape in graph["inputs"].items()}
    sizes: dict[str, int] = {}
    for name, given in shapes.items():
        if name not in inputs:
            raise UsageError(f"no graph has an input {name!r}", hint=f"one of: {', '.join(inputs)}")
        wanted = [BATCH_AXIS, *inputs[name][1:]]  # a fixed number of clips is refused by its own error
        fixed = ((axis, size) for axis, size in zip(wanted, given, strict=False) if isinstance(axis, int))
        if len(given) != len(wanted) or any(axis != size for axis, size in fixed):
            raise UsageError(f"{name!r} is of {' x '.join(map(str, wanted))}: time and size are fixed at export")
        for axis, size in zip(wanted, given, strict=True):
            if isinstance(axis, str) and sizes.setdefault(axis, size) != size:
                what = "clips" if axis == BATCH_AXIS else "persons"
                raise UsageError(f"the shapes ask for {sizes[axis]}, {size} {what} at once: all inputs share {axis}")
    return sizes
