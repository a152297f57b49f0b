"""Who takes part in a benchmark: chosen by name, loaded, checked against PyTorch, ready to be timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from x3ddeploy.benchmarking.competitor import Absent, Competitor, Memory, OpenedNetwork, Scope, named
from x3ddeploy.benchmarking.compiled import TORCH_COMPILE
from x3ddeploy.benchmarking.loaders import load, places
from x3ddeploy.benchmarking.loaders import names as all_names
from x3ddeploy.benchmarking.resources import GpuState, host_peak, read_gpu
from x3ddeploy.benchmarking.torch_forms import compiled_form
from x3ddeploy.benchmarking.workbench import Workbench
from x3ddeploy.errors import BundleError, GateError, UsageError, X3DDeployError
from x3ddeploy.parity.golden import load_golden
from x3ddeploy.parity.metrics import SCORES, compare
from x3ddeploy.runtimes.base import Array, FallbackError, Session
from x3ddeploy.runtimes.registry import REFERENCE, RUNTIMES, execution_named, require, unsupported
from x3ddeploy.terms import Precision

# The same network in float32; a plain export rounds more than ours. What is off by more is another network, and its
# time means nothing. Lower precisions are not held to it: what they cost stands beside their time.
TOLERANCE = 1e-3
# Minutes on a few cores: only where they are asked for.
SLOW_TO_PREPARE = ("static/onnxruntime", "nncf/openvino")


def choose(only: Sequence[str], skip: Sequence[str]) -> list[str]:
    """Names that are in `only` (all, where it is empty) and not in `skip`; 'torch' and 'torch/*' take all of torch's.

    Raises:
        UsageError: a pattern that no name fits.
    """

    def fits(name: str, patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}/*") for pattern in patterns)

    every = all_names()
    unknown = [pattern for pattern in (*only, *skip) if not any(fits(name, (pattern,)) for name in every)]
    if unknown:
        raise UsageError(f"no competitor named {unknown[0]!r}", hint=f"one of: {', '.join(every)}")
    return [name for name in every if (not only or fits(name, only)) and not fits(name, skip)]


def of_executions(runtimes: Sequence[str], device: str | None, precisions: Sequence[str]) -> list[str]:
    """Names of a bundle's own forms, in the words of every verb; PyTorch's are the forms of its training network.

    Args:
        runtimes: names in the registry, which must be here; none takes all that have the device.
        device: device of each; None for its first.
        precisions: none takes all that a runtime computes in there.

    Raises:
        UsageError: there is no such runtime, device or precision, or nothing computes so.
        MissingRequirementError: a runtime that was named, or its device, is not here.
    """
    found, problem = [], f"no runtime has a device {device!r}"
    for name in runtimes or RUNTIMES:
        if runtimes:
            require(name, device)
        elif device is not None and device not in RUNTIMES[name].devices:
            continue
        for precision in precisions or Precision:
            execution = execution_named(name, device, precision)
            if reason := unsupported(execution):
                problem = reason
            else:
                found.append(execution.place if name == REFERENCE.runtime else f"{execution.place}/{precision}")
    if not found:
        raise UsageError(problem, hint="--runtime, --device and --precision name another")
    return found


def of_bundles(names: Sequence[str]) -> list[str]:
    """The names that are a bundle's own, in some runtime and precision."""
    return [name for name in names if name.partition("/")[0] in places()]


def without_slow(bench: Workbench, names: Sequence[str]) -> tuple[list[str], list[Absent]]:
    """The names that are ready in seconds, what was compiled before among them, and the others as absent."""
    absent = []
    for name in names:
        compiled = compiled_form(bench, name)
        if compiled is not None and compiled.compiles == TORCH_COMPILE:
            reason = "its cache holds kernels alone, and all before them is done anew: ask for it with --all or --only"
            absent.append(Absent(name, reason))
        elif compiled is not None and not compiled.file.exists():
            reason = "compiling takes minutes, once: after --all or --only it is kept, and part of every run"
            absent.append(Absent(name, reason))
        elif name in SLOW_TO_PREPARE:
            absent.append(Absent(name, "calibrating takes minutes: ask for it with --all or --only"))
    left_out = {entry.name for entry in absent}
    return [name for name in names if name not in left_out], absent


