"""How far right runtimes are from what they are held to, in units of the rounding that the gates go by.

1. float32: ONNX Runtime's and OpenVINO's distance from PyTorch's float64, over PyTorch's own float32 distance.
2. FP16 and INT8: their distance from the golden outputs of the same graphs, over the rounding that `quantize` measures.

Presets, and random networks that are wider or deeper than those; random weights with BatchNorm statistics of synthetic
clips; INT8 with every layer that the target may quantize. A factor in `x3ddeploy/parity/gates.py` has to be over what
is printed here.

    python benchmarks/gate_rounding.py [--networks tiny,wide,deep,ntu60] [-o benchmarks/results/gate_rounding.json]
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import onnx

from x3ddeploy.atomic import write_json
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.exporting.parts import build_parts, serialize
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, HeadSpec, ModelSpec, StageSpec
from x3ddeploy.machine import machine
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.parity.compare import cases
from x3ddeploy.parity.gates import LOWER_FACTOR, LOWER_FLOOR
from x3ddeploy.parity.metrics import Difference, compare_output
from x3ddeploy.parity.reference import Reference
from x3ddeploy.precision.golden import with_golden
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.runtimes.registry import Execution, open_session
from x3ddeploy.terms import Precision

RUNTIMES = ("onnxruntime", "openvino")
_MEASURES = ("relative", "rms", "channels")


def _backbone(channels: int, blocks: tuple[int, ...], width: int) -> BackboneSpec:
    stages = tuple(
        StageSpec(
            count, width << index, int(2.25 * (width << index)), 2, tuple((0, 8)[b % 2 == 0] for b in range(count))
        )
        for index, count in enumerate(blocks)
    )
    return BackboneSpec(channels, width, 2 if channels == 3 else 1, stages, 4 * width, fold_div=8)


def _random(blocks: tuple[int, ...], width: int) -> ModelSpec:
    """Small clips: width and depth are what rounding grows with."""
    tiny = PRESETS["tiny"]
    head = HeadSpec(4 * width, 4 * width, classes=20, coarse_classes=5, prototype_dim=64)
    rgb_input = replace(tiny.rgb_input, frames=4, height=64, width=64)
    pose_input = replace(tiny.pose_input, frames=6, height=32, width=32)
    return ModelSpec(_backbone(3, blocks, width), _backbone(17, blocks, width), head, rgb_input, pose_input)


NETWORKS = {
    "tiny": PRESETS["tiny"],
    "wide": _random((2, 2, 2), 96),
    "deep": _random((6, 12, 12), 16),
    "wide and deep": _random((4, 10, 8), 64),
    "ntu60": PRESETS["ntu60"],
}


def float32_rows(spec: ModelSpec, target: str, seed: int) -> Iterator[dict[str, Any]]:
    """Each output of each part in each runtime: the largest distance over the cases, and PyTorch's own."""
    network = random_network(spec, seed)
    parts = _parts(network, target)
    reference = Reference(network)
    found: dict[tuple[str, str], float] = {}
    sessions = {
        (runtime, part): open_session(runtime, serialize(parts[part])) for runtime in RUNTIMES for part in parts
    }
    for case in cases(clip_inputs(spec), None):
        available = {**reference.outputs(case.inputs), **case.inputs}
        for (runtime, part), session in sessions.items():
            outputs = session.run({name: available[name].astype("float32") for name in session.inputs})
            for name, value in outputs.items():
                key = runtime, f"{part} -> {name}"
                distance = compare_output(name, available[name], value).relative
                found[key] = max(distance, found.get(key, 0.0))
    for (runtime, label), distance in found.items():
        rounding = reference.rounding[label]
        yield {"runtime": runtime, "output": label, "distance": distance, "rounding": rounding}


