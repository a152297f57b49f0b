"""Answers about the videos that come into a folder, each as a video of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from x3ddeploy.errors import DataError
from x3ddeploy.prediction.folder import FolderVideos
from x3ddeploy.prediction.live import LiveAnswer
from x3ddeploy.prediction.videos import VideoPredictor
from x3ddeploy.progress import Step


def video_answers(
    videos: FolderVideos,
    predictor: VideoPredictor,
    *,
    window_s: float,
    stride_s: float,
    tell: Step,
) -> Iterator[LiveAnswer]:
    """Answers as they are known; a video that cannot be used is reported, and tried again when it is written anew.

    A video that does not say how many frames a second it has is one window.

    Args:
        videos: as they come.
        predictor: opens them, and predicts their windows; how long these are is said here, in seconds.
        window_s: length of a window in seconds.
        stride_s: seconds from one window to the next.
        tell: receives what could not be used.

    Raises:
        DataError: the folder is gone.
        GateError: the network gives NaN or infinity.
    """
    for come in videos:
        try:
            video = predictor.open(come.path)
            fps = video.info.fps
            length, stride = (None if fps is None else max(1, round(time_s * fps)) for time_s in (window_s, stride_s))
            windowing = replace(predictor.windowing, length=length, stride=stride)
            for prediction in replace(predictor, windowing=windowing).predictions(video):
                start, end = prediction.seconds() or (None, None)
                late = time.monotonic() - come.time_s
                yield LiveAnswer(prediction, start, end, late, dropped_videos=videos.dropped)
        except DataError as error:
            tell(f"skipped: {error.message}")
