"""Pictures as pose models and detectors take them: warped about a person, or fitted into a frame; and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from x3ddeploy.modalities.opencv import require_opencv
from x3ddeploy.terms import Pixels

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

# A person's box is widened by this before it is warped (mmpose's GetBBoxCenterScale, padding).
_PADDING = 1.25
_GREY = 114  # what one-stage models are trained to see beside a picture
_MEAN = np.array((123.675, 116.28, 103.53), np.float32)
_STD = np.array((58.395, 57.12, 57.375), np.float32)


def planes(picture: Picture, pixels: Pixels) -> Floats:
    """(H, W, 3) R, G, B to (3, H, W), as a model takes them."""
    values = picture.astype(np.float32)
    if pixels is Pixels.UNIT:
        values /= 255
    if pixels in (Pixels.IMAGENET, Pixels.BGR_IMAGENET):
        values = (values - _MEAN) / _STD
    if pixels in (Pixels.BGR, Pixels.BGR_IMAGENET):
        values = values[..., ::-1]
    return np.ascontiguousarray(values.transpose(2, 0, 1))


@dataclass(frozen=True)
class PictureWindow:
    """What part of a picture a model sees: pixels of the picture = pixels of the window * scale + origin."""

    origin: tuple[float, float]
    scale: float

    def back(self, points: Floats) -> Floats:
        """(..., 2), x and y in the window, to x and y in the picture."""
        return (points * np.float32(self.scale) + np.asarray(self.origin, np.float32)).astype(np.float32)

    def cut(self, picture: Picture, height: int, width: int, border: int) -> Picture:
        """(H, W, 3) to (height, width, 3); what lies beside the picture is `border`."""
        cv2: Any = require_opencv("pose estimation")
        scale = 1 / self.scale
        matrix = np.array([[scale, 0, -self.origin[0] * scale], [0, scale, -self.origin[1] * scale]], np.float64)
        cut: Picture = cv2.warpAffine(
            picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(border, border, border)
        )
        return cut


def about(box: Floats, height: int, width: int) -> PictureWindow:
    """The window about a person's box: its centre, 1.25 times its size, in the model's aspect (mmpose, TopdownAffine).

    Args:
        box: x0, y0, x1, y1 in pixels of the picture.
        height: height of the model's input.
        width: width of the model's input.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    scale = max((x1 - x0) * _PADDING / width, (y1 - y0) * _PADDING / height, 1e-3)
    return PictureWindow(((x0 + x1 - width * scale) / 2, (y0 + y1 - height * scale) / 2), scale)


def fitted(picture: Picture, height: int, width: int) -> PictureWindow:
    """The window that holds the whole picture, in its upper left corner (YOLOX and mmdeploy do so)."""
    return PictureWindow((0.0, 0.0), max(picture.shape[1] / width, picture.shape[0] / height))


def cropped(picture: Picture, window: PictureWindow, height: int, width: int, pixels: Pixels) -> Floats:
    """(3, height, width), the planes of a person's window; black beside the picture."""
    return planes(window.cut(picture, height, width, 0), pixels)


def letterboxed(picture: Picture, height: int, width: int, pixels: Pixels) -> Floats:
    """(3, height, width), the planes of the whole picture; grey beside it."""
    return planes(fitted(picture, height, width).cut(picture, height, width, _GREY), pixels)
