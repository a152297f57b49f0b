"""`x3ddeploy.quantize`: graphs of lower precision beside a bundle's float32 ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from x3ddeploy.bundle import Bundle
from x3ddeploy.calibration.recipe import Recipe, read_recipe
from x3ddeploy.errors import UsageError
from x3ddeploy.precision.quantize import Quantized, quantize_bundle
from x3ddeploy.precision.request import Request
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.terms import AnyPath, Precision, named

# What a recipe says of clips that are given, where made-up ones calibrate or none -> the option that sets it.
_OF_GIVEN_CLIPS = {
    "videos": "--videos",
    "split": "--calib-split",
    "min_keypoint_score": "--min-keypoint-score",
    "eval_split": "--eval-split",
    "eval_clips": "--eval-clips",
    "max_drop": "--max-drop",
}


def quantize(
    bundle: AnyPath = "deploy",
    *,
    precisions: Sequence[str | Precision] = (Precision.FP16, Precision.INT8),
    recipe: AnyPath | Recipe | None = None,
    calib: AnyPath | None = None,
    calib_random: bool = False,
    calib_cache: AnyPath | None = None,
    videos: AnyPath | None = None,
    calib_split: str | None = None,
    calib_clips: int | None = None,
    min_keypoint_score: float | None = None,
    method: str | None = None,
    seed: int | None = None,
    eval_split: str | None = None,
    eval_clips: int | None = None,
    max_drop: float | None = None,
    opset: Literal[17, 19] = 19,
    runtime: str | None = None,
    device: str | None = None,
    progress: Step = QUIET,
) -> Quantized:
    """Add graphs of lower precision to a bundle: calibrated, searched, and judged on labelled clips.

    Interrupted, calibration and search go on where they were when they are called for again.

    Args:
        bundle: directory.
        precisions: what to make.
        recipe: TOML file, or a Recipe, with clips, method and budget; the arguments below override it.
        calib: clips that calibrate and judge: a data set, an annotation pickle, a folder of .npz files or a script.
        calib_random: calibrate with made-up clips; the result is marked, not judged.
        calib_cache: file with the ranges of an earlier calibration of the same bundle.
        videos: folder of an annotation pickle's videos.
        calib_split: split that calibrates; None for the training split.
        calib_clips: how many clips calibrate.
        min_keypoint_score: joints of a lower score are left out.
        method: how ranges are chosen: 'max', 'percentile', 'mse' or 'entropy'.
        seed: seed of the choice of clips.
        eval_split: split that judges; None for the held-out split of the same protocol.
        eval_clips: how many clips judge; 0 takes all.
        max_drop: percentage points of top-1 that may be lost, in each stream and fused.
        opset: opset of INT8 graphs for TensorRT; 17 is for TensorRT 8.6.
        runtime: the runtime in which graphs are judged; None for the one of the bundle's target.
        device: a device of that runtime.
        progress: receives each step as a line.

    Raises:
        GateError: accuracy cannot be kept within the budget; what was in the bundle stays.
        DataError: clips cannot be read, or clips that calibrate also judge.
        BundleError: the bundle is not what its manifest says, or the calibration does not fit it.
        UsageError: the bundle's target has no such precision, or there are no clips to calibrate with.
        MissingRequirementError: the runtime that judges is not installed.
    """
    if calib_random and (calib or recipe):
        raise UsageError("--calib-random makes clips up: it goes with no --calib and no --recipe")
    choices = {
        "data": calib and str(calib),
        "videos": videos and str(videos),
        "split": calib_split,
        "min_keypoint_score": min_keypoint_score,
        "clips": calib_clips,
        "seed": seed,
        "method": method,
        "eval_split": eval_split,
        "eval_clips": eval_clips,
        "max_drop": max_drop,
    }
    given = {name: value for name, value in choices.items() if value is not None}
    base = recipe if isinstance(recipe, Recipe) else Recipe() if recipe is None else read_recipe(Path(recipe))
    chosen = msgspec.structs.replace(base, **given)
    unused = [_OF_GIVEN_CLIPS[name] for name in given if name in _OF_GIVEN_CLIPS]
    if chosen.data is None and unused:
        raise UsageError(f"{', '.join(unused)}: no clips are given", hint="name them with --calib PATH or in a recipe")
    request = Request(
        precisions=tuple(named(Precision, name) for name in precisions),
        recipe=chosen,
        random=calib_random,
        calibration=None if calib_cache is None else Path(calib_cache),
        opset17=opset == 17,
        runtime=runtime,
        device=device,
    )
    return quantize_bundle(Bundle.open(Path(bundle)), request, counting(progress))
