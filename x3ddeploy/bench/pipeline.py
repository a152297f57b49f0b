"""The scope `pipeline`: a made video and its keypoints, and what turns them into scores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from x3ddeploy.bench.competitor import Feeds
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.clips import synthetic_clip
from x3ddeploy.data.compact import crop_about
from x3ddeploy.data.frames import normalise_frames
from x3ddeploy.data.heatmaps import keypoints_to_heatmaps
from x3ddeploy.data.opencv import require_opencv
from x3ddeploy.data.pipeline import prepare_clips
from x3ddeploy.data.sampling import sample_clips
from x3ddeploy.data.synth.video import require_pyav, write_video
from x3ddeploy.data.video import iter_frames, read_frames
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

FRAMES = 64  # four seconds at the synthetic videos' rate
SIZE = (480, 640)  # height and width, a webcam's
_CODEC = "H.264, a keyframe every 8 frames"


class VideoClip:
    """One made video on disk, for as long as this object lives.

    Attributes:
        description: of the source, to stand beside its figures.

    Raises:
        MissingRequirementError: PyAV or OpenCV is not installed.
    """

    def __init__(self, spec: ModelSpec, threads: int) -> None:
        require_pyav()
        cv2 = require_opencv("resizing frames")
        self._spec, self._threads = spec, threads
        self._directory = tempfile.TemporaryDirectory(prefix="x3ddeploy-bench-")
        self._path = Path(self._directory.name) / "clip.mp4"
        clip, (height, width) = synthetic_clip(spec, seed=0), SIZE
        shown = np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int)
        write_video(self._path, np.stack([cv2.resize(clip.frames[index], (width, height)) for index in shown]))
        told = np.linspace(0, clip.keypoints.shape[1] - 1, FRAMES).round().astype(int)
        scale = np.array([width / spec.rgb_input.width, height / spec.rgb_input.height], np.float32)
        self._annotation = Annotation("clip", 0, SIZE, FRAMES, clip.keypoints[:, told] * scale, clip.scores[:, told])
        self._indices = sample_clips(FRAMES, spec, 1)
        self.description = f"{FRAMES} frames of {width} x {height}, {_CODEC}, {len(clip.keypoints)} persons"

    def prepare(self) -> Feeds:
        """Decode, crop, resize, normalise, draw heatmaps: one clip for the recognizer."""
        read = partial(iter_frames, self._path, threads=self._threads)
        return prepare_clips(read, self._annotation, self._spec, self._indices)

    def steps(self) -> dict[str, Callable[[], object]]:
        """The work of `prepare`, each part on its own."""
        spec, poses = self._spec, self._indices.pose[0]
        wanted = np.unique(self._indices.rgb).tolist()
        frames = read_frames(self._path, wanted, self._threads)
        keypoints, scores = self._annotation.keypoints[:, poses], self._annotation.scores[:, poses]
        crop = crop_about(keypoints, SIZE, (spec.rgb_input.height, spec.rgb_input.width))
        placed = crop.keypoints(keypoints)
        return {
            "decode": lambda: read_frames(self._path, wanted, self._threads),
            "crop, resize, normalise": lambda: normalise_frames(np.stack([*map(crop.frame, frames)]), spec.rgb_input),
            "heatmaps": lambda: keypoints_to_heatmaps(placed, scores, spec.pose_input),
        }
