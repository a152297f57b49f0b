"""What another form of the lowered network could still win, in ONNX Runtime and OpenVINO.

The recognizer as exported, changed node by node: exact forms that were tried, and the network with a part taken away,
which computes something else and is a bound: no form of the temporal shift or of squeeze-and-excitation can be faster
than a network that has none. Interleaved, full-size NTU-60 network with random weights, float32, one clip, scope
`compute`. Exact forms are held to PyTorch before anything is timed.

    python benchmarks/lowering_bounds.py [--seconds 240] [-o benchmarks/results/lowering_bounds.json]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.benchmarking.ceilings import measure_ceilings
from x3ddeploy.benchmarking.plain_export import plain_export
from x3ddeploy.benchmarking.work import floor_of, work_of
from x3ddeploy.exporting.parts import build_parts, serialize
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.parity.metrics import compare
from x3ddeploy.parity.reference import run_network
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.terms import Target
from x3ddeploy.timing.measure import measure, ratio, statistics

SHIFT, GATE = "shift", "se_module"
TOLERANCE = 1e-4
PRODUCT, PLAIN = "as exported", "plain torch.onnx.export"


class Graph:
    """A recognizer's graph to be changed; the one that it is made of stays as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.nodes = self.model.graph.node
        known = self.model.graph.value_info
        self.shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in known}
        self.weights = {tensor.name: tensor for tensor in self.model.graph.initializer}

    def constant(self, name: str, value: np.ndarray) -> str:
        """The name of a new constant."""
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def modules(self, kind: str) -> Iterator[tuple[str, list[onnx.NodeProto], str, str]]:
        """Name, nodes, tensor read and tensor given of every module called `kind`."""
        inside: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            before, found, _ = node.name.partition(f"/{kind}/")
            if found:
                inside.setdefault(f"{before}/{kind}", []).append(node)
        for name, nodes in inside.items():
            yield name, nodes, nodes[0].input[0], nodes[-1].output[0]

    def replace(self, old: list[onnx.NodeProto], new: list[onnx.NodeProto]) -> None:
        """Other nodes where the old ones stood."""
        place = list(self.nodes).index(old[0])
        for node in old:
            self.nodes.remove(node)
        for offset, node in enumerate(new):
            self.nodes.insert(place + offset, node)

    def reshape(self, tensor: str, sizes: list[int], given: str) -> onnx.NodeProto:
        """A Reshape of `tensor`."""
        return helper.make_node("Reshape", [tensor, self.constant(f"{given}/sizes", np.array(sizes))], [given])


def without(model: onnx.ModelProto, *kinds: str) -> onnx.ModelProto:
    """Without those modules: what they read stands for what they give. Computes something else."""
    graph = Graph(model)
    for kind in kinds:
        for _, nodes, read, given in graph.modules(kind):
            graph.replace(nodes, [])
            for node in graph.nodes:
                node.input[:] = [read if name == given else name for name in node.input]
    return graph.model


