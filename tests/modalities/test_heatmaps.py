"""Heatmaps are those that the network was trained on: a wrong window or threshold costs accuracy unnoticed."""

from dataclasses import replace

import numpy as np
import pytest

from x3ddeploy.modalities.heatmaps import Heatmaps
from x3ddeploy.modalities.view import View

POSE = Heatmaps(View(3, True, 56, 48), joints=5, height=14, width=12, sigma=0.6, scaling=0.25, use_score=True)


def transcribed(keypoints, scores, pose):
    """MMAction2's `generate_a_heatmap`, loop by loop."""
    persons, frames, joints = scores.shape
    heatmaps = np.zeros((joints, frames, pose.height, pose.width), np.float32)
    scores = scores if pose.use_score else np.ones_like(scores)
    for person in range(persons):
        for frame in range(frames):
            for joint in range(joints):
                score = scores[person, frame, joint]
                if score < 1e-4:
                    continue
                x, y = keypoints[person, frame, joint] * np.float32(pose.scaling)
                left, right = max(int(x - 3 * pose.sigma), 0), min(int(x + 3 * pose.sigma) + 1, pose.width)
                top, bottom = max(int(y - 3 * pose.sigma), 0), min(int(y + 3 * pose.sigma) + 1, pose.height)
                columns, rows = (
                    np.arange(first, end, dtype=np.float32) for first, end in ((left, right), (top, bottom))
                )
                if not (len(columns) and len(rows)):
                    continue
                patch = np.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / 2 / pose.sigma**2) * score
                area = heatmaps[joint, frame, top:bottom, left:right]
                heatmaps[joint, frame, top:bottom, left:right] = np.maximum(area, patch)
    return heatmaps


def poses(seed, persons=2, frames=3, joints=5, pose=POSE):
    """Keypoints inside, outside, on whole and half pixels, on the border; scores around the threshold."""
    random = np.random.default_rng(seed)
    extent = np.array([pose.width, pose.height]) / pose.scaling
    keypoints = random.uniform(-0.4, 1.4, (persons, frames, joints, 2)) * extent
    keypoints[:, :, 1] = np.round(keypoints[:, :, 1])
    keypoints[:, :, 2] = np.round(keypoints[:, :, 2] * pose.scaling) / pose.scaling
    keypoints[0, 0, 3], keypoints[0, 1, 3] = (0, 0), extent
    scores = random.uniform(0, 1, (persons, frames, joints))
    scores[0, 0, :3] = 0, 9e-5, 1.1e-4
    return keypoints.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("sigma", "scaling", "use_score"), [(0.6, 0.25, True), (0.7, 0.5, True), (2.0, 1.0, False), (5.0, 0.25, True)]
)
def test_equal_to_the_transcribed_loops(seed, sigma, scaling, use_score):
    pose = replace(POSE, sigma=sigma, scaling=scaling, use_score=use_score)
    keypoints, scores = poses(seed, pose=pose)
    expected = transcribed(keypoints, scores, pose)
    assert expected.max() > 0.3
    np.testing.assert_allclose(pose.draw(keypoints, scores), expected, atol=1e-5)


@pytest.mark.parametrize("use_score", [True, False])
def test_equal_to_mmaction2(use_score):
    pytest.importorskip("mmaction")
    from x3ddeploy.mmaction_compat import import_registry

    import_registry()
    transforms = pytest.importorskip("mmaction.datasets.transforms.pose_transforms")
    pose = replace(POSE, use_score=use_score)
    keypoints, scores = poses(7, persons=3, joints=17)
    generate = transforms.GeneratePoseTarget(sigma=pose.sigma, use_score=use_score, with_kp=True, scaling=pose.scaling)
    size = int(pose.height / pose.scaling), int(pose.width / pose.scaling)
    result = generate.transform({"keypoint": keypoints.copy(), "keypoint_score": scores.copy(), "img_shape": size})
    expected = result["imgs"].transpose(1, 0, 2, 3)  # (T, K, H, W) to (K, T, H, W)
    np.testing.assert_allclose(pose.draw(keypoints, scores), expected, atol=1e-5)


def test_what_is_not_a_number_draws_nothing_and_spoils_nothing():
    keypoints, scores = poses(0)
    clean = POSE.draw(keypoints, np.where(np.arange(5) == 1, 0, scores))
    for where, value in ((keypoints, np.nan), (keypoints, np.inf), (scores, np.nan), (scores, np.inf)):
        spoiled = [keypoints.copy(), scores.copy()]
        (spoiled[0] if where is keypoints else spoiled[1])[:, :, 1] = value
        np.testing.assert_array_equal(POSE.draw(*spoiled), clean)


@pytest.mark.parametrize("far", [1e5, 1e12, 1e30, -1e30])
def test_coordinates_far_outside_draw_nothing(far):
    keypoints, scores = np.full((1, 3, 5, 2), far, np.float32), np.ones((1, 3, 5), np.float32)
    assert not POSE.draw(keypoints, scores).any()


def test_nobody_gives_an_empty_map():
    empty = POSE.draw(np.zeros((0, 3, 5, 2), np.float32), np.zeros((0, 3, 5), np.float32))
    assert empty.shape == (5, 3, 14, 12)
    assert not empty.any()
