"""Frames of a video file, by their index in the order of presentation: the pixels that decord gives MMAction2.

The packets are listed first, without decoding: their sorted presentation times say how many frames there are, which is
which, and from which keyframe decoding may start. Only the frames asked for are converted to RGB, and of the others
those that no frame leans on (most B frames) are not decoded at all.

Damage is refused as far as the decoder notices it. H.264 carries no checksums, so bytes that happen to decode pass.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.picture import Converter, Picture
from x3ddeploy.errors import DataError, MissingRequirementError
from x3ddeploy.files import regular_size

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frames = npt.NDArray[np.uint8]

# FFmpeg's demuxers of files that hold their video themselves. Playlists and scripts (HLS, DASH, concat, SDP, ...) name
# other files and addresses, which are nothing that the user gave.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,ivf,mxf,nut,gif"
# Ten hours at 30 frames a second; and four times the pixels of 4K.
_MOST_FRAMES = 1 << 20
_MOST_PIXELS = 1 << 25
# Decoders that leave out a picture that no other leans on, and nothing else, where they are told so packet by packet.
_SKIPPING = ("h264", "hevc")
# FFmpeg's demuxers that know when each frame is shown. AVI and MPEG program streams guess.
_TIMED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_MOST_DELAYED = 16  # frames that H.264 may decode before one that is shown first


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: how many frames there are, their size in pixels as shown, and frames a second."""

    frames: int
    height: int
    width: int
    fps: Fraction | None


@dataclass(frozen=True)
class _Index:
    """Presentation times of a video's frames in order, and of its keyframes, in units of the stream's time base.

    Attributes:
        times, keyframes: these times.
        delay: most frames that are decoded before one that is shown before them.
    """

    times: tuple[int, ...]
    keyframes: tuple[int, ...]
    delay: int

    def keyframe_before(self, frame: int) -> int:
        """Time of the last keyframe that is not after `frame`; what is shown after it needs nothing before it."""
        place = bisect.bisect_right(self.keyframes, self.times[frame])
        return self.keyframes[place - 1] if place else self.times[0]


def probe(path: Path) -> VideoInfo:
    """Count a video's frames, and decode the first for their size.

    Raises:
        DataError: the file is absent, damaged, or no video.
        MissingRequirementError: PyAV is not installed.
    """
    with _opened(path) as (container, stream):
        return _File(path, container, stream, 1).info()


def open_video(path: Path, threads: int = 1) -> tuple[VideoInfo, Callable[[Sequence[int]], Iterator[Picture]]]:
    """What `probe` says, and `iter_pictures` of the file, which stays open until somebody read of it once.

    Opening decodes the first frames to learn what they are, which takes as long as decoding them for use.
    """
    with contextlib.ExitStack() as stack:
        container, stream = stack.enter_context(_opened(path))
        file = _File(path, container, stream, threads)
        info, kept = file.info(), [(file, stack.pop_all())]

    def read(indices: Sequence[int]) -> Iterator[Picture]:
        try:
            opened, closing = kept.pop()
        except IndexError:
            yield from iter_pictures(path, indices, threads)
            return
        with closing:
            yield from opened.pictures(indices)

    return info, read


def count_frames(path: Path) -> int:
    """Number of frames, counted over the packets, without decoding. Raises as `probe` does."""
    with _opened(path) as (container, stream):
        return len(_index(path, container, stream).times)


def frame_rate(path: Path) -> float | None:
    """Frames a second, where the file says them. Raises as `probe` does."""
    with _opened(path) as (_, stream):
        return float(stream.average_rate) if stream.average_rate else None


def read_frames(path: Path, indices: Sequence[int], threads: int = 1) -> Frames:
    """Frames in the order asked for; an index may occur more than once.

    Args:
        path: any video that FFmpeg decodes.
        indices: counted from 0; at least one.
        threads: number of threads of the decoder; 0 lets it choose.

    Returns:
        (len(indices), H, W, 3), channels R, G, B, turned as the file says it is to be shown.

    Raises:
        DataError: the file is absent, damaged, no video, or has fewer frames; the message names the frame.
        MissingRequirementError: PyAV is not installed.
    """
    wanted, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
    return np.stack(list(iter_frames(path, wanted.tolist(), threads)))[places]


