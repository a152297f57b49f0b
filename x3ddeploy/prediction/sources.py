"""Frames as they come: from a camera, a stream in the network, or a pipe of raw pixels; the newest of them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import FileIO
from queue import Empty, Full, Queue
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import DataError, MissingRequirementError, UsageError
from x3ddeploy.progress import Step

Picture = npt.NDArray[np.uint8]

_WAITING = 2  # frames between the reader and who looks at them; older ones are dropped
_PAUSES_S = (1.0, 2.0, 5.0, 10.0)  # before a lost stream is tried again; the last one from then on
_MOST_PIXELS = 1 << 25
_PROTOCOLS = "rtsp,rtp,udp,tcp,tls,http,https,httpproxy,crypto,rtmp,rtmps,srt"
_RAW = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture (H, W, 3), R, G, B, and when it came, in seconds of a clock that only rises."""

    picture: Picture
    time_s: float


Frames = Callable[[], Iterator[Picture]]


def is_live(source: str) -> bool:
    """Whether a source never ends by itself: '-', a camera's number, or an address with '://'."""
    return source == "-" or source.isdecimal() or "://" in source


def raw_size(text: str) -> tuple[int, int]:
    """Height and width of '640x480'. Raises UsageError."""
    match = _RAW.fullmatch(text)
    width, height = map(int, match.groups()) if match else (0, 0)
    if not 0 < width * height <= _MOST_PIXELS:
        raise UsageError(f"{text!r} is no size of a picture", hint="width and height in pixels: 640x480")
    return height, width


def raw_frames(pipe: BinaryIO | FileIO, height: int, width: int) -> Frames:
    """Pictures from a pipe of R, G, B bytes, row by row; it ends with the pipe.

    Raises:
        DataError: the pipe ends within a picture.
    """

    def read() -> Iterator[Picture]:
        size = height * width * 3
        while data := b"".join(_pieces(pipe, size)):
            if len(data) != size:
                raise DataError(
                    f"the pipe ended {size - len(data)} bytes before the end of a picture of {width} x {height}",
                    hint="is that their size? ffmpeg -i IN -f rawvideo -pix_fmt rgb24 - gives such frames",
                )
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)

    return read


def _pieces(pipe: BinaryIO | FileIO, size: int) -> Iterator[bytes]:
    """What a pipe gives bit by bit, up to `size` bytes in all or its end."""
    while size > 0 and (piece := pipe.read(size)):
        size -= len(piece)
        yield piece


def opened_frames(source: str) -> Frames:
    """Pictures of a camera ('0' is /dev/video0) or of an address that FFmpeg opens ('rtsp://...').

    Raises:
        MissingRequirementError: PyAV is not installed.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise MissingRequirementError(f"{source} needs PyAV: {error}", hint="pip install 'x3ddeploy[video]'") from error
    # An address, or a playlist behind it, opens no file of this machine.
    name, kind, options = source, None, {"rtsp_transport": "tcp", "protocol_whitelist": _PROTOCOLS}
    if source.isdecimal():
        name, kind, options = f"/dev/video{source}", "v4l2", {}

    def read() -> Iterator[Picture]:
        try:
            with closing(av.open(name, format=kind, options=options, timeout=10.0)) as container:
                for frame in container.decode(video=0):
                    yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        except FFmpegError as error:  # not all its kinds are OSErrors: a server's 404, a missing decoder
            raise OSError(error.errno, error.strerror) from error

    return read


class Newest:
    """The newest frames of a source, read by a thread of its own: who is slow loses frames, and never falls behind.

    Args:
        frames: reads the source from its start.
        name: name of the source, for messages.
        again: whether a source that is lost is opened again; else its end is the end.
        tell: receives what happened to it.

    Attributes:
        seen: frames that were read.
        dropped: those of them that nobody looked at.
    """

    def __init__(self, frames: Frames, name: str, *, again: bool, tell: Step) -> None:
        self.seen = self.dropped = 0
        self._frames, self._name, self._again, self._tell = frames, name, again, tell
        self._queue: Queue[Frame] = Queue(_WAITING)
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="frames", daemon=True)

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        try:
            while True:
                try:
                    yield self._queue.get(timeout=0.1)
                except Empty:
                    if not self._thread.is_alive() and self._queue.empty():
                        break
        finally:
            self._stopped.set()
        if self._failure is not None:
            raise self._failure

    def _read(self) -> None:
        try:
            self._read_on()
        except BaseException as error:  # whoever looks at the frames is to hear of it: this is no good end
            self._failure = error

    def _read_on(self) -> None:
        tries = 0
        while not self._stopped.is_set():
            try:
                for picture in self._frames():
                    tries = 0
                    self._put(Frame(picture, time.monotonic()))
                    if self._stopped.is_set():
                        return
                reason = "it ended"
            except OSError as error:
                reason = error.strerror or str(error)
                if not self._again:
                    raise DataError(f"{self._name} cannot be read: {reason}", hint="is it there, and free?") from error
            if not self._again:
                return
            pause = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
            tries += 1
            self._tell(f"{self._name} is lost ({reason}): trying again in {pause:g} s")
            self._stopped.wait(pause)

    def _put(self, frame: Frame) -> None:
        self.seen += 1
        while True:
            try:
                self._queue.put_nowait(frame)
                return
            except Full:
                try:
                    self._queue.get_nowait()
                    self.dropped += 1
                except Empty:  # it was just taken
                    continue
