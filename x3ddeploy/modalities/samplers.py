"""Which frames of a video make its clips, by the sampling step of a pipeline: MMAction2 1.2.0's, index by index.

What draws at random when it trains is fixed when it tests; only that is here, but for `uniform_indices`
(mmaction/datasets/transforms/loading.py and pose_transforms.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

TEST_SEED = 255  # UniformSampleFrames' default

_REPEAT = "repeat_last"


class Sampler(Protocol):
    """A way to draw the frames of a video."""

    @property
    def frames(self) -> int:
        """How many frames are drawn from a video, of all clips together."""

    def draw(self, frames: int, fps: float | None) -> Indices:
        """The frames drawn from a video of `frames` frames, clip by clip: (clips, frames a clip), from 0."""


def uniform_indices(
    frames: int,
    length: int,
    clips: int = 1,
    random: np.random.RandomState | None = None,
    seed: int = TEST_SEED,
) -> Indices:
    """Cut the video into `length` equal parts and draw one frame from each, by chance but with a fixed seed.

    Args:
        frames: number of frames of the video.
        length: frames a clip. A shorter video is repeated.
        clips: number of clips drawn from the same video.
        random: None for the fixed draw of testing; for training the generator (numpy's legacy one, whose stream is
            frozen and is what MMAction2 draws from).
        seed: seed of the fixed draw.

    Returns:
        (clips, length).
    """
    testing = random is None
    random = np.random.RandomState(seed) if random is None else random
    drawn = []
    for clip in range(clips):
        if frames < length:
            spread = clip if frames < clips else clip * frames // clips
            start = spread if testing else random.randint(0, frames)
            drawn.append(np.arange(start, start + length))
        elif frames < 2 * length:
            skipped_before = np.zeros(length + 1, np.int64)
            skipped_before[random.choice(length + 1, frames - length, replace=False)] = 1
            drawn.append(np.arange(length) + np.cumsum(skipped_before)[:-1])
        else:
            borders = np.arange(length + 1) * frames // length
            drawn.append(borders[:-1] + random.randint(np.diff(borders)))
    return np.stack(drawn).astype(np.int64) % frames


@dataclass(frozen=True)
class UniformSampleFrames:
    """See `uniform_indices`."""

    clip_len: int
    num_clips: int = 1
    seed: int = TEST_SEED

    @property
    def frames(self) -> int:
        return self.clip_len * self.num_clips

    def draw(self, frames: int, fps: float | None) -> Indices:
        return uniform_indices(frames, self.clip_len, self.num_clips, seed=self.seed)


@dataclass(frozen=True)
class UniformSample:
    """The clips take the same place in each of `clip_len` equal parts; a short video repeats its frames."""

    clip_len: int
    num_clips: int = 1

    @property
    def frames(self) -> int:
        return self.clip_len * self.num_clips

    def draw(self, frames: int, fps: float | None) -> Indices:
        part = float(frames - 1) / self.clip_len
        starts = np.round(part * np.arange(self.clip_len)).astype(np.int64)
        step = part / (self.num_clips + 1)
        places = np.array([int(step * (clip + 1)) for clip in range(self.num_clips)], np.int64)
        return starts + places[:, None]


@dataclass(frozen=True)
class SampleFrames:
    """Clips of `clip_len` frames, `frame_interval` apart, spread evenly over the video.

    Clips of one frame are a 2-D network's segments: each is the middle of its part of the video.

    Attributes:
        twice_sample: clips a second time, for one frame each at the beginning of its part.
        out_of_bound_opt: what stands for frames after the last one: the beginning of the video, or the clip's last one.
        target_fps: frames a second that the interval is meant in; videos that do not say theirs are taken as they are.
    """

    clip_len: int
    frame_interval: int = 1
    num_clips: int = 1
    twice_sample: bool = False
    out_of_bound_opt: Literal["loop", "repeat_last"] = "loop"
    target_fps: float | None = None

    @property
    def frames(self) -> int:
        return self.clip_len * self.num_clips * (2 if self.twice_sample else 1)

    def draw(self, frames: int, fps: float | None) -> Indices:
        ratio = fps / self.target_fps if self.target_fps and fps else 1.0
        covered: float = (self.clip_len - 1) * self.frame_interval + 1
        steps = np.arange(self.clip_len) * self.frame_interval
        if self.target_fps:
            covered = max(1.0, self.clip_len * self.frame_interval * ratio)
            steps = np.linspace(0, covered - 1, self.clip_len).astype(steps.dtype)
        drawn = self._starts(frames, covered)[:, None] + steps
        return _within(drawn, frames, self.out_of_bound_opt)

    def _starts(self, frames: int, covered: float) -> npt.NDArray[np.float64]:
        """Where each clip begins; a fraction of a frame for clips of one frame."""
        if self.clip_len == 1:
            part = frames / float(self.num_clips)
            begins = np.arange(self.num_clips) * part
            middles = begins + part / 2.0
            return np.concatenate([middles, *([begins] if self.twice_sample else [])])
        last = max(frames - covered, 0)
        clips = self.num_clips * (2 if self.twice_sample else 1)
        if clips == 1:
            return np.array([last // 2], np.float64)
        between = last / float(self.num_clips - 1)
        if self.target_fps:
            between = np.floor(between)
        return np.asarray(np.round(np.arange(clips) * between), np.float64)


@dataclass(frozen=True)
class DenseSampleFrames:
    """`num_clips` clips within a stretch of `sample_range` frames; this from `num_sample_positions` starts."""

    clip_len: int
    frame_interval: int = 1
    num_clips: int = 1
    out_of_bound_opt: Literal["loop", "repeat_last"] = "loop"
    sample_range: int = 64
    num_sample_positions: int = 10

    @property
    def frames(self) -> int:
        return self.clip_len * self.num_clips * self.num_sample_positions

    def draw(self, frames: int, fps: float | None) -> Indices:
        positions = max(1, 1 + frames - self.sample_range)
        starts = np.linspace(0, positions - 1, num=self.num_sample_positions, dtype=int)
        offsets = np.arange(self.num_clips) * (self.sample_range // self.num_clips)
        begins = ((starts[:, None] + offsets) % frames).ravel()
        drawn = begins[:, None] + np.arange(self.clip_len) * self.frame_interval
        return _within(drawn, frames, self.out_of_bound_opt)


def _within(drawn: npt.NDArray[Any], frames: int, out_of_bound: str) -> Indices:
    """Frames of the video for those that lie after it; fractions are cut last, as MMAction2 does."""
    if out_of_bound == _REPEAT:
        inside = drawn < frames
        drawn = np.where(inside, drawn, np.max(inside * drawn, axis=1, keepdims=True))
    else:
        drawn = np.mod(drawn, frames)
    return drawn.astype(np.int64)
