"""A checkpoint to try the tools with: a preset's network in the original layout, with random weights.

Weights are random; BatchNorm statistics are those of moving synthetic clips, so that activations, and with them
numeric errors and latencies, are of a trained network's size. Its predictions mean nothing.

    python -m x3ddeploy.demo demo.pth
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import torch

from x3ddeploy.atomic import write_bytes
from x3ddeploy.cli.echo import echo
from x3ddeploy.cli.failures import exit_code_of
from x3ddeploy.cli.parameters import LARGEST_SEED, Count
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network


@click.command(help=__doc__)
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--preset", type=click.Choice(list(PRESETS)), default="ntu60", show_default=True)
@click.option("--seed", type=Count(LARGEST_SEED, least=0), default=0, show_default=True)
def main(output: Path, preset: str, seed: int) -> None:
    """Write the checkpoint."""
    buffer = io.BytesIO()
    torch.save(checkpoint_dict(random_network(PRESETS[preset], seed)), buffer)
    write_bytes(output, buffer.getvalue())
    echo(f"{output}: the {preset} network with RANDOM weights and realistic BatchNorm statistics")


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
