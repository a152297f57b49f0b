"""A data set of a few clips, and the shipped tiny config on it."""

from pathlib import Path

from x3ddeploy.data.synth import SynthOptions, generate

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs" / "tiny.py"


def small_data(directory):
    generate(directory, SynthOptions(0, (48, 48), 8, 2, 2), lambda done, total: None)
    return directory


def on(directory):
    """KEY=VALUE options that put the tiny config on the data in `directory`, and log each iteration."""
    return [
        f"{loader}.dataset.{key}={directory / value}"
        for loader in ("train_dataloader", "val_dataloader")
        for key, value in (("ann_file", "annotations.pkl"), ("data_prefix.video", "videos"))
    ] + ["default_hooks.logger.interval=1", "log_processor.window_size=1"]