def lower_rows(spec: ModelSpec, target: str, seed: int) -> Iterator[dict[str, Any]]:
    """Each output of each part of each lower precision in the runtime that did not make the golden outputs."""
    network = random_network(spec, seed)
    parts, clip = _parts(network, target), batch_inputs(clip_inputs(spec), 1, seed=0)
    for precision, graphs in _lower(parts, target, spec).items():
        judge = target_named(target).runtime
        golden = with_golden(graphs, precision, Execution(judge, "cpu", Precision(precision)), clip)
        for runtime in RUNTIMES:
            if runtime == judge:
                continue
            available = {**clip, **golden.outputs}
            for part in graphs:
                session = open_session(runtime, serialize(graphs[part]))
                for name, value in session.run({name: available[name] for name in session.inputs}).items():
                    difference = compare_output(name, available[name], value)
                    label = f"{part} -> {name}"
                    yield {
                        "precision": precision,
                        "runtime": runtime,
                        "output": label,
                        "distance": _measures(difference),
                        "rounding": {name: getattr(golden.rounding[label], name) for name in _MEASURES},
                    }


def _measures(difference: Difference) -> dict[str, float]:
    return {name: getattr(difference, name) for name in _MEASURES}


def _parts(network: Any, target: str) -> dict[str, onnx.ModelProto]:
    return build_parts(network, target, None, "0" * 64)


def _lower(parts: dict[str, onnx.ModelProto], target: str, spec: ModelSpec) -> dict[str, dict[str, onnx.ModelProto]]:
    quantizer = Quantizer(target_named(target), _ranges(parts["recognizer"], spec))
    sites = [site.node for site in quantizer.eligible(parts["recognizer"])]
    return {
        "fp16": {name: to_half(graph, Precision.FP16, {*float32_nodes(graph)}) for name, graph in parts.items()},
        "int8": {name: quantizer.quantize(graph, sites) for name, graph in parts.items()},
    }


def _ranges(recognizer: onnx.ModelProto, spec: ModelSpec) -> dict[str, Range]:
    """Extremes over two clips."""
    sources = {site.source for site in find_sites(recognizer)}
    inner = tuple(sorted(sources - {"imgs", "heatmap_imgs"}))
    session = open_session("onnxruntime", serialize(recognizer), outputs=inner)
    found = dict.fromkeys(sources, Range(0, 0))
    for seed in (1, 2):
        clip = batch_inputs(clip_inputs(spec), 1, seed)
        values = {**session.run(clip), **clip}
        for name, known in found.items():
            low, high = float(values[name].min()), float(values[name].max())
            found[name] = Range(min(known.low, low), max(known.high, high))
    return found


@click.command(help=__doc__)
@click.option("--networks", default=",".join(NETWORKS), show_default=True)
@click.option(
    "--seeds", default=2, show_default=True, help="How many random networks of each; one of a full-size preset."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/gate_rounding.json"))
def main(networks: str, seeds: int, output: Path) -> None:
    """Measure, print the largest ratios, write all rows."""
    rows: dict[str, list[dict[str, Any]]] = {"float32": [], "lower": []}
    for name in networks.split(","):
        for target in ("tensorrt", "openvino"):
            for seed in range(1, 2 if name == "ntu60" else 1 + seeds):
                about = {"network": name, "target": target, "seed": seed}
                new = [about | row for row in float32_rows(NETWORKS[name], target, seed)]
                lower = [about | row for row in lower_rows(NETWORKS[name], target, seed)]
                rows["float32"] += new
                rows["lower"] += lower
                _print(about, new, lower)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "onnxruntime", "openvino")}
    write_json(output, {"machine": machine(), "versions": versions, **rows})


def _print(about: dict[str, Any], float32: list[dict[str, Any]], lower: list[dict[str, Any]]) -> None:
    worst = max(float32, key=lambda row: float(row["distance"] / row["rounding"]))
    where = f"{worst['rounding']:.1e} ({worst['output']} in {worst['runtime']})"
    click.echo(f"{about} float32: {worst['distance'] / worst['rounding']:.2f} of rounding {where}")
    for precision in ("fp16", "int8"):
        for measure in _MEASURES:
            own = [row for row in lower if row["precision"] == precision]
            ratios = [
                row["distance"][measure] / max(row["rounding"][measure], LOWER_FLOOR / LOWER_FACTOR) for row in own
            ]
            most = own[ratios.index(max(ratios))]
            where = f"{most['rounding'][measure]:.1e} ({most['output']} in {most['runtime']})"
            click.echo(f"  {precision} {measure}: {max(ratios):.2f} of rounding {where}")


if __name__ == "__main__":
    main()
