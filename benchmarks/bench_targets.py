"""The benchmark table of README: `x3ddeploy bench` on a bundle for each CPU runtime's target, on this machine.

Full-size NTU-60 network with random weights and realistic BatchNorm statistics. Each bundle is measured on its own, all
competitors of one run interleaved; see docs/bench.md for what is timed and how.

    python benchmarks/bench_targets.py [--seconds 75] [-o benchmarks/results]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

TARGETS = ("onnxruntime", "openvino")


def x3ddeploy(*arguments: str | Path) -> None:
    """Run the product's own command; its progress goes to this one's stderr."""
    subprocess.run([sys.executable, "-m", "x3ddeploy", *map(str, arguments)], check=True, stdout=sys.stderr)


@click.command()
@click.option("--seconds", type=click.FloatRange(min=0), default=75, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default="benchmarks/results", show_default=True)
def main(seconds: float, output: Path) -> None:
    """Measure and write bench_<target>.json; print the rows for README."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "ntu60.pth"
        subprocess.run([sys.executable, "-m", "x3ddeploy.demo", checkpoint], check=True, stdout=sys.stderr)
        for target in TARGETS:
            bundle = Path(directory) / target
            x3ddeploy("export", checkpoint, "--target", target, "-o", bundle)
            if target == "openvino":  # the CPU runtime in which INT8 pays; its scales are of made-up clips
                x3ddeploy("quantize", bundle, "--int8", "--calib-random", "--calib-clips", "8")
            x3ddeploy("bench", bundle, "--seconds", str(seconds))
            shutil.copy(bundle / "bench.json", output / f"bench_{target}.json")
    for target in TARGETS:
        for row in table_rows(json.loads((output / f"bench_{target}.json").read_text()), target):
            click.echo(row)


def table_rows(report: dict[str, Any], target: str) -> list[str]:
    """One for each competitor in the scope `compute`."""
    rows = []
    for entry in report["competitors"]:
        if entry["scope"] == "compute":
            times = f"{entry['median_ms']:.0f} ms | {entry['ratio']['median']:.2f}"
            rows.append(f"| {entry['name']} | `{target}` | {entry['network']} | {times} |")
    return rows


if __name__ == "__main__":
    main()
