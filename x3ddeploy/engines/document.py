"""What `build-trt --json` prints, and the report beside each plan, as types."""

from __future__ import annotations

from dataclasses import dataclass

from x3ddeploy.bundle import EngineEntry
from x3ddeploy.engines.check import CheckResult
from x3ddeploy.engines.inspection import LayerPrecision
from x3ddeploy.engines.worker import BuildResult
from x3ddeploy.parity.document import DifferenceEntry, difference_entry
from x3ddeploy.parity.metrics import Spread
from x3ddeploy.tensorrt.place import Host


@dataclass(frozen=True)
class ComputesIn:
    """A PrecisionReport, and `counts`: number of layers by the precision that they run in."""

    source: str
    strongly_typed: bool
    layers: tuple[LayerPrecision, ...]
    engine_layers: int
    reformats: int | None
    counts: dict[str, int]


@dataclass(frozen=True)
class BuiltEntry:
    """A BuildResult, with its layers counted."""

    version: str
    seconds: float
    size_bytes: int
    precision: ComputesIn
    messages: tuple[str, ...]
    tactic_sources: tuple[str, ...]


@dataclass(frozen=True)
class CheckedOutput:
    """A CheckRow."""

    runner: str
    case: str
    batch: int
    output: str
    difference: DifferenceEntry
    tolerance: float | Spread | None
    flips: int
    margin: float


@dataclass(frozen=True)
class Checked:
    """A CheckResult: outputs beside PyTorch's, and what was not compared."""

    rows: tuple[CheckedOutput, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MadeEngine:
    """An engine in the bundle.

    Attributes:
        name: name of the plan.
        check: null where it could not be run.
        unproven: what could not be shown on that machine, in words.
    """

    name: str
    entry: EngineEntry
    built: BuiltEntry
    check: Checked | None
    unproven: tuple[str, ...]


@dataclass(frozen=True)
class EnginesReport:
    """What `x3ddeploy build-trt --json` prints.

    Attributes:
        together: the pieces as a deployment runs them; null where that could not be.
    """

    schema_version: int
    bundle: str
    host: Host
    engines: tuple[MadeEngine, ...]
    together: Checked | None


@dataclass(frozen=True)
class ReportHead:
    """What made an engine, as it was typed, and when (UTC)."""

    schema_version: int
    x3ddeploy: str
    command: str
    built_at: str


@dataclass(frozen=True)
class EngineReport(MadeEngine, ReportHead):
    """What lies beside a plan."""


def built_entry(built: BuildResult) -> BuiltEntry:
    """A build as reports have it."""
    precision = ComputesIn(**vars(built.precision), counts=built.precision.counts)
    return BuiltEntry(**vars(built) | {"precision": precision})


def checked(check: CheckResult | None) -> Checked | None:
    """A check as reports have it."""
    if check is None:
        return None
    rows = (CheckedOutput(**vars(row) | {"difference": difference_entry(row.difference)}) for row in check.rows)
    return Checked(tuple(rows), check.notes)
