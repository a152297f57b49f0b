"""feed.py SYNTH NAME [NAME]: videos of a synthetic data set as `live` reads them, side by side where two are named.

Each is a person of its own, in a picture as wide as both: live BUNDLE WIDTH HEIGHT FPS.
"""

import sys
from pathlib import Path

import av
import numpy as np

from x3ddeploy.data.annotations import read_annotations


def main(root: Path, names: list[str]) -> None:
    known = read_annotations(root / "annotations.pkl").samples
    videos = [decoded(root / "videos" / f"{name}.mp4") for name in names]
    for time, frames in enumerate(zip(*videos, strict=False)):
        persons, left = [], 0
        for track, (name, frame) in enumerate(zip(names, frames, strict=True)):
            points, scores = known[name].keypoints[0, time] + np.array([left, 0]), known[name].scores[0, time, :, None]
            joints = np.concatenate((points, scores), 1).astype(np.float32)
            persons.append(np.int32(track).tobytes() + joints.tobytes())
            left += frame.shape[1]
        pixels = np.concatenate(frames, 1).tobytes()
        sys.stdout.buffer.write(pixels + np.int32(len(persons)).tobytes() + b"".join(persons))


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
