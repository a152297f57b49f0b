"""Two findings behind the lowered form, measured again.

1. ONNX Runtime, dynamic batch: the backbones with the frames' axis named throughout, against the same graphs without
   those names. Interleaved, float32, one clip, scope `compute`.
2. OpenVINO, 5-D form: relative error of the features of an impulse clip (flat but for one pixel) against PyTorch, with
   squeeze-and-excitation's mean as two average poolings (as exported) and as one ReduceMean.

    python benchmarks/lowering_findings.py [--seconds 30] [-o benchmarks/results/lowering_findings.json]
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
import onnx
import torch
from onnx import helper
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.exporting.parts import build_parts, serialize
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities.synthetic import batch_inputs, impulse_inputs
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import run_network
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.timing.measure import measure, ratio, statistics

BACKBONES = ("rgb_backbone", "pose_backbone")


def backbones(network: TwoStreamX3D, target: str) -> dict[str, onnx.ModelProto]:
    """Both backbones' graphs, dynamic batch."""
    models = build_parts(network, target, None, "0" * 64)
    return {part: models[part] for part in BACKBONES}


def without_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with inputs and outputs described, and nothing between."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    return bare


def with_one_mean(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with ReduceMean over T, H and W in the place of each pair of average poolings."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    pools = {node.output[0]: node for node in changed.graph.node if node.op_type == "AveragePool"}
    for node in list(changed.graph.node):
        if node.op_type == "AveragePool" and node.input[0] in pools:
            first = pools[node.input[0]]
            mean = helper.make_node("ReduceMean", [first.input[0]], [node.output[0]], axes=[2, 3, 4], keepdims=1)
            changed.graph.node.insert(list(changed.graph.node).index(node), mean)
            changed.graph.node.remove(node)
            changed.graph.node.remove(first)
    return changed


@click.command(help=__doc__)
@click.option("--seconds", default=30.0, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/lowering_findings.json")
)
def main(seconds: float, output: Path) -> None:
    """Measure and write."""
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = random_network(PRESETS["ntu60"])
    clip, impulse = (
        batch_inputs(clip_inputs(network.spec), 1, seed=0),
        impulse_inputs(clip_inputs(network.spec), 1, frame=0),
    )
    runs = {}
    for part, model in backbones(network, "tensorrt").items():
        feeds = {value.name: clip[value.name] for value in model.graph.input}
        for name, graph in (("named", model), ("unnamed", without_names(model))):
            session = open_session("onnxruntime", serialize(graph), threads=threads)
            runs[f"{part}, {name}"] = lambda session=session, feeds=feeds: session.run(feeds)
    samples = measure(runs, seconds).samples_ms
    speed = {part: asdict(ratio(samples[f"{part}, unnamed"], samples[f"{part}, named"])) for part in BACKBONES}

    expected, errors = run_network(network, impulse), {}
    for part, model in backbones(network, "openvino").items():
        feeds = {value.name: impulse[value.name] for value in model.graph.input}
        for name, graph in (("two average poolings", model), ("one ReduceMean", with_one_mean(model))):
            outputs = open_session("openvino", serialize(graph), threads=threads).run(feeds)
            ((feature, value),) = outputs.items()
            errors[f"{part}, {name}"] = compare(expected[feature], value).relative
    write_json(
        output,
        {
            **measured_by(__file__, "torch", "onnxruntime", "openvino"),
            "threads": threads,
            "named_frames_axis": {
                "scope": "compute",
                "precision": "fp32",
                "median_ms": {name: statistics(values).median_ms for name, values in samples.items()},
                "time_unnamed_over_named": speed,
            },
            "openvino_relative_error_on_an_impulse": errors,
        },
    )
    for part, ratios in speed.items():
        click.echo(f"{part}: without names {ratios['median']:.2f} times the time")
    for name, error in errors.items():
        click.echo(f"{name}: relative error {error:.1e}")


if __name__ == "__main__":
    main()
