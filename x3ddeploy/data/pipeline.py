"""A video and its annotation to the tensors that the recognizer takes: MMAction2's test pipeline, number by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.compact import Crop, crop_about
from x3ddeploy.data.frames import normalise_frames
from x3ddeploy.data.heatmaps import keypoints_to_heatmaps
from x3ddeploy.data.people import check_size, left_out
from x3ddeploy.data.sampling import ClipIndices
from x3ddeploy.errors import DataError
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

ClipTensors = dict[str, npt.NDArray[np.float32]]
# Ascending indices, each once, to that many frames (H, W, 3), R, G, B: `partial(iter_frames, path)`, or an array's
# `__getitem__`.
FrameReader = Callable[[Sequence[int]], Iterable[npt.NDArray[np.uint8]]]


def prepare_clips(
    read_frames: FrameReader,
    annotation: Annotation,
    spec: ModelSpec,
    indices: ClipIndices,
    min_keypoint_score: float | None = None,
) -> ClipTensors:
    """Read, crop, resize and draw the clips of one video.

    Clips of one video share their crop: MMCompact's box is about the joints of all of them.

    Args:
        read_frames: gives the video's frames.
        annotation: its keypoints. They are scaled where the video's frames are not of the annotation's size.
        spec: size, normalisation and heatmaps of the clips.
        indices: frames of each clip.
        min_keypoint_score: joints under this score, and such that are not finite, neither widen the crop nor are drawn;
            None counts all joints, as MMAction2 does.

    Returns:
        `imgs` (clips, 3, T, H, W) and `heatmap_imgs` (clips, K, T', H', W').

    Raises:
        DataError: a frame cannot be read; there are other joints than the network takes; keypoints are infinite.
    """
    joints = annotation.keypoints.shape[2]
    if joints != spec.pose.in_channels:
        raise DataError(f"{annotation.name} has {joints} joints, and the network takes {spec.pose.in_channels}")
    poses = indices.pose.ravel()
    keypoints, scores = (values[:, poses].astype(np.float32) for values in (annotation.keypoints, annotation.scores))
    if min_keypoint_score is not None:
        keypoints[left_out(keypoints, scores, min_keypoint_score)] = np.inf
    elif np.isinf(keypoints).any():
        raise DataError(f"{annotation.name} has infinite keypoints")
    wanted, places = np.unique(indices.rgb, return_inverse=True)
    pictures: list[npt.NDArray[np.uint8]] = []
    crop: Crop | None = None
    for frame in read_frames(wanted.tolist()):  # one by one: memory stays that of the cropped clips
        if crop is None:
            crop, keypoints = _cropped(keypoints, annotation, frame.shape[:2], spec)
        pictures.append(crop.frame(frame))
    clips = len(indices.rgb)
    imgs = normalise_frames(np.stack(pictures)[places.ravel()], spec.rgb_input)
    heatmaps = keypoints_to_heatmaps(keypoints, scores, spec.pose_input)
    return {"imgs": _by_clip(imgs, clips), "heatmap_imgs": _by_clip(heatmaps, clips)}


def _cropped(
    keypoints: npt.NDArray[np.float32], annotation: Annotation, shown: tuple[int, ...], spec: ModelSpec
) -> tuple[Crop, npt.NDArray[np.float32]]:
    """The crop of the frames as `shown`, and the keypoints in pixels of its result. Infinite ones stay infinite."""
    annotated = annotation.image_size
    if shown != annotated:
        check_size(annotation.name, annotated, (shown[0], shown[1]))
        keypoints = keypoints * np.array([shown[1] / annotated[1], shown[0] / annotated[0]], np.float32)
    left_out = np.isinf(keypoints)
    keypoints = np.where(left_out | np.isnan(keypoints), np.float32(0), keypoints)
    crop = crop_about(keypoints, (shown[0], shown[1]), (spec.rgb_input.height, spec.rgb_input.width))
    return crop, np.where(left_out, np.float32(np.inf), crop.keypoints(keypoints))


def _by_clip(values: npt.NDArray[np.float32], clips: int) -> npt.NDArray[np.float32]:
    """(C, clips x T, H, W) to (clips, C, T, H, W)."""
    channels, _, height, width = values.shape
    return np.ascontiguousarray(values.reshape(channels, clips, -1, height, width).swapaxes(0, 1))
