"""Lowered parts against a plain torch.onnx.export of the training-form network, in ONNX Runtime and OpenVINO.

One process, interleaved rounds, the same threads for all, float32, batch 1 through graphs with a dynamic batch; from
ready tensors in host memory to outputs in host memory. "Parts" is the RGB backbone, the pose backbone and the head, one
after the other; the plain export is of the whole recognizer. Full-size NTU-60 network with random weights and realistic
BatchNorm statistics; before timing, every graph is checked against PyTorch.

    python benchmarks/plain_export.py [--seconds 60] [-o benchmarks/results/NAME.json]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import torch
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.benchmarking.plain_export import plain_export
from x3ddeploy.exporting.parts import build_parts, serialize
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import run_network
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.timing.measure import measure, ratio, statistics

RUNTIMES = ("onnxruntime", "openvino")  # each has a lowering target of its name
TOLERANCE = 1e-4  # the same network; the plain export rounds more than ours

Outputs = dict[str, Array]


def parts_runner(network: TwoStreamX3D, runtime: str, inputs: Outputs, threads: int) -> Callable[[], Outputs]:
    """The two backbones and the head in the form for a runtime, one after the other."""
    models = build_parts(network, runtime, None, "0" * 64)
    sessions = {
        part: open_session(runtime, serialize(models[part]), threads=threads) for part in network.contract().pieces
    }

    def run() -> Outputs:
        values = dict(inputs)
        for session in sessions.values():
            values |= session.run({name: values[name] for name in session.inputs})
        return values

    return run


def plain_runner(model: bytes, runtime: str, inputs: Outputs, threads: int) -> Callable[[], Outputs]:
    """The plain export of the whole recognizer."""
    session = open_session(runtime, model, threads=threads)
    return lambda: session.run(inputs)


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/plain_export.json"))
def main(seconds: float, output: Path) -> None:
    """Measure and write."""
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = random_network(PRESETS["ntu60"])
    described = clip_inputs(network.spec)
    inputs = batch_inputs(described, 1, seed=0)
    expected = run_network(network, inputs)
    click.echo("exporting with torch.onnx.export", err=True)
    model = plain_export(
        network, batch_inputs(clip_inputs(network.spec), 2, seed=0), list(expected), dynamic_batch=True
    )
    runners = {}
    for runtime in RUNTIMES:
        runners[f"{runtime}: plain export"] = plain_runner(model, runtime, inputs, threads)
        runners[f"{runtime}: parts for it"] = parts_runner(network, runtime, inputs, threads)
    for name, run in runners.items():
        actual = run()
        worst = max(compare(expected[key], actual[key]).relative for key in expected if key in actual)
        click.echo(f"{name}: relative error {worst:.1e}", err=True)
        if not worst < TOLERANCE:
            raise SystemExit(f"{name} computes something else: nothing is timed")
    measured = measure(runners, seconds).samples_ms
    rows = {name: {**asdict(statistics(samples)), "samples_ms": samples} for name, samples in measured.items()}
    speedups = {
        runtime: asdict(ratio(measured[f"{runtime}: plain export"], measured[f"{runtime}: parts for it"]))
        for runtime in RUNTIMES
    }
    write_json(
        output,
        {
            **measured_by(__file__, "x3ddeploy", "torch", "onnx", *RUNTIMES),
            "scope": "compute",
            "precision": "fp32",
            "batch": 1,
            "threads": threads,
            "rows": rows,
            "speedup_over_plain_export": speedups,
        },
    )
    for name, row in rows.items():
        click.echo(f"{name:36} median {row['median_ms']:7.1f} ms, p90 {row['p90_ms']:7.1f} ms")
    for runtime, speedup in speedups.items():
        click.echo(
            f"{runtime}: {speedup['median']:.2f} times as fast as the plain export "
            f"(quartiles {speedup['lower_quartile']:.2f} to {speedup['upper_quartile']:.2f})"
        )


if __name__ == "__main__":
    main()
