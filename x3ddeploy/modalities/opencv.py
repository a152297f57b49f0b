"""OpenCV, which not every machine has."""

from __future__ import annotations

from types import ModuleType

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
