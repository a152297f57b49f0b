"""`x3ddeploy.estimate_poses`: videos to files of keypoints, or to annotations that a network is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from x3ddeploy.atomic import explain_os_errors
from x3ddeploy.data.annotations import read_labels
from x3ddeploy.errors import UsageError
from x3ddeploy.pose.annotations import ANNOTATIONS, Labelled, labelled, write_annotations
from x3ddeploy.pose.estimate import PoseEstimator, Poses
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
    videos: Sequence[AnyPath],
    output: AnyPath,
    estimator: PoseEstimator,
    *,
    annotations: AnyPath | None = None,
    progress: Step = QUIET,
) -> Iterator[Posed]:
    """Find everybody in videos, and write a file of keypoints for each, as `predict` reads them.

    Args:
        videos: files.
        output: an `.npz` file for one video, or a folder for files of the videos' names; with `annotations` a pickle.
        estimator: an opened pose model, with its detector.
        annotations: pickle of MMAction2's that knows the videos' classes and splits: they are written again, of these
            videos alone, with the keypoints that are found. `train`, `quantize` and `eval` take the result.
        progress: receives steps; a Progress counts frames.

    Raises:
        UsageError: a file is no place for several videos, two are called alike, or one has no annotation.
        DataError: a video or the annotations cannot be read.
    """
    paths, place = [Path(video) for video in videos], Path(output)
    if (annotations is not None) != (place.suffix in ANNOTATIONS):
        raise UsageError(
            f"{place} " + ("is no pickle" if annotations is not None else "would be annotations, which have classes"),
            hint=f"annotations are a file that ends in {ANNOTATIONS[0]}, made of others that know the classes",
        )
    if annotations is not None:
        samples = labelled(paths, read_labels(Path(annotations)), str(annotations))
        with explain_os_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        return _annotated(samples, place, estimator, progress)
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
        yield _told(path, file, poses)


def _annotated(samples: Labelled, place: Path, estimator: PoseEstimator, progress: Step) -> Iterator[Posed]:
    found = {}
    for path, sample in samples.of_video.items():
        found[sample] = estimator.video(path, counting(progress))
        yield _told(path, place, found[sample])
    write_annotations(place, found, samples.splits)


def _told(video: Path, file: Path, poses: Poses) -> Posed:
    seen = (poses.scores > 0).any((0, 2))
    return Posed(video, file, len(poses.keypoints), poses.scores.shape[1], int(seen.sum()))
