"""An explanation to look at: heat over what the network saw, and joints as large as what they add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.atomic import explain_os_errors, write_bytes, write_json
from x3ddeploy.data.video import iter_frames
from x3ddeploy.errors import UsageError
from x3ddeploy.modalities.opencv import require_opencv
from x3ddeploy.prediction.annotate import DEFAULT_FPS, Frame, draw_text, enlarged, shown_scale, video_writer
from x3ddeploy.prediction.explain import Explanation, Heat
from x3ddeploy.prediction.inputs import is_video
from x3ddeploy.prediction.overlay import drawn_joints, limbs
from x3ddeploy.prediction.predict import OpenedVideo
from x3ddeploy.progress import Progress

VIDEO_SUFFIX = ".mp4"

_FOR, _AGAINST, _LIMB = (230, 159, 0), (86, 180, 233), (200, 200, 200)  # Okabe and Ito's orange and sky blue
_MOST_COVERED = 0.7  # of a pixel, where the heat is largest
_UNSEEN = 0.4  # brightness of what lies outside of the network's crop
_NAMED = 3  # joints


def check_output(output: Path, video: OpenedVideo) -> None:
    """Whether an explanation of the video can be drawn there, before it is made; makes the folder that it goes to.

    Raises:
        UsageError: the keypoints are in space; or it is the video itself, or a file that is no `.mp4`.
    """
    if video.annotation is not None and video.annotation.in_space:
        raise UsageError("joints in space have no picture to be drawn in", hint="leave the output out")
    is_file = output.suffix.lower() == VIDEO_SUFFIX
    if output.exists() and (is_file == output.is_dir() or output.samefile(video.path)):
        raise UsageError(f"cannot write an explanation to {output}", hint="name another .mp4, or a folder")
    with explain_os_errors(output):
        (output.parent if is_file else output).mkdir(parents=True, exist_ok=True)


def draw_explanation(video: OpenedVideo, explanation: Explanation, output: Path, progress: Progress) -> None:
    """Write a video of the window (`.mp4`), or a folder with a picture of each frame that the network looked at.

    Heat between two frames that were looked at is between theirs. Orange joints speak for the class and blue ones
    against it, the larger the more. Without a video the skeletons stand on black. A folder has `explanation.json`, too.

    Raises:
        MissingRequirementError: OpenCV, or PyAV with libx264, is not installed.
        DataError: a frame cannot be decoded.
        X3DDeployError: a file cannot be written.
    """
    window = explanation.prediction.window
    draw = _drawer(video, explanation)
    if output.suffix.lower() == VIDEO_SUFFIX:
        frames = range(window.start, window.end)
        scale = shown_scale(video.info)
        size = (scale * video.info.height, scale * video.info.width)
        with video_writer(output, video.info.fps or DEFAULT_FPS, size) as write:
            for done, (frame, picture) in enumerate(_pictures(video, list(frames))):
                write(draw(frame, picture))
                progress.count(f"drawing {output.name}", done + 1, len(frames))
        return
    cv2: Any = require_opencv("drawing")
    for frame, picture in _pictures(video, explanation.frames.tolist()):
        _, data = cv2.imencode(".png", draw(frame, picture)[..., ::-1])
        write_bytes(output / f"{frame:06}.png", data.tobytes())
    write_json(output / "explanation.json", explanation.report())


def _pictures(video: OpenedVideo, frames: list[int]) -> Iterator[tuple[int, Frame]]:
    if not is_video(video.path):
        black = np.zeros((video.info.height, video.info.width, 3), np.uint8)
        yield from ((frame, black) for frame in frames)
        return
    with closing(iter_frames(video.path, frames)) as pictures:  # type: ignore[type-var]
        yield from zip(frames, pictures, strict=True)


def _drawer(video: OpenedVideo, explanation: Explanation) -> Callable[[int, Frame], Frame]:
    """What draws into a frame of the video, by its number."""
    scale = shown_scale(video.info)
    size = (scale * video.info.height, scale * video.info.width)
    skeletons = None
    if video.annotation is not None:
        skeletons = drawn_joints(video.annotation, size)
    heat = None if explanation.heat is None else _Overlay(explanation.heat, scale)
    text = f"{explanation.name} {explanation.prediction.deployed[explanation.label]:.0%}"
    if explanation.joints is not None:
        joints = explanation.report().joints or []
        text += "   " + ", ".join(f"{joint.name} {joint.evidence:+.1f}" for joint in joints[:_NAMED])

    def draw(frame: int, picture: Frame) -> Frame:
        drawn = enlarged(picture, scale)
        if heat is not None:
            drawn = heat.over(drawn, frame)
        if skeletons is not None and explanation.joints is not None:
            _draw_joints(drawn, skeletons[0][:, frame], skeletons[1][:, frame], explanation.joints)
        draw_text(drawn, text)
        return drawn

    return draw


class _Overlay:
    """Heat over pictures; what the network did not see is dark."""

    def __init__(self, heat: Heat, scale: int) -> None:
        self._frames, first = np.unique(heat.frames, return_index=True)
        largest = float(heat.values.max())
        self._values = heat.values[first] / (largest or 1.0)
        self._box = tuple(scale * side for side in heat.box)

    def over(self, picture: Frame, frame: int) -> Frame:
        cv2: Any = require_opencv("drawing")
        height, width = picture.shape[:2]
        left, top, right, bottom = self._box
        values = self._at(frame)
        # Places of the values, whose middles are half a place from the border, to pixels of the picture.
        across, down = (right - left) / values.shape[1], (bottom - top) / values.shape[0]
        matrix = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])
        spread = cv2.warpAffine(values, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        seen = np.zeros((height, width), bool)
        rows, columns = (slice(*(max(0, round(side)) for side in pair)) for pair in ((top, bottom), (left, right)))
        seen[rows, columns] = True
        colours = cv2.applyColorMap(np.round(255 * spread.clip(0, 1)).astype(np.uint8), cv2.COLORMAP_INFERNO)
        share = (_MOST_COVERED * spread.clip(0, 1))[..., None]
        hot = (1 - share) * picture + share * colours[..., ::-1]
        return np.asarray(np.where(seen[..., None], hot, _UNSEEN * picture), np.uint8)

    def _at(self, frame: int) -> npt.NDArray[np.float32]:
        after = int(np.searchsorted(self._frames, frame))
        if after == len(self._frames) or self._frames[after] == frame or after == 0:
            return self._values[min(after, len(self._frames) - 1)]
        before = after - 1
        share = (frame - self._frames[before]) / (self._frames[after] - self._frames[before])
        between: npt.NDArray[np.float32] = (1 - share) * self._values[before] + share * self._values[after]
        return between.astype(np.float32)


def _draw_joints(
    picture: Frame, positions: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_], evidence: npt.NDArray[np.float64]
) -> None:
    """Draw (M, K, 2) pixels where (M, K) says so; (K,) evidence is each joint's."""
    cv2: Any = require_opencv("drawing")
    unit = max(1.0, min(picture.shape[:2]) / 180)
    sizes = np.abs(evidence) / (np.abs(evidence).max() or 1.0)
    places = np.clip(np.round(positions), -10_000, 10_000).astype(int).tolist()
    for joints, found in zip(places, seen, strict=True):
        for first, second in limbs(len(joints)):
            if found[first] and found[second]:
                cv2.line(picture, joints[first], joints[second], _LIMB, max(1, round(unit / 2)), cv2.LINE_AA)
        for number in np.argsort(sizes):
            if found[number]:
                colour = _FOR if evidence[number] > 0 else _AGAINST
                cv2.circle(picture, joints[number], round(unit * (1 + 6 * sizes[number])), colour, -1, cv2.LINE_AA)
