"""Synthetic clips: moving figures before a textured background, with their keypoints or skeletons; and impulses.

They stand in for data where only the statistics of natural motion matter: BatchNorm statistics of a demo network,
numeric parity, timing. They show no actions and say nothing about accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input
from x3ddeploy.modalities.frames import RAW_FRAMES, Frames
from x3ddeploy.modalities.heatmaps import RAW_KEYPOINTS, RAW_SCORES, Heatmaps
from x3ddeploy.modalities.kinds import modalities_of
from x3ddeploy.modalities.skeletons import Skeletons
from x3ddeploy.modalities.view import View

Arrays = dict[str, npt.NDArray[Any]]  # frames are uint8, all else is float32
Positions = npt.NDArray[np.float64]
Moving = Callable[[int, tuple[int, int]], Positions]

_PERSONS = 2
_JOINTS = 17
_TEXTURE_CELL = 8  # pixels; natural images have most of their energy at low spatial frequencies
_VIEW_M = 2.3  # height of what a depth camera sees
_DROPOUT = 0.05  # share of keypoints that the pose estimator lost


@dataclass(frozen=True)
class Clip:
    """One clip as a camera and a pose estimator give it; what no input is made of is empty.

    Attributes:
        frames: (T, H, W, 3) uint8, R, G, B.
        keypoints: (M, T', K, 2), x and y in pixels of these frames; (M, T', K, 3) in metres for skeletons in space.
        scores: (M, T', K) in 0..1.
    """

    frames: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def synthetic_clip(inputs: Mapping[str, Input], seed: int) -> Clip:
    """Two figures, each a cloud of joints that sway about a moving centre; frames and keypoints cover the same time."""
    kinds = modalities_of(inputs).values()
    frames = next((kind for kind in kinds if isinstance(kind, Frames)), None)
    heatmaps = next((kind for kind in kinds if isinstance(kind, Heatmaps)), None)
    skeletons = next((kind for kind in kinds if isinstance(kind, Skeletons)), None)
    random = np.random.default_rng(seed)
    joined = heatmaps or skeletons
    joints = _JOINTS if joined is None else joined.joints
    start, velocity = random.uniform(0.3, 0.7, (_PERSONS, 2)), random.uniform(-0.2, 0.2, (_PERSONS, 2))
    offset = random.normal(0, [0.06, 0.16], (_PERSONS, joints, 2))  # a body is taller than it is wide
    sway, phase = random.uniform(0.01, 0.05, (_PERSONS, joints, 2)), random.uniform(0, 2 * np.pi, (_PERSONS, joints, 2))

    def positions(count: int, size: tuple[int, int]) -> Positions:
        """(M, count, K, 2) in pixels of pictures of that height and width, at equal steps over the clip."""
        time = (np.arange(count) / count)[None, :, None, None]
        centre = start[:, None, None] + velocity[:, None, None] * time
        moving = centre + offset[:, None] + sway[:, None] * np.sin(2 * np.pi * time + phase[:, None])
        return moving * np.array(size[::-1], np.float64)

    posed: tuple[int, tuple[int, int]] | None = None  # how many frames a pose estimator sees, and their size
    if heatmaps is not None:
        posed = heatmaps.length, heatmaps.view.size
    elif frames is not None and frames.view.compact:
        posed = frames.length, frames.view.size
    elif skeletons is not None:
        posed = skeletons.length, skeletons.picture
    keypoints, scores = _estimated(random, positions, posed, joints)
    if skeletons is not None and skeletons.in_space:
        keypoints = _in_space(random, keypoints, skeletons.picture)
    return Clip(_filmed(random, positions, None if frames is None else frames.view), keypoints, scores)


def _estimated(
    random: np.random.Generator, positions: Moving, posed: tuple[int, tuple[int, int]] | None, joints: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keypoints and scores of a pose estimator that is a little off, and loses some joints."""
    if posed is None:
        return np.zeros((0, 0, 0, 2), np.float32), np.zeros((0, 0, 0), np.float32)
    length, size = posed
    shape = _PERSONS, length, joints
    scores = random.uniform(0.5, 1.0, shape)
    scores[random.random(shape) < _DROPOUT] = 0
    noise = random.normal(0, 0.004, (*shape, 2)) * np.array(size[::-1], np.float64)
    keypoints = positions(length, size) + noise
    return keypoints.astype(np.float32), scores.astype(np.float32)


def _in_space(
    random: np.random.Generator, keypoints: npt.NDArray[np.float32], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """(M, T, K, 2) pixels as (M, T, K, 3) metres before a depth camera: to the right, up, ahead."""
    persons, frames, joints, _ = keypoints.shape
    right, up = np.moveaxis((keypoints - np.array(size[::-1]) / 2) * (_VIEW_M / size[0]), -1, 0)
    time = np.arange(frames)[None, :, None] / frames
    phase = random.uniform(0, 2 * np.pi, (persons, 1, joints))
    ahead = random.uniform(2, 4, (persons, 1, 1)) + random.normal(0, 0.15, (persons, 1, joints))
    ahead = ahead + 0.05 * np.sin(2 * np.pi * time + phase)
    return np.stack([right, -up, ahead], -1).astype(np.float32)


def _filmed(random: np.random.Generator, positions: Moving, view: View | None) -> npt.NDArray[np.uint8]:
    if view is None:
        return np.zeros((0, 0, 0, 3), np.uint8)
    return _render(random, positions(view.length, view.size), view.height, view.width)


def raw_inputs(inputs: Mapping[str, Input], batch: int, seed: int) -> Arrays:
    """A batch of different clips as the preprocessing graphs take them, and as the network does.

    Returns:
        `frames` (N, T, H, W, 3) where an input is made of them, `keypoints` (N, M, T', K, 2 or 3) and
        `keypoint_scores` (N, M, T', K, 1) where one is, and the inputs themselves.
    """
    kinds = modalities_of(inputs)
    clips = [synthetic_clip(inputs, 10_000 * seed + index) for index in range(batch)]
    made: Arrays = {
        RAW_FRAMES: np.stack([clip.frames for clip in clips]),
        RAW_KEYPOINTS: np.stack([clip.keypoints for clip in clips]),
        RAW_SCORES: np.stack([clip.scores[..., None] for clip in clips]),
    }
    raw = {name: value for name, value in made.items() if any(name in kind.raw for kind in kinds.values())}
    return {**raw, **{name: kind.from_raw(raw) for name, kind in kinds.items()}}


def batch_inputs(inputs: Mapping[str, Input], batch: int, seed: int) -> Arrays:
    """A batch of different clips as the network takes them, by the inputs' names."""
    made = raw_inputs(inputs, batch, seed)
    return {name: made[name] for name in inputs}


def impulse_inputs(inputs: Mapping[str, Input], batch: int, frame: int) -> Arrays:
    """One lit pixel in one channel of one frame of the middle clip, zeros elsewhere.

    A shift that takes the wrong neighbour, or leaks into the clip that lies next in memory, shows at once.

    Args:
        inputs: inputs of the network.
        batch: number of clips.
        frame: index of the lit frame; negative counts from the end.
    """
    return {name: kind.impulse(batch, frame) for name, kind in modalities_of(inputs).items()}


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
