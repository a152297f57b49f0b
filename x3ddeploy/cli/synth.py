"""`x3ddeploy synth`: a synthetic action data set, to try training, evaluation and deployment without recordings."""

from __future__ import annotations

from pathlib import Path

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.next_steps import after_pictures, after_synth, print_next
from x3ddeploy.cli.parameters import LARGEST_SEED, MOST_FRAMES, Count, Size, Verb

_MOST_CLIPS = 100_000
_OF_CLIPS = ("frames", "clips_per_class", "together")


@click.command(cls=Verb)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--seed",
    type=Count(LARGEST_SEED, least=0),
    default=0,
    show_default=True,
    help="Of all draws; the same seed, the same data.",
)
@click.option("--size", type=Size(), default="112x112", show_default=True, help="Height and width of the videos.")
@click.option("--frames", type=Count(MOST_FRAMES), default=32, show_default=True, help="Frames of each clip.")
@click.option(
    "--clips-per-class", type=Count(_MOST_CLIPS), default=72, show_default=True, help="At least one for each subject."
)
@click.option("--subjects", type=Count(999), default=12, show_default=True, help="Performers; a quarter is held out.")
@click.option(
    "--together",
    type=Count(_MOST_CLIPS, least=0),
    default=0,
    show_default=True,
    help="Further videos, of two performers who act at once, in DIRECTORY/together.",
)
@click.option("--pictures", type=Count(_MOST_CLIPS), help="Write so many pictures of persons, and no clips.")
@click.option("--overwrite", is_flag=True, help="Replace a synthetic data set that is in DIRECTORY.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    directory: Path,
    seed: int,
    size: tuple[int, int],
    frames: int,
    clips_per_class: int,
    subjects: int,
    together: int,
    pictures: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a synthetic data set of 12 actions to DIRECTORY: videos, and their keypoints as MMAction2's PoseDataset
    reads them. It shows that a pipeline works, not how accurate a model is on real video.

    With --pictures it is another set: pictures of such persons with joints and boxes in COCO's form, which
    `x3ddeploy train configs/pose_network.py` trains a pose network on.
    """
    from x3ddeploy.cli.output import Steps, size_text

    if pictures is not None:
        _write_pictures(directory, pictures, seed, size, subjects, overwrite, as_json)
        return
    with Steps().bars() as progress:
        summary = x3ddeploy.synth(
            directory,
            seed=seed,
            size=size,
            frames=frames,
            clips_per_class=clips_per_class,
            subjects=subjects,
            together=together,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        print_json(summary.document())
        return
    splits = ", ".join(f"{name} {count}" for name, count in summary.splits.items())
    echo(f"{directory}: {summary.clips} clips of {len(summary.classes)} classes, {size_text(summary.size_bytes)}")
    echo(f"splits: {splits}")
    echo(f"annotations: {directory / 'annotations.pkl'}, videos: {directory / 'videos'}")
    echo(f"skeletons in space: {directory / 'skeletons.pkl'}")
    if together:
        echo(f"two performers at once: {directory / 'together'}")
    if commands := after_synth(directory):
        print_next(*commands)


def _write_pictures(
    directory: Path, pictures: int, seed: int, size: tuple[int, int], subjects: int, overwrite: bool, as_json: bool
) -> None:
    from x3ddeploy.cli.output import Steps
    from x3ddeploy.errors import UsageError

    context = click.get_current_context()
    given = [name for name in _OF_CLIPS if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if given:
        raise UsageError(f"pictures have no {', '.join(given)}", hint="leave these options out, or --pictures")
    with Steps().bars() as progress:
        record = x3ddeploy.synth_pictures(
            directory, pictures, seed=seed, size=size, subjects=subjects, overwrite=overwrite, progress=progress
        )
    if as_json:
        print_json(record)
        return
    splits = ", ".join(f"{name} {count}" for name, count in record.splits.items())
    echo(f"{directory}: {record.pictures} pictures of {record.persons} persons: {splits}")
    if commands := after_pictures(directory):
        print_next(*commands)
