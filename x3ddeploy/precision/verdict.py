"""Is the lower precision worth it here? Latency, size and what really ran, and the reason where it loses."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.exporting.parts import serialize
from x3ddeploy.progress import Step
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import RUNTIMES, Execution, graph_runtimes, open_session, unsupported
from x3ddeploy.terms import Precision
from x3ddeploy.timing.busy_machine import busy_mark, cpu_of_others
from x3ddeploy.timing.convolutions import Convolutions, convolutions_in
from x3ddeploy.timing.measure import measure, ratio, statistics
from x3ddeploy.timing.profile import PROFILERS


@dataclass(frozen=True)
class BlockTime:
    """One block's milliseconds for one clip, profiled; a profiler's times are larger than those of a plain run.

    Attributes:
        block: as the graph records it: 'backbone/layer2.0'.
    """

    block: str
    fp32_ms: float
    int8_ms: float


def block_times(
    runtime: str, fp32: onnx.ModelProto, int8: onnx.ModelProto, feeds: Mapping[str, Array], threads: int
) -> tuple[BlockTime, ...]:
    """Latencies of the blocks that both graphs have, in the graph's order; none where the runtime has no profiler."""
    if runtime not in PROFILERS:
        return ()
    before, after = (_times(runtime, graph, feeds, threads) for graph in (fp32, int8))
    return tuple(BlockTime(block, before[block], after[block]) for block in before if block in after)


def _times(runtime: str, graph: onnx.ModelProto, feeds: Mapping[str, Array], threads: int) -> dict[str, float]:
    times: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / graph_name(WHOLE)
        path.write_bytes(serialize(graph))
        for entry in PROFILERS[runtime](path, feeds, threads):
            if entry.block != entry.stream:  # a part without blocks is no block
                times[f"{entry.stream}/{entry.block}"] += entry.time_ms
    return dict(times)


_ROUNDS = 25
_MOST_SECONDS = 15.0
_FORETOLD_SECONDS = 1.0


@dataclass(frozen=True)
class Timing:
    """One precision in one runtime: the whole recognizer, batch 1, scope `compute`.

    Attributes:
        speedup: float32's time over this one's, median over rounds in which both ran.
        lower_quartile, upper_quartile: quartiles of that ratio.
    """

    runtime: str
    precision: Precision
    device: str
    median_ms: float
    speedup: float
    lower_quartile: float
    upper_quartile: float
    size_bytes: int
    convolutions: Convolutions | None


@dataclass(frozen=True)
class Verdict:
    """All timings, what could not be timed, and one sentence for each runtime.

    Attributes:
        cpu_of_others: share of the usable cores that others took meanwhile; None where nobody tells.
    """

    timings: tuple[Timing, ...]
    absent: tuple[str, ...]
    sentences: tuple[str, ...]
    cpu_of_others: float | None = None

    @property
    def mark(self) -> str:
        """' (busy machine)', to stand behind its figures, where others computed meanwhile."""
        return _mark(self.cpu_of_others)


