"""Everything that `x3ddeploy bench --all` knows here, in one interleaved run: PyTorch's compilers, the runtimes' tools.

The full-size network for one target, random weights, scope `compute`, batch 1; its INT8 graphs and those of the
runtimes' own quantizers (nncf has to be installed for one of them) have the scales of made-up clips. Then the bundle
beside RGBPoseConv3D as a bundle of its own, lowered and in INT8 by the same way. What compiling took stands in `load_s`
of a row; `~/.cache/x3ddeploy` keeps it. Writes benchmarks/results/rivals.json and rivals_bundles.json.

    python benchmarks/rivals.py [--target openvino] [--seconds 120] [-o benchmarks/results]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import torch
from bench_targets import table_rows, x3ddeploy

from x3ddeploy.families import baseline_named
from x3ddeploy.families.rgbposeconv3d.baseline import CONFIG
from x3ddeploy.mmaction_compat import config_path
from x3ddeploy.terms import Target

CLASSES = 60  # of the full-size network, and of RGBPoseConv3D's config
OURS = ("--only", "onnxruntime", "--only", "openvino")


@click.command(help=__doc__)
@click.option("--target", type=click.Choice([target.value for target in Target]), default="openvino", show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0), default=120, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default="benchmarks/results", show_default=True)
def main(target: str, seconds: float, output: Path) -> None:
    """Measure and write; print the rows."""
    timed = ("--scope", "compute", "--seconds", str(seconds))
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs, compared = (Path(directory) / name for name in ("two_stream_x3d", "rgbposeconv3d", "compared"))
        subprocess.run([sys.executable, "-m", "x3ddeploy.demo", ours.with_suffix(".pth")], check=True)
        weights = baseline_named("rgbposeconv3d").build(CLASSES).state_dict()
        # Under the names that MMAction2's recognizer gives them.
        trained = {f"cls_{name}" if name.startswith("head.") else name: value for name, value in weights.items()}
        torch.save({"state_dict": trained}, theirs.with_suffix(".pth"))
        for bundle, config in ((ours, ()), (theirs, ("--config", config_path(CONFIG)))):
            x3ddeploy("export", bundle.with_suffix(".pth"), *config, "--target", target, "-o", bundle)
            x3ddeploy("quantize", bundle, "--int8", "--calib-random", "--calib-clips", "8")
        x3ddeploy("bench", ours, "--all", "--skip", "rgbposeconv3d", *timed)
        x3ddeploy("bench", ours, theirs, *OURS, *timed, "-o", compared)
        for folder, name in ((ours, "rivals"), (compared, "rivals_bundles")):
            shutil.copy(folder / "bench.json", output / f"{name}.json")
    for name in ("rivals", "rivals_bundles"):
        for row in table_rows(json.loads((output / f"{name}.json").read_text()), target):
            click.echo(row)


if __name__ == "__main__":
    main()