def prepare(
    bench: Workbench,
    names: Sequence[str],
    scopes: Sequence[Scope],
    load_one: Callable[[Workbench, str], OpenedNetwork] = load,
) -> tuple[list[Competitor], list[Absent]]:
    """Load, run once, compare and take the memory of everyone that can take part.

    Args:
        bench: what they share.
        names: which are to take part.
        scopes: scopes to be timed. A competitor has those that it knows; who has none is absent.
        load_one: loads one by its name.

    Returns:
        The competitors, and those that are missing: for want of something, or because they failed.
    """
    ready, absent = [], []
    if Scope.PIPELINE in scopes:
        try:
            bench.video  # noqa: B018 (made now, so that its want is reported once)
        except X3DDeployError as error:
            absent.append(Absent(f"scope {Scope.PIPELINE.value}", _reason(error)))
            scopes = [scope for scope in scopes if scope is not Scope.PIPELINE]
    for kind in names:
        name = named(bench.name, kind)
        try:
            competitor = _prepared(bench, kind, scopes, load_one)
        except X3DDeployError as error:
            absent.append(Absent(name, _reason(error), isinstance(error, FallbackError | GateError)))
        except Exception as error:  # each runtime has its own kinds; all mean that it does not take the graph
            lines = str(error).strip().splitlines() or [type(error).__name__]
            absent.append(Absent(name, f"the runtime refuses it: {lines[0][:200]}"))
        else:
            if competitor.runs:
                ready.append(competitor)
            else:
                absent.append(Absent(name, f"knows no scope of {', '.join(scope.value for scope in scopes)}"))
    return ready, absent


def _prepared(
    bench: Workbench, kind: str, scopes: Sequence[Scope], load_one: Callable[[Workbench, str], OpenedNetwork]
) -> Competitor:
    start, before = time.perf_counter(), read_gpu()
    with host_peak() as growth:
        loaded = load_one(bench, kind)
        name = named(bench.name, kind)
        bench.progress(f"{name}: loaded, running it once")
        outputs = loaded.infer(loaded.feeds)
    seconds, after = time.perf_counter() - start, read_gpu()
    error = require_scores(name, bench.expected, outputs[SCORES], loaded.precision) if SCORES in outputs else None
    memory = Memory(
        host_peak=growth[0] if growth else None,
        device=_growth(before, after) if loaded.device != "cpu" else None,
        engine=loaded.engine_bytes,
        file=_size(loaded.graph),
    )
    runs, note = _runs(bench, loaded, scopes), ""
    if Scope.PIPELINE in runs and loaded.open_raw is not None:
        try:
            runs[Scope.PIPELINE] = _on_device(bench, name, loaded.precision, loaded.open_raw())
        except (BundleError, UsageError, FallbackError) as missing:
            note = f"clips are prepared on the CPU: {_reason(missing)}"
    return Competitor(kind, loaded, memory, error, seconds, runs, bench.name, note)


def _on_device(bench: Workbench, name: str, precision: str, session: Session) -> Callable[[], object]:
    """The scope `pipeline` on a session that normalises and draws; on the golden clip first, as all are."""
    golden = load_golden(bench.bundle)
    scores = session.run({name: golden[name] for name in session.inputs})[SCORES]
    require_scores(f"{name}, prepared on the device", golden[SCORES], scores, precision)
    return lambda: session.run(bench.video.prepare_raw(session.inputs))


def require_scores(name: str, expected: Array, actual: Array, precision: str) -> float:
    """Relative error to PyTorch's scores. Raises GateError for NaN, infinity, or a float32 network unlike it."""
    difference = compare(expected, actual)
    if not difference.finite:
        raise GateError(f"{name} gives NaN or infinity")
    if precision == "fp32" and not difference.within(TOLERANCE):
        raise GateError(f"{name} differs from PyTorch by {difference.relative:.1e} of the scores' range")
    return difference.relative


def _runs(bench: Workbench, loaded: OpenedNetwork, scopes: Sequence[Scope]) -> dict[Scope, Callable[[], object]]:
    runs: dict[Scope, Callable[[], object]] = {}
    on_cpu = loaded.device == "cpu"
    for scope in scopes:
        if scope is Scope.COMPUTE and (on_cpu or loaded.resident):
            runs[scope] = loaded.resident or (lambda: loaded.infer(loaded.feeds))
        elif scope is Scope.WITH_COPIES and not on_cpu:
            runs[scope] = lambda: loaded.infer(loaded.feeds)
        elif scope is Scope.PIPELINE and loaded.is_ours and bench.setting.batch == 1:
            runs[scope] = lambda: loaded.infer(bench.video.prepare())
    return runs


def _reason(error: X3DDeployError) -> str:
    return f"{error.message}{f' ({error.hint})' if error.hint else ''}"


def _growth(before: GpuState | None, after: GpuState | None) -> int | None:
    used = [None if state is None else state.memory_used_mib for state in (before, after)]
    return None if used[0] is None or used[1] is None else int(max(0.0, used[1] - used[0]) * (1 << 20))


def _size(graph: Path | bytes | None) -> int | None:
    if graph is None:
        return None
    return len(graph) if isinstance(graph, bytes) else graph.stat().st_size
