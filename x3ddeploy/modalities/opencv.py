"""OpenCV, which not every machine has."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import MissingRequirementError


def require_opencv(purpose: str) -> ModuleType:
    """The `cv2` module.

    Args:
        purpose: what needs it, for the error: 'drawing'.

    Raises:
        MissingRequirementError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingRequirementError(
            f"{purpose} needs OpenCV: {error}", hint="pip install 'x3ddeploy[video]'"
        ) from error
    return cv2


def read_picture(path: Path) -> npt.NDArray[np.uint8] | None:
    """The pixels of a picture file, (H, W, 3), R, G, B; None where it is none that can be read.

    Raises:
        MissingRequirementError: OpenCV is not installed.
    """
    cv2 = require_opencv("reading pictures")
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1], np.uint8)
