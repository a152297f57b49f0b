"""Synthetic clips: moving figures before a textured background, with their keypoints; and impulses.

They stand in for data where only the statistics of natural motion matter: BatchNorm statistics of a demo network,
numeric parity, timing. They show no actions and say nothing about accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.frames import normalise_frames
from x3ddeploy.data.heatmaps import keypoints_to_heatmaps
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

Arrays = dict[str, npt.NDArray[np.generic]]

_PERSONS = 2
_TEXTURE_CELL = 8  # pixels; natural images have most of their energy at low spatial frequencies
_DROPOUT = 0.05  # share of keypoints that the pose estimator lost


@dataclass(frozen=True)
class Clip:
    """One clip as a camera and a pose estimator give it.

    Attributes:
        frames: (T, H, W, 3) uint8, R, G, B.
        keypoints: (M, T', K, 2), x and y in pixels of these frames.
        scores: (M, T', K) in 0..1.
    """

    frames: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def synthetic_clip(spec: ModelSpec, seed: int) -> Clip:
    """Two figures, each a cloud of joints that sway about a moving centre; frames and keypoints cover the same time."""
    random = np.random.default_rng(seed)
    rgb, pose, joints = spec.rgb_input, spec.pose_input, spec.pose.in_channels
    extent = np.array([rgb.width, rgb.height], np.float64)
    start, velocity = random.uniform(0.3, 0.7, (_PERSONS, 2)), random.uniform(-0.2, 0.2, (_PERSONS, 2))
    offset = random.normal(0, [0.06, 0.16], (_PERSONS, joints, 2))  # a body is taller than it is wide
    sway, phase = random.uniform(0.01, 0.05, (_PERSONS, joints, 2)), random.uniform(0, 2 * np.pi, (_PERSONS, joints, 2))

    def positions(frames: int) -> npt.NDArray[np.float64]:
        """(M, frames, K, 2) in pixels, at equal steps over the clip."""
        time = (np.arange(frames) / frames)[None, :, None, None]
        centre = start[:, None, None] + velocity[:, None, None] * time
        moving = centre + offset[:, None] + sway[:, None] * np.sin(2 * np.pi * time + phase[:, None])
        return moving * extent

    scores = random.uniform(0.5, 1.0, (_PERSONS, pose.frames, joints))
    scores[random.random(scores.shape) < _DROPOUT] = 0
    keypoints = positions(pose.frames) + random.normal(0, 0.004, (_PERSONS, pose.frames, joints, 2)) * extent
    return Clip(
        frames=_render(random, positions(rgb.frames), rgb.height, rgb.width),
        keypoints=keypoints.astype(np.float32),
        scores=scores.astype(np.float32),
    )


def raw_inputs(spec: ModelSpec, batch: int, seed: int) -> Arrays:
    """A batch of different clips as the preprocessing graphs take them, and as the backbones do.

    Returns:
        `frames` (N, T, H, W, 3), `keypoints` (N, M, T', K, 2), `keypoint_scores` (N, M, T', K, 1), `imgs`
        (N, 3, T, H, W) and `heatmap_imgs` (N, K, T', H', W').
    """
    clips = [synthetic_clip(spec, 10_000 * seed + index) for index in range(batch)]
    return {
        "frames": np.stack([clip.frames for clip in clips]),
        "keypoints": np.stack([clip.keypoints for clip in clips]),
        "keypoint_scores": np.stack([clip.scores[..., None] for clip in clips]),
        "imgs": np.stack([normalise_frames(clip.frames, spec.rgb_input) for clip in clips]),
        "heatmap_imgs": np.stack(
            [keypoints_to_heatmaps(clip.keypoints, clip.scores, spec.pose_input) for clip in clips]
        ),
    }


def batch_inputs(spec: ModelSpec, batch: int, seed: int) -> Arrays:
    """A batch of different clips as the recognizer takes them: `imgs` and `heatmap_imgs`."""
    inputs = raw_inputs(spec, batch, seed)
    return {name: inputs[name] for name in spec.input_shapes()}


def impulse_inputs(spec: ModelSpec, batch: int, frame: int) -> Arrays:
    """One lit pixel in one channel of one frame of the middle clip, zeros elsewhere.

    A shift that takes the wrong neighbour, or leaks into the clip that lies next in memory, shows at once.

    Args:
        spec: says the shapes.
        batch: number of clips.
        frame: index of the lit frame; negative counts from the end.
    """
    inputs: Arrays = {}
    for name, shape in spec.input_shapes(batch).items():
        value = np.zeros(shape, np.float32)
        value[batch // 2, shape[1] // 2, frame, shape[3] // 2, shape[4] // 3] = 1
        inputs[name] = value
    return inputs


def _render(
    random: np.random.Generator, positions: npt.NDArray[np.float64], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Figures as bright discs about their joints, before a smooth coloured texture with sensor noise."""
    cells = (-(-height // _TEXTURE_CELL), -(-width // _TEXTURE_CELL))
    texture = np.kron(random.uniform(40, 200, (*cells, 3)), np.ones((_TEXTURE_CELL, _TEXTURE_CELL, 1)))
    background = texture[:height, :width].astype(np.float32)
    colours = random.uniform(0, 255, (len(positions), 3)).astype(np.float32)
    radius = max(1.0, width / 40)
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    frames = np.empty((positions.shape[1], height, width, 3), np.uint8)
    for time in range(len(frames)):
        image = background + random.normal(0, 6, background.shape).astype(np.float32)
        for person, colour in enumerate(colours):
            x, y = positions[person, time].T.astype(np.float32)
            near = (np.abs(columns[None] - x[:, None]) < radius, np.abs(rows[None] - y[:, None]) < radius)
            covered = (near[1].T.astype(np.float32) @ near[0].astype(np.float32)) > 0
            image[covered] = colour
        frames[time] = np.clip(image, 0, 255)
    return frames
