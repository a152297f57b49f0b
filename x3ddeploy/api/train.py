"""`x3ddeploy.synth` and `x3ddeploy.train`: a data set to try things with, and a network trained on one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.terms import AnyPath

if TYPE_CHECKING:
    from x3ddeploy.data.synth import Summary
    from x3ddeploy.data.synth.document import PicturesRecord
    from x3ddeploy.training.result import TrainResult


def synth(
    directory: AnyPath,
    *,
    seed: int = 0,
    size: tuple[int, int] = (112, 112),
    frames: int = 32,
    clips_per_class: int = 72,
    subjects: int = 12,
    together: int = 0,
    overwrite: bool = False,
    progress: Step = QUIET,
) -> Summary:
    """Write a synthetic data set of 12 actions: videos, and their keypoints as MMAction2's PoseDataset reads them.

    Args:
        directory: where it goes.
        seed: seed of all draws; the same seed gives the same data.
        size: height and width of the videos in pixels.
        frames: frames of each clip.
        clips_per_class: at least one for each subject.
        subjects: number of performers; a quarter of them is held out.
        together: number of further videos, of two performers who act at once; they have no keypoints and no split.
        overwrite: replace a synthetic data set that is there.
        progress: counts the clips.

    Raises:
        UsageError: a number is out of its range, or something else lies there.
        MissingRequirementError: OpenCV, or PyAV with libx264, is not installed.
    """
    from x3ddeploy.data.synth import SynthOptions, generate

    options = SynthOptions(seed, size, frames, clips_per_class, subjects, together)
    return generate(Path(directory), options, partial(counting(progress).count, "clips"), overwrite=overwrite)


def synth_pictures(
    directory: AnyPath,
    pictures: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (112, 112),
    subjects: int = 12,
    overwrite: bool = False,
    progress: Step = QUIET,
) -> PicturesRecord:
    """Write pictures of persons with their joints and boxes in COCO's form, to train a pose network on.

    Args:
        directory: where it goes.
        pictures: how many; every tenth judges.
        seed: seed of all draws; performers and rooms of other seeds are others.
        size: height and width of a picture of one performer; those of two are half as wide again.
        subjects: number of performers; a quarter of them is in the pictures that judge, and in no other.
        overwrite: replace a synthetic data set that is there.
        progress: counts the pictures.

    Returns:
        What dataset.json holds.

    Raises:
        UsageError: a number is out of its range, or something else lies there.
        MissingRequirementError: OpenCV is not installed.
    """
    from x3ddeploy.data.synth import PictureOptions, generate_pictures

    options = PictureOptions(seed, pictures, size, subjects)
    count = partial(counting(progress).count, "pictures")
    return generate_pictures(Path(directory), options, count, overwrite=overwrite)


def train(
    config: AnyPath,
    *,
    work_dir: AnyPath | None = None,
    resume: AnyPath | None = None,
    amp: bool = False,
    cfg_options: Sequence[str] = (),
    seed: int | None = None,
    launcher: Literal["none", "pytorch"] | None = None,
    progress: Step = QUIET,
) -> TrainResult | None:
    """Train the two-stream network, any model of MMAction2, or a pose network with its detector, as a config says.

    MMEngine logs to standard output.

    Args:
        config: Python file of MMEngine's kind; it is EXECUTED.
        work_dir: where checkpoints and logs go; None for the config's, else work_dirs/<its name>.
        resume: checkpoint to go on from; 'auto' for the last one in the work directory.
        amp: mixed precision, which needs a GPU.
        cfg_options: 'KEY=VALUE', as MMAction2's --cfg-options takes them.
        seed: seed of weights, order, augmentation and dropout; None for the config's, else 0.
        launcher: None for 'pytorch' where torchrun started this process, else 'none'.
        progress: receives a line for each thing worth knowing.

    Returns:
        What the run leaves behind; None in every process of torchrun's but the first.

    Raises:
        UsageError: the config or the options make no sense.
        DataError: annotations or videos are missing or damaged.
        CheckpointError: what is to be resumed or loaded is no safe checkpoint.
        DivergedError: the run was stopped; the message says what was seen and where the last checkpoint is.
        MissingRequirementError: MMAction2 is not installed.
    """
    import_everything()
    from x3ddeploy.training.adapt import TrainOptions
    from x3ddeploy.training.distributed import is_main_process, process_group
    from x3ddeploy.training.train import train as run

    options = TrainOptions(
        None if work_dir is None else Path(work_dir), None if resume is None else str(resume), amp, cfg_options, seed
    )
    with process_group(launcher) as joined:
        result = run(Path(config), options, joined, progress)
        return result if is_main_process() else None
