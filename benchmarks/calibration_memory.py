"""Memory while calibrating the full-size network: it must not grow with the number of clips.

Writes benchmarks/results/calibration_memory.json: resident memory of the process, and its peak, after
some of the clips.
"""

from __future__ import annotations

from pathlib import Path

import click
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.bundle import Source
from x3ddeploy.calibration.choice import Chosen, RandomClips
from x3ddeploy.calibration.collect import collect, plan_runs
from x3ddeploy.calibration.statistics import TensorHistograms
from x3ddeploy.exporting.parts import ExportOptions, build_graphs
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer


def resident_mib() -> tuple[float, float]:
    """Memory of this process, now and at its peak so far."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


@click.command(help=__doc__)
@click.option("--clips", default=200, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/calibration_memory.json")
)
def main(clips: int, output: Path) -> None:
    """Measure and write."""
    spec = PRESETS["ntu60"]
    options = ExportOptions("tensorrt", batch=None, preprocess=False, tolerance=1e-5, labels=None, overwrite=False)
    recognizer = build_graphs(random_network(spec), Source("random", "0" * 64), options)["recognizer"]
    sources = tuple(sorted({site.source for site in Quantizer(target_named("tensorrt"), {}).eligible(recognizer)}))
    plan = plan_runs(recognizer, sources)
    before, peak_before = resident_mib()
    after: dict[int, float] = {}
    peak: dict[int, float] = {}

    chosen = Chosen(RandomClips(clip_inputs(spec), clips, 0), tuple(range(clips)))
    loaded = ((clip.name, clip.inputs) for clip in chosen.load())
    for found in collect(recognizer, plan, loaded, TensorHistograms.empty("", sources)):
        done = len(found.clips)
        if done in (1, 5, 10, 20) or done % 50 == 0:
            now, peak_now = resident_mib()
            after[done], peak[done] = round(now - before, 1), round(peak_now - before, 1)
            click.echo(f"{done:4} clips: {after[done]:.0f} MiB more than before, at peak {peak[done]:.0f}", err=True)
    write_json(
        output,
        {
            **measured_by(__file__, "x3ddeploy", "onnxruntime"),
            "tensors": len(sources),
            "estimate_mib": round(plan.estimate_bytes / 2**20, 1),
            "resident_mib_after_clips": after,
            "peak_mib_after_clips": peak,
            "peak_mib_before": round(peak_before - before, 1),
        },
    )


if __name__ == "__main__":
    main()
