"""What configs/synth.py learns of the synthetic set, and what it loses when each clip's frames are shuffled in time.

Trains by `x3ddeploy train`, unless WORK_DIR has a best.pth already, then classifies the held-out subjects' clips
(xsub_val), once as they are and once with their frames in random order. A network whose temporal shift is broken scores
alike on both.

    x3ddeploy synth synth
    python benchmarks/synth_training.py run [-o benchmarks/results/synth_training.json]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.loading import load_network
from x3ddeploy.mmaction_compat import import_everything

CONFIG = Path(__file__).parents[1] / "configs" / "synth.py"
INPUTS = ("imgs", "heatmap_imgs")


def held_out_clips() -> tuple[dict[str, torch.Tensor], np.ndarray[Any, Any]]:
    """Inputs of all clips of xsub_val, as the config's test pipeline makes them, and their classes."""
    from mmengine.registry import DATASETS, DefaultScope

    from x3ddeploy.training.adapt import TrainOptions, load_config

    config = load_config(CONFIG, TrainOptions(), click.echo)
    with DefaultScope.overwrite_default_scope("x3ddeploy"):
        dataset = DATASETS.build(config.val_dataloader.dataset)
    samples = [dataset[index] for index in range(len(dataset))]
    labels = np.array([int(sample["data_samples"].gt_label) for sample in samples])
    return {name: torch.cat([sample["inputs"][name].float() for sample in samples]) for name in INPUTS}, labels


@torch.inference_mode()
def accuracies(
    network: torch.nn.Module, clips: dict[str, torch.Tensor], labels: np.ndarray[Any, Any]
) -> dict[str, Any]:
    """Top-1 of each stream and fused, and the fused one by class."""
    batches = zip(*(clips[name].split(24) for name in INPUTS), strict=True)
    outputs = [network(*batch) for batch in batches]
    right = {
        title: torch.cat([output[name] for output in outputs]).argmax(1).numpy() == labels
        for title, name in (("rgb", "rgb_logits"), ("pose", "pose_logits"), ("fused", "scores"))
    }
    by_class = {action.name: float(right["fused"][labels == label].mean()) for label, action in enumerate(ACTIONS)}
    return {**{title: float(hits.mean()) for title, hits in right.items()}, "fused_by_class": by_class}


def shuffled(clips: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each clip's frames in an order of its own; the frames themselves stay."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.stack([clip[:, torch.randperm(clip.shape[1], generator=generator)] for clip in value])
        for name, value in clips.items()
    }


@click.command(help=__doc__)
@click.argument("work_dir", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path))
def main(work_dir: Path, output: Path | None) -> None:
    """Train, classify, report."""
    seconds = None
    if not (work_dir / "best.pth").is_file():
        start = time.perf_counter()
        command = [sys.executable, "-m", "x3ddeploy", "train", str(CONFIG), "--work-dir", str(work_dir)]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    import_everything()
    clips, labels = held_out_clips()
    loaded = load_network(work_dir / "best.pth")
    assert isinstance(loaded.network, TwoStreamX3D)
    spec = loaded.network.spec.rgb_input
    mean, std = (torch.tensor(value).reshape(1, 3, 1, 1, 1) for value in (spec.mean, spec.std))
    clips["imgs"] = (clips["imgs"] - mean) / std
    result = {
        **measured_by(__file__, "torch", "mmengine", "mmaction2"),
        "training_s": seconds,
        "epoch": loaded.source.epoch,
        "clips": len(labels),
        "top1": accuracies(loaded.network, clips, labels),
        "top1_frames_shuffled": accuracies(loaded.network, shuffled(clips), labels),
    }
    for name in ("top1", "top1_frames_shuffled"):
        click.echo(f"{name}: {result[name]}")
    if output is not None:
        write_json(output, result)


if __name__ == "__main__":
    main()
