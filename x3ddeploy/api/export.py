"""`x3ddeploy.export`: a trained checkpoint in, a verified bundle out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from x3ddeploy.contract import Contract
from x3ddeploy.exporting.comparison import require_runtime_of
from x3ddeploy.exporting.export import Exported, export_bundle
from x3ddeploy.exporting.parts import ExportOptions
from x3ddeploy.families import family_named
from x3ddeploy.families.base import Wishes
from x3ddeploy.loading import load_streams, read_labels
from x3ddeploy.progress import QUIET, Step
from x3ddeploy.terms import AnyPath, Target, named


def export(
    checkpoint: AnyPath | Sequence[AnyPath],
    output: AnyPath = "deploy",
    *,
    target: str | Target = Target.TENSORRT,
    batch: int | None = None,
    config: str | None = None,
    frames: int | None = None,
    pose_frames: int | None = None,
    size: tuple[int, int] | None = None,
    fusion: Sequence[float] | None = None,
    preprocess: bool = False,
    labels: AnyPath | Sequence[str] | None = None,
    tolerance: float | None = None,
    ema: bool = False,
    trust: bool = False,
    overwrite: bool = False,
    check: Callable[[Target, Contract], None] | None = None,
    progress: Step = QUIET,
) -> Exported:
    """Turn a trained checkpoint into a bundle; every graph is compared with PyTorch before anything is written.

    Args:
        checkpoint: `.pth` file; nothing in it is executed unless `trust` says so. Several are the streams of one
            network: joints, bones and their motion, each trained on its own.
        output: the bundle's directory.
        target: runtime whose kernels the graphs are lowered for.
        batch: fixed number of clips; None leaves it open.
        config: a preset's name or a config file, for what the checkpoint does not carry.
        frames: number of camera frames of a clip, where it is to be another one than in training.
        pose_frames: the same of heatmaps or skeletons.
        size: height and width of the camera frames in pixels, likewise.
        fusion: weights of the streams in the deployed scores, in their order; None weighs them alike.
        preprocess: also write graphs that take camera frames and keypoints.
        labels: text file with a class name a line, or the names; None takes those in the checkpoint, if any.
        tolerance: largest error of any output relative to its range; None for a factor of PyTorch's own rounding.
        ema: take the checkpoint's other copy of the weights.
        trust: execute what the file asks for beyond weights.
        overwrite: replace a bundle even if files are lost that were made from it.
        check: receives the target and what the network takes and gives, before any graph is made; what it raises ends
            the export, and nothing is written.
        progress: receives each step as a line.

    Raises:
        CheckpointError: the file cannot be read, trusted or understood.
        GateError: parity failed; nothing was written.
        BundleError: `output` is something that is not to be replaced.
        UsageError: an argument does not fit the network.
        MissingRequirementError: the runtime that compares is not installed.
    """
    target = named(Target, target)
    require_runtime_of(target)
    wishes = Wishes(config, frames, pose_frames, size, None if fusion is None else tuple(fusion))
    paths = [Path(checkpoint)] if isinstance(checkpoint, str | PathLike) else [*map(Path, checkpoint)]
    loaded = load_streams(paths, wishes, ema=ema, trust=trust)
    classes = loaded.network.contract().classes
    if check is not None:
        check(target, loaded.network.contract(batch))
    progress(f"read {', '.join(map(str, paths))}: {family_named(loaded.network.family).title}, {classes} classes")
    if labels is None:
        names = loaded.labels
    elif isinstance(labels, Sequence) and not isinstance(labels, str):
        names = tuple(labels)
    else:
        names = read_labels(Path(labels), classes)
    options = ExportOptions(target, batch, preprocess, tolerance, names, overwrite)
    return export_bundle(loaded, Path(output), options, progress)
