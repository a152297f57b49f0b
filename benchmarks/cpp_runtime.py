"""The C++ runtime beside Python: one bundle in both, round by round; many callers; preparation of 1080p video.

    x3ddeploy_cli from `make cpp`, a bundle of two streams from `x3ddeploy export --target openvino --preprocess`:
    python benchmarks/cpp_runtime.py deploy --cli build/cpp/examples/cli/x3ddeploy_cli

Both sides compute in OpenVINO with the same number of threads. Every measurement is a process of its own, whose largest
memory is its scope's: `compute` is ready tensors to scores, `pipeline` is ten clips of 64 frames of 1920 x 1080 that
are in memory, cropped, resized, drawn and computed. `overhead` is what C++ adds to the runtime's own time of a call.
Writes benchmarks/results/cpp_runtime.json, and its table into docs/embed.md.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from written import write_table

from x3ddeploy.atomic import write_json
from x3ddeploy.bundle import Bundle
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.machine import machine
from x3ddeploy.modalities.sampling import uniform_indices
from x3ddeploy.runtimes.registry import open_session

CLIPS, CALLERS, FRAMES = 10, 8, 64
HEIGHT, WIDTH = 1080, 1920
FEWEST_CALLS, WARM_UP_CALLS = 5, 3
RESULT = Path(__file__).parent / "results" / "cpp_runtime.json"


def measured(command: list[str]) -> tuple[dict[str, Any], float]:
    """The JSON document that a process prints, and its largest memory in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise click.ClickException(f"{' '.join(command)} failed")
    document: dict[str, Any] = json.loads(text)
    return document, usage.ru_maxrss / 1024


def python_call(bundle: Bundle, scope: str, threads: int) -> Callable[[], object]:
    """What Python does in a scope."""
    session = open_session("openvino", bundle.part_path("recognizer"), threads=threads)
    if scope == "compute":
        inputs = {name: np.load(bundle.path / "golden" / f"{name}.npy")[:1] for name in bundle.contract.inputs}
        return lambda: session.run(inputs)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    joints = next(value.clip_shape[0] for value in bundle.contract.inputs.values() if value.keypoint_order is not None)
    keypoints = (random.uniform(0.19, 0.83, (1, FRAMES, joints, 2)) * HEIGHT).astype(np.float32)
    video = Annotation("noise", 0, (HEIGHT, WIDTH), FRAMES, keypoints, np.ones(keypoints.shape[:3], np.float32))
    inputs_of = bundle.contract.inputs
    indices = {name: uniform_indices(FRAMES, value.clip_shape[1], CLIPS) for name, value in inputs_of.items()}

    def call() -> object:
        read = lambda wanted: (frames[index] for index in wanted)  # noqa: E731
        return session.run(prepare_clips(read, video, inputs_of, indices))["scores"].mean(0)

    return call


def python_median_ms(bundle: Path, scope: str, threads: int, seconds: float) -> float:
    """Median time of a call, over calls that take so many seconds together."""
    call = python_call(Bundle.open(bundle), scope, threads)
    for _ in range(WARM_UP_CALLS):
        call()
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(latencies) < FEWEST_CALLS:
        begin = time.perf_counter()
        call()
        latencies.append(1000 * (time.perf_counter() - begin))
    return statistics.median(latencies)


def rows(result: dict[str, Any]) -> Iterator[str]:
    """The table of docs/embed.md."""
    yield "| scope | Python | C++ | of that the runtime's own | memory in Python | in C++ |"
    yield "|---|---|---|---|---|---|"
    meanings = {"compute": "ready tensors of a clip", "pipeline": f"{CLIPS} clips of {WIDTH} x {HEIGHT} video"}
    for scope, meaning in meanings.items():
        one = result[scope]
        times = f"{one['python_ms']:.1f} ms | {one['cpp_ms']:.1f} ms | {one['runtime_ms']:.1f} ms"
        memory = f"{one['python_mib']:.0f} MiB | {one['cpp_mib']:.0f} MiB"
        yield f"| `{scope}`: {meaning} to scores | {times} | {memory} |"
    yield ""
    callers, pipeline = result["callers"], result["pipeline"]
    overhead, share = 100 * result["overhead"], 100 * result["prepare_to_compute"]
    yield f"C++ adds {overhead:.1f} % to the runtime's own time of a call in `compute`."
    preparing = f"{pipeline['prepare_ms']:.0f} ms, {share:.0f} % of the time to compute them"
    yield f"Preparing the {CLIPS} clips takes {preparing}."
    turns, at_once = callers["in_turns_a_second"], callers["at_once_a_second"]
    yield f"{callers['threads']} callers get {turns:.1f} calls a second in turns and {at_once:.1f} at once,"
    yield f"{callers['gain']:.2f} times as many."
    yield f"Medians on {result['machine']['cpu']}, {result['threads']} threads, OpenVINO {result['openvino']}."


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--cli", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--seconds", type=float, default=4.0, show_default=True, help="Each measurement of each round.")
@click.option("--rounds", type=int, default=5, show_default=True)
@click.option("--python-scope", hidden=True, help="Print Python's median of a scope, in this process.")
def main(bundle: Path, cli: Path, threads: int, seconds: float, rounds: int, python_scope: str | None) -> None:
    """Measure BUNDLE."""
    if python_scope is not None:
        print(json.dumps({"median_ms": python_median_ms(bundle, python_scope, threads, seconds)}))
        return
    in_python = [sys.executable, __file__, str(bundle), "--cli", str(cli), "--seconds", str(seconds)]
    in_cpp = [str(cli), str(bundle), "--bench", "--runtime", "openvino", "--json", "--seconds", str(seconds)]
    video = ["--scope", "video", "--size", f"{WIDTH}x{HEIGHT}", "--clips", str(CLIPS)]
    scopes = {"compute": ["--scope", "compute"], "pipeline": video}
    found: dict[str, list[dict[str, float]]] = {scope: [] for scope in scopes}
    for _ in range(rounds):
        for scope, words in scopes.items():
            python, python_mib = measured([*in_python, "--python-scope", scope, "--threads", str(threads)])
            cpp, cpp_mib = measured([*in_cpp, *words, "--threads", str(threads)])
            (one,) = cpp["scopes"].values()
            found[scope].append(
                {
                    "python_ms": python["median_ms"],
                    "cpp_ms": one["median_ms"],
                    "runtime_ms": one["runtime_median_ms"],
                    "prepare_ms": one["prepare_median_ms"],
                    "python_mib": python_mib,
                    "cpp_mib": cpp_mib,
                }
            )
    words = [*in_cpp[:-1], str(4 * seconds), "--scope", "compute", "--callers", str(CALLERS)]
    callers = measured(words)[0]["callers"]
    medians = {
        scope: {name: statistics.median(one[name] for one in each) for name in each[0]} for scope, each in found.items()
    }
    result = {
        "machine": machine(),
        "bundle": bundle.name,
        "openvino": version("openvino"),
        "threads": threads,
        "rounds": rounds,
        **medians,
        "overhead": statistics.median(one["cpp_ms"] / one["runtime_ms"] - 1 for one in found["compute"]),
        "prepare_to_compute": statistics.median(one["prepare_ms"] / one["runtime_ms"] for one in found["pipeline"]),
        "callers": {**callers, "gain": callers["at_once_a_second"] / callers["in_turns_a_second"]},
    }
    write_json(RESULT, result)
    write_table("embed.md", __file__, rows(result))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
