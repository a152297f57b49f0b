"""The small network of each family on the synthetic set, trained, exported, quantized, judged, timed: docs/families.md.

Every step keeps what it finds as it goes, and a second run does what is missing. Accuracies are of the held-out
subjects' 216 clips (xsub_val); INT8 is calibrated on clips of the others. Latencies are of one clip on all cores, the
competitors in turn: the least of each, since threads that the one before left spinning make others of any size.

    x3ddeploy synth synth
    python benchmarks/families_synth.py train WORK_DIR      configs/*_synth.py without a WORK_DIR/<name>/best.pth
    python benchmarks/families_synth.py accuracy WORK_DIR   export, verify, FP16, INT8, eval in every runtime
    python benchmarks/families_synth.py latency WORK_DIR    eager, torch.compile, plain export, ours
    python benchmarks/families_synth.py table               the rows of docs/families.md
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import x3ddeploy
from x3ddeploy.atomic import write_json
from x3ddeploy.benchmarking.document import timed
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.machine import machine

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "families_synth.json"
SUFFIX = "_synth"
NAMES = tuple(path.stem.removesuffix(SUFFIX) for path in sorted((ROOT / "configs").glob(f"*{SUFFIX}.py")))
SKELETONS = {"agcn": "skeletons.pkl"}  # in space
PACKAGES = ("torch", "mmaction2", "onnxruntime", "openvino")
PRECISIONS = ("fp16", "int8")
# Competitor of a benchmark -> its column.
COMPETITORS = {
    "torch/eager": "eager",
    "torch/compile": "torch.compile",
    "plain/onnxruntime": "plain export",
    "onnxruntime/fp32": "ONNX Runtime",
    "openvino/fp32": "OpenVINO",
    "openvino/int8": "OpenVINO INT8",
}
NOTHING = "-"


def result() -> dict[str, Any]:
    """What was measured so far."""
    return json.loads(RESULT.read_text()) if RESULT.is_file() else {"networks": {}}


def keep(name: str, found: Mapping[str, Any]) -> None:
    """Add to what is known of a network."""
    known = result()
    networks = {**known["networks"], name: {**known["networks"].get(name, {}), **found}}
    known["machine"] = machine()
    known["versions"] = {package: importlib.metadata.version(package) for package in PACKAGES}
    known["networks"] = {key: networks[key] for key in NAMES if key in networks}
    write_json(RESULT, known)


def data_of(name: str, synth: Path) -> Path:
    """What a network is judged on: the set, or its skeletons in space."""
    return synth / SKELETONS[name] if name in SKELETONS else synth


def exported(name: str, work: Path) -> Path:
    """The bundle of a trained network, made where it is not there yet."""
    bundle = work / name / "deploy"
    if not (bundle / "manifest.json").is_file():
        x3ddeploy.export(work / name / "best.pth", bundle, target="openvino")
    return bundle


def accuracy_of(name: str, work: Path, synth: Path) -> dict[str, Any]:
    """Top-1 of PyTorch and of each runtime and precision, what verify says, and what INT8 is good for."""
    bundle, data = exported(name, work), data_of(name, synth)
    refused = {}
    for precision in PRECISIONS:
        if (bundle / precision).is_dir():
            continue
        try:
            x3ddeploy.quantize(bundle, precisions=[precision], calib=data, calib_clips=96, eval_clips=0, max_drop=2)
        except X3DDeployError as error:
            refused[precision] = str(error).splitlines()[0]
    failed = [check.name for check in x3ddeploy.verify(bundle).checks if not check.holds]
    report = x3ddeploy.evaluate(bundle, data=data, split="xsub_val", batch=16).report
    manifest = json.loads((bundle / "manifest.json").read_text())
    return {
        "family": manifest["family"],
        "parameters": parameters(work / name / "best.pth"),
        "top1": {f"{entry.runtime}/{entry.precision}": entry.scores[report.deployed].top1 for entry in report.results},
        "videos": report.videos,
        "failed_checks": failed,
        "refused": refused,
    }


def parameters(checkpoint: Path) -> int:
    """How many a trained network has."""
    from x3ddeploy.loading import load_network

    return sum(value.numel() for value in load_network(checkpoint).network.parameters())


def latency_of(name: str, work: Path, seconds: float) -> dict[str, Any]:
    """Least milliseconds of one clip, by competitor, and why others are missing."""
    bundle = exported(name, work)
    report = x3ddeploy.bench(
        bundle, only=list(COMPETITORS), scopes=["compute"], seconds=seconds, output=work / name / "bench"
    ).report
    return {
        "latency_ms": {row.name: timed(row).min_ms for row in report.competitors if row.samples_ms},
        "threads": report.threads,
        "rounds": report.rounds,
        "absent": {entry.name: entry.reason for entry in report.absent},
    }


def each(work: Path, key: str, only: tuple[str, ...], measure: Callable[[str], Mapping[str, Any]]) -> None:
    """Measure every trained network of which `key` is not known yet."""
    for name in only or NAMES:
        if not (work / name / "best.pth").is_file():
            click.echo(f"{name}: not trained", err=True)
        elif only or key not in result()["networks"].get(name, {}):
            start = time.perf_counter()
            try:
                found = measure(name)
            except X3DDeployError as error:
                click.echo(f"{name}: {error}", err=True)
                continue
            keep(name, found)
            click.echo(f"{name}: {time.perf_counter() - start:.0f} s", err=True)


def rows(known: Mapping[str, Any]) -> Iterator[str]:
    """The rows of both tables: accuracies, then latencies."""
    accuracies = ("torch/fp32", "onnxruntime/fp32", "openvino/fp32", "openvino/fp16", "openvino/int8")
    for name, found in known["networks"].items():
        if "top1" in found:
            top1 = [found["top1"].get(column) for column in accuracies]
            shown = [NOTHING if value is None else f"{value:.1%}" for value in top1]
            checks = ", ".join(found["failed_checks"]) or "hold"
            millions = f"{found['parameters'] / 1e6:.2f}"
            yield f"| `{name}` | `{found['family']}` | {millions} | {' | '.join(shown)} | {checks} |"
    yield ""
    for name, found in known["networks"].items():
        if "latency_ms" in found:
            times = [found["latency_ms"].get(column) for column in COMPETITORS]
            yield f"| `{name}` | {' | '.join(NOTHING if ms is None else f'{ms:.2f}' for ms in times)} |"


WORK = click.argument("work", type=click.Path(path_type=Path))
SYNTH = click.option("--synth", type=click.Path(path_type=Path, exists=True), default="synth", show_default=True)
ONLY = click.option("--only", multiple=True, type=click.Choice(NAMES), help="These, and anew.")


@click.group(help=__doc__)
def main() -> None:
    """See the module."""


@main.command()
@WORK
@SYNTH
@ONLY
def train(work: Path, synth: Path, only: tuple[str, ...]) -> None:
    """Train what has no best.pth yet."""
    for name in only or NAMES:
        if (work / name / "best.pth").is_file():
            continue
        start = time.perf_counter()
        config = ROOT / "configs" / f"{name}{SUFFIX}.py"
        command = [sys.executable, "-m", "x3ddeploy", "train", str(config), "--work-dir", str((work / name).resolve())]
        subprocess.run(command, cwd=synth.resolve().parent, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
        keep(name, {"training_s": round(time.perf_counter() - start)})


@main.command()
@WORK
@SYNTH
@ONLY
def accuracy(work: Path, synth: Path, only: tuple[str, ...]) -> None:
    """Export, verify, quantize and judge."""
    each(work, "top1", only, lambda name: accuracy_of(name, work, synth))


@main.command()
@WORK
@ONLY
@click.option("--seconds", default=10.0, show_default=True, help="Timed, a network; torch.compile takes longer.")
def latency(work: Path, only: tuple[str, ...], seconds: float) -> None:
    """Time one clip; give it a machine that does nothing else."""
    each(work, "latency_ms", only, lambda name: latency_of(name, work, seconds))


@main.command()
def table() -> None:
    """Print the tables."""
    for row in rows(result()):
        click.echo(row)


if __name__ == "__main__":
    main()
