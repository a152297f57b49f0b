"""The line that a verb ends with: commands that fit next, as they can be pasted."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from x3ddeploy.cli.echo import echo
from x3ddeploy.text import shell_word

if TYPE_CHECKING:
    from x3ddeploy.precision.quantize import Quantized


def print_next(*commands: str, err: bool = False) -> None:
    """Say what to type next; each command without the program's name, its paths quoted by `shell_word`.

    Args:
        commands: the commands that fit.
        err: on stderr, where stdout is for lines of one kind.
    """
    echo("next: " + "    ".join(f"x3ddeploy {command}" for command in commands), err=err)


def after_quantizing(quantized: Quantized) -> list[str]:
    """Accuracy on the clips that judged, engines where TensorRT is installed and takes the graphs, time."""
    from x3ddeploy.terms import Target

    bundle, recipe = shell_word(quantized.bundle.path), quantized.recipe
    commands = []
    # A source without splits is judged by what did not calibrate, and `eval` would take all of it.
    if quantized.judging_split is not None:
        words = [f"eval {bundle} --data {shell_word(recipe.data)} --split {shell_word(quantized.judging_split)}"]
        words += [f"--videos {shell_word(recipe.videos)}"] if recipe.videos else []
        words += [f"--min-keypoint-score {recipe.min_keypoint_score}"] if recipe.min_keypoint_score is not None else []
        commands.append(" ".join(words))
    if quantized.bundle.manifest.target == Target.TENSORRT and find_spec("tensorrt"):
        commands.append(f"build-trt {bundle} --{quantized.made[-1].precision}")
    return [*commands, f"bench {bundle}"]


def after_predicting(video: Path | str, **options: object) -> str:
    """Why the first video has its label; `options` are those of `predict` that `explain` has, too."""
    words = [f"--{name.replace('_', '-')} {shell_word(str(value))}" for name, value in options.items() if value]
    return " ".join(["explain", shell_word(video), *words, "-o explained.mp4"])


def after_synth(directory: Path) -> list[str]:
    """Training of the small network for this data, where this is the sources' folder."""
    config = Path("configs/synth.py")
    if not config.is_file():
        return []
    if directory == Path("synth"):  # where the config looks
        return [f"train {config}"]
    places = {"ann_file": directory / "annotations.pkl", "data_prefix.video": directory / "videos"}
    return [f"train {config} {_of_loaders(dict.fromkeys(('train', 'val', 'test'), places))}"]


def after_pictures(directory: Path) -> list[str]:
    """Training of the small pose network on these pictures, where this is the sources' folder."""
    config = Path("configs/pose_network.py")
    if not config.is_file():
        return []
    if directory == Path("people"):  # where the config looks
        return [f"train {config}"]
    places = {
        loader: {"ann_file": directory / f"person_keypoints_{loader}.json", "images": directory / "images"}
        for loader in ("train", "val")
    }
    return [f"train {config} {_of_loaders(places)}"]


def _of_loaders(places: Mapping[str, Mapping[str, Path]]) -> str:
    """What a config is told of the places of its data: loader -> key of its data set -> path."""
    return " ".join(
        shell_word(f"{loader}_dataloader.dataset.{key}={path}")
        for loader, keys in places.items()
        for key, path in keys.items()
    )
