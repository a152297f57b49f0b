"""What the keypoints of the demo's pose network cost, and how many of two performers at once get their own label.

Reads what `make demo` left in a folder: `estimated/eval.json` with what changed, and the networks, which then look at
videos of two held-out performers that this script draws (`x3ddeploy synth --together`), a true label for each of them.

    make demo
    python benchmarks/pose_cost.py demo [-o benchmarks/results/pose_cost.json]
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

import x3ddeploy
from x3ddeploy.atomic import write_json
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.machine import machine

VIDEOS = 100


def persons(demo: Path, folder: Path) -> dict[str, Any]:
    """Videos in which just two are found, and how many of their performers get their own action as label."""
    x3ddeploy.synth(folder, clips_per_class=12, together=VIDEOS)
    videos = sorted((folder / "together").iterdir())
    right, both_found = 0, 0
    models = (demo / "pose" / f"{name}.onnx" for name in ("pose", "detector"))
    with x3ddeploy.PoseEstimator(*models) as estimator, x3ddeploy.open(demo / "deploy") as recognizer:
        for video in videos:
            actions = [ACTIONS[int(number) - 1].name for number in re.findall(r"A(\d{3})", video.stem)]
            poses = estimator.video(video)
            poses.save(folder / "found.npz")
            both_found += len(poses.keypoints) == len(actions)
            labels = {
                prediction.person: prediction.label
                for prediction in recognizer.predict_videos([video], folder / "found.npz", each_person=True)
            }
            # Names of the videos tell the actions from left to right; further persons are no performer's.
            places = np.argsort(
                [points[scores > 0][:, 0].mean() for points, scores in zip(poses.keypoints, poses.scores, strict=True)]
            )
            right += sum(labels.get(int(person)) == action for person, action in zip(places, actions, strict=False))
    return {"videos": len(videos), "two_found": both_found, "performers": 2 * len(videos), "right": right}


@click.command(help=__doc__)
@click.argument("demo", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path))
def main(demo: Path, output: Path | None) -> None:
    """Measure, report."""
    report = json.loads((demo / "estimated" / "eval.json").read_text())
    changes = report["against"]
    with tempfile.TemporaryDirectory() as folder:
        together = persons(demo, Path(folder) / "synth")
    names = [entry["label"] for entry in report["classes"]]
    before, after = (changes[moment][report["deployed"]]["by_class"] for moment in ("before", "after"))
    result = {
        "script": "benchmarks/pose_cost.py",
        "machine": machine(),
        "videos": report["videos"],
        "top1": {
            name: {"true_keypoints": scores["top1"], "estimated_keypoints": changes["after"][name]["top1"]}
            for name, scores in changes["before"].items()
        },
        "classes_that_changed": {
            name: {"true_keypoints": one, "estimated_keypoints": other}
            for name, one, other in zip(names, before, after, strict=True)
            if one != other
        },
        "together": together,
    }
    click.echo(json.dumps(result, indent=2))
    if output is not None:
        write_json(output, result)


if __name__ == "__main__":
    main()
