"""A recipe: which clips calibrate and which judge, how ranges are chosen, what accuracy may be lost."""

from __future__ import annotations

from pathlib import Path

import msgspec

from x3ddeploy.calibration.ranges import METHODS
from x3ddeploy.errors import UsageError
from x3ddeploy.files import TEXT_LIMIT, read_file

_MOST_CLIPS = 10_000_000
_BOUNDS = {
    "clips": (1, _MOST_CLIPS),
    "seed": (0, 2**32 - 1),  # NumPy's seeds are of 32 bits
    "eval_clips": (0, _MOST_CLIPS),
    "max_drop": (0, 100),
    "min_keypoint_score": (0, 1),
}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All choices of a quantization that are not the bundle's; `calib/*.toml` holds them, options override them.

    Attributes:
        data: path of the clips: a data set, an annotation pickle, a folder of .npz files, a script.
        videos: folder of an annotation pickle's videos.
        split: split that calibrates; left out, the training split, where there is exactly one.
        min_keypoint_score: joints under it, and such that are not finite, are left out of crops and heatmaps; left out,
            all count.
        clips: how many calibrate, balanced over the classes.
        seed: seed of their choice.
        method: 'max', 'percentile', 'mse' or 'entropy'.
        eval_split: split that judges; left out, the held-out split of the same protocol.
        eval_clips: how many judge, balanced over the classes; 0 takes all.
        max_drop: percentage points of top-1 that INT8 may lose, in each stream and fused.
    """

    data: str | None = None
    videos: str | None = None
    split: str | None = None
    min_keypoint_score: float | None = None
    clips: int = 200
    seed: int = 0
    method: str = "mse"
    eval_split: str | None = None
    eval_clips: int = 0
    max_drop: float = 0.5

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:  # NaN is in no range
                raise UsageError(f"{name} = {value!r:.40} in a recipe", hint=f"at least {least} and at most {most}")
        if self.method not in METHODS:
            raise UsageError(f"no calibration method named {self.method!r}", hint=f"one of: {', '.join(METHODS)}")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from TOML.

    Raises:
        UsageError: it cannot be read, has a key that recipes do not have, or a value of the wrong type or size.
    """
    try:
        return msgspec.toml.decode(read_file(path, TEXT_LIMIT), type=Recipe)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot read the recipe {path}: {getattr(error, 'strerror', None) or error}",
            hint=f"its keys are: {', '.join(Recipe.__struct_fields__)}",
        ) from error
