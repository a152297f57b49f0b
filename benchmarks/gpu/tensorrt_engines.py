"""TensorRT engines of a prepared bundle beside plain exports and RGBPoseConv3D, and the forms of the shift.

Each network is built at optimisation level 1, timed and kept, then once more at level 3, the default: what cuts the
script off leaves what there was. Ours are built in this process, which loads TensorRT's libraries once; a rival has a
process of its own and a cap. Engines of a bundle are held to its golden outputs; where they fail, `failed_gates` says
so, and they are timed all the same. Two scopes, CUDA graphs in both: `compute` (from the engine's own memory to it) and
`with_copies` (from and to host memory, float32 on both sides), each by the host's clock and by CUDA events.

    python benchmarks/gpu/tensorrt_engines.py DIRECTORY --networks fp16,original.fp16 [--seconds 180]

A network is a precision of DIRECTORY/deploy ('fp16'), one of another bundle there ('rgbposeconv3d:int8'), or a file of
DIRECTORY/plain ('original.fp16'); '@32' builds it for 32 clips alone, and 'fp16+raw' behind the bundle's preprocessing
graphs: frames go up as bytes, and heatmaps are drawn there. Needs TensorRT and x3ddeploy's own requirements.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from host import Budget, first_line, gpu_state, rows_of, tell, write

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import DEFAULT_PERSONS, Batches, BuildOptions, Flavour
from x3ddeploy.child_process import run_in_child
from x3ddeploy.contract import WHOLE
from x3ddeploy.engines.check import CheckRequest, compare_session
from x3ddeploy.engines.graph_precision import graph_precisions
from x3ddeploy.engines.inspection import PrecisionReport, precision_of_engine, precision_of_network, with_inspection
from x3ddeploy.engines.machine import find_host
from x3ddeploy.engines.worker import BUILD, BuildRequest
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.machine import machine
from x3ddeploy.modalities.frames import RAW_FRAMES
from x3ddeploy.runtimes.registry import preprocessing_of
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.trt import TensorRT, open_tensorrt
from x3ddeploy.terms import Precision
from x3ddeploy.timing.gpu_load import gpu_load
from x3ddeploy.timing.measure import measure, statistics
from x3ddeploy.timing.under_load import measure_under_load

BATCHES = (1, 8, 32)
LEVELS = (1, 3)
PROFILE = Batches(1, 1, 8)
REPEATS = 10  # runs of a shift's form in one CUDA graph: a launch takes as long as some of them
_CAP_S = 100.0  # of a rival's build
_GROUP_S, _ALONE_S, _STAGE_S = 6.0, 1.5, 1.0  # of timing a group, a network alone, the forms at one stage
_WARM_UP_S = 0.5
CALLERS, _LOAD_S = (1, 2, 4), 2.0  # at once, and seconds of each
_LEAST_BUILD_S = 10.0  # no build is begun with less


@dataclass(frozen=True)
class Wanted:
    """A network to build, as `--networks` names it.

    Attributes:
        bundle: folder of a bundle, '' for a plain export.
        file: stem of a plain export, '' for a bundle.
        precision: precision of its graphs.
        batches: the profile.
        is_raw: behind its preprocessing graphs.
    """

    name: str
    bundle: str
    file: str
    precision: Precision
    batches: Batches
    is_raw: bool = False

    @classmethod
    def named(cls, name: str) -> Wanted:
        whole, _, clips = name.partition("@")
        what, plus, _ = whole.partition("+raw")
        batches = Batches(int(clips), int(clips), int(clips)) if clips else PROFILE
        _, dot, precision = what.rpartition(".")
        if dot:
            return cls(name, "", what, Precision(precision), batches)
        bundle, colon, precision = what.rpartition(":")
        return cls(name, bundle if colon else "deploy", "", Precision(precision), batches, bool(plus))


class Evidence:
    """What was built, timed and left out.

    Args:
        directory: what prepare.py wrote.
        cuda: the GPU.
        tensorrt: installed here.
        keep: called after every engine and every timed group.
        cache: file that kernels' timings are carried in, from call to call.
    """

    def __init__(
        self, directory: Path, cuda: Cuda, tensorrt: TensorRT, keep: Callable[[Evidence], None], cache: Path
    ) -> None:
        self._directory, self._cuda, self._tensorrt, self._keep, self._cache = directory, cuda, tensorrt, keep, cache
        self.engines: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.absent: list[dict[str, str]] = []
        self.failed: dict[str, list[str]] = {}

    def networks(self, names: Sequence[str], budget: Budget) -> None:
        """Build and time all networks at each level, as long as the budget lasts."""
        for level in LEVELS:
            sessions: dict[str, TensorRTSession] = {}
            for wanted in map(Wanted.named, names):
                make = partial(self._parts if wanted.bundle else self._plain, wanted, level)
                if session := self._try(f"{wanted.name}, level {level}", budget, make):
                    sessions[wanted.name] = session
                    alone = {wanted.name: session}
                    self._time_batches(alone, level, _ALONE_S, "alone")
            if len(sessions) > 1 and budget.left_s > 0:
                self._time_batches(sessions, level, min(_GROUP_S, budget.left_s / len(BATCHES)), "in turn")
            for name in list(sessions)[:1]:
                self._load(name, sessions[name], level, budget)

    def shift_forms(self, folder: Path, budget: Budget) -> None:
        """Build and time the shift's forms, stage after stage, each a CUDA graph of several runs."""
        stages: dict[str, list[Path]] = {}
        for path in sorted(folder.glob("*.onnx")):
            stages.setdefault(path.stem.rpartition(".")[0], []).append(path)
        for paths in stages.values():
            sessions: dict[str, TensorRTSession] = {}
            for path in paths:
                make = partial(self._form, path)
                if session := self._try(f"shift, {path.stem}", budget, make):
                    sessions[f"shift, {path.stem}"] = session
            runs = {
                # Its first axis holds a clip's frames, in some of the forms.
                name: session.resident_run(session.max_batch, REPEATS)
                for name, session in sessions.items()
                if self._ran(name, session, session.max_batch)
            }
            about = {name: {"network": name, "scope": "compute", "batch": 1, "repeats": REPEATS} for name in runs}
            self._time(runs, about, sessions, _STAGE_S, divided_by=REPEATS)

    def _time_batches(self, sessions: Mapping[str, TensorRTSession], level: int, seconds: float, how: str) -> None:
        for batch in BATCHES:
            runs: dict[str, Callable[[], object]] = {}
            about: dict[str, dict[str, Any]] = {}
            by_row: dict[str, TensorRTSession] = {}
            for name, session in sessions.items():
                if not session.min_batch <= batch <= session.max_batch or not self._ran(name, session, batch):
                    continue
                feeds = _feeds(session, batch)
                ways: dict[str, Callable[[], object]] = {
                    "compute": session.resident_run(batch),
                    "with_copies": partial(session.run, feeds),
                }
                for scope, run in ways.items():
                    row = f"{name}, {scope}"
                    runs[row], by_row[row] = run, session
                    about[row] = {"network": name, "level": level, "timed": how, "scope": scope, "batch": batch}
            self._time(runs, about, by_row, seconds)

    def _load(self, name: str, session: TensorRTSession, level: int, budget: Budget) -> None:
        """Throughput and latency as a server sees them: callers at once, each with contexts and graphs of its own."""
        callers = [session]
        for count in CALLERS:
            callers += [session.beside() for _ in range(count - len(callers))]
            for batch in (batch for batch in BATCHES if session.min_batch <= batch <= session.max_batch):
                if budget.left_s < _LOAD_S:
                    self.absent.append({"name": f"{name}, {count} callers, batch {batch}", "reason": "no time left"})
                    continue
                # Recorded one after the other: from then on they only replay.
                if not all(self._ran(name, caller, batch) for caller in callers):
                    continue
                runs = [partial(caller.run, _feeds(caller, batch)) for caller in callers]
                with gpu_load() as load:
                    measured = measure_under_load(runs, _LOAD_S)
                self.rows.append(
                    {
                        "network": name,
                        "level": level,
                        "timed": "under load",
                        "scope": "with_copies",
                        "batch": batch,
                        "callers": count,
                        "clips_per_s": batch * measured.calls_per_s,
                        "cuda_graph": all(caller.uses_cuda_graph for caller in callers),
                        "tactic_sources": list(self._tensorrt.features.own_tactics),
                        "gpu_load": asdict(load[0]) if load else None,
                        **asdict(statistics(list(measured.latencies_ms))),
                    }
                )
                self._keep(self)

    def _ran(self, name: str, session: TensorRTSession, batch: int) -> bool:
        """Whether a session runs; the first runs prepare its contexts, the second are recorded."""
        try:
            feeds = _feeds(session, batch)
            for _ in range(2):
                session.run(feeds)
        except X3DDeployError as error:
            self.absent.append({"name": f"{name}, batch {batch}", "reason": first_line(error)})
            return False
        return True

    def _time(
        self,
        runs: Mapping[str, Callable[[], object]],
        about: Mapping[str, dict[str, Any]],
        sessions: Mapping[str, TensorRTSession],
        seconds: float,
        divided_by: int = 1,
    ) -> None:
        if not runs:
            return
        tell(f"timing {len(runs)}: {', '.join(runs)}")
        with gpu_load() as load:
            measured = measure(runs, seconds, warm_up_s=_WARM_UP_S)
        facts = {
            name: {
                **about[name],
                "cuda_graph": sessions[name].uses_cuda_graph,
                "notes": list(sessions[name].notes),
                "tactic_sources": list(self._tensorrt.features.own_tactics),
                "gpu_load": asdict(load[0]) if load else None,
            }
            for name in runs
        }
        self.rows += rows_of(measured, facts, divided_by)
        self._keep(self)
        if measured.interrupted:
            raise KeyboardInterrupt

    def _try(self, name: str, budget: Budget, make: Callable[[float], TensorRTSession]) -> TensorRTSession | None:
        if budget.left_s < _LEAST_BUILD_S:
            self.absent.append({"name": name, "reason": "no time left in the budget"})
            self._keep(self)
            return None
        tell(f"building {name}, {budget.left_s:.0f} s left")
        try:
            return make(budget.left_s)
        except Exception as error:  # whatever it is: the other networks are still to come
            self.absent.append({"name": name, "reason": str(error)[:2000]})
            return None
        finally:
            self._keep(self)

    def _parts(self, wanted: Wanted, level: int, limit_s: float) -> TensorRTSession:
        """Engines of a bundle's pieces, as a deployment runs them, and what the gates say of them."""
        bundle = Bundle.open(self._directory / wanted.bundle)
        waves = [
            [self._built(wanted, part, bundle.part_path(part, wanted.precision), level) for part in wave]
            for wave in bundle.contract.waves
        ]
        if wanted.is_raw:
            float32 = replace(wanted, precision=Precision.FP32)
            front = [self._built(float32, name, bundle.part_path(name), level) for name in preprocessing_of(bundle)]
            return session_of_plans(self._cuda, self._tensorrt, [front, *waves])
        session = session_of_plans(self._cuda, self._tensorrt, waves)
        request = CheckRequest(str(bundle.path), WHOLE, ((),), wanted.precision, wanted.batches, Flavour.TENSORRT)
        try:
            result = compare_session(bundle, request, session)
            if failures := result.failures:
                self.failed[f"{wanted.name}, level {level}"] = [row.describe() for row in failures[:16]]
            worst = max((row.difference.relative for row in result.rows), default=None)
            self.engines.append({"network": wanted.name, "level": level, "largest_relative_error": worst})
        except X3DDeployError as error:
            self.failed[f"{wanted.name}, level {level}"] = [str(error)]
        return session

    def _built(self, wanted: Wanted, part: str, path: Path, level: int) -> bytes:
        """A plan, built here; its record is kept whatever comes after it."""
        graph = path.read_bytes()
        in_graph = graph_precisions(onnx.load_from_string(graph))
        network, strong = self._tensorrt.parse(graph), self._tensorrt.features.strongly_typed
        proof = precision_of_network(network.layers(), in_graph) if strong else None
        options = BuildOptions(Flavour.TENSORRT, wanted.precision, wanted.batches, optimization_level=level)
        earlier = self._cache.read_bytes() if self._cache.exists() else b""
        start = time.monotonic()
        plan, timings = network.build(options, earlier, lambda text: None)
        seconds = time.monotonic() - start
        if timings:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            self._cache.write_bytes(timings)
        seen = precision_of_engine(
            self._tensorrt.load(plan, host_code=False).inspect(), in_graph, strongly_typed=strong
        )
        self._record(wanted.name, part, level, seconds, len(plan), with_inspection(proof, seen) if proof else seen)
        return plan

    def _plain(self, wanted: Wanted, level: int, limit_s: float) -> TensorRTSession:
        """A rival as it is, with no word about its parity; in a process of its own, which a cap can end."""
        path = self._directory / "plain" / f"{wanted.file}.onnx"
        options = BuildOptions(Flavour.TENSORRT, wanted.precision, wanted.batches, optimization_level=level)
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / "plan"
            request = BuildRequest(str(path), str(plan), options, {}, None, keep_cache=False, load=True)
            what, limit_s = f"building {wanted.name}", min(limit_s, _CAP_S)
            reply = run_in_child(BUILD, msgspec.to_builtins(request), what, lambda text: None, limit_s)
            report = msgspec.convert(reply["precision"], PrecisionReport)
            self._record(wanted.name, path.name, level, reply["seconds"], reply["size_bytes"], report)
            return session_of_plans(self._cuda, self._tensorrt, [[plan.read_bytes()]])

    def _form(self, path: Path, limit_s: float) -> TensorRTSession:
        wanted = Wanted(f"shift, {path.stem}", "", path.stem, Precision.FP16, Batches(1, 1, 1))
        return session_of_plans(self._cuda, self._tensorrt, [[self._built(wanted, path.name, path, LEVELS[-1])]])

    def _record(
        self, network: str, part: str, level: int, seconds: float, size_bytes: int, precision: PrecisionReport
    ) -> None:
        self.engines.append(
            {
                "network": network,
                "part": part,
                "level": level,
                "seconds": seconds,
                "size_bytes": size_bytes,
                "computes_in": precision.counts,
                "precision": msgspec.to_builtins(precision),
            }
        )
        self._keep(self)