def iter_frames(path: Path, indices: Sequence[int], threads: int = 1) -> Iterator[Frames]:
    """As `read_frames`, one (H, W, 3) frame at a time, each decoded once.

    Args:
        path: any video that FFmpeg decodes.
        indices: ascending, each once.
        threads: number of threads of the decoder; 0 lets it choose.
    """
    for picture in iter_pictures(path, indices, threads):
        yield np.ascontiguousarray(picture[:, :])


def iter_pictures(path: Path, indices: Sequence[int], threads: int = 1) -> Iterator[Picture]:
    """As `iter_frames`; what is asked of a picture is converted to R, G, B then."""
    with _opened(path) as (container, stream):
        yield from _File(path, container, stream, threads).pictures(indices)


class _File:
    """An open video: decoding goes on from where it was left, where that is on the way."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream, threads: int) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._index = _index(path, container, stream)
        stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
        # Without the first, what is damaged is painted over with a guess.
        options = {"err_detect": "explode", "max_pixels": str(_MOST_PIXELS)}
        if stream.codec_context.name == "h264" and container.format.name in _TIMED:
            # Where the stream does not say it, the decoder learns it as it goes, and drops the frames that come late.
            options["has_b_frames"] = str(min(self._index.delay, _MOST_DELAYED))
        stream.codec_context.options = options
        self._converter = Converter(path)
        self._decoded: Iterator[VideoFrame] = iter(())
        self._reached: int | None = None  # presentation time of the frame that was decoded last
        self._wanted: Collection[int] | None = None  # presentation times; None for all
        self._leaping = True

    def info(self) -> VideoInfo:
        """See `VideoInfo`; the first frame is decoded, and whatever is behind it may be asked for yet."""
        (first,) = self._pictures([0])
        return VideoInfo(len(self._index.times), first.shape[0], first.shape[1], self._stream.average_rate)

    def pictures(self, indices: Sequence[int]) -> Iterator[Picture]:
        """See `iter_pictures`."""
        times = self._index.times
        outside = [frame for frame in indices if not 0 <= frame < len(times)]
        if outside:
            raise DataError(
                f"{self._path} has {len(times)} frames, and frame {outside[0]} was asked for",
                hint="the file is cut short, or its annotation is of another video",
            )
        self._wanted = {times[frame] for frame in indices}
        return self._pictures(indices)

    def _pictures(self, indices: Sequence[int]) -> Iterator[Picture]:
        return self._by_time(indices) if self._container.format.name in _TIMED else self._by_count(indices)

    def _by_time(self, indices: Sequence[int]) -> Iterator[Picture]:
        """Find frames by their presentation time, leaping over the keyframes' groups that hold none of them."""
        from av.error import FFmpegError

        for frame in indices:
            time, keyframe = self._index.times[frame], self._index.keyframe_before(frame)
            picture = None
            with _explained(self._path, frame):
                if self._reached is not None and time <= self._reached:
                    self._reached = None  # it was passed: there is no way back but from a keyframe
                if self._leaping and (self._reached is None or self._reached < keyframe):
                    self._decode_from(keyframe)
                    with contextlib.suppress(FFmpegError):
                        picture = _advance(self._decoded, time)
                    if picture is None:
                        # Groups that lean on the one before (open GOPs), or a demuxer that leaps too far.
                        self._leaping = False
                        self._decode_from(self._index.times[0])
                elif self._reached is None:
                    self._decode_from(self._index.times[0])
                if picture is None:
                    picture = _advance(self._decoded, time)
            if picture is None:
                raise _damaged(self._path, frame)
            self._reached = time
            yield self._converter.picture(picture)

    def _by_count(self, indices: Sequence[int]) -> Iterator[Picture]:
        """Decode from the start and count: for containers whose times say little."""
        with _explained(self._path, indices[0]):
            self._container.seek(0)
            decoded = enumerate(self._container.decode(self._stream))
        for frame in indices:
            with _explained(self._path, frame):
                picture = next((picture for place, picture in decoded if place == frame or picture.is_corrupt), None)
            if picture is None or picture.is_corrupt:
                raise _damaged(self._path, frame)
            yield self._converter.picture(picture)

    def _decode_from(self, time: int) -> None:
        self._container.seek(time, stream=self._stream)
        self._decoded = self._onwards()

    def _onwards(self) -> Iterator[VideoFrame]:
        """Frames in the order of presentation; of those at no wanted time, what no frame leans on is left out."""
        context = self._stream.codec_context
        for packet in self._container.demux(self._stream):
            if context.name in _SKIPPING:
                is_wanted = self._wanted is None or packet.pts in self._wanted
                context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            yield from packet.decode()


