"""A checkpoint to try the tools with: a preset's network in the original layout, with random weights.

Weights are random; BatchNorm statistics are those of moving synthetic clips, so that activations, and with them
numeric errors and latencies, are of a trained network's size. Its predictions mean nothing.

    python -m x3ddeploy.demo demo.pth
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import click
import torch

from x3ddeploy.atomic import write_bytes
from x3ddeploy.cli.echo import echo
from x3ddeploy.cli.failures import exit_code_of
from x3ddeploy.cli.parameters import LARGEST_SEED, Count
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.demo import DEMO, checkpoint_dict
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.files import regular_size

_LARGEST_DEMO = 1 << 30


@click.command(help=__doc__)
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--preset", type=click.Choice(list(PRESETS)), default="ntu60", show_default=True)
@click.option("--seed", type=Count(LARGEST_SEED, least=0), default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT even if it is no checkpoint of this tool.")
def main(output: Path, preset: str, seed: int, overwrite: bool) -> None:
    """Write the checkpoint."""
    if output.exists() and not overwrite and not _is_demo(output):
        raise UsageError(
            f"{output} is there, and is no demo checkpoint", hint="name another file, or replace it with --overwrite"
        )
    spec, classes = PRESETS[preset], None
    if preset == "tiny":  # with the classes of `x3ddeploy synth`, so that its clips fit
        spec = replace(spec, head=replace(spec.head, classes=len(ACTIONS)))
        classes = [action.name for action in ACTIONS]
    checkpoint = checkpoint_dict(random_network(spec, seed))
    if classes:
        checkpoint["meta"]["dataset_meta"] = {"classes": classes}
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_bytes(output, buffer.getvalue())
    echo(f"{output}: the {preset} network with RANDOM weights and realistic BatchNorm statistics")


def _is_demo(path: Path) -> bool:
    """Whether a file is a checkpoint that this command wrote."""
    try:
        regular_size(path, _LARGEST_DEMO)
        meta = torch.load(path, map_location="cpu", weights_only=True)["meta"]
        return bool(meta["experiment_name"] == DEMO)
    except Exception:  # whatever else it is, the reader of it may raise
        return False


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