def judge(
    recognizers: Mapping[Precision, onnx.ModelProto],
    feeds: Mapping[str, Array],
    threads: int,
    progress: Step,
) -> Verdict:
    """Time every precision of the recognizer in every runtime that is here and runs it, interleaved.

    Args:
        recognizers: precision to graph; float32 among them.
        feeds: one clip.
        threads: CPU threads of each.
        progress: receives the steps.
    """
    runners, devices, absent = {}, {}, []
    for runtime in graph_runtimes():
        for precision, graph in recognizers.items():
            if problem := unsupported(Execution(runtime, RUNTIMES[runtime].default_device, precision)):
                absent.append(f"{precision} in {runtime}: {problem.partition(': ')[2]}")
                continue
            try:
                session = open_session(runtime, graph.SerializeToString(), threads=threads)
                session.run(feeds)
            except X3DDeployError as error:
                absent.append(f"{precision} in {runtime}: {error.message}")
            except Exception as error:  # each runtime has its own kinds; all mean that it does not take the graph
                absent.append(f"{precision} in {runtime}: {str(error).splitlines()[0][:160]}")
            else:
                runners[runtime, precision] = session
                devices[runtime] = session.device
    progress(f"timing {len(runners)} pairs of runtime and precision in turn")
    timed = {" ".join(pair): _run(session, feeds) for pair, session in runners.items()}
    begin = time.perf_counter()
    for run in timed.values():
        run()
    seconds = min(_ROUNDS * (time.perf_counter() - begin), _MOST_SECONDS)
    with cpu_of_others() as others:
        samples = measure(timed, seconds).samples_ms
    timings = []
    for runtime, precision in runners:
        own, baseline = samples[f"{runtime} {precision}"], samples.get(f"{runtime} {Precision.FP32}")
        if not own or not baseline:
            continue
        gain, graph = ratio(baseline, own), recognizers[precision]
        timings.append(
            Timing(
                runtime=runtime,
                precision=precision,
                device=devices[runtime],
                median_ms=statistics(own).median_ms,
                speedup=gain.median,
                lower_quartile=gain.lower_quartile,
                upper_quartile=gain.upper_quartile,
                size_bytes=graph.ByteSize(),
                convolutions=convolutions_in(runtime, graph),
            )
        )
    return Verdict(tuple(timings), tuple(absent), tuple(_sentences(timings, _mark(others.share))), others.share)


def will_not_pay(
    execution: Execution, fp32: onnx.ModelProto, lower: onnx.ModelProto, feeds: Mapping[str, Array], threads: int
) -> str:
    """A sentence where graphs of a lower precision are slower here than float32's, before any work is put into them.

    Args:
        execution: where they are to run.
        fp32: float32 graph of the whole network.
        lower: the same in the lower precision; what its scales are does not change its time.
        feeds: one clip.
        threads: CPU threads.

    Returns:
        The sentence, or '' where they are not clearly slower.
    """
    runs = {
        name: _run(
            open_session(execution.runtime, graph.SerializeToString(), device=execution.device, threads=threads), feeds
        )
        for name, graph in (("before", fp32), ("after", lower))
    }
    with cpu_of_others() as others:
        samples = measure(runs, _FORETOLD_SECONDS).samples_ms
    gain = ratio(samples["before"], samples["after"])
    if gain.upper_quartile >= 1:
        return ""
    return (
        f"{execution.precision} will not pay in {execution.place} on this processor: {gain.median:.2f} times the speed "
        f"of fp32{_mark(others.share)}, so that it only makes smaller files"
    )


def _mark(others: float | None) -> str:
    """What stands behind a figure that was measured while others computed."""
    return f" ({mark})" if (mark := busy_mark(others)) else ""


def _run(session: object, feeds: Mapping[str, Array]) -> Callable[[], object]:
    return lambda: session.run(feeds)  # type: ignore[attr-defined]


def _sentences(timings: Sequence[Timing], mark: str = "") -> list[str]:
    """One a runtime and lower precision, each figure with its mark."""
    return [_sentence(timing, mark) for timing in timings if timing.precision is not Precision.FP32]


def _sentence(timing: Timing, mark: str) -> str:
    where = f"{timing.precision} in {timing.runtime} on the {timing.device}"
    if timing.lower_quartile > 1:
        return f"{where}: worth it, {timing.speedup:.2f} times as fast as fp32{mark}"
    if timing.upper_quartile >= 1:
        return f"{where}: no clear difference from fp32 ({timing.speedup:.2f} times its speed){mark}"
    return f"{where}: not worth it, {timing.speedup:.2f} times the speed of fp32{mark}: {_reason(timing)}"


def _reason(timing: Timing) -> str:
    found = timing.convolutions
    if found is None:
        return "the runtime does not tell why"
    if found.bf16:
        return (
            f"{found.bf16} of {found.convolutions} convolutions run in bfloat16, whose kernels are no faster on this "
            "processor"
        )
    if timing.precision is not Precision.INT8:
        return f"it computes in float32 here, and converts on the way ({found.conversions} conversions)"
    stayed = found.convolutions - found.int8
    return (
        f"{stayed} of {found.convolutions} convolutions do not run in INT8, and {found.conversions} nodes change types "
        "or layouts between them"
    )
