"""Windows over a video, as clips for the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from x3ddeploy.contract import Input
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import check_keypoints, people_in, persons_by_frame, repeated_frames
from x3ddeploy.data.prepare import FrameReader, Preparation, frames_read, looked_at, prepare_clips
from x3ddeploy.data.shared_frames import SharedFrames, decoded_ahead
from x3ddeploy.data.sources import LabelledClip
from x3ddeploy.data.video import iter_pictures
from x3ddeploy.machine import usable_cores
from x3ddeploy.modalities import Indices, sample_clips, with_clips


@dataclass(frozen=True)
class Window:
    """Frames `start` to `end` - 1 of a video."""

    start: int
    end: int

    @property
    def frames(self) -> slice:
        """The window's frames among those of the video."""
        return slice(self.start, self.end)


def sliding_windows(frames: int, length: int | None, stride: int | None) -> list[Window]:
    """Windows over a video, from its first frame to its last.

    Args:
        frames: number of frames of the video.
        length: frames a window; None, or more than the video has, for one window over the whole video.
        stride: frames from one window's start to the next; None for half a window. More than `length` leaves gaps.

    Returns:
        Every `stride` frames one, and a last one that ends with the video where a remainder would be left.
    """
    if length is None or length >= frames:
        return [Window(0, frames)]
    stride = max(1, length // 2) if stride is None else stride
    starts = list(range(0, frames - length + 1, stride))
    if starts[-1] + length < frames:
        starts.append(frames - length)
    return [Window(start, start + length) for start in starts]


class VideoWindows:
    """The windows of a video as a source of clips without labels; each is sampled, and cropped, as a video of its own.

    Args:
        video: the file.
        annotation: its keypoints, of all its frames; None where the network needs none.
        frames: number of frames of the video.
        inputs: inputs of the network.
        windows: which.
        clips: clips a window; None for the network's own number.
        min_keypoint_score: see `prepare_clips`.
        fps: frames a second of the video, where it says them.
        read: gives its frames; None decodes the file, each frame once however many windows it is in.
        decode: decodes the file, where `read` is None.
        prepare: makes a clip's tensors, as `prepare_clips` does.

    Raises:
        DataError: the keypoints cannot be persons in the picture.
    """

    split = None

    def __init__(
        self,
        video: Path,
        annotation: Annotation | None,
        frames: int,
        inputs: Mapping[str, Input],
        windows: Sequence[Window],
        clips: int | None,
        min_keypoint_score: float | None,
        fps: float | None = None,
        read: FrameReader | None = None,
        decode: FrameReader | None = None,
        prepare: Preparation = prepare_clips,
    ) -> None:
        self.name = str(video)
        self._prepare = prepare
        self._annotation, self._fps = annotation, fps
        self._inputs = inputs if clips is None else with_clips(inputs, clips)
        self.windows, self._min_score = tuple(windows), min_keypoint_score
        self._indices = [self._sampled(window) for window in self.windows]
        self._read = read or SharedFrames(
            decoded_ahead(decode or partial(iter_pictures, video, threads=usable_cores())),
            [frames_read(self._inputs, indices) for indices in self._indices],
        )
        odd = () if annotation is None else check_keypoints(annotation, min_keypoint_score)
        self.notes = odd + repeated_frames(frames, inputs)
        self._persons = None if annotation is None else persons_by_frame(annotation, min_keypoint_score)

    @property
    def description(self) -> Mapping[str, Any]:
        return {"kind": "windows", "windows": [[window.start, window.end] for window in self.windows]}

    def __len__(self) -> int:
        return len(self.windows)

    def names(self) -> Sequence[str]:
        return [self._name(window) for window in self.windows]

    def labels(self) -> Sequence[int | None]:
        return [None] * len(self.windows)

    def load(self, index: int) -> LabelledClip:
        window, indices = self.windows[index], self._indices[index]
        inputs = self._prepare(
            self._read, self._annotation, self._inputs, indices, self._min_score, within=window.frames
        )
        people = None
        if self._persons is not None:
            looked = looked_at(self._inputs, indices)
            people = people_in(self._persons, window.start, window.end, looked, self.notes)
        return LabelledClip(self._name(window), None, inputs, people)

    def _sampled(self, window: Window) -> dict[str, Indices]:
        drawn = sample_clips(window.end - window.start, self._inputs, fps=self._fps)
        return {name: places + window.start for name, places in drawn.items()}

    def _name(self, window: Window) -> str:
        return f"{self.name}[{window.start}:{window.end}]"
