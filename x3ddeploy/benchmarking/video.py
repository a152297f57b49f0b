"""The scope `pipeline`: a made video and its keypoints, and what turns them into scores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x3ddeploy.contract import Input
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.decoders import frames_of, require_decoder
from x3ddeploy.data.feeding import feeding
from x3ddeploy.data.prepare import looked_at, prepare_clips
from x3ddeploy.data.synth.video import FRAMES_PER_SECOND, require_pyav, write_video
from x3ddeploy.modalities import (
    Frames,
    Heatmaps,
    Modality,
    Skeletons,
    modalities_of,
    needs_keypoints,
    one_view,
    sample_clips,
)
from x3ddeploy.modalities.crop import Crop, Pixels, crop_about
from x3ddeploy.modalities.opencv import require_opencv
from x3ddeploy.modalities.synthetic import Clip, synthetic_clip
from x3ddeploy.runtimes.base import Feeds
from x3ddeploy.terms import Decoder

FRAMES = 64  # four seconds at the synthetic videos' rate
SIZE = (480, 640)  # height and width, a webcam's
_CODEC = "H.264, a keyframe every 8 frames"


class VideoClip:
    """One made video on disk, for as long as this object lives; one view of it is taken.

    Attributes:
        description: description of the source, to stand beside its figures.

    Raises:
        MissingRequirementError: PyAV or OpenCV is not installed.
    """

    def __init__(self, inputs: Mapping[str, Input], threads: int, decoder: Decoder = Decoder.PYAV) -> None:
        require_pyav()
        require_decoder(decoder)
        cv2 = require_opencv("resizing frames")
        self._inputs = one_view(inputs)
        self._directory = tempfile.TemporaryDirectory(prefix="x3ddeploy-bench-")
        self._path = Path(self._directory.name) / "clip.mp4"
        clip, (height, width) = synthetic_clip(inputs, seed=0), SIZE
        if len(clip.frames):
            shown = np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int)
            write_video(self._path, np.stack([cv2.resize(clip.frames[index], (width, height)) for index in shown]))
        self._annotation: Annotation | None = None
        if needs_keypoints(inputs):
            told = np.linspace(0, clip.keypoints.shape[1] - 1, FRAMES).round().astype(int)
            self._annotation = _annotation(next(iter(modalities_of(inputs).values())), clip, told)
        self._read = frames_of(decoder, self._path, threads)
        self._indices = sample_clips(FRAMES, self._inputs, fps=FRAMES_PER_SECOND)
        persons = "" if self._annotation is None else f", {len(clip.keypoints)} persons"
        by = "" if decoder is Decoder.PYAV else f", decoded by {decoder.name}"
        self.description = f"{FRAMES} frames of {width} x {height}, {_CODEC}{persons}{by}"

    def prepare(self) -> Feeds:
        """Decode, crop, resize, normalise, draw heatmaps, or make features of skeletons: one clip for the network."""
        return prepare_clips(self._read, self._annotation, self._inputs, self._indices)

    def prepare_raw(self, taken: Container[str]) -> Feeds:
        """Decode, crop and resize: what a session takes that goes on from there."""
        return feeding(taken)(self._read, self._annotation, self._inputs, self._indices)

    def steps(self) -> dict[str, Callable[[], object]]:
        """The work of `prepare`, each part on its own."""
        steps: dict[str, Callable[[], object]] = {}
        for name, kind in modalities_of(self._inputs).items():
            if isinstance(kind, Frames):
                wanted = np.unique(self._indices[name]).tolist()
                frames = [*self._read(wanted)]
                steps["decode"] = partial(self._decoded, wanted)
                steps["convert, crop, resize, normalise"] = partial(_pictures, kind, self._crop(kind), frames)
            elif isinstance(kind, Heatmaps) and self._annotation is not None:
                poses = self._indices[name][0]
                crop = self._crop(kind)
                keypoints = crop.keypoints(self._annotation.keypoints[:, poses])
                keypoints = kind.view.cropping.keypoints(keypoints, (crop.height, crop.width))
                steps["heatmaps"] = partial(kind.draw, keypoints, self._annotation.scores[:, poses])
            elif isinstance(kind, Skeletons) and self._annotation is not None:
                seen = self._annotation
                steps["skeletons"] = partial(kind.prepare, seen.keypoints, seen.scores, seen.image_size)
        return steps

    def _decoded(self, wanted: Sequence[int]) -> object:
        return [*self._read(wanted)]

    def _crop(self, kind: Frames | Heatmaps) -> Crop:
        """What an input sees of the frames."""
        box = Crop(0, 0, SIZE[1], SIZE[0], 1, 1)
        if kind.view.compact and self._annotation is not None:
            box = crop_about(self._annotation.keypoints[:, looked_at(self._inputs, self._indices)], SIZE, (1, 1))
        return kind.view.crop(box)


def _annotation(kind: Modality, clip: Clip, told: npt.NDArray[np.int64]) -> Annotation:
    """Keypoints of the clip at some of its times, in pixels of the made video, or in space."""
    keypoints, scores = clip.keypoints[:, told], clip.scores[:, told]
    if isinstance(kind, Skeletons) and kind.in_space:
        return Annotation("clip", 0, None, FRAMES, keypoints, scores)
    assert isinstance(kind, Frames | Heatmaps | Skeletons)
    height, width = kind.picture if isinstance(kind, Skeletons) else kind.view.size
    scale = np.array([SIZE[1] / width, SIZE[0] / height], np.float32)
    return Annotation("clip", 0, SIZE, FRAMES, keypoints * scale, scores)


def _pictures(kind: Frames, crop: Crop, frames: Sequence[Pixels]) -> object:
    return kind.normalise(np.stack([next(kind.view.cropping.pictures(crop.frame(frame))) for frame in frames]))
