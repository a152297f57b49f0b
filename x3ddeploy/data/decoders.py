"""Who decodes a video's frames: FFmpeg on the CPU, or an NVIDIA GPU's own decoder (NVDEC) through PyNvVideoCodec.

FFmpeg's pixels are decord's, which networks were trained on; NVDEC converts its own to R, G, B by itself, and they may
be a few levels off. Its first frame is held to FFmpeg's: no picture is taken that is turned or of other colours.
PyNvVideoCodec's `SimpleDecoder`: https://docs.nvidia.com/video-technologies/pynvvideocodec/pynvc-api-reference.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from x3ddeploy.data.prepare import FrameReader
from x3ddeploy.data.video import Frames, VideoInfo, iter_frames, iter_pictures, open_video, probe
from x3ddeploy.errors import DataError, MissingRequirementError
from x3ddeploy.terms import Decoder

_AT_A_TIME = 32  # decoded frames that are in memory
# Mean absolute difference, of 255 levels, from FFmpeg's picture. On the tests' texture the other of the two usual YUV
# matrices makes 6; turning it, or exchanging red and blue, makes 50 and more.
_MOST_DIFFERENCE = 16.0


def require_decoder(decoder: Decoder) -> None:
    """Raises MissingRequirementError where this machine has no such decoder."""
    if decoder is Decoder.NVDEC:
        _pynvvideocodec()


def frames_of(decoder: Decoder, path: Path, threads: int = 1) -> FrameReader:
    """Function that gives frames of a video by their indices, as `iter_pictures` does.

    Args:
        decoder: who decodes.
        path: video file.
        threads: threads of FFmpeg's decoder; 0 lets it choose.
    """
    return NvdecFrames(path) if decoder is Decoder.NVDEC else partial(iter_pictures, path, threads=threads)


def opened_by(decoder: Decoder, path: Path, threads: int = 1) -> tuple[VideoInfo, FrameReader]:
    """What a video says of itself, and `frames_of` it; FFmpeg opens it once for both."""
    if decoder is Decoder.NVDEC:
        return probe(path), NvdecFrames(path)
    return open_video(path, threads)


class NvdecFrames:
    """Frames of one video by NVDEC; several threads may ask, and one at a time is served.

    Args:
        path: video file.

    Raises:
        MissingRequirementError: PyNvVideoCodec is not installed, or finds no decoder.
        DataError: from a call: the file cannot be decoded, has fewer frames, or its frames are not FFmpeg's.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._module, self._lock = path, _pynvvideocodec(), Lock()
        self._decoder: Any = None
        self._shape = (0, 0, 3)

    def __call__(self, indices: Sequence[int]) -> Iterator[Frames]:
        """Frames (H, W, 3), R, G, B; `indices` ascend, each once."""
        for start in range(0, len(indices), _AT_A_TIME):
            with self._lock:
                decoded = self._decoded([int(index) for index in indices[start : start + _AT_A_TIME]])
            yield from decoded

    def _decoded(self, indices: list[int]) -> list[Frames]:
        if self._decoder is None:
            self._open()
        count = self._call(len, self._decoder)
        if outside := [index for index in indices if not 0 <= index < count]:
            raise DataError(
                f"{self._path} has {count} frames, and frame {outside[0]} was asked for",
                hint="the file is cut short, or its annotation is of another video",
            )
        found = self._call(self._decoder.get_batch_frames_by_index, indices)
        if len(found) != len(indices):
            raise DataError(
                f"NVDEC gives {len(found)} of {len(indices)} frames of {self._path}", hint="decode with pyav"
            )
        return [self._copied(frame) for frame in found]

    def _open(self) -> None:
        (shown,) = iter_frames(self._path, [0])
        self._shape = shown.shape
        module = self._module
        decoder = self._call(
            partial(
                module.SimpleDecoder,
                str(self._path),
                use_device_memory=False,
                output_color_type=module.OutputColorType.RGB,
            )
        )
        (first,) = self._call(decoder.get_batch_frames_by_index, [0])
        difference = np.abs(self._copied(first).astype(np.int16) - shown).mean()
        if not difference < _MOST_DIFFERENCE:
            raise DataError(
                f"NVDEC shows {self._path} otherwise than FFmpeg: its first frame is {difference:.0f} levels off",
                hint="a video that is to be shown turned, or in other colours: decode with pyav",
            )
        self._decoder = decoder

    def _copied(self, frame: Any) -> Frames:
        """A frame's pixels, which lie in memory that the decoder uses again."""
        size = self._call(frame.framesize)
        if size != np.prod(self._shape):
            height, width, _ = self._shape
            raise DataError(f"NVDEC gives frames of {size} bytes of {self._path}, which has {width} x {height} pixels")
        address = self._call(frame.GetPtrToPlane, 0)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).reshape(self._shape).copy()

    def _call(self, function: Any, *arguments: object) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # it has kinds of its own, which are no public names
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DataError(f"NVDEC cannot decode {self._path}: {reason}", hint="decode with pyav") from error


def _pynvvideocodec() -> Any:
    try:
        return importlib.import_module("PyNvVideoCodec")
    except (ImportError, OSError, RuntimeError) as error:  # it looks for the driver's libraries as it is imported
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingRequirementError(
            f"NVDEC cannot be used here: {reason}",
            hint="pip install 'x3ddeploy[nvdec]' on a machine with an NVIDIA GPU; a container needs the driver's "
            "capability 'video'",
        ) from error
