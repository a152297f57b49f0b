"""Two bench.json side by side: what became slower, what faster, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from x3ddeploy.benchmarking.document import Compared, ComparedRow
from x3ddeploy.errors import GateError, UsageError


def differences(row: ComparedRow, other: ComparedRow) -> list[str]:
    """What two rows of bench.json differ in: scope, precision, clips, each input's T, H, W; empty where they are alike.

    Batch and channels are in the shapes, too: (N, C, T, H, W).
    """
    pairs = {key: (getattr(row, key), getattr(other, key)) for key in ("scope", "precision", "batch")}
    found = [f"{key} {mine} against {theirs}" for key, (mine, theirs) in pairs.items() if mine != theirs]
    for name in sorted({*row.shapes, *other.shapes}):
        mine, theirs = row.shapes.get(name), other.shapes.get(name)
        if mine is None or theirs is None:
            found.append(f"only one of them takes {name}")
        elif list(mine[2:]) != list(theirs[2:]):
            found.append(f"{name} of {_extent(mine)} against {_extent(theirs)}")
    return found


def _extent(shape: list[int]) -> str:
    frames, *size = shape[2:]
    return f"{frames} frames of {' x '.join(map(str, size))}"


_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Change:
    """What changed for one competitor in one scope.

    Attributes:
        before_ms, after_ms: median latencies.
        ratio: after over before; above 1 is slower.
        lower, upper: 95 % interval of the ratio by bootstrap (percentiles of resampled medians).
        verdict: 'slower' where the ratio is over the threshold and the interval above 1, 'faster' the other way round,
            else 'same'.
        unlike: what the two differ in besides their time, in words.
    """

    name: str
    scope: str
    before_ms: float
    after_ms: float
    ratio: float
    lower: float
    upper: float
    verdict: str
    unlike: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What changed between two reports.

    Attributes:
        threshold: share by which a median may grow.
        unlike: whether unlike things are compared on request, and things that are missing are reported without failing.
        changes: one for each competitor and scope that both hold.
        only_before, only_after: '<name> [<scope>]' that the other one lacks.
        machine: ceiling -> its rate after over before: what the machine itself gained or lost between the two.
    """

    threshold: float
    unlike: bool
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    machine: dict[str, float]

    def raise_for_regressions(self) -> None:
        """Raises GateError where something became slower, or is not measured any more."""
        slower = [change for change in self.changes if change.verdict == "slower"]
        if slower:
            raise GateError(
                f"{len(slower)} of {len(self.changes)} became slower by more than {self.threshold:.0%}",
                details=[f"{change.name} [{change.scope}]: {change.ratio:.2f} times the time" for change in slower],
            )
        if self.only_before and not self.unlike:
            raise GateError(
                f"{len(self.only_before)} that were measured before are missing: nobody knows whether they are slower",
                details=self.only_before,
                hint="measure with the same --only and --scope; --unlike compares what both hold",
            )


def compare_reports(before: Compared, after: Compared, threshold: float, *, unlike: bool = False) -> Comparison:
    """Compare what both hold, competitor by competitor.

    Args:
        before: as read by `reading.read_report`.
        after: the same, of a later measurement.
        threshold: share by which a median may grow before it counts as slower; finite, not negative.
        unlike: also what differs in shape, batch, precision, processor, GPU or number of threads, which is refused
            otherwise. Other versions of a library are what such a comparison is for.

    Raises:
        UsageError: unlike things, nothing in common, or a threshold that is none.
    """
    if not 0 <= threshold < float("inf"):
        raise UsageError(f"a threshold of {threshold} is none", hint="0.05 lets a median grow by 5 %")
    old, new = _rows(before), _rows(after)
    common = [key for key in old if key in new]
    if not common:
        raise UsageError(
            "the two reports have no competitor in common", hint="measure with the same --only and --scope"
        )
    unlikes = {key: [*_of_machines(before, after), *differences(old[key], new[key])] for key in common}
    if not unlike and (found := sorted({line for lines in unlikes.values() for line in lines})):
        raise UsageError(
            "the two reports are not of like things",
            details=found,
            hint="--unlike compares them all the same, labelled",
        )
    return Comparison(
        threshold=threshold,
        unlike=unlike,
        changes=tuple(_change(old[key], new[key], threshold, tuple(unlikes[key])) for key in common),
        only_before=tuple(key for key in old if key not in new),
        only_after=tuple(key for key in new if key not in old),
        machine=dict(_drift(before, after)),
    )


def _rows(report: Compared) -> dict[str, ComparedRow]:
    return {f"{row.name} [{row.scope}]": row for row in report.competitors if row.samples_ms}


def _of_machines(before: Compared, after: Compared) -> Iterator[str]:
    old, new = before.machine, after.machine
    for name, mine, theirs in (
        ("processor", old.cpu, new.cpu),
        ("GPU", *(machine.gpu and machine.gpu.name for machine in (old, new))),
        ("threads", before.threads, after.threads),
    ):
        if mine != theirs:
            yield f"{name}: {mine} against {theirs}"


def _change(old: ComparedRow, new: ComparedRow, threshold: float, unlike: tuple[str, ...]) -> Change:
    before, after = np.array(old.samples_ms), np.array(new.samples_ms)
    random = np.random.default_rng(_SEED)
    medians = [np.median(random.choice(values, (_RESAMPLES, len(values))), axis=1) for values in (before, after)]
    lower, upper = np.percentile(medians[1] / medians[0], (2.5, 97.5))
    value = float(np.median(after) / np.median(before))
    # What is not slower has to be shown: a comparison with NaN shows nothing.
    slower = not (value <= 1 + threshold or lower <= 1)
    faster = value < 1 / (1 + threshold) and upper < 1
    return Change(
        name=old.name,
        scope=old.scope,
        before_ms=float(np.median(before)),
        after_ms=float(np.median(after)),
        ratio=value,
        lower=float(lower),
        upper=float(upper),
        verdict="slower" if slower else "faster" if faster else "same",
        unlike=unlike,
    )


def _drift(before: Compared, after: Compared) -> Iterator[tuple[str, float]]:
    """The ceilings that both measured, and the later rate over the earlier one."""
    old = {entry.device: entry for entry in before.ceilings}
    for entry in after.ceilings:
        mine = old.get(entry.device)
        if mine is None:
            continue
        for precision, rate in entry.gemm_flops.items():
            if rate and (before_rate := mine.gemm_flops.get(precision)):
                yield f"{entry.device}: {precision} matrix product", rate / before_rate
        yield f"{entry.device}: memory copy", entry.copy_bytes_per_s / mine.copy_bytes_per_s
