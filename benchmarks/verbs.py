"""How long the verbs themselves take on the full-size network: export, a benchmark of one competitor, quantize.

Each is a process of its own, its start included. Weights and calibration clips are made up. Writes
benchmarks/results/verbs.json.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from x3ddeploy.atomic import write_json
from x3ddeploy.machine import machine

_CLI = (sys.executable, "-c", "from x3ddeploy.cli.main import run; run()")


def timed(*command: str | Path) -> float:
    """Seconds of a command that must succeed."""
    click.echo(" ".join(map(str, command[-6:])), err=True)
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - start, 1)


@click.command(help=__doc__)
@click.option("--clips", default=200, show_default=True, help="That calibrate; 0 leaves quantize out.")
@click.option("--target", default="openvino", show_default=True, help="Of the bundle that is quantized.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/verbs.json"))
def main(clips: int, target: str, output: Path) -> None:
    """Measure and write."""
    seconds = {}
    with tempfile.TemporaryDirectory() as directory:
        checkpoint, bundle = Path(directory) / "ckpt.pth", Path(directory) / "deploy"
        timed(sys.executable, "-m", "x3ddeploy.demo", checkpoint)
        seconds["export"] = timed(*_CLI, "export", checkpoint, "-o", bundle)
        one = ("--only", "onnxruntime/fp32", "--scope", "compute", "--seconds", "5")
        seconds["bench"] = timed(*_CLI, "bench", bundle, *one)
        report = json.loads((bundle / "bench.json").read_text())
        timing_ms = sum(sum(row["samples_ms"]) for row in report["competitors"])
        seconds["bench, its timing alone"] = round(timing_ms / 1e3, 1)
        if clips:
            timed(*_CLI, "export", checkpoint, "-o", bundle, "--target", target, "--overwrite")
            random = ("--int8", "--calib-random", "--calib-clips", str(clips))
            seconds[f"quantize, {clips} clips, {target}"] = timed(*_CLI, "quantize", bundle, *random)
    versions = {name: importlib.metadata.version(name) for name in ("x3ddeploy", "torch", "onnxruntime", "openvino")}
    document = {"script": "benchmarks/verbs.py", "machine": machine(), "versions": versions, "seconds": seconds}
    write_json(output, document)
    for name, value in seconds.items():
        click.echo(f"{value:7.1f} s  {name}")


if __name__ == "__main__":
    main()
