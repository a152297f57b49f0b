"""Time of each layer by the runtime's own profiler, folded onto parts, stages and blocks.

Profilers slow a run down and count what threads do in different ways: the shares are what counts, and the sum is not
the latency.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import onnx

from x3ddeploy.runtimes.base import Feeds
from x3ddeploy.timing.place import LAYOUT, Place, Places

_RUNS = 5
_WARM_UP = 2


@dataclass(frozen=True)
class LayerTime:
    """One kind of layer in one block.

    Attributes:
        stream, stage, block, kind: see Place; all '' for what could not be placed.
        time_ms: median over the profiled runs.
    """

    stream: str
    stage: str
    block: str
    kind: str
    time_ms: float


Timed = tuple[str, float]  # a node's name and its milliseconds, in the order of execution


def fold(runs: Iterable[Iterable[Timed]], places: Places) -> list[LayerTime]:
    """Add up nodes by place, and take the median over runs.

    Layout changes that a runtime put in between are counted as such, in the block of the node before them.
    """
    sums: list[dict[Place | None, float]] = []
    for nodes in runs:
        totals: dict[Place | None, float] = defaultdict(float)
        before: Place | None = None
        for name, time_ms in nodes:
            place = places.of(name)
            if _is_reorder(name):
                place = place or before
                place = place and Place(place.stream, place.stage, place.block, LAYOUT)
            totals[place] += time_ms
            before = place or before
        sums.append(totals)
    blocks = []
    for place in dict.fromkeys(place for totals in sums for place in totals):
        time_ms = median(totals.get(place, 0.0) for totals in sums)
        names = (place.stream, place.stage, place.block, place.kind) if place else ("", "", "", "")
        blocks.append(LayerTime(*names, time_ms))
    return blocks


def _is_reorder(name: str) -> bool:
    """ONNX Runtime's 'ReorderInput_token_12'; OpenVINO joins layouts and both neighbours: 'a_acdb_abcd_b'."""
    return name.startswith("Reorder") or "_acdb" in name or "_abcd" in name or "_acdeb" in name or "_abcde" in name


def profile_onnxruntime(graph: Path, feeds: Feeds, threads: int) -> list[LayerTime]:
    """On the CPU provider. Source of the format: ONNX Runtime's profiler, 'Node' events, microseconds."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as directory:
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, threads
        options.enable_profiling, options.profile_file_prefix = True, str(Path(directory) / "profile")
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        for _ in range(_WARM_UP + _RUNS):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text())
    return fold(onnxruntime_runs(events)[_WARM_UP:], Places(onnx.load(graph)))


def onnxruntime_runs(events: list[dict[str, object]]) -> list[list[Timed]]:
    """Kernel times of each run; a run ends with the event of its whole."""
    runs: list[list[Timed]] = [[]]
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            runs[-1].append((name.removesuffix("_kernel_time"), float(str(event["dur"])) / 1e3))
        elif name == "model_run":
            runs.append([])
    return [run for run in runs if run]


def profile_openvino(graph: Path, feeds: Feeds, threads: int) -> list[LayerTime]:
    """On the CPU plugin, with its performance counters."""
    from x3ddeploy.runtimes.openvino_session import core

    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "PERF_COUNT": True,
    }
    request = core().compile_model(str(graph), "CPU", config).create_infer_request()
    runs = []
    for _ in range(_WARM_UP + _RUNS):
        request.infer(dict(feeds))
        runs.append([(info.node_name, info.real_time.total_seconds() * 1e3) for info in request.profiling_info])
    return fold(runs[_WARM_UP:], Places(onnx.load(graph)))


PROFILERS: dict[str, Callable[[Path, Feeds, int], list[LayerTime]]] = {
    "onnxruntime": profile_onnxruntime,
    "openvino": profile_openvino,
}