def gate_in_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Frames in the batch: squeeze-and-excitation that never leaves ONNX Runtime's blocks of channels.

    The mean by GlobalAveragePool; the gate, one value a frame and channel, stretched to a frame by Resize, since a
    product in that layout takes two tensors of one shape.
    """
    graph = Graph(model)
    for name, nodes, read, given in graph.modules(GATE):
        frames, channels = graph.shapes[f"{name}/to_clip"][1:3]
        _, _, height, width = graph.shapes[given]
        pooled, rows, each, flat = (f"{name}/{part}" for part in ("pooled", "rows", "each", "flat"))
        clip, blocked, wide = (f"{name}/{part}" for part in ("clip", "blocked", "wide"))
        ones = graph.constant(f"{name}/ones", np.ones((channels, 1, 1, 1), np.float32))
        scales = graph.constant(f"{name}/scales", np.array([1, 1, height, width], np.float32))
        count = graph.constant(f"{name}/count", np.array([1, frames, 1]))
        mean, gate = f"{name}/mean_of_clip", f"{name}/Sigmoid"
        kept = [node for node in nodes if node.name.removeprefix(f"{name}/") in ("fc1", "Relu", "fc2", "Sigmoid")]
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        new = [
            helper.make_node("GlobalAveragePool", [read], [pooled]),
            graph.reshape(pooled, [-1, frames, channels], rows),
            helper.make_node("ReduceMean", [rows], [mean], axes=[1], keepdims=0),
            *kept,
            graph.reshape(gate, [-1, 1, channels], clip),
            helper.make_node("Expand", [clip, count], [each]),
            graph.reshape(each, [-1, channels, 1, 1], flat),
            helper.make_node("Conv", [flat, ones], [blocked], group=channels),  # what enters the layout
            helper.make_node("Resize", [blocked, "", scales], [wide], **nearest),
            helper.make_node("Mul", [read, wide], [given]),
        ]
        graph.replace(nodes, new)
        like = next(value for value in graph.model.graph.value_info if value.name == given)
        stretched = onnx.ValueInfoProto()
        stretched.CopyFrom(like)
        stretched.name = wide
        graph.model.graph.value_info.append(stretched)
    return graph.model


def shift_in_the_next(model: onnx.ModelProto) -> onnx.ModelProto:
    """Clips of five axes: every shift within the (3, 1, 1) kernel of the convolution behind it, thrice its products."""
    graph = Graph(model)
    for _, nodes, read, given in graph.modules(SHIFT):
        taps = numpy_helper.to_array(graph.weights[nodes[0].input[1]])[:, 0]  # (C, 3, 1, 1)
        (conv,) = [node for node in graph.nodes if given in node.input]
        weight = numpy_helper.to_array(graph.weights[conv.input[1]])  # (W, C, 1, 1, 1)
        graph.replace(nodes, [])
        conv.input[:2] = [read, graph.constant(f"{conv.name}/taps", np.ascontiguousarray(weight * taps[None]))]
        for attribute in list(conv.attribute):
            if attribute.name in ("pads", "kernel_shape"):
                conv.attribute.remove(attribute)
        conv.attribute.append(helper.make_attribute("pads", [1, 0, 0, 1, 0, 0]))
    return graph.model


def forms(parts: dict[str, onnx.ModelProto]) -> dict[str, dict[str, tuple[onnx.ModelProto, bool]]]:
    """Runtime -> form -> its graph, and whether it is exact; `parts` has the recognizer of each target."""
    frames, sliced, clips = parts["onnxruntime"], parts["tensorrt"], parts["openvino"]

    def bounds(model: onnx.ModelProto) -> dict[str, tuple[onnx.ModelProto, bool]]:
        return {
            "bound: no shift": (without(model, SHIFT), False),
            "bound: no squeeze-and-excitation": (without(model, GATE), False),
            "bound: neither": (without(model, SHIFT, GATE), False),
        }

    return {
        "onnxruntime": {
            PRODUCT: (frames, True),
            "shift as slices": (sliced, True),
            "squeeze-and-excitation in blocks": (gate_in_blocks(frames), True),
            **bounds(frames),
        },
        "openvino": {
            PRODUCT: (clips, True),
            "frames in the batch": (sliced, True),
            "shift in the next convolution": (shift_in_the_next(clips), True),
            **bounds(clips),
        },
    }


@click.command(help=__doc__)
@click.option("--preset", type=click.Choice(sorted(PRESETS)), default="ntu60", show_default=True)
@click.option("--seconds", default=240.0, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/lowering_bounds.json")
)
def main(preset: str, seconds: float, output: Path) -> None:
    """Measure and write."""
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = random_network(PRESETS[preset])
    described = clip_inputs(network.spec)
    inputs = batch_inputs(described, 1, seed=0)
    expected = run_network(network, inputs)
    recognizers = {target.value: build_parts(network, target, None, "0" * 64)["recognizer"] for target in Target}
    plain = plain_export(network, batch_inputs(described, 2, seed=0), list(expected), dynamic_batch=True)
    runs: dict[str, Callable[[], object]] = {}
    for runtime, graphs in forms(recognizers).items():
        made = {PLAIN: (plain, True), **{name: (serialize(model), exact) for name, (model, exact) in graphs.items()}}
        for name, (model, exact) in made.items():
            session = open_session(runtime, model, threads=threads)
            outputs = session.run(inputs)
            worst = max(compare(expected[key], value).relative for key, value in outputs.items() if key in expected)
            if exact and not worst < TOLERANCE:
                raise SystemExit(f"{runtime}, {name}: relative error {worst:.1e}, nothing is timed")
            runs[f"{runtime}: {name}"] = partial(session.run, inputs)
    samples = measure(runs, seconds).samples_ms
    work, ceilings = work_of(recognizers["openvino"]), measure_ceilings()
    assert work is not None
    floor = floor_of(work, ceilings, "fp32", 1)
    speedups = {
        name: asdict(ratio(samples[f"{name.partition(':')[0]}: {PLAIN}"], values)) for name, values in samples.items()
    }
    document = {
        **measured_by(__file__, "x3ddeploy", "torch", "onnxruntime", "openvino"),
        "scope": "compute",
        "precision": "fp32",
        "batch": 1,
        "threads": threads,
        "floor": None if floor is None else {**asdict(floor), "total_ms": floor.total_ms},
        "rows": {name: {**asdict(statistics(values)), "samples_ms": values} for name, values in samples.items()},
        "speedup_over_plain_export": speedups,
    }
    write_json(output, document)
    for name, values in samples.items():
        speed = f"{speedups[name]['median']:.2f} times the plain export's speed"
        click.echo(f"{statistics(values).median_ms:8.1f} ms  {speed}  {name}")
    if floor is not None:
        click.echo(f"{floor.total_ms:8.1f} ms  the floor under the arithmetic and the bytes")


if __name__ == "__main__":
    main()
