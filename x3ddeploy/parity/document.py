"""Comparisons with PyTorch as documents: parity.json, for people and for `x3ddeploy verify`, and rows of reports."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import msgspec

from x3ddeploy.parity.metrics import Difference

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ParityRule:
    """What of the document is read again, whichever version wrote it.

    Attributes:
        tolerance: one relative tolerance for every output, None where each is held to its own rounding.
    """

    schema_version: int
    tolerance: float | None


@dataclass(frozen=True)
class JudgedRow:
    """One output of one graph on one case, and the largest relative error that it was allowed."""

    part: str
    case: str
    batch: int
    output: str
    difference: Difference
    tolerance: float


@dataclass(frozen=True)
class ParityReport(ParityRule):
    """Every comparison that the export made.

    Attributes:
        reference: what the graphs were compared with.
        runtime: what ran them.
        rule: how tolerances were found, in words.
        rounding: 'part -> output' -> PyTorch's own float32 distance from its float64.
    """

    reference: str
    runtime: str
    rule: str
    rounding: dict[str, float]
    passed: bool
    rows: tuple[JudgedRow, ...]


@dataclass(frozen=True)
class DifferenceEntry:
    """A Difference; what is infinite is null, for JSON has no infinity, and `finite` says whether the outputs were."""

    max_abs: float | None
    mean_abs: float | None
    relative: float | None
    rms: float | None
    channels: float | None
    cosine: float | None
    top1_agreement: float | None
    finite: bool


def difference_entry(difference: Difference) -> DifferenceEntry:
    """A difference as reports have it."""
    values = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(difference).items()
    }
    return msgspec.convert(values, DifferenceEntry)
