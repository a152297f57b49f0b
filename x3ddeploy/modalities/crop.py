"""What is seen of a picture: a box of it, scaled, and parts of the result: MMAction2's MMCompact, Resize, CenterCrop,
ThreeCrop, TenCrop and Flip.

All inputs see the same box about the persons, so frames and keypoints are cut and scaled by one `Crop`. The order of
operations and their floating types are those of mmaction/datasets/transforms/pose_transforms.py and processing.py: a
box that rounds differently is another image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

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

# MMCV's names -> OpenCV's constants.
INTERPOLATIONS = {
    "nearest": "INTER_NEAREST",
    "bilinear": "INTER_LINEAR",
    "bicubic": "INTER_CUBIC",
    "area": "INTER_AREA",
    "lanczos": "INTER_LANCZOS4",
}

# The box may reach outside of the image; one as wide as this comes from keypoints that are no pixels.
_LARGEST_BOX_PX = 1 << 14


class Pixels(Protocol):
    """A picture (H, W, 3), R, G, B: an array, or what makes one of a part of it.

    Attributes:
        shape: (H, W, 3).
        nbytes: memory that it takes.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    def __getitem__(self, part: tuple[slice, slice], /) -> Frame:
        """Some rows and columns."""


@dataclass(frozen=True)
class Crop:
    """A box in pixels of the frame, and the size that it is scaled to. What of it lies outside the frame is black."""

    left: int
    top: int
    right: int
    bottom: int
    height: int
    width: int
    interpolation: str = "bilinear"

    @property
    def box_size(self) -> tuple[int, int]:
        """Height and width before it is scaled."""
        return self.bottom - self.top, self.right - self.left

    def frame(self, frame: Pixels) -> Frame:
        """(H, W, 3) to (height, width, 3), as OpenCV scales it.

        Raises:
            MissingRequirementError: OpenCV is not installed.
        """
        cv2 = require_opencv("resizing frames")
        rows, columns = frame.shape[:2]
        top, left = max(self.top, 0), max(self.left, 0)
        box = seen = frame[top : min(self.bottom, rows), left : min(self.right, columns)]
        if seen.shape[:2] != self.box_size:
            box = np.zeros((*self.box_size, 3), np.uint8)
            box[top - self.top :, left - self.left :][: seen.shape[0], : seen.shape[1]] = seen
        interpolation = getattr(cv2, INTERPOLATIONS[self.interpolation])
        return np.asarray(cv2.resize(box, (self.width, self.height), interpolation=interpolation), np.uint8)

    def keypoints(self, keypoints: npt.NDArray[np.floating]) -> Floats:
        """(..., 2) pixels of the frame to pixels of the result. A coordinate of 0 means "not found" and stays 0."""
        corner = np.array([self.left, self.top], np.float32)
        box = self.right - self.left, self.bottom - self.top
        scale = np.array([self.width / box[0], self.height / box[1]], np.float32)
        return np.where(keypoints != 0, keypoints - corner, keypoints) * scale


@dataclass(frozen=True)
class Resizing:
    """MMAction2's Resize.

    Attributes:
        scale: width and height. Where the ratio is kept, they are bounds of the longer and the shorter side, either way
            round, and -1 is no bound; or a factor.
        keep_ratio: whether the picture keeps the ratio of its sides.
        interpolation: one of INTERPOLATIONS.
    """

    scale: tuple[int, int] | float
    keep_ratio: bool
    interpolation: str = "bilinear"

    @property
    def fixed(self) -> tuple[int, int] | None:
        """Height and width, where they are the same for every picture."""
        return None if self.keep_ratio or isinstance(self.scale, float) else (self.scale[1], self.scale[0])

    def size(self, picture: tuple[int, int]) -> tuple[int, int]:
        """Height and width of a picture of that height and width, once it is resized."""
        if self.fixed is not None:
            return self.fixed
        if isinstance(self.scale, float):
            factor = self.scale
        else:
            longest, shortest = float(max(self.scale)), float(min(self.scale))
            longest, shortest = (np.inf, longest) if shortest == -1 else (longest, shortest)
            factor = min(longest / max(picture), shortest / min(picture))
        height, width = (int(side * factor + 0.5) for side in picture)  # as mmcv.rescale_size rounds
        return height, width


@dataclass(frozen=True)
class Cropping:
    """Which parts of a resized picture are seen: one in the middle, three along it, or four corners and the middle.

    Attributes:
        size: height and width of a part; None for the whole picture.
        crops: 1, 3 or 5.
        mirrored: whether each is seen mirrored as well, right after it.
        flipped: whether all are seen mirrored only.
    """

    size: tuple[int, int] | None = None
    crops: int = 1
    mirrored: bool = False
    flipped: bool = False

    def pictures(self, picture: Frame) -> Iterator[Frame]:
        """The parts of (H, W, 3), each (*size, 3), in MMAction2's order.

        Raises:
            DataError: the picture is smaller than a part, or neither as high nor as wide as three of them need.
        """
        height, width = picture.shape[:2] if self.size is None else self.size
        for left, top in self.corners((picture.shape[0], picture.shape[1])):
            part = picture[top : top + height, left : left + width]
            if self.mirrored:
                yield part
            yield part[:, ::-1] if self.mirrored or self.flipped else part

    def corners(self, picture: tuple[int, int]) -> list[tuple[int, int]]:
        """Left and top of each part in a picture of that height and width."""
        if self.size is None:
            return [(0, 0)]
        free_height, free_width = picture[0] - self.size[0], picture[1] - self.size[1]
        text = f"of {self.size[1]} x {self.size[0]} pixels in a picture that is resized to {picture[1]} x {picture[0]}"
        if free_height < 0 or free_width < 0:
            raise DataError(f"a crop {text}", hint="the network was tested on pictures of another shape")
        if self.crops == 1:
            return [(free_width // 2, free_height // 2)]
        if self.crops == 3:
            if free_height and free_width:
                raise DataError(f"three crops {text}", hint="one of their sides must be the picture's")
            across, down = free_width // 2, free_height // 2
            return [(0, 0), (2 * across, 2 * down), (across, down)]
        across, down = free_width // 4, free_height // 4
        corners = [(column, row) for row in (0, 4 * down) for column in (0, 4 * across)]
        return [*corners, (2 * across, 2 * down)]

    def keypoints(self, keypoints: Floats, picture: tuple[int, int]) -> Floats:
        """(..., 2) pixels of the resized picture to pixels of its one part; "not found" moves along, as there."""
        return keypoints if self.size is None else keypoints - np.array(self.corners(picture)[0], np.float32)


def crop_about(keypoints: npt.NDArray[np.floating], frame_size: tuple[int, int], size: tuple[int, int]) -> Crop:
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
