"""OpenVINO's latency and throughput forms, in each precision of a bundle: the whole network, interleaved.

Latency: one request, all cores. Throughput: as many requests and streams as the plugin chooses. A bundle of the target
`openvino` with `quantize --bf16` and `--int8`. Writes benchmarks/results/openvino_forms.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import openvino
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import WHOLE
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.openvino_session import computes_bfloat16
from x3ddeploy.timing.measure import measure, ratio, statistics

CLIPS = 8  # of a run of the throughput form, over its requests


def form(path: Path, hint: str, clip: dict[str, Array]) -> tuple[Callable[[], object], int]:
    """What is timed, and the clips of a run."""
    config = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32"}  # bfloat16 graphs are typed
    compiled = openvino.compile_model(openvino.Core().read_model(path), "CPU", config)
    if hint == "LATENCY":
        request = compiled.create_infer_request()
        return lambda: request.infer(clip), 1
    queue = openvino.AsyncInferQueue(compiled)

    def run() -> None:
        for _ in range(CLIPS):
            queue.start_async(clip)
        queue.wait_all()

    return run, CLIPS


@click.command(help=__doc__)
@click.argument("bundle", type=click.Path(path_type=Path), default="deploy")
@click.option("--seconds", default=60.0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/openvino_forms.json"))
def main(bundle: Path, seconds: float, output: Path) -> None:
    """Measure and write."""
    opened = Bundle.open(bundle)
    clip = dict(batch_inputs(opened.contract.inputs, 1, seed=0))
    precisions = ["fp32", *(name for name in ("bf16", "int8") if name in opened.manifest.precisions)]
    runs, clips = {}, {}
    for precision in precisions:
        for name, hint in (("latency", "LATENCY"), ("throughput", "THROUGHPUT")):
            label = f"{precision} {name}"
            runs[label], clips[label] = form(opened.part_path(WHOLE, precision), hint, clip)
    samples = measure(runs, seconds).samples_ms
    each = {name: [value / clips[name] for value in values] for name, values in samples.items()}
    document = {
        **measured_by(__file__, "x3ddeploy", "openvino"),
        "threads": usable_cores(),
        "computes_bfloat16": computes_bfloat16(),
        "ms_a_clip": {name: {**asdict(statistics(values)), "samples_ms": values} for name, values in each.items()},
        "speedup_over_fp32": {
            name: asdict(ratio(each[f"fp32 {name.split()[1]}"], values)) for name, values in each.items()
        },
    }
    write_json(output, document)
    for name, values in each.items():
        click.echo(f"{statistics(values).median_ms:8.1f} ms a clip  {name}")


if __name__ == "__main__":
    main()
