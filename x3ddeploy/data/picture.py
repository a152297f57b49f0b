"""Decoded frames, of which the parts that are looked at become R, G, B: the pixels that decord gives MMAction2.

Persons seldom fill a picture, and a network sees few frames of a video, but all of their pixels would be converted.
FFmpeg takes for each 2 x 2 pixels of YUV 4:2:0 their one pair of chroma, as long as the picture has an even number of
rows (libswscale/yuv2rgb.c), so a part that begins and ends at even pixels has the colours that it has in the whole.
Other pictures are converted whole.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import DataError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane

Frame = npt.NDArray[np.uint8]

_HALVED = ("yuv420p", "yuvj420p")
# Kernels of FFmpeg take so many pixels at a time, some of them only where a row is a multiple of them.
_AT_A_TIME = 16


class Picture:
    """A frame (H, W, 3), R, G, B, turned as the file says it is to be shown; a part of it is an array.

    Attributes:
        shape: (H, W, 3).
        nbytes: memory that the decoded frame takes.
    """

    def __init__(self, frame: VideoFrame, converter: Converter) -> None:
        self._frame, self._converter = frame, converter
        self._quarters = round(frame.rotation / 90) % 4  # counter-clockwise, as players, and decord, show it
        sides = (frame.height, frame.width)
        self.shape = (*(sides[::-1] if self._quarters % 2 else sides), 3)
        self.nbytes = sum(plane.buffer_size for plane in frame.planes)

    def __getitem__(self, part: tuple[slice, slice]) -> Frame:
        """Rows and columns, without steps."""
        if self._quarters:  # telephones film upright this way
            return np.rot90(self._converter.whole(self._frame), self._quarters)[part]
        rows, columns = (range(size)[side] for size, side in zip(self.shape, part, strict=False))
        return self._converter.part(self._frame, rows, columns)


class Converter:
    """Turns frames of one video into pictures, by one scaler for all: each VideoFrame would set up its own.

    Args:
        path: name of the video, for errors.
    """

    def __init__(self, path: Path) -> None:
        from av.video.reformatter import VideoReformatter

        self._path, self._reformatter, self._lock = path, VideoReformatter(), threading.Lock()
        self._size: tuple[int, int] | None = None

    def picture(self, frame: VideoFrame) -> Picture:
        """The frame as a picture. Raises DataError where frames before it had another size."""
        size = frame.width, frame.height
        self._size = self._size or size
        if size != self._size:
            both = " and ".join(f"{width} x {height}" for width, height in sorted((size, self._size)))
            raise DataError(
                f"{self._path} changes the size of its frames: {both} pixels",
                hint="scale them alike: ffmpeg -i IN -vf scale=WIDTH:HEIGHT OUT.mp4",
            )
        return Picture(frame, self)

    def whole(self, frame: VideoFrame) -> Frame:
        """(H, W, 3), R, G, B, as it was coded."""
        with self._lock:  # several threads may look at pictures of one video
            converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        return _samples(converted.planes[0], 3 * frame.width).reshape(frame.height, frame.width, 3)

    def part(self, frame: VideoFrame, rows: range, columns: range) -> Frame:
        """Some rows and columns of `whole`."""
        if frame.format.name not in _HALVED or frame.interlaced_frame or frame.height % 2:
            return self.whole(frame)[rows.start : rows.stop, columns.start : columns.stop]
        top, bottom = rows.start // 2 * 2, rows.stop + rows.stop % 2
        left, right = 0, frame.width
        if frame.width % _AT_A_TIME == 0:
            left = columns.start // _AT_A_TIME * _AT_A_TIME
            right = -(-columns.stop // _AT_A_TIME) * _AT_A_TIME
        cut = _cut(frame, top, bottom, left, right)
        return self.whole(cut)[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _cut(frame: VideoFrame, top: int, bottom: int, left: int, right: int) -> VideoFrame:
    """A part of a frame that begins and ends at even pixels, not yet converted."""
    from av import VideoFrame

    if (bottom - top, right - left) == (frame.height, frame.width):
        return frame
    part = VideoFrame(right - left, bottom - top, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    for index, (source, target) in enumerate(zip(frame.planes, part.planes, strict=True)):
        halved = 2 if index else 1
        rows, columns = slice(top // halved, bottom // halved), slice(left // halved, -(-right // halved))
        _samples(target, target.width)[:] = _samples(source, source.width)[rows, columns]
    return part


def _samples(plane: VideoPlane, across: int) -> Frame:
    """(H, `across`) bytes of a plane, without what pads its rows."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, :across]
