"""The C++ runtime beside Python: one bundle and clip in both, interleaved; many callers; preparation of 1080p video.

    x3ddeploy_cli from `make cpp`, a bundle from `x3ddeploy export --preprocess`:
    python benchmarks/cpp_runtime.py deploy --cli build/cpp/examples/cli/x3ddeploy_cli

Both sides compute in OpenVINO with the same number of threads. `overhead` is what C++ adds to the runtime's own time of
a call. Writes benchmarks/results/cpp_runtime.json.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from x3ddeploy.atomic import write_json
from x3ddeploy.bundle import Bundle
from x3ddeploy.machine import machine
from x3ddeploy.runtimes.registry import open_session

CLIPS, CALLERS = 10, 8
HD = (1080, 1920)
RESULT = Path(__file__).parent / "results" / "cpp_runtime.json"


def said(cli: Path, *words: object) -> dict[str, Any]:
    """The JSON document that the command prints."""
    command = [str(cli), *map(str, words), "--runtime", "openvino", "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


def python_latencies_ms(bundle: Bundle, inputs: dict[str, np.ndarray], threads: int, seconds: float) -> list[float]:
    """Calls of the recognizer, for so long."""
    session = open_session("openvino", bundle.part_path("recognizer"), threads=threads)
    for _ in range(3):
        session.run(inputs)
    latencies, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(latencies) < 5:
        begin = time.perf_counter()
        session.run(inputs)
        latencies.append(1000 * (time.perf_counter() - begin))
    return latencies


def hd_stages(cli: Path, bundle: Bundle, threads: int) -> dict[str, float]:
    """Where the time goes of ten clips of a 1080p video with one person."""
    random = np.random.default_rng(0)
    joints = next(value.shape[1] for value in bundle.contract.inputs.values() if value.keypoint_order is not None)
    keypoints = random.uniform(200, 900, (1, 64, joints, 2)).astype(np.float32)
    frames = random.integers(0, 256, (64, *HD, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.npz"
        scores = np.ones(keypoints.shape[:3], np.float32)
        np.savez(clip, frames=frames, keypoints=keypoints, keypoint_scores=scores)
        runs = [said(cli, bundle.path, clip, "--clips", CLIPS, "--threads", threads)["stages"] for _ in range(3)]
    return min(runs, key=lambda stages: float(stages["prepare_ms"]))


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--cli", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--seconds", type=float, default=5.0, show_default=True, help="Each measurement of each round.")
@click.option("--rounds", type=int, default=3, show_default=True)
def main(bundle: Path, cli: Path, threads: int, seconds: float, rounds: int) -> None:
    """Measure BUNDLE."""
    opened = Bundle.open(bundle)
    inputs = {name: np.load(bundle / "golden" / f"{name}.npy")[:1] for name in opened.contract.inputs}
    python, cpp = [], []
    for _ in range(rounds):
        python += python_latencies_ms(opened, inputs, threads, seconds)
        cpp.append(said(cli, bundle, "--bench", "--seconds", seconds, "--threads", threads)["scopes"])
    memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    stages = hd_stages(cli, opened, threads)
    callers = said(cli, bundle, "--bench", "--seconds", 2 * seconds, "--callers", CALLERS)["callers"]
    in_cpp = {name: statistics.median(scopes[name]["median_ms"] for scopes in cpp) for name in cpp[0]}
    compute = [scopes["compute"] for scopes in cpp]
    result = {
        "machine": machine(),
        "bundle": str(bundle),
        "threads": threads,
        "python_compute_ms": statistics.median(python),
        "cpp_ms": in_cpp,
        "overhead": statistics.median(one["median_ms"] / one["runtime_median_ms"] - 1 for one in compute),
        "python_memory_mib": memory[0],
        "cpp_memory_mib": memory[1],
        "hd_video": {**stages, "prepare_to_compute": stages["prepare_ms"] / stages["compute_ms"]},
        "callers": {**callers, "gain": callers["at_once_a_second"] / callers["in_turns_a_second"]},
    }
    write_json(RESULT, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
