"""bench.json as a type, which its writer, `--compare` and the pages share. A field's name ends in its unit.

A number that a comparison relies on is bounded: what is none is refused when a report is read, never compared.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

import msgspec

from x3ddeploy.evaluation.document import MachineEntry

SCHEMA_VERSION = 3
# What a comparison reads was the same before headlines said what they are of.
READABLE = (2, SCHEMA_VERSION)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
# Over a day no round takes; a median of zero is no measurement. NaN is in no range.
Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=1e8)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e21)]
Extent = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Shape = Annotated[list[Extent], msgspec.Meta(min_length=3, max_length=8)]


class Ceiling(TypedDict):
    """What a device can do at most; see `Ceilings`."""

    device: Name
    gemm_flops: dict[str, Rate | None]
    copy_bytes_per_s: Rate


class GpuName(TypedDict):
    """Which GPU it is."""

    name: str


class GpuEntry(GpuName):
    """A GPU right after the comparison; null for what it does not tell."""

    driver: str
    memory_used_mib: float | None
    memory_total_mib: float | None
    clock_mhz: float | None
    max_clock_mhz: float | None
    power_w: float | None
    power_limit_w: float | None
    temperature_c: float | None


class GpuLoadEntry(TypedDict):
    """A GPU during the comparison; see `GpuLoad`."""

    readings: int
    sm_mhz: list[int]
    memory_mhz: int
    power_w: float
    temperature_c: int
    slowed_by: list[str]


class ComparedMachine(TypedDict):
    """What of a machine two reports must have in common."""

    cpu: str
    gpu: GpuName | None


class BenchMachine(MachineEntry):
    """The machine, and how busy it was with other things."""

    load_average: list[float]
    cpu_of_others: float | None
    gpu: GpuEntry | None
    gpu_load: GpuLoadEntry | None


class RatioEntry(TypedDict):
    """Time over the reference's in the same round."""

    median: float
    lower_quartile: float
    upper_quartile: float


class MemoryBytes(TypedDict):
    """See `Memory`; null where the system does not tell."""

    host_peak: int | None
    device: int | None
    engine: int | None
    file: int | None


class FloorEntry(TypedDict):
    """No run can be faster than the larger of the two, by this machine's ceilings."""

    arithmetic_ms: float
    memory_ms: float
    total_ms: float


class ComparedRow(TypedDict):
    """What of a row a comparison relies on: a competitor in a scope."""

    name: Name
    scope: Name
    precision: Name
    batch: Extent
    shapes: dict[str, Shape]
    samples_ms: list[Milliseconds]


class ComparedMedian(ComparedRow, total=False):
    """The same, with its median where there are samples."""

    median_ms: Milliseconds


class StatisticsEntry(TypedDict, total=False):
    """Over a row's complete rounds; absent where there was none."""

    p90_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds
    mean_ms: Milliseconds
    min_ms: Milliseconds
    lower_quartile_ms: Milliseconds
    upper_quartile_ms: Milliseconds
    window_cv: float | None
    stable: bool


class Row(ComparedMedian, StatisticsEntry):
    """A competitor in a scope, and everything that is known of it; see `Competitor`."""

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
    memory_bytes: MemoryBytes
    work_of: str | None
    floor_ms: FloorEntry | None
    device_samples_ms: list[float]
    device_median_ms: float | None
    ratio: RatioEntry | None
    unlike: list[str]


class Headline(TypedDict):
    """How many times as fast the bundle is as another; `per` says a clip's or a multiply-add's time is compared."""

    faster: str
    slower: str
    network: str
    scope: str
    per: str
    times_as_fast: RatioEntry
    times_the_work: float
    unlike: list[str]


class ThroughputEntry(TypedDict):
    """A competitor with a number of clips at a time."""

    name: str
    batch: int
    scope: str
    samples_ms: list[float]
    median_ms: float
    clips_per_s: float


class PartEntry(TypedDict):
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


class KindEntry(TypedDict):
    """Work of the layers of one kind."""

    multiply_adds: int
    traffic_bytes: int


class WorkEntry(TypedDict):
    """What a float32 graph asks for; see `Work`."""

    clips: int
    multiply_adds: int
    traffic_bytes: int
    compulsory_bytes: int
    by_kind: dict[str, KindEntry]


class BlockEntry(TypedDict):
    """Time of one kind of layer in one block, by a runtime's profiler."""

    stream: str
    stage: str
    block: str
    kind: str
    time_ms: float


class AccuracyEntry(TypedDict):
    """Top-1 of the deployed score, as a share."""

    top1: float
    videos: int
    data: str


class AbsentEntry(TypedDict):
    """Something that was not measured, and why."""

    name: str
    reason: str
    failed: bool


class BenchBundle(TypedDict):
    """One of the bundles that were measured; its name is empty where it is the only one."""

    name: str
    family: str
    source: str
    source_sha256: str
    target: str
    random_calibration: list[str]


class Compared(TypedDict):
    """What of a bench.json a comparison relies on, whichever version wrote it."""

    machine: ComparedMachine
    threads: Extent
    ceilings: list[Ceiling]
    competitors: Annotated[list[ComparedMedian], msgspec.Meta(min_length=1)]


class BenchReport(TypedDict):
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
    competitors: list[Row]
    headlines: list[Headline]
    throughput: list[ThroughputEntry]
    parts: list[PartEntry]
    ceilings: list[Ceiling]
    work: dict[str, WorkEntry]
    profiles: dict[str, list[BlockEntry]]
    precisions: dict[str, dict[str, int]]
    accuracy: dict[str, AccuracyEntry]
    absent: list[AbsentEntry]
