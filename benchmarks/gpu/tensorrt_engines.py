"""TensorRT engines of a prepared bundle beside plain Conv3d exports and RGBPoseConv3D, and the forms of the shift.

Engines of the bundle (FP32, FP16, INT8) are built by `x3ddeploy build-trt`, which proves precision and parity; what it
found goes into the result. Where a gate fails, its words do, and the engines are timed all the same. Two scopes:
`compute` (from the engine's own memory to it) and `with_copies` (from and to host memory), waited for on the host, wall
clock, CUDA graphs. All run in turn, round after round. What no longer fits into the budget is named.

    python benchmarks/gpu/tensorrt_engines.py DIRECTORY [--seconds 180] [--output benchmarks/results]

DIRECTORY is what benchmarks/gpu/prepare.py wrote. Needs TensorRT and x3ddeploy's own requirements, no PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from host import ROOT, Budget, clocks, first_line, gpu_state, rows_of, tell, write

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.bundle.paths import graph_name
from x3ddeploy.child_process import run_in_child
from x3ddeploy.engines.machine import find_host
from x3ddeploy.engines.worker import BUILD, BuildRequest
from x3ddeploy.errors import GateError, X3DDeployError
from x3ddeploy.machine import machine
from x3ddeploy.runtimes.registry import Execution, open_part
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.trt import open_tensorrt
from x3ddeploy.terms import Precision
from x3ddeploy.timing.measure import measure

PARTS = "rgb_backbone,pose_backbone,head"
FLAGS = {Precision.FP16: ("--fp16",), Precision.INT8: ("--int8",), Precision.FP32: ()}
BATCHES = (1, 8)
# Those that matter most first: what time does not suffice for is left out from the end.
NETWORKS: tuple[Precision | str, ...] = (
    Precision.FP16,
    "original.fp16",
    "rgbposeconv3d.fp16",
    Precision.INT8,
    Precision.FP32,
    "original.fp32",
    "rgbposeconv3d.fp32",
)
_NETWORKS_SHARE, _TIMING_SHARE = 0.8, 0.2  # of all seconds: building and timing the networks; of that, timing
_STAGE_S = 1.0  # of timing the shift's forms at one stage
_LEAST_BUILD_S = 10.0  # no build is begun with less


class Evidence:
    """What was built, timed and left out."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cuda = Cuda()
        self._tensorrt = open_tensorrt(Flavour.TENSORRT, lambda severity, text: tell(f"[{severity}] {text}"))
        self.engines: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.absent: list[dict[str, str]] = []
        self.clocks: list[dict[str, str]] = []
        self.failed: dict[str, list[str]] = {}

    def networks(self, budget: Budget, timing_s: float) -> None:
        """Build all networks in all but the last `timing_s` of the budget, then time them."""
        sessions: dict[str, TensorRTSession] = {}
        for network in NETWORKS:
            limit_s = budget.left_s - timing_s
            if isinstance(network, Precision):
                self._try(f"parts, {network.value}", sessions, limit_s, partial(self._parts, network))
            else:
                path = self._directory / "plain" / f"{network}.onnx"
                self._try(f"plain, {network}", sessions, limit_s, partial(self._plain, path))
        for batch in BATCHES:
            self._time(sessions, batch, ("compute", "with_copies"), timing_s / len(BATCHES))

    def shift_forms(self, budget: Budget) -> None:
        """Build and time the shift's forms, stage after stage."""
        stages: dict[str, list[Path]] = {}
        for path in sorted((self._directory / "shift").glob("*.onnx")):
            stages.setdefault(path.stem.rpartition(".")[0], []).append(path)
        for paths in stages.values():
            sessions: dict[str, TensorRTSession] = {}
            for path in paths:
                self._try(f"shift, {path.stem}", sessions, budget.left_s, partial(self._plain, path))
            self._time(sessions, 0, ("compute",), _STAGE_S)

    def _time(self, sessions: Mapping[str, TensorRTSession], batch: int, scopes: Sequence[str], seconds: float) -> None:
        """All sessions in turn; a batch of 0 is each one's largest."""
        runs: dict[str, Callable[[], object]] = {}
        about: dict[str, dict[str, Any]] = {}
        for name, session in sessions.items():
            feeds = _feeds(session, batch or session.max_batch)
            try:
                session.run(feeds)
            except Exception as error:  # likewise
                self.absent.append({"name": f"{name}, batch {batch}", "reason": first_line(error)})
                continue
            ways: dict[str, Callable[[], object]] = {
                "compute": partial(session.run_resident, batch or session.max_batch),
                "with_copies": partial(session.run, feeds),
            }
            for scope in scopes:
                runs[f"{name}, {scope}"] = ways[scope]
                about[f"{name}, {scope}"] = {"network": name, "scope": scope, "batch": batch or 1}
        if runs:
            tell(f"timing {len(runs)} competitors, batch {batch or 1}")
            self.rows += rows_of(measure(runs, seconds), about)
            self.clocks.append({"group": ", ".join(runs), **clocks()})

    def _try(
        self, name: str, sessions: dict[str, TensorRTSession], limit_s: float, make: Callable[[float], TensorRTSession]
    ) -> None:
        if limit_s < _LEAST_BUILD_S:
            self.absent.append({"name": name, "reason": "no time left in the budget"})
            return
        tell(f"building {name}, {limit_s:.0f} s left")
        try:
            sessions[name] = make(limit_s)
        except Exception as error:  # whatever it is: the other networks are still to come
            self.absent.append({"name": name, "reason": str(error)[:2000]})

    def _parts(self, precision: Precision, limit_s: float) -> TensorRTSession:
        bundle = self._directory / "deploy"
        words = ("build-trt", bundle, *FLAGS[precision], "--parts", PARTS, "--json")
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "x3ddeploy", *map(str, words)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            reply, log = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise X3DDeployError(f"build-trt was ended after {limit_s:.0f} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its building child as well
                process.communicate()
        if process.returncode == GateError.exit_code:
            # Its latency is still of interest, beside the word that it is not what was asked for.
            self.failed[precision.value] = log.splitlines()[-16:]
            return self._unproven(precision, max(limit_s - (time.monotonic() - start), _LEAST_BUILD_S))
        if process.returncode:
            raise X3DDeployError(f"build-trt ended with {process.returncode}", details=log.splitlines()[-12:])
        for made in json.loads(reply)["engines"]:
            rows = made["check"]["rows"] if made["check"] else []
            self.engines.append(
                {
                    "part": made["entry"]["part"],
                    "precision": precision.value,
                    "seconds": made["built"]["seconds"],
                    "size_bytes": made["built"]["size_bytes"],
                    "layers": made["built"]["precision"]["engine_layers"],
                    "reformats": made["built"]["precision"]["reformats"],
                    "computes_in": made["built"]["precision"]["counts"],
                    "largest_relative_error": max((row["difference"]["relative"] for row in rows), default=None),
                    "unproven": made["unproven"],
                }
            )
        return open_part(Bundle.open(bundle), Execution("tensorrt", "cuda", Precision(precision.value)))

    def _unproven(self, precision: Precision, limit_s: float) -> TensorRTSession:
        """The same parts, built as they are; what the failed build timed of kernels is used again."""
        bundle = self._directory / "deploy"
        cache = next(iter(sorted(bundle.glob("engines/*/timing.cache"))), None)
        waves = [
            [self._build(bundle / graph_name(part, precision.value), precision, limit_s, cache) for part in wave]
            for wave in Bundle.open(bundle).contract.waves
        ]
        return session_of_plans(self._cuda, self._tensorrt, waves)

    def _plain(self, path: Path, limit_s: float) -> TensorRTSession:
        precision = Precision.FP32 if path.stem.endswith("fp32") else Precision.FP16
        return session_of_plans(self._cuda, self._tensorrt, [[self._build(path, precision, limit_s, None)]])

    def _build(self, path: Path, precision: Precision, limit_s: float, cache: Path | None) -> bytes:
        """A graph as it is, with no word about its parity: how long it takes is at issue, not what it computes."""
        options = BuildOptions(Flavour.TENSORRT, precision, Batches(1, 1, max(BATCHES)))
        with tempfile.TemporaryDirectory() as folder:
            plan, name = Path(folder) / "plan", path.relative_to(self._directory).as_posix()
            earlier = str(cache) if cache else None
            request = BuildRequest(str(path), str(plan), options, {}, earlier, keep_cache=False, load=True)
            what = f"building {name}"
            built = run_in_child(BUILD, msgspec.to_builtins(request), what, lambda text: None, limit_s)
            self.engines.append({"graph": name, "seconds": built["seconds"], "size_bytes": built["size_bytes"]})
            return plan.read_bytes()


def _feeds(session: TensorRTSession, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {name: random.random((batch, *shape[1:]), np.float32) for name, shape in session.inputs.items()}


def main() -> None:
    """Build, time and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    before = gpu_state()
    try:
        host = find_host(Flavour.TENSORRT, ())
    except X3DDeployError as error:
        tell(f"no TensorRT evidence: {error}")
        sys.exit(error.exit_code)
    evidence = Evidence(arguments.directory.resolve())
    whole, networks_s = Budget(arguments.seconds), _NETWORKS_SHARE * arguments.seconds

    def keep() -> None:
        result = {
            "script": "benchmarks/gpu/tensorrt_engines.py",
            "device": host.gpu,
            "gpu_before": before,
            "gpu_after": gpu_state(),
            "machine": machine(),
            "versions": {"tensorrt": host.version, "driver": host.driver},
            "engines": evidence.engines,
            "rows": evidence.rows,
            "absent": evidence.absent,
            "clocks": evidence.clocks,
            "failed_gates": evidence.failed,
        }
        tell(str(write(arguments.output, str(host.gpu), "tensorrt_engines", result)))

    try:
        evidence.networks(Budget(networks_s), _TIMING_SHARE * networks_s)
        keep()
        evidence.shift_forms(whole)
    finally:
        keep()  # also what there is when the time is up


if __name__ == "__main__":
    main()
