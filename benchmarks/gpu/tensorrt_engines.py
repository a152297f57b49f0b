"""TensorRT engines of a prepared bundle beside plain Conv3d exports and RGBPoseConv3D, and the forms of the shift.

Engines of the bundle (FP32, FP16, INT8) are built by `x3ddeploy build-trt`, which proves precision and parity; what it
found goes into the result. Two scopes: `compute` (from the engine's own memory to it) and `with_copies` (from and to
host memory), waited for on the host, wall clock, CUDA graphs. All run in turn, round after round. What no longer fits
into the budget is named.

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from host import ROOT, Budget, gpu_state, machine, rows_of, tell, write

from x3ddeploy.bench.measure import measure
from x3ddeploy.bundle import Bundle
from x3ddeploy.engines.child import run_in_child
from x3ddeploy.engines.cuda import Cuda
from x3ddeploy.engines.machine import find_host
from x3ddeploy.engines.options import Batches, BuildOptions, EnginePrecision, Flavour
from x3ddeploy.engines.place import Host
from x3ddeploy.engines.trt import open_tensorrt
from x3ddeploy.engines.worker import BUILD, BuildRequest
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.runtimes.tensorrt_session import TensorRTSession, open_parts, session_of_plans

PRECISIONS = (EnginePrecision.FP16, EnginePrecision.INT8, EnginePrecision.FP32)
PLAIN = ("original.fp16", "rgbposeconv3d.fp16", "original.fp32", "rgbposeconv3d.fp32")
BATCHES = (1, 8)
_PARTS = "rgb_backbone,pose_backbone,head"
_FLAGS = {EnginePrecision.FP16: ("--fp16",), EnginePrecision.INT8: ("--int8",), EnginePrecision.FP32: ()}
_TIMING_SHARE = 0.25  # of the budget, for timing what was built
_SHIFT_S = 1.0  # of timing for each stage


class Evidence:
    """What was built, timed and left out."""

    def __init__(self, directory: Path, host: Host, budget: Budget, timing_s: float) -> None:
        self._directory, self._host, self._budget, self._timing_s = directory, host, budget, timing_s
        self._cuda = Cuda()
        self._tensorrt = open_tensorrt(Flavour.TENSORRT, lambda severity, text: tell(f"[{severity}] {text}"))
        self.engines: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.absent: list[dict[str, str]] = []

    def networks(self) -> None:
        """Build and time all networks, those that matter most first."""
        sessions: dict[str, TensorRTSession] = {}
        for precision in PRECISIONS:
            self._try(f"parts, {precision.value}", sessions, lambda precision=precision: self._parts(precision))
        for name in PLAIN:
            self._try(
                f"plain {name}", sessions, lambda name=name: self._plain(self._directory / "plain" / f"{name}.onnx")
            )
        for batch in BATCHES:
            runs: dict[str, Callable[[], object]] = {}
            about: dict[str, dict[str, Any]] = {}
            for name, session in sessions.items():
                feeds = _feeds(session, batch)
                session.run(feeds)
                for scope, run in (
                    ("compute", lambda session=session, batch=batch: session.run_resident(batch)),
                    ("with_copies", lambda session=session, feeds=feeds: session.run(feeds)),
                ):
                    label = f"{name}, {scope}"
                    runs[label] = run
                    about[label] = {"network": name, "scope": scope, "batch": batch}
            tell(f"timing {len(runs)} competitors, batch {batch}")
            self.rows += rows_of(measure(runs, self._timing_s / len(BATCHES)), about)

    def shift_forms(self) -> None:
        """Build and time the shift's forms, stage after stage."""
        stages: dict[str, dict[str, Path]] = {}
        for path in sorted((self._directory / "shift").glob("*.onnx")):
            stage, _, form = path.stem.rpartition(".")
            stages.setdefault(stage, {})[form] = path
        for stage, forms in stages.items():
            sessions: dict[str, TensorRTSession] = {}
            for form, path in forms.items():
                self._try(f"shift {stage}.{form}", sessions, lambda path=path: self._plain(path))
            for session in sessions.values():
                session.run(_feeds(session, next(iter(session.inputs.values())).shape[0]))
            runs = {
                name: lambda session=session: session.run_resident(session.max_batch)
                for name, session in sessions.items()
            }
            about = {name: {"network": name, "scope": "compute", "batch": 1} for name in runs}
            if runs:
                self.rows += rows_of(measure(runs, min(_SHIFT_S, self._timing_s)), about)

    def _try(self, name: str, sessions: dict[str, TensorRTSession], make: Callable[[], TensorRTSession]) -> None:
        if self._budget.left_s < self._timing_s:
            self.absent.append({"name": name, "reason": "no time left in the budget"})
            return
        tell(f"building {name}, {self._budget.left_s:.0f} s left")
        try:
            sessions[name] = make()
        except X3DDeployError as error:
            self.absent.append({"name": name, "reason": str(error)[:1000]})
        except subprocess.TimeoutExpired:
            self.absent.append({"name": name, "reason": "no time left in the budget: the build was ended"})

    def _parts(self, precision: EnginePrecision) -> TensorRTSession:
        bundle = self._directory / "deploy"
        command = [
            sys.executable,
            "-m",
            "x3ddeploy",
            "build-trt",
            bundle,
            *_FLAGS[precision],
            "--parts",
            _PARTS,
            "--json",
        ]
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            reply, log = process.communicate(timeout=max(self._budget.left_s - self._timing_s, 1))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its building child as well
                process.communicate()
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
        return open_parts(Bundle.open(bundle), precision)

    def _plain(self, path: Path) -> TensorRTSession:
        """Built as it is, with no word about its parity: how long it takes is at issue, not what it computes."""
        options = BuildOptions(Flavour.TENSORRT, _precision_of(path), Batches(1, 1, max(BATCHES)))
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / "plan"
            request = BuildRequest(str(path), str(plan), options, {}, None, load=True)
            built = run_in_child(BUILD, msgspec.to_builtins(request), f"building {path.stem}", lambda text: None)
            self.engines.append({"plain": path.stem, "seconds": built["seconds"], "size_bytes": built["size_bytes"]})
            return session_of_plans(self._cuda, self._tensorrt, [[plan.read_bytes()]])


def _precision_of(path: Path) -> EnginePrecision:
    return EnginePrecision.FP32 if path.stem.endswith("fp32") else EnginePrecision.FP16


def _feeds(session: TensorRTSession, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {
        name: random.random((batch, *tensor.shape[1:]), np.float32).astype(tensor.dtype)
        for name, tensor in session.inputs.items()
    }


def main() -> None:
    """Build, time and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    budget, before = Budget(arguments.seconds), gpu_state()
    try:
        host = find_host(Flavour.TENSORRT, ())
    except X3DDeployError as error:
        tell(f"no TensorRT evidence: {error}")
        sys.exit(error.exit_code)
    evidence = Evidence(arguments.directory.resolve(), host, budget, arguments.seconds * _TIMING_SHARE)

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
        }
        tell(str(write(arguments.output, str(host.gpu), "tensorrt_engines", result)))

    evidence.networks()
    keep()
    evidence.shift_forms()
    keep()


if __name__ == "__main__":
    main()
