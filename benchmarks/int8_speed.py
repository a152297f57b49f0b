"""How fast INT8 is against float32 in the same runtime, every part, and against a plain torch.onnx.export of the whole.

Interleaved, the full-size network. Weights are random and calibration clips made up: nothing here says what INT8 costs
in accuracy. Writes benchmarks/results/int8_speed.json.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import onnx
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.benchmarking.plain_export import plain_export
from x3ddeploy.bundle import Source
from x3ddeploy.calibration.choice import Chosen, RandomClips
from x3ddeploy.calibration.collect import collect, plan_runs
from x3ddeploy.calibration.ranges import choose_range
from x3ddeploy.calibration.statistics import TensorHistograms
from x3ddeploy.exporting.parts import ExportOptions, build_graphs
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.parity.reference import run_network
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.runtimes.base import Feeds, Session
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.timing.convolutions import convolutions_in
from x3ddeploy.timing.measure import measure, ratio, statistics

PARTS = ("rgb_backbone", "pose_backbone", "recognizer")
RUNTIMES = ("onnxruntime", "openvino")  # each with the graphs that are made for it
CALIBRATION_CLIPS = 4
PLAIN = "plain torch.onnx.export"


def graphs_for(target: str) -> dict[str, dict[str, onnx.ModelProto]]:
    """fp32 and int8 graphs of every part."""
    spec = PRESETS["ntu60"]
    options = ExportOptions(target, batch=None, preprocess=False, tolerance=1e-5, labels=None, overwrite=False)
    parts = build_graphs(random_network(spec), Source("random", "0" * 64), options)
    recognizer, chosen = parts["recognizer"], target_named(target)
    sources = tuple(sorted({site.source for site in Quantizer(chosen, {}).eligible(recognizer)}))
    clips = Chosen(RandomClips(clip_inputs(spec), CALIBRATION_CLIPS, 0), tuple(range(CALIBRATION_CLIPS)))
    loaded = ((clip.name, clip.inputs) for clip in clips.load())
    counted = collect(recognizer, plan_runs(recognizer, sources), loaded, TensorHistograms.empty("", sources))
    found = deque(counted, maxlen=1).pop()
    unsigned = chosen.scheme.unsigned
    ranges = {name: choose_range(values, "mse", unsigned=unsigned) for name, values in found.histograms.items()}
    quantizer = Quantizer(chosen, ranges)
    sites = {site.node for site in quantizer.eligible(recognizer)}
    return {"fp32": parts, "int8": {part: quantizer.quantize(graph, sites) for part, graph in parts.items()}}


def runner(session: Session, feeds: Feeds) -> Callable[[], object]:
    """Runs once."""
    return lambda: session.run(feeds)


@click.command(help=__doc__)
@click.option("--seconds", default=90.0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/int8_speed.json"))
def main(seconds: float, output: Path) -> None:
    """Measure and write."""
    threads, inputs = usable_cores(), batch_inputs(clip_inputs(PRESETS["ntu60"]), 1, seed=0)
    runners, found = {}, {}
    network = random_network(PRESETS["ntu60"])
    scores = list(run_network(network, inputs))
    pair = batch_inputs(clip_inputs(network.spec), 2, seed=0)
    plain = plain_export(network, pair, scores, dynamic_batch=True)
    for runtime in RUNTIMES:
        runners[f"{runtime} recognizer {PLAIN}"] = runner(open_session(runtime, plain, threads=threads), inputs)
        click.echo(f"making graphs for {runtime}", err=True)
        graphs = graphs_for(runtime)
        for part in PARTS:
            for precision, parts in graphs.items():
                session = open_session(runtime, parts[part].SerializeToString(), threads=threads)
                feeds = {name: inputs[name] for name in session.inputs}
                runners[f"{runtime} {part} {precision}"] = runner(session, feeds)
        where = convolutions_in(runtime, graphs["int8"]["recognizer"])
        assert where is not None
        found[runtime] = asdict(where)
    samples = measure(runners, seconds).samples_ms
    speedups = {
        f"{runtime} {part}": asdict(ratio(samples[f"{runtime} {part} fp32"], samples[f"{runtime} {part} int8"]))
        for runtime in RUNTIMES
        for part in PARTS
    }
    over_plain = {
        runtime: asdict(ratio(samples[f"{runtime} recognizer {PLAIN}"], samples[f"{runtime} recognizer int8"]))
        for runtime in RUNTIMES
    }
    write_json(
        output,
        {
            **measured_by(__file__, "x3ddeploy", "onnx", *RUNTIMES),
            "scope": "compute",
            "batch": 1,
            "threads": threads,
            "rows": {name: {**asdict(statistics(v)), "samples_ms": v} for name, v in samples.items()},
            "speedup_over_fp32": speedups,
            "speedup_over_plain_export": over_plain,
            "placed": found,
        },
    )
    for name, speedup in speedups.items():
        click.echo(f"{name:30} INT8 is {speedup['median']:.2f} times as fast as float32")
    for runtime, speedup in over_plain.items():
        click.echo(f"{runtime:30} INT8 is {speedup['median']:.2f} times as fast as the plain export")


if __name__ == "__main__":
    main()
