"""`x3ddeploy pose`: who is in these videos, joint by joint?"""

from __future__ import annotations

from pathlib import Path

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.next_steps import print_next
from x3ddeploy.cli.parameters import Verb, pose_models
from x3ddeploy.text import shell_word


@click.command(cls=Verb)
@click.argument("videos", metavar="VIDEO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@pose_models(required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="KEYPOINTS",
    help="An .npz file for one video, or a folder for files of the videos' names; with --annotations a .pkl file.",
)
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    help="MMAction2's annotations of the videos: write them again, with these keypoints, to train and evaluate on.",
)
@click.option(
    "--runtime", default="onnxruntime", show_default=True, help="onnxruntime or openvino; precision is the files' own."
)
@click.option("--device", help="Of the runtime: cpu, cuda, gpu, ...  [default: its first]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one a video.")
def command(
    videos: tuple[Path, ...],
    pose: Path,
    detector: Path | None,
    pose_pixels: str | None,
    detector_pixels: str | None,
    output: Path,
    annotations: Path | None,
    runtime: str,
    device: str | None,
    as_json: bool,
) -> None:
    """Find the persons in each VIDEO by a pose model that you have as an ONNX file, and keep their keypoints.

    `x3ddeploy predict --keypoints` takes them. What kind of model it is shows from its outputs; nothing is downloaded.
    """
    from x3ddeploy.cli.output import Steps

    estimator = x3ddeploy.PoseEstimator(
        pose, detector, runtime=runtime, device=device, pose_pixels=pose_pixels, detector_pixels=detector_pixels
    )
    with estimator, Steps().bars() as progress:
        for found in x3ddeploy.estimate_poses(videos, output, estimator, annotations=annotations, progress=progress):
            if as_json:
                print_json(found.line(), indent=None)
            else:
                echo(
                    f"{found.keypoints}: {found.persons} persons in {found.frames_with_persons} of {found.frames} "
                    f"frames of {found.video}"
                )
    if as_json:
        return
    if annotations is not None:
        print_next(f"data check {shell_word(output)} --videos {shell_word(videos[0].parent)}")
    else:
        print_next(f"predict {' '.join(map(shell_word, videos))} --keypoints {shell_word(output)}")
