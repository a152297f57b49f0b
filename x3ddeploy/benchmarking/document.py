"""bench.json as a type, which its writer, `--compare` and the pages share. A field's name ends in its unit.

A number that a comparison relies on is bounded: what is none is refused when a report is read, never compared.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from x3ddeploy.benchmarking.accuracy import Accuracy
from x3ddeploy.benchmarking.ceilings import Ceilings
from x3ddeploy.benchmarking.competitor import Absent, Memory
from x3ddeploy.benchmarking.resources import GpuState
from x3ddeploy.evaluation.document import MachineEntry
from x3ddeploy.timing.gpu_load import GpuLoad
from x3ddeploy.timing.measure import Ratio, Statistics
from x3ddeploy.timing.profile import LayerTime

SCHEMA_VERSION = 3
# What a comparison reads was the same before headlines said what they are of.
READABLE = (2, SCHEMA_VERSION)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
# Over a day no round takes; a median of zero is no measurement. NaN is in no range.
Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=1e8)]
Extent = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Shape = Annotated[list[Extent], msgspec.Meta(min_length=3, max_length=8)]


class GpuName(msgspec.Struct, frozen=True):
    """Which GPU it is."""

    name: str


class ComparedMachine(msgspec.Struct, frozen=True):
    """What of a machine two reports must have in common."""

    cpu: str
    gpu: GpuName | None


class BenchMachine(MachineEntry, frozen=True):
    """The machine, and how busy it was with other things; the GPU right after the comparison and during it."""

    load_average: list[float]
    cpu_of_others: float | None
    gpu: GpuState | None
    gpu_load: GpuLoad | None


class FloorEntry(msgspec.Struct, frozen=True):
    """No run can be faster than the larger of the two, by this machine's ceilings."""

    arithmetic_ms: float
    memory_ms: float
    total_ms: float


class ComparedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What of a row a comparison relies on: a competitor in a scope; its median is absent where there is no sample."""

    name: Name
    scope: Name
    precision: Name
    batch: Extent
    shapes: dict[str, Shape]
    samples_ms: list[Milliseconds]
    median_ms: Milliseconds | UnsetType = UNSET


class BenchRow(ComparedRow, frozen=True, kw_only=True):
    """A competitor in a scope, and everything that is known of it; see `Competitor`.

    What is of its complete rounds, from `p90_ms` to `stable`, is absent where there was none; see `timed`.
    """

    p90_ms: Milliseconds | UnsetType = UNSET
    p95_ms: Milliseconds | UnsetType = UNSET
    p99_ms: Milliseconds | UnsetType = UNSET
    mean_ms: Milliseconds | UnsetType = UNSET
    min_ms: Milliseconds | UnsetType = UNSET
    lower_quartile_ms: Milliseconds | UnsetType = UNSET
    upper_quartile_ms: Milliseconds | UnsetType = UNSET
    window_cv: float | UnsetType | None = UNSET
    stable: bool | UnsetType = UNSET
    bundle: str
    kind: str
    network: str
    runtime: str
    version: str
    device: str
    is_ours: bool
    relative_error: float | None
    notes: list[str]
    load_s: float
    memory_bytes: Memory
    work_of: str | None
    floor_ms: FloorEntry | None
    device_samples_ms: list[float]
    device_median_ms: float | None
    ratio: Ratio | None
    unlike: list[str]


class Headline(msgspec.Struct, frozen=True):
    """How many times as fast the bundle is as another; `per` says a clip's or a multiply-add's time is compared."""

    faster: str
    slower: str
    network: str
    scope: str
    per: str
    times_as_fast: Ratio
    times_the_work: float
    unlike: list[str]


class ThroughputEntry(msgspec.Struct, frozen=True):
    """A competitor with a number of clips at a time."""

    name: str
    batch: int
    scope: str
    samples_ms: list[float]
    median_ms: float
    clips_per_s: float


class PartEntry(msgspec.Struct, frozen=True):
    """One part of the bundle, or one step of the preparation, timed alone."""

    name: str
    median_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    samples_ms: list[float]


class KindEntry(msgspec.Struct, frozen=True):
    """Work of the layers of one kind."""

    multiply_adds: int
    traffic_bytes: int


class WorkEntry(msgspec.Struct, frozen=True):
    """What a float32 graph asks for; see `Work`."""

    clips: int
    multiply_adds: int
    traffic_bytes: int
    compulsory_bytes: int
    by_kind: dict[str, KindEntry]


class BenchBundle(msgspec.Struct, frozen=True):
    """One of the bundles that were measured; its name is empty where it is the only one."""

    name: str
    family: str
    source: str
    source_sha256: str
    target: str
    random_calibration: list[str]


class Compared(msgspec.Struct, frozen=True):
    """What of a bench.json a comparison relies on, whichever version wrote it."""

    machine: ComparedMachine
    threads: Extent
    ceilings: list[Ceilings]
    competitors: Annotated[list[ComparedRow], msgspec.Meta(min_length=1)]


class BenchReport(msgspec.Struct, frozen=True):
    """What `x3ddeploy bench` writes; docs/bench.md. What an interrupt cut off is empty."""

    schema_version: int
    x3ddeploy: str
    measured_at: str
    bundles: list[BenchBundle]
    machine: BenchMachine
    versions: dict[str, str]
    batch: int
    threads: int
    seconds: float
    scopes: dict[str, str]
    video: str | None
    rounds: int
    interrupted: bool
    reference: str
    competitors: list[BenchRow]
    headlines: list[Headline]
    throughput: list[ThroughputEntry]
    parts: list[PartEntry]
    ceilings: list[Ceilings]
    work: dict[str, WorkEntry]
    profiles: dict[str, list[LayerTime]]
    precisions: dict[str, dict[str, int]]
    accuracy: dict[str, Accuracy]
    absent: list[Absent]


def timed(entry: BenchRow | PartEntry) -> Statistics:
    """What was measured over its rounds. Raises msgspec.ValidationError where there was none."""
    return msgspec.convert(entry, Statistics, from_attributes=True)
