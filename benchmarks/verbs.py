"""How long the verbs themselves take on the full-size network: export, a benchmark of one competitor, quantize.

Each is a process of its own, its start included. Weights are random unless a trained checkpoint of that size is given.
Of `export`, the steps that it tells of stand with the second in which each was done.
`quantize` calibrates with videos of `x3ddeploy synth`, and judges by those of its held-out performers; how often its
search judged stands beside its time, as a network whose classes hang by a thread takes more rounds. Writes
benchmarks/results/verbs.json; left out, `quantize` keeps its figure, if machine and versions are the same.

    python benchmarks/verbs.py [--checkpoint ckpt.pth] [--clips 200]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from functools import reduce
from pathlib import Path

import click
from written import measured_by

from x3ddeploy.atomic import write_json

_CLI = (sys.executable, "-c", "from x3ddeploy.cli.main import program; program()")


CLIPS_PER_CLASS = 24  # of twelve actions; three quarters of the performers calibrate, and a quarter judges
GATE_FAILED = 3


def timed(*command: str | Path, may_fail: bool = False, steps: dict[str, float] | None = None) -> float:
    """Seconds of a command that must succeed, or may end with a gate that fails.

    Args:
        command: its words.
        may_fail: whether a gate may fail.
        steps: receives each step that it tells of, and the seconds from its start.
    """
    click.echo(" ".join(map(str, command[-6:])), err=True)
    start = time.perf_counter()
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            click.echo(line, err=True, nl=False)
            if steps is not None:
                steps[line.partition("] ")[2].strip()] = round(time.perf_counter() - start, 1)
    if process.returncode and not (may_fail and process.returncode == GATE_FAILED):
        raise SystemExit(f"it ended with {process.returncode}")
    return round(time.perf_counter() - start, 1)


@click.command(help=__doc__)
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), help="A trained one of full size.")
@click.option("--clips", default=200, show_default=True, help="That calibrate; 0 leaves quantize out.")
@click.option("--target", default="openvino", show_default=True, help="Of the bundle that is quantized.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/verbs.json"))
def main(checkpoint: Path | None, clips: int, target: str, output: Path) -> None:
    """Measure and write."""
    seconds: dict[str, float] = {}
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        bundle, data = Path(directory) / "deploy", Path(directory) / "synth"
        if checkpoint is None:
            checkpoint = Path(directory) / "ckpt.pth"
            timed(sys.executable, "-m", "x3ddeploy.demo", checkpoint)
        seconds["export"] = timed(*_CLI, "export", checkpoint, "-o", bundle, steps=steps)
        one = ("--only", "onnxruntime/fp32", "--scope", "compute", "--seconds", "5")
        seconds["bench"] = timed(*_CLI, "bench", bundle, *one)
        report = json.loads((bundle / "bench.json").read_text())
        timing_ms = sum(sum(row["samples_ms"]) for row in report["competitors"])
        seconds["bench, its timing alone"] = round(timing_ms / 1e3, 1)
        if clips:
            timed(*_CLI, "export", checkpoint, "-o", bundle, "--target", target, "--overwrite")
            timed(*_CLI, "synth", data, "--clips-per-class", str(CLIPS_PER_CLASS))
            asked = ("--int8", "--calib", data, "--calib-clips", str(clips))
            seconds[f"quantize, {clips} clips, {target}"] = timed(*_CLI, "quantize", bundle, *asked, may_fail=True)
            report = bundle / "int8" / "report.json"
            rounds = len(json.loads(report.read_text())["steps"]) if report.exists() else None
    versions = measured_by(__file__, "x3ddeploy", "torch", "onnxruntime", "openvino")
    folders = (f"{directory}/", f"{checkpoint.parent}/")
    steps = {reduce(lambda told, folder: told.replace(folder, ""), folders, step): at for step, at in steps.items()}
    document = {**versions, "seconds": seconds, "export_steps": steps}
    if clips:
        document["search_rounds"] = rounds  # none where the gate failed, after all of them
    elif output.exists():
        before = json.loads(output.read_text())
        if all(before[name] == document[name] for name in versions):
            document = {**before, **document, "seconds": {**before["seconds"], **seconds}}
    write_json(output, document)
    for name, value in {**seconds, **{f"export: {step}": value for step, value in steps.items()}}.items():
        click.echo(f"{value:7.1f} s  {name}")


if __name__ == "__main__":
    main()
