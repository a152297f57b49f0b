"""Annotations of MMAction2's PoseDataset with the keypoints that a pose model found."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from x3ddeploy.atomic import write_bytes
from x3ddeploy.data.annotations import Annotations, LabelledVideo
from x3ddeploy.data.folder import samples_of
from x3ddeploy.errors import UsageError
from x3ddeploy.pose.estimate import Poses
from x3ddeploy.text import shortened

ANNOTATIONS = (".pkl", ".pickle")
_PICKLE_PROTOCOL = 4  # what every Python that runs MMAction2 reads
_LISTED = 8


@dataclass(frozen=True)
class Labelled:
    """Videos whose class is known, and the splits that they are in."""

    of_video: Mapping[Path, LabelledVideo]
    splits: Mapping[str, Sequence[str]]


def labelled(videos: Sequence[Path], annotations: Annotations[LabelledVideo], where: str) -> Labelled:
    """Find each video's annotation by its name.

    Args:
        videos: files, called as the samples are.
        annotations: names, classes and splits.
        where: what messages call them.

    Raises:
        UsageError: videos without an annotation, or two of one name.
    """
    by_name = {PurePosixPath(sample.name).name: sample for sample in annotations.samples.values()}
    # The file's own name goes before the one without NTU's suffix.
    found = {video: by_name[name] for video in videos for name in reversed(samples_of(video)) if name in by_name}
    unknown = [str(video) for video in videos if video not in found]
    if unknown:
        raise UsageError(
            f"{len(unknown)} of {len(videos)} videos have no annotation in {where}",
            details=shortened(unknown, _LISTED),
            hint="a video is called as its sample's frame_dir",
        )
    names = {sample.name for sample in found.values()}
    if len(names) < len(videos):
        raise UsageError("two of the videos have the same name", hint="name each video once")
    splits = {split: [name for name in members if name in names] for split, members in annotations.splits.items()}
    return Labelled(found, {split: members for split, members in splits.items() if members})


def write_annotations(path: Path, found: Mapping[LabelledVideo, Poses], splits: Mapping[str, Sequence[str]]) -> None:
    """Write the pickle that PoseDataset reads; whole or absent.

    A video in which nobody was found has one person, whose joints have score 0.
    """
    entries = []
    for sample, poses in found.items():
        keypoints, scores = poses.keypoints, poses.scores
        if not len(keypoints):
            keypoints, scores = (
                np.zeros((1, *keypoints.shape[1:]), np.float32),
                np.zeros((1, *scores.shape[1:]), np.float32),
            )
        entries.append(
            {
                "frame_dir": sample.name,
                "label": sample.label,
                "img_shape": poses.image_size,
                "original_shape": poses.image_size,
                "total_frames": keypoints.shape[1],
                "keypoint": keypoints,
                "keypoint_score": scores,
            }
        )
    content = {"split": {name: list(members) for name, members in splits.items()}, "annotations": entries}
    write_bytes(path, pickle.dumps(content, protocol=_PICKLE_PROTOCOL))
