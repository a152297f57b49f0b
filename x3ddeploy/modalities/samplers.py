"""Which frames of a video make a clip: MMAction2 1.2.0's UniformSampleFrames, index by index.

The video is cut into `length` equal parts and one frame is drawn from each, at random but with a fixed seed when
testing (mmaction/datasets/transforms/pose_transforms.py). MMUniformSampleFrames does so for each input on its own,
starting from the same seed each time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

TEST_SEED = 255  # UniformSampleFrames' default


def uniform_indices(
    frames: int, length: int, clips: int = 1, random: np.random.RandomState | None = None, seed: int = TEST_SEED
) -> Indices:
    """Draw the frames of one input's clips.

    Args:
        frames: of the video.
        length: frames a clip. A shorter video is repeated.
        clips: drawn from the same video.
        random: None for the fixed draw of testing; for training the generator (numpy's legacy one, whose stream is
            frozen and is what MMAction2 draws from).
        seed: of the fixed draw.

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
