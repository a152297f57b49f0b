"""`x3ddeploy explain`: why does a video have its label?"""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

import x3ddeploy
from x3ddeploy.cli.echo import echo, print_json
from x3ddeploy.cli.parameters import (
    MOST_FRAMES,
    Count,
    Verb,
    check_pose_models,
    min_keypoint_score,
    one_placement,
    pose_models,
)


@click.command(cls=Verb)
@click.argument("video", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="An .mp4, or a folder for pictures and JSON."
)
@click.option("--keypoints", type=click.Path(path_type=Path), help="As `predict` takes them.  [default: beside VIDEO]")
@pose_models(required=False)
@click.option("--bundle", type=click.Path(path_type=Path), default="deploy", show_default=True)
@click.option(
    "--frames",
    nargs=2,
    type=Count(MOST_FRAMES, 0),
    metavar="START END",
    help="The window: its first frame, and the first one behind it.  [default: the whole video]",
)
@click.option("--label", help="Name or number of the class to explain.  [default: the best one]")
@click.option("--person", type=Count(MOST_FRAMES, 0), help="Explain this person's answer.  [default: that about all]")
@min_keypoint_score
@one_placement
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def command(
    video: Path,
    output: Path | None,
    keypoints: Path | None,
    pose: Path | None,
    detector: Path | None,
    pose_pixels: str | None,
    detector_pixels: str | None,
    bundle: Path,
    frames: tuple[int, int] | None,
    label: str | None,
    person: int | None,
    min_keypoint_score: float | None,
    runtime: str,
    device: str | None,
    precision: str,
    as_json: bool,
) -> None:
    """Say where in VIDEO its label was seen, and which joints decided; -o draws both.

    Pictures: Grad-CAM on the last feature maps, of the float32 graph in any precision. Joints: each is taken away in
    turn, and the network asked again. Whatever the network's family; docs/explain.md says what it means.
    """
    from x3ddeploy.cli.output import Steps, print_table

    check_pose_models(keypoints, pose, detector, pose_pixels, detector_pixels)
    with contextlib.ExitStack() as opened, Steps().bars() as progress:
        estimator = None
        if pose is not None:
            estimator = opened.enter_context(
                x3ddeploy.PoseEstimator(pose, detector, pose_pixels=pose_pixels, detector_pixels=detector_pixels)
            )
        found = x3ddeploy.explain(
            video,
            estimator or keypoints,
            bundle=bundle,
            frames=frames,
            label=label,
            person=person,
            min_keypoint_score=min_keypoint_score,
            runtime=runtime,
            device=device,
            precision=precision,
            output=output,
            progress=progress,
        )
    report = found.report()
    if as_json:
        print_json(report)
        return
    echo(f"{report.video}  frames {report.start_frame}-{report.end_frame - 1}  {report.label} {report.score:.1%}")
    if report.joints is not None:
        of_joints = [(joint.name, f"{joint.evidence:+.2f}", f"{joint.score_without:.1%}") for joint in report.joints]
        print_table("What each joint adds", ("joint", "log odds", "without it"), of_joints, right=(1, 2))
    if report.frames is not None:
        of_frames = [(str(frame.frame), f"{frame.share:.1%}") for frame in report.frames]
        print_table("Share of the heat, frame by frame", ("frame", "share"), of_frames, right=(0, 1))
