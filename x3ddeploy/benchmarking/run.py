"""A whole benchmark: who takes part, timed side by side; then parts, throughput, layers and the machine's ceilings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
import torch

from x3ddeploy.benchmarking.ceilings import Ceilings, measure_ceilings
from x3ddeploy.benchmarking.competitor import Absent, Competitor, Scope
from x3ddeploy.benchmarking.competitors import prepare
from x3ddeploy.benchmarking.computed_in import computed_in
from x3ddeploy.benchmarking.parts import part_runs
from x3ddeploy.benchmarking.resources import GpuState, read_gpu
from x3ddeploy.benchmarking.throughput import Throughput, measure_throughput
from x3ddeploy.benchmarking.work import Work, work_of
from x3ddeploy.benchmarking.workbench import Workbench
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.progress import Progress
from x3ddeploy.timing.busy_machine import cpu_of_others
from x3ddeploy.timing.gpu_load import GpuLoad, gpu_load
from x3ddeploy.timing.measure import Measurement, is_stable, measure
from x3ddeploy.timing.profile import PROFILERS, LayerTime

# Shares of the time for timing. The comparison comes first: an interrupted run has it.
COMPARISON, PARTS, THROUGHPUT = 0.6, 0.15, 0.25
GPU_WARM_UP_S = 0.5


@dataclass
class Outcome:
    """Everything that was measured. What an interrupt cut off is empty.

    Attributes:
        comparison: the timings, in rounds, keyed by `row_key`.
        parts: timings of the parts, in rounds, by '<runtime>/<part>'.
        profiles: competitor -> blocks.
        work: competitor -> its graph's work for one clip.
        precisions: competitor -> precision -> convolutions.
        load_average: the machine's load average over the last minute, before and after.
        cpu_of_others: share of the usable cores that others took during the comparison; None where nobody tells.
        gpu: right after the comparison.
        gpu_load: its clock, power and what slowed it down during the comparison; None where no GPU takes part.
    """

    competitors: list[Competitor]
    absent: list[Absent]
    comparison: Measurement = field(default_factory=Measurement)
    parts: Measurement = field(default_factory=Measurement)
    throughput: Throughput = field(default_factory=Throughput)
    ceilings: list[Ceilings] = field(default_factory=list)
    profiles: dict[str, list[LayerTime]] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    precisions: dict[str, dict[str, int]] = field(default_factory=dict)
    load_average: list[float] = field(default_factory=list)
    cpu_of_others: float | None = None
    gpu: GpuState | None = None
    gpu_load: GpuLoad | None = None
    interrupted: bool = False


def row_key(name: str, scope: Scope) -> str:
    """Name of a competitor in a scope: its key in samples."""
    return f"{name} [{scope.value}]"


def run_benchmark(
    benches: Sequence[Workbench],
    names: Sequence[str],
    scopes: Sequence[Scope],
    seconds: float,
    progress: Progress,
    *,
    comparison_only: bool = False,
) -> Outcome:
    """Measure; Ctrl-C during the measurements ends them and keeps what is there.

    Args:
        benches: each bundle and what its competitors share. Of several, nothing but the comparison is timed.
        names: competitors that are to take part, of each bundle.
        scopes: scopes to be timed.
        seconds: seconds for timing in all. Loading, profiling and counting come on top.
        progress: counts the share of the budget that is used up, phase by phase.
        comparison_only: neither parts nor throughput nor layers; all of the time is the comparison's.

    Raises:
        MissingRequirementError: nobody can take part.
    """
    bench, comparison_only = benches[0], comparison_only or len(benches) > 1
    competitors, absent = [], []
    for each in benches:
        ready, missing = prepare(each, names, scopes)
        competitors += ready
        absent += missing
    if not competitors:
        raise MissingRequirementError(
            "nothing that was asked for can be timed here",
            details=[f"{entry.name}: {entry.reason}" for entry in absent],
        )
    outcome = Outcome(competitors, absent)
    try:
        outcome.load_average += _load_average()
        bench.progress("measuring the machine's ceilings")
        outcome.ceilings = _ceilings(competitors)
        of_bundle = not comparison_only and any(entry.loaded.is_ours for entry in competitors)
        parts, missing = part_runs(bench) if of_bundle else ({}, [])
        outcome.absent += missing
        bench.progress(f"timing {len(competitors)} competitors in turn for up to {seconds:g} s")
        _compare(outcome, seconds if comparison_only else COMPARISON * seconds, seconds, progress)
        if not outcome.interrupted and not comparison_only:
            _time_bundle(outcome, parts, bench, seconds, progress)
        progress.count("done", 1.0, 1.0)
        outcome.load_average += _load_average()
        if not outcome.interrupted:
            _count_work(outcome, benches)
        if not outcome.interrupted and not comparison_only:
            _measure_ceilings_again(outcome)
            _profile(outcome, bench)
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _compare(outcome: Outcome, seconds: float, budget: float, progress: Progress) -> None:
    """Everyone in turn, for `seconds` of the budget."""
    part = seconds / budget if budget else 1.0
    rows = {row_key(entry.name, scope): run for entry in outcome.competitors for scope, run in entry.runs.items()}
    on_gpu = any(entry.loaded.device != "cpu" for entry in outcome.competitors)
    with cpu_of_others() as others, gpu_load() as load:
        outcome.comparison = measure(
            rows,
            seconds,
            lambda used: progress.count("comparison", part * used, 1.0),
            is_stable=is_stable,
            warm_up_s=GPU_WARM_UP_S if on_gpu else 0.0,
        )
    outcome.gpu_load = load[0] if load and on_gpu else None
    outcome.cpu_of_others = others.share
    outcome.gpu = read_gpu()
    outcome.interrupted = outcome.comparison.interrupted
    if not outcome.interrupted:
        _measure_ceilings_again(outcome)


def _time_bundle(
    outcome: Outcome, parts: dict[str, Callable[[], object]], bench: Workbench, seconds: float, progress: Progress
) -> None:
    """Parts and throughput, until one is interrupted."""

    def share(phase: str, used: float) -> None:
        progress.count(phase, used, 1.0)

    if parts:
        outcome.parts = measure(
            parts, PARTS * seconds, lambda used: share("parts", COMPARISON + PARTS * used), is_stable=is_stable
        )
        outcome.interrupted = outcome.parts.interrupted
    ours = [entry for entry in outcome.competitors if entry.loaded.is_ours]
    if ours and bench.bundle.manifest.batch is None and not outcome.interrupted:
        outcome.throughput = measure_throughput(
            ours,
            bench.feeds,
            THROUGHPUT * seconds,
            lambda used: share("throughput", COMPARISON + PARTS + THROUGHPUT * used),
        )
        outcome.absent += outcome.throughput.absent
        outcome.interrupted = outcome.throughput.interrupted


def _count_work(outcome: Outcome, benches: Sequence[Workbench]) -> None:
    """What the graphs ask for, and in what their convolutions are really computed."""
    benches[0].progress("counting work")
    counted: dict[Path | bytes, Work | None] = {}  # runtimes share graphs
    for entry in outcome.competitors:
        loaded = entry.loaded
        if loaded.graph is not None and loaded.precision == "fp32":
            if loaded.graph not in counted:
                counted[loaded.graph] = _work_of(loaded.graph)
            if work := counted[loaded.graph]:
                outcome.work[entry.name] = work
    for bench in benches:
        mine = [entry for entry in outcome.competitors if entry.bundle == bench.name]
        outcome.precisions |= computed_in(bench.bundle, mine)


def _profile(outcome: Outcome, bench: Workbench) -> None:
    """Time by layer."""
    bench.progress("profiling layers")
    for entry in outcome.competitors:
        loaded = entry.loaded
        profiler = PROFILERS.get(loaded.runtime)
        if profiler and loaded.is_ours and isinstance(loaded.graph, Path):
            outcome.profiles[entry.name] = profiler(loaded.graph, loaded.feeds, bench.setting.threads)
        elif loaded.is_ours:
            outcome.absent.append(Absent(f"{entry.name}: time by layer", f"no profile is taken in {loaded.runtime}"))


def _work_of(graph: Path | bytes) -> Work | None:
    return work_of(onnx.load(graph) if isinstance(graph, Path) else onnx.load_from_string(graph))


def _ceilings(competitors: Sequence[Competitor]) -> list[Ceilings]:
    """Ceilings of the CPU, and of the GPU where a competitor computes there and PyTorch sees it."""
    on_gpu = any(entry.loaded.device != "cpu" for entry in competitors) and torch.cuda.is_available()
    return [measure_ceilings(), *([measure_ceilings("cuda")] if on_gpu else [])]


def _measure_ceilings_again(outcome: Outcome) -> None:
    again = _ceilings(outcome.competitors)
    outcome.ceilings = [_best(*pair) for pair in zip(outcome.ceilings, again, strict=True)]


def _best(one: Ceilings, other: Ceilings) -> Ceilings:
    """A ceiling is the highest that was seen: other load on the machine only lowers it."""
    rates = {
        name: max(filter(None, (rate, other.gemm_flops.get(name))), default=None)
        for name, rate in one.gemm_flops.items()
    }
    return replace(one, gemm_flops=rates, copy_bytes_per_s=max(one.copy_bytes_per_s, other.copy_bytes_per_s))


def _load_average() -> list[float]:
    with contextlib.suppress(OSError, AttributeError):
        return [os.getloadavg()[0]]
    return []
