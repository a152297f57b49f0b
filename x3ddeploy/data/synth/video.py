"""Frames to an H.264 file: small, decodable everywhere, the same bytes for the same frames and library versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import MissingRequirementError

FRAMES_PER_SECOND = 16
# A constant quality at which colours and edges stay; a key frame each 8 frames lets a loader that wants single frames
# decode few others. For the same bytes each time: one thread, and no macroblock tree, with which one thread of x264 165
# still wrote up to 29 different files in 60 runs for the same frames (measured; without it, one).
_X264 = {
    "preset": "veryfast",
    "crf": "20",
    "threads": "1",
    "g": "8",
    "x264-params": "mbtree=0:rc-lookahead=0:bframes=0:cpu-independent=1",
}


def require_pyav() -> None:
    """Check that H.264 can be written.

    Raises:
        MissingRequirementError: PyAV is not installed, or its FFmpeg has no libx264.
    """
    try:
        import av
    except ImportError as error:
        raise MissingRequirementError(
            f"writing video needs PyAV: {error}", hint="pip install 'x3ddeploy[video]'"
        ) from error
    if "libx264" not in av.codecs_available:
        raise MissingRequirementError(
            f"PyAV {av.__version__} is built without libx264", hint="pip install --force-reinstall 'av>=12'"
        )


def write_video(path: Path, frames: npt.NDArray[np.uint8]) -> None:
    """Write (T, H, W, 3) R, G, B frames with even H and W as mp4, yuv420p."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
