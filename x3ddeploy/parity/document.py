"""parity.json: what export compared with PyTorch, for people and for `x3ddeploy verify`."""

from __future__ import annotations

from dataclasses import dataclass

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
