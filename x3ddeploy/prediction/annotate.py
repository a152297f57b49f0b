"""A video with skeletons and labels drawn in: what the network was told, and what it said."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x3ddeploy.atomic import staged_file
from x3ddeploy.data.synth.video import require_pyav
from x3ddeploy.data.video import VideoInfo, iter_frames
from x3ddeploy.modalities.opencv import require_opencv
from x3ddeploy.prediction.overlay import PERSONS, drawn_joints, limbs, nearest_window
from x3ddeploy.prediction.predict import OpenedVideo, Prediction

Frame = npt.NDArray[np.uint8]

_MIN_SIDE = 240  # pixels; smaller videos are enlarged, else nothing could be read
_BAR_SHARE = 0.09  # of the height
_TEXT_ASCENT_PX = 22  # of OpenCV's HERSHEY_SIMPLEX at scale 1
DEFAULT_FPS = Fraction(30)  # for a video that does not say
_X264 = {"preset": "veryfast", "crf": "20"}


def annotate_video(
    video: OpenedVideo,
    predictions: Sequence[Prediction],
    output: Path,
    progress: Callable[[int, int], None],
) -> None:
    """Write the video as H.264 in mp4, without sound; the file is whole or absent.

    A frame in several windows shows the label of the one whose middle is nearest; of answers about persons, each
    person's stands above the head.

    Args:
        video: an opened video.
        predictions: at least one, of its windows.
        output: file to write.
        progress: receives how many frames are drawn, and of how many.

    Raises:
        MissingRequirementError: OpenCV, or PyAV with libx264, is not installed.
        DataError: a frame cannot be decoded, or the keypoints are in space.
        X3DDeployError: the file cannot be written.
    """
    require_opencv("drawing")
    require_pyav()
    if video.annotation is not None:
        _ = video.annotation.picture  # there is none that joints in space could be drawn in
    frames = video.info.frames
    scale = shown_scale(video.info)
    size = (scale * video.info.height, scale * video.info.width)
    skeletons = None if video.annotation is None else drawn_joints(video.annotation, size)
    with video_writer(output, video.info.fps or DEFAULT_FPS, size) as write:
        for number, frame in enumerate(iter_frames(video.path, range(frames))):
            picture = enlarged(frame, scale)
            if skeletons is not None:
                _draw_skeletons(picture, skeletons[0][:, number], skeletons[1][:, number])
            for person, text in _texts(predictions, number).items():
                if person is None:
                    draw_text(picture, text)
                elif skeletons is not None:
                    _draw_name(picture, text, person, skeletons[0][person, number][skeletons[1][person, number]])
            write(picture)
            progress(number + 1, frames)


def _texts(predictions: Sequence[Prediction], frame: int) -> dict[int | None, str]:
    """What stands in a frame, by person; of all of them, or none, by None."""
    texts: dict[int | None, str] = {}
    for person in dict.fromkeys(entry.person for entry in predictions):
        of_person = [entry for entry in predictions if entry.person == person]
        nearest = nearest_window(of_person, frame)
        if nearest is not None:
            texts[person] = f"{nearest.label} {nearest.deployed.max():.0%}" if nearest.seen else "no person"
    return texts


def shown_scale(info: VideoInfo) -> int:
    """How many times as large a video is drawn, so that something can be read in it."""
    return max(1, math.ceil(_MIN_SIDE / min(info.height, info.width)))


def enlarged(frame: Frame, scale: int) -> Frame:
    """(H, W, 3) so many times as large."""
    cv2 = require_opencv("drawing")
    size = (scale * frame.shape[1], scale * frame.shape[0])
    return np.array(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _draw_skeletons(picture: Frame, positions: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_]) -> None:
    """Draw (M, K, 2) pixels where (M, K) says so; limbs only where the joints are COCO's."""
    cv2 = require_opencv("drawing")
    thickness = max(1, round(min(picture.shape[:2]) / 180))
    # Within what OpenCV's integers hold; so far outside nothing can be seen anyway.
    places = np.clip(np.round(positions), -10_000, 10_000).astype(int).tolist()
    for person, (joints, found) in enumerate(zip(places, seen, strict=True)):
        colour = PERSONS[person % len(PERSONS)]
        for first, second in limbs(len(joints)):
            if found[first] and found[second]:
                cv2.line(picture, joints[first], joints[second], colour, thickness, cv2.LINE_AA)
        for joint, there in zip(joints, found, strict=True):
            if there:
                cv2.circle(picture, joint, thickness + 1, colour, -1, cv2.LINE_AA)


def _draw_name(picture: Frame, text: str, person: int, joints: npt.NDArray[np.float64]) -> None:
    """Write in the person's colour above the topmost of the joints, (K, 2) pixels, as far as it fits; K may be 0."""
    if not len(joints):
        return
    cv2 = require_opencv("drawing")
    height, width = picture.shape[:2]
    scale, font = 0.6 * max(14, round(_BAR_SHARE * height)) / _TEXT_ASCENT_PX, cv2.FONT_HERSHEY_SIMPLEX
    (length, ascent), _ = cv2.getTextSize(text, font, scale, 1)
    x, y = np.clip(joints[joints[:, 1].argmin()], -10_000, 10_000)
    place = (int(np.clip(x - length / 2, 0, max(0, width - length))), int(np.clip(y - ascent, ascent, height - 1)))
    for colour, thickness in (((0, 0, 0), 3), (PERSONS[person % len(PERSONS)], 1)):
        cv2.putText(picture, text, place, font, scale, colour, thickness, cv2.LINE_AA)


def draw_text(picture: Frame, text: str) -> None:
    """White on a dark bar across the top, as large as fits. OpenCV before 5 has no letters beyond ASCII."""
    cv2 = require_opencv("drawing")
    height, width = picture.shape[:2]
    bar = max(14, round(_BAR_SHARE * height))
    scale, font = 0.6 * bar / _TEXT_ASCENT_PX, cv2.FONT_HERSHEY_SIMPLEX
    (length, _), _ = cv2.getTextSize(text, font, scale, 1)
    scale *= min(1, (width - bar / 2) / length)
    picture[:bar] = picture[:bar] // 4
    place = (bar // 4, round(0.5 * (bar + scale * _TEXT_ASCENT_PX)))
    cv2.putText(picture, text, place, font, scale, (255, 255, 255), max(1, round(bar / 20)), cv2.LINE_AA)


@contextlib.contextmanager
def video_writer(output: Path, fps: Fraction, size: tuple[int, int]) -> Iterator[Callable[[Frame], None]]:
    """Gives what is to be called with each (H, W, 3) frame; puts the file in place when the block ends well."""
    import av

    cv2 = require_opencv("drawing")
    with (
        staged_file(output) as temporary,
        av.open(str(temporary), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=fps, options=_X264)
        # yuv420p halves both sides: an odd one gets its last row or column twice.
        stream.height, stream.width = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"

        def write(picture: Frame) -> None:
            even = np.pad(picture, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), "edge")
            planes = cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))

        yield write
        container.mux(stream.encode())
