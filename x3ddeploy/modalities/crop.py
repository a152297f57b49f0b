"""The crop about the persons, and the resize that follows it: MMAction2's MMCompact and Resize(keep_ratio=False).

All inputs see the same crop, so frames and keypoints are cut and scaled by one `Crop`. The order of operations and
their floating types are those of mmaction/datasets/transforms/pose_transforms.py: a box that rounds differently is
another image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import DataError
from x3ddeploy.modalities.opencv import require_opencv

Frame = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# MMCompact's defaults, with the hw_ratio of 1 that RGBPoseConv3D's configs set.
PADDING = 0.25
THRESHOLD_PX = 10
HW_RATIO = 1.0

# The box may reach outside of the image; one as wide as this comes from keypoints that are no pixels.
_LARGEST_BOX_PX = 1 << 14


@dataclass(frozen=True)
class Crop:
    """A box in pixels of the frame, and the size that it is scaled to. What of it lies outside the frame is black."""

    left: int
    top: int
    right: int
    bottom: int
    height: int
    width: int

    def frame(self, frame: Frame) -> Frame:
        """(H, W, 3) to (height, width, 3), bilinear as OpenCV does it.

        Raises:
            MissingRequirementError: OpenCV is not installed.
        """
        cv2 = require_opencv("resizing frames")
        rows, columns = frame.shape[:2]
        box = np.zeros((self.bottom - self.top, self.right - self.left, 3), np.uint8)
        top, left = max(self.top, 0), max(self.left, 0)
        seen = frame[top : min(self.bottom, rows), left : min(self.right, columns)]
        box[top - self.top :, left - self.left :][: seen.shape[0], : seen.shape[1]] = seen
        return np.asarray(cv2.resize(box, (self.width, self.height), interpolation=cv2.INTER_LINEAR), np.uint8)

    def keypoints(self, keypoints: Floats) -> Floats:
        """(..., 2) pixels of the frame to pixels of the result. A coordinate of 0 means "not found" and stays 0."""
        corner = np.array([self.left, self.top], np.float32)
        box = self.right - self.left, self.bottom - self.top
        scale = np.array([self.width / box[0], self.height / box[1]], np.float32)
        return np.where(keypoints != 0, keypoints - corner, keypoints) * scale


def crop_about(keypoints: Floats, frame_size: tuple[int, int], size: tuple[int, int]) -> Crop:
    """The square about all joints of a clip, a quarter larger than they need; the whole frame where they need little.

    Args:
        keypoints: (..., 2), x and y in pixels; a coordinate of 0 does not count.
        frame_size: height and width of the frames.
        size: height and width to scale to.

    Raises:
        DataError: the keypoints reach so far out of the frame that they cannot be pixels.
    """
    low, high = [], []
    for axis in (0, 1):
        found = keypoints[..., axis][keypoints[..., axis] != 0]
        low.append(np.min(found, initial=np.inf))
        high.append(np.max(found, initial=-np.inf))
    if high[0] - low[0] < THRESHOLD_PX or high[1] - low[1] < THRESHOLD_PX:
        return Crop(0, 0, frame_size[1], frame_size[0], *size)
    half_width = (high[0] - low[0]) / 2 * (1 + PADDING)
    half_height = (high[1] - low[1]) / 2 * (1 + PADDING)
    half_height = max(HW_RATIO * half_width, half_height)
    half_width = max(1 / HW_RATIO * half_height, half_width)
    if not max(half_width, half_height) < _LARGEST_BOX_PX / 2:
        raise DataError(
            f"keypoints from {low[0]:g}, {low[1]:g} to {high[0]:g}, {high[1]:g} in frames of "
            f"{frame_size[1]} x {frame_size[0]} pixels",
            hint="keypoints are x and y in pixels of the annotation's img_shape",
        )
    x, y = (high[0] + low[0]) / 2, (high[1] + low[1]) / 2
    return Crop(int(x - half_width), int(y - half_height), int(x + half_width), int(y + half_height), *size)
