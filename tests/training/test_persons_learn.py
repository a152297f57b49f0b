"""A minute of training finds two performers in bare video, joint by joint: left to `make families`."""

from pathlib import Path

import numpy as np
import pytest

from x3ddeploy.data.synth import PictureOptions, SynthOptions, generate_pictures
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.data.synth.render import render
from x3ddeploy.data.synth.stage import camera_of, performer_of, room_of, stage
from x3ddeploy.data.synth.together import make_together
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.pose.estimate import PoseEstimator

import_everything()

from x3ddeploy.training.adapt import TrainOptions  # noqa: E402
from x3ddeploy.training.train import train  # noqa: E402

CONFIG = Path(__file__).parents[2] / "configs" / "pose_network.py"
EPOCHS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    generate_pictures(folder / "people", PictureOptions(1, 1200, (112, 112), 60), lambda done, total: None)
    overrides = [
        f"{loader}_dataloader.{key}={value}"
        for loader in ("train", "val")
        for key, value in {
            "dataset.ann_file": folder / "people" / f"person_keypoints_{loader}.json",
            "dataset.images": folder / "people" / "images",
            "num_workers": 0,
            "persistent_workers": False,
        }.items()
    ]
    overrides += [f"train_cfg.max_epochs={EPOCHS}", f"param_scheduler.0.total_steps={EPOCHS}"]
    return train(CONFIG, TrainOptions(folder / "run", overrides=overrides), "none", print)


@pytest.mark.families
def test_both_performers_are_found_in_bare_video(trained, tmp_path):
    assert trained.best_score > 0.85
    options = SynthOptions(seed=2, frames=16)
    with PoseEstimator(trained.onnx["pose"], trained.onnx["detector"]) as estimator:
        for number in (1, 2, 3):
            video = make_together(options, number)
            write_video(tmp_path / f"{video.name}.mp4", video.frames)
            found = estimator.video(tmp_path / f"{video.name}.mp4")
            seen = (found.scores > 0.3).any(2)
            assert np.median(seen.sum(0)) == 2


@pytest.mark.families
def test_joints_are_found_where_they_are_drawn(trained, tmp_path):
    options = SynthOptions(seed=2, frames=16)
    action = next(action for action in ACTIONS if action.name == "star_jump")
    scene = stage(np.random.default_rng(0), options, action, performer_of(2, 1), camera_of(2, 1))
    write_video(tmp_path / "jump.mp4", render(scene, room_of(2, 1, 1), options.size))
    with PoseEstimator(trained.onnx["pose"], trained.onnx["detector"]) as estimator:
        found = estimator.video(tmp_path / "jump.mp4")
    truth = scene.figures[0].joints
    person = int((found.scores > 0.3).any(2).sum(1).argmax())
    errors = np.linalg.norm(found.keypoints[person] - truth, axis=-1)
    assert np.median(errors) < 3
