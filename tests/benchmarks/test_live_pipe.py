"""A paced pipe through the command: windows and strides are held, and the script that says so can say the opposite."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.pose_graphs import heatmap_model
from support.scripts import module_of

live_pipe = module_of(Path(__file__).parents[2] / "benchmarks" / "live_pipe.py")


@pytest.fixture(scope="module")
def ran(bundle, tmp_path_factory):
    """Three seconds at 20 frames a second, windows of one second each half; the network needs a pose model."""
    pose = heatmap_model(tmp_path_factory.mktemp("pose") / "pose.onnx")
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    options = ["--bundle", str(bundle), "--pose", str(pose)]
    return live_pipe.measure([picture, picture[::-1]], options, fps=20, duration_s=3, window_s=1, stride_s=0.5)


def test_a_paced_pipe_is_answered_at_its_stride(ran):
    assert ran.answers >= ran.expected >= 5
    assert 0.3 < ran.stride_s[0] < 0.7
    assert ran.window_s[2] <= 1.0 + 1e-3
    assert 0 < ran.latency_s[0] <= ran.latency_s[2]
    assert ran.sent > 60


@pytest.mark.parametrize(
    "worse", [{"answers": 3}, {"stride_s": [0.5, 0.5, 1.0]}, {"stride_s": [0.5, 0.1, 0.5]}], ids=str
)
def test_what_is_missing_or_late_is_not_held(ran, worse):
    fine = dataclasses.replace(ran, answers=7, expected=6, stride_s=[0.5, 0.45, 0.55])
    assert fine.held
    assert not dataclasses.replace(fine, **worse).held
