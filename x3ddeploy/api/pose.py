"""`x3ddeploy.estimate_poses`: videos to files of keypoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from x3ddeploy.atomic import explain_os_errors
from x3ddeploy.errors import UsageError
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.terms import AnyPath

_SUFFIX = ".npz"


@dataclass(frozen=True)
class PoseLine:
    """A line of `x3ddeploy pose --json`; see Posed."""

    video: str
    keypoints: str
    persons: int
    frames: int
    frames_with_persons: int


@dataclass(frozen=True)
class Posed:
    """A video whose keypoints were written.

    Attributes:
        persons: how many there are in all.
        frames: number of frames of the video, and `frames_with_persons`: those in which somebody is.
    """

    video: Path
    keypoints: Path
    persons: int
    frames: int
    frames_with_persons: int

    def line(self) -> PoseLine:
        """For `--json`."""
        return PoseLine(str(self.video), str(self.keypoints), self.persons, self.frames, self.frames_with_persons)


def estimate_poses(
    videos: Sequence[AnyPath], output: AnyPath, estimator: PoseEstimator, *, progress: Step = QUIET
) -> Iterator[Posed]:
    """Find everybody in videos, and write a file of keypoints for each, as `predict` reads them.

    Args:
        videos: files.
        output: an `.npz` file for one video, or a folder for files of the videos' names.
        estimator: an opened pose model, with its detector.
        progress: receives steps; a Progress counts frames.

    Raises:
        UsageError: a file is no place for several videos, or two are called alike.
        DataError: a video cannot be decoded.
    """
    paths, place = [Path(video) for video in videos], Path(output)
    is_file = place.suffix == _SUFFIX and not place.is_dir()
    if is_file and len(paths) > 1:
        raise UsageError(f"{place} is one file, and there are {len(paths)} videos", hint="name a folder")
    files = [place if is_file else place / f"{path.stem}{_SUFFIX}" for path in paths]
    if len({*files}) < len(files):
        raise UsageError("two of the videos have the same name", hint="give them one by one")
    with explain_os_errors(place):
        files[0].parent.mkdir(parents=True, exist_ok=True)
    return _posed(paths, files, estimator, progress)


def _posed(paths: Sequence[Path], files: Sequence[Path], estimator: PoseEstimator, progress: Step) -> Iterator[Posed]:
    for path, file in zip(paths, files, strict=True):
        poses = estimator.video(path, counting(progress))
        poses.save(file)
        seen = (poses.scores > 0).any((0, 2))
        yield Posed(path, file, len(poses.keypoints), poses.scores.shape[1], int(seen.sum()))
