"""Lowered parts against a plain torch.onnx.export of the training-form network, in ONNX Runtime and OpenVINO.

One process, interleaved rounds, the same threads for all, float32, one clip; from ready tensors in host memory to
outputs in host memory. Like beside like: graphs that take any number of clips, and graphs whose shapes are fixed to one
clip, as the exporter does where it is told nothing. "Parts" is the RGB backbone, the pose backbone and the head, one
after the other; the plain export is of the whole recognizer. Full-size NTU-60 network with random weights and realistic
BatchNorm statistics; before timing, every graph is checked against PyTorch.

    python benchmarks/plain_export.py [--seconds 90] [-o benchmarks/results/NAME.json]
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
SHAPES = {"": None, ", one clip fixed": 1}  # how rows are called -> the batch that graphs are made for
TOLERANCE = 1e-4  # the same network; the plain export rounds more than ours

Outputs = dict[str, Array]


def parts_runner(
    network: TwoStreamX3D, runtime: str, batch: int | None, inputs: Outputs, threads: int
) -> Callable[[], Outputs]:
    """The two backbones and the head in the form for a runtime, one after the other."""
    models = build_parts(network, runtime, batch, "0" * 64)
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
@click.option("--seconds", default=90.0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/plain_export.json"))
def main(seconds: float, output: Path) -> None:
    """Measure and write."""
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = random_network(PRESETS["ntu60"])
    described = clip_inputs(network.spec)
    inputs = batch_inputs(described, 1, seed=0)
    expected = run_network(network, inputs)
    pair = batch_inputs(described, 2, seed=0)  # a dynamic axis is traced with two
    runners = {}
    for shapes, batch in SHAPES.items():
        click.echo(f"exporting with torch.onnx.export{shapes}", err=True)
        model = plain_export(network, inputs if batch else pair, list(expected), dynamic_batch=batch is None)
        for runtime in RUNTIMES:
            runners[f"{runtime}: plain export{shapes}"] = plain_runner(model, runtime, inputs, threads)
            runners[f"{runtime}: parts for it{shapes}"] = parts_runner(network, runtime, batch, inputs, threads)
    for name, run in runners.items():
        actual = run()
        worst = max(compare(expected[key], actual[key]).relative for key in expected if key in actual)
        click.echo(f"{name}: relative error {worst:.1e}", err=True)
        if not worst < TOLERANCE:
            raise SystemExit(f"{name} computes something else: nothing is timed")
    measured = measure(runners, seconds).samples_ms
    rows = {name: {**asdict(statistics(samples)), "samples_ms": samples} for name, samples in measured.items()}
    speedups, fixed = (
        {
            runtime: asdict(
                ratio(measured[f"{runtime}: plain export{shapes}"], measured[f"{runtime}: parts for it{shapes}"])
            )
            for runtime in RUNTIMES
        }
        for shapes in SHAPES
    )
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
            "speedup_one_clip_fixed": fixed,
        },
    )
    for name, row in rows.items():
        click.echo(f"{name:45} median {row['median_ms']:7.1f} ms, p90 {row['p90_ms']:7.1f} ms")
    for shapes, speedup in zip(SHAPES, (speedups, fixed), strict=True):
        for runtime, gain in speedup.items():
            click.echo(
                f"{runtime}{shapes}: {gain['median']:.2f} times as fast as the plain export "
                f"(quartiles {gain['lower_quartile']:.2f} to {gain['upper_quartile']:.2f})"
            )


if __name__ == "__main__":
    main()