def _feeds(session: TensorRTSession, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    feeds = {}
    for name, (_, *shape) in session.inputs.items():
        values = random.random(
            (batch, *(DEFAULT_PERSONS.optimum if axis is None else axis for axis in shape)), np.float32
        )
        feeds[name] = (255 * values).astype(np.uint8) if name == RAW_FRAMES else values
    return feeds


def main() -> None:
    """Build, time and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--networks", default="", help="those that matter most first")
    parser.add_argument("--shift", type=Path, help="folder of the shift's forms")
    parser.add_argument("--name", default="tensorrt_engines", help="of the result")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    before = gpu_state()
    try:
        host = find_host(Flavour.TENSORRT, ())
    except X3DDeployError as error:
        tell(f"no TensorRT evidence: {error}")
        sys.exit(error.exit_code)

    def keep(evidence: Evidence) -> None:
        result = {
            "script": "benchmarks/gpu/tensorrt_engines.py",
            "device": host.gpu,
            "gpu_before": before,
            "machine": machine(),
            "versions": {"tensorrt": host.version, "driver": host.driver},
            "engines": evidence.engines,
            "rows": evidence.rows,
            "absent": evidence.absent,
            "failed_gates": evidence.failed,
        }
        write(arguments.output, str(host.gpu), arguments.name, result)

    tensorrt = open_tensorrt(Flavour.TENSORRT, lambda severity, text: tell(f"[{severity}] {text}"))
    cache = arguments.output / "timing.cache"
    evidence = Evidence(arguments.directory.resolve(), Cuda(), tensorrt, keep, cache)
    budget = Budget(arguments.seconds)
    if arguments.networks:
        evidence.networks(arguments.networks.split(","), budget)
    if arguments.shift:
        evidence.shift_forms(arguments.shift, budget)
    keep(evidence)


if __name__ == "__main__":
    main()
