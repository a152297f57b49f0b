"""How busy the cores are while `x3ddeploy eval` goes through a thousand videos: its own process, its start included.

The videos are those of the training performers of `x3ddeploy synth`; the network is the full-size one with random
weights on small clips, an eighth of its work, or with --full on its own. PyTorch runs beside the runtime, as it always
does in `eval`. Writes benchmarks/results/eval_busy.json.

    python benchmarks/eval_busy.py [--clips 1008] [--full] [--runtime openvino]
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from written import measured_by

import x3ddeploy
from x3ddeploy.atomic import write_json
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.machine import usable_cores

SMALL: Any = {"frames": 8, "pose_frames": 16, "size": (112, 112)}
TRAINING_SHARE = 0.75  # of the performers, and so of the videos


def processor_seconds() -> float:
    """Seconds that ended children of this process computed in, on all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@click.command(help=__doc__)
@click.option("--clips", default=1008, show_default=True, help="Videos that are gone through.")
@click.option("--full", is_flag=True, help="Clips of full size.")
@click.option("--runtime", default="openvino", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/eval_busy.json"))
def main(clips: int, full: bool, runtime: str, output: Path) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoint, bundle, data = (Path(directory) / name for name in ("ckpt.pth", "deploy", "synth"))
        subprocess.run([sys.executable, "-m", "x3ddeploy.demo", checkpoint], check=True)
        target = "openvino" if runtime == "openvino" else "onnxruntime"
        x3ddeploy.export(checkpoint, bundle, target=target, **({} if full else SMALL))
        x3ddeploy.synth(data, clips_per_class=math.ceil(clips / (TRAINING_SHARE * len(ACTIONS))))
        chosen = ("--data", data, "--split", "xsub_train", "--limit", clips)
        command = ("eval", bundle, *chosen, "--runtime", runtime, "--precision", "fp32", "-o", directory)
        before, start = processor_seconds(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "x3ddeploy", *map(str, command)], check=True, stdout=sys.stderr)
        seconds, computed = time.perf_counter() - start, processor_seconds() - before
    busy = computed / (seconds * usable_cores())
    write_json(
        output,
        {
            **measured_by(__file__, "x3ddeploy", "av", runtime),
            "full_size": full,
            "videos": clips,
            "seconds": seconds,
            "processor_seconds": computed,
            "busy_share_of_cores": busy,
        },
    )
    click.echo(f"{clips} videos in {seconds:.1f} s, {busy:.0%} of {usable_cores()} cores busy")


if __name__ == "__main__":
    main()
