"""Keypoints that a pose model finds in the video itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from x3ddeploy.contract import Input, InputKind
from x3ddeploy.data.video import VideoInfo
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.keypoints import Keypoints
from x3ddeploy.progress import Progress

# Joints of a pose model whose first 17 are those of COCO, in its order: Halpe-26 and COCO-WholeBody.
_BEGIN_WITH_COCO = (26, 133)
_COCO = 17


class EstimatedKeypoints:
    """See `KeypointSource`.

    Args:
        estimator: an opened pose model.
        inputs: inputs of the network that is to take them.
        progress: counts frames.

    Raises:
        UsageError: the model finds other joints than the network takes.
    """

    def __init__(self, estimator: PoseEstimator, inputs: Mapping[str, Input], progress: Progress) -> None:
        self._estimator, self._progress = estimator, progress
        self._joints = network_joints(estimator, inputs)

    def of(self, video: Path, info: VideoInfo | None) -> Keypoints:
        poses = self._estimator.video(video, self._progress, info)
        if not len(poses.keypoints):
            raise DataError(f"nobody is found in {video}", hint="is the pose model given pixels as it takes them?")
        joints = slice(self._joints)
        return Keypoints(str(video), poses.keypoints[:, :, joints], poses.scores[:, :, joints], poses.image_size)


def network_joints(estimator: PoseEstimator, inputs: Mapping[str, Input]) -> int:
    """How many of the joints that are found a network takes: the first ones.

    Raises:
        UsageError: the model finds other joints than the network takes.
    """
    found = estimator.joints
    wanted = next((joints for joints in map(_joints, inputs.values()) if joints), found)
    if found != wanted and not (found in _BEGIN_WITH_COCO and wanted == _COCO):
        raise UsageError(
            f"{estimator.pose.path} finds {found} joints, and the network takes {wanted}",
            hint="take a pose model of the joints that the network was trained on",
        )
    return wanted


def _joints(value: Input) -> int | None:
    """That an input is made of; None where it is made of none."""
    if value.kind is InputKind.HEATMAPS:
        return value.clip_shape[0]
    return value.clip_shape[2] if value.kind is InputKind.SKELETON else None