def _advance(decoded: Iterator[VideoFrame], time: int) -> VideoFrame | None:
    """The frame shown at `time`, or None where decoding meets damage (later frames lean on it) or never meets it."""
    for picture in decoded:
        if picture.is_corrupt or (picture.pts is not None and picture.pts > time):
            return None
        if picture.pts == time:
            return picture
    return None


def _index(path: Path, container: InputContainer, stream: VideoStream) -> _Index:
    times: list[int] = []
    keyframes: list[int] = []
    delay = 0
    decoded: list[int] = []  # times so far, sorted
    with _explained(path, None):
        for packet in container.demux(stream):
            if packet.size == 0:  # the end
                continue
            if packet.pts is not None:
                bisect.insort(decoded, packet.pts)
                delay = max(delay, len(decoded) - bisect.bisect_right(decoded, packet.pts))
            if packet.is_discard:  # the file's edit list leaves it out
                continue
            if packet.pts is None:
                raise DataError(
                    f"{path} does not say when its frames are shown",
                    hint="convert it: ffmpeg -i IN -c:v libx264 OUT.mp4",
                )
            times.append(packet.pts)
            if len(times) > _MOST_FRAMES:
                raise DataError(f"{path} has more than {_MOST_FRAMES} frames", hint="cut it: ffmpeg -ss -t")
            if packet.is_keyframe:
                keyframes.append(packet.pts)
    if not times:
        raise DataError(f"{path} holds no frames", hint="copy or download the video again")
    return _Index(tuple(sorted(times)), tuple(sorted(keyframes)), delay)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        import av
    except ImportError as error:
        raise MissingRequirementError(
            f"decoding videos needs PyAV: {error}", hint="pip install 'x3ddeploy[video]'"
        ) from error
    # The prefix of the name keeps one such as 'concat:a' from being an address.
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        regular_size(path)
        if _has_headers(path):
            options["skip_frame"] = "all"  # else FFmpeg decodes the first frames to learn what these say of a stream
    except FileNotFoundError as error:
        raise DataError(f"there is no video {path}") from error
    except OSError as error:
        raise DataError(f"cannot read the video {path}: {error.strerror or error}") from error
    with _explained(path, None):
        try:
            container = av.open(f"file:{path}", options=options)
        except (av.ArgumentError, UnicodeError) as error:
            raise DataError(
                f"{path} is no video of a format that is read", hint="convert it: ffmpeg -i IN OUT.mp4"
            ) from error
    with container:
        if not container.streams.video:
            raise DataError(f"{path} holds no video")
        stream = container.streams.video[0]
        height, width = stream.codec_context.height, stream.codec_context.width
        if height * width > _MOST_PIXELS:
            raise DataError(f"{path} has frames of {width} x {height} pixels", hint="scale it down: ffmpeg -vf scale=")
        yield container, stream


def _has_headers(path: Path) -> bool:
    """Whether it is an MP4 or Matroska file, which say of their streams what is needed before any frame is decoded."""
    with path.open("rb") as file:
        start = file.read(8)
    return start[4:] == b"ftyp" or start[:4] == b"\x1aE\xdf\xa3"


@contextlib.contextmanager
def _explained(path: Path, frame: int | None) -> Iterator[None]:
    """Turn FFmpeg's errors into one that names the file, and the frame where there is one."""
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, EOFError, OSError) as error:
        raise _damaged(path, frame, error) from error


def _damaged(path: Path, frame: int | None, error: Exception | None = None) -> DataError:
    where = str(path) if frame is None else f"frame {frame} of {path}"
    reason = f": {getattr(error, 'strerror', None) or error}" if error else ""
    return DataError(f"{where} cannot be decoded{reason}", hint="copy or download the video again, or leave it out")
