"""Which videos were meant, and where the keypoints of each are."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from x3ddeploy.contract import Input
from x3ddeploy.data.folder import VIDEO_SUFFIXES, samples_of
from x3ddeploy.data.video import VideoInfo
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.modalities import needs_frames
from x3ddeploy.prediction.coco_keypoints import read_coco_keypoints
from x3ddeploy.prediction.keypoints import Keypoints, read_npz_keypoints
from x3ddeploy.prediction.pickled_keypoints import PickledKeypoints

_PICKLES = (".pkl", ".pickle")
KEYPOINT_SUFFIXES = (".npz", ".json", *_PICKLES)


def is_video(path: Path) -> bool:
    """Whether a path is a file, and none of keypoints."""
    return path.is_file() and path.suffix not in KEYPOINT_SUFFIXES


def find_videos(paths: Sequence[Path], inputs: Mapping[str, Input]) -> list[Path]:
    """The files among `paths`, and the videos in the folders among them, by name.

    For a network that takes no frames, a folder's files of keypoints stand for videos that are not there, and a video
    that is named need not be there.

    Raises:
        UsageError: a path is not there, or a folder holds no video.
    """
    framed = needs_frames(inputs)
    videos: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file())
            found = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
            if not framed:
                there = {file.stem for file in found}
                posed = {file.stem: file for file in files if file.suffix in KEYPOINT_SUFFIXES}
                found = sorted([*found, *(file for stem, file in posed.items() if stem not in there)])
            if not found:
                suffixes = (*VIDEO_SUFFIXES, *(() if framed else KEYPOINT_SUFFIXES))
                raise UsageError(f"{path} holds no videos", hint=f"their names end in {', '.join(suffixes)}")
            videos += found
        elif path.exists() or not framed:
            videos.append(path)
        else:
            raise UsageError(f"there is no video {path}")
    return videos


class KeypointSource(Protocol):
    """Gives the keypoints of a video: files of them, or a pose model."""

    def of(self, video: Path, info: VideoInfo | None) -> Keypoints:
        """Keypoints of a video; `info` is what it says of itself, None where it is not there.

        Raises:
            DataError: there are none, or they cannot be used.
        """


class KeypointFiles:
    """Where keypoints are looked for.

    Args:
        given: a pickle, which holds entries of many videos; a file of one video; a folder with a file of each video's
            name; None for such a file beside each video.
        videos: how many there are.

    Raises:
        UsageError: the path is not there, or is no keypoint file, or a file of one video is given for several.
    """

    def __init__(self, given: Path | None, videos: int) -> None:
        if given is not None and not given.exists():
            raise UsageError(f"there are no keypoints {given}")
        if given is not None and not given.is_dir():
            if given.suffix not in KEYPOINT_SUFFIXES:
                raise UsageError(
                    f"{given} is no file of keypoints", hint=f"its name ends in {', '.join(KEYPOINT_SUFFIXES)}"
                )
            if videos > 1 and given.suffix not in _PICKLES:
                raise UsageError(
                    f"{given} holds keypoints of one video, and there are {videos}",
                    hint="name a folder with a file for each, or an annotation pickle",
                )
        self._given = given
        self._pickle = functools.cache(PickledKeypoints.read)  # a data set's is large and serves all its videos

    def of(self, video: Path, info: VideoInfo | None = None) -> Keypoints:
        """Raises DataError where the video's keypoints are missing, ambiguous or cannot be used."""
        path = self._by_name(video) if self._given is None or self._given.is_dir() else self._given
        if path.suffix in _PICKLES:
            return self._pickle(path).of(video)
        return read_npz_keypoints(path) if path.suffix == ".npz" else read_coco_keypoints(path)

    def _by_name(self, video: Path) -> Path:
        folder = video.parent if self._given is None else self._given
        found: list[Path] = []
        for name in samples_of(video):
            candidates = [folder / f"{name}{suffix}" for suffix in KEYPOINT_SUFFIXES]
            found = found or [file for file in candidates if file.is_file()]
        if not found:
            raise DataError(
                f"{video} has no keypoints: there is no {video.stem}{{{','.join(KEYPOINT_SUFFIXES)}}} in {folder}",
                hint="name them with --keypoints, or let a pose model find them: --pose POSE.onnx (docs/pose.md)",
            )
        if len(found) > 1:
            raise DataError(
                f"{video} has keypoints in {' and in '.join(str(file) for file in found)}",
                hint="name one of them with --keypoints",
            )
        return found[0]
