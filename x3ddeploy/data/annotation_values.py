"""Values of annotations, checked: each function raises ValueError or TypeError, whose text says what is wrong.

What a pickle holds may hold itself a million times over, so its type is known before it is printed or gone through.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import numpy.typing as npt

MOST = 1 << 31
LARGEST_SIDE_PX = 1 << 16


def word(key: str, value: object) -> str:
    """A string, or a whole number in digits."""
    if isinstance(value, int | np.integer):
        return str(whole_number(key, value))
    if not isinstance(value, str):
        raise TypeError(f"{key} is no string but {type(value).__name__}")
    return str(value)


def image_shape(value: object) -> tuple[int, int]:
    """Height and width."""
    if not isinstance(value, tuple | list | np.ndarray) or len(value) != 2:
        raise ValueError("img_shape is not (height, width)")
    height, width = (whole_number("img_shape", side) for side in value)
    if not 1 <= min(height, width) <= max(height, width) <= LARGEST_SIDE_PX:
        raise ValueError(f"img_shape ({height}, {width}) is not (height, width)")
    return height, width


def leads_out(name: str) -> bool:
    """Whether a path of a file leads out of the folder that it is meant to be in, on any system."""
    paths = PurePosixPath(name), PureWindowsPath(name)
    return not name or any(path.anchor or ".." in path.parts for path in paths)


def words(names: object) -> tuple[str, ...]:
    """The names of a split."""
    if not isinstance(names, list | tuple | set | frozenset | np.ndarray):
        raise TypeError(f"a split is no list but {type(names).__name__}")
    return tuple(word("a name in a split", name) for name in names)


def whole_number(key: str, value: object) -> int:
    """A whole number, in Python's type or one of NumPy's."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        text = repr(value) if isinstance(value, float | bool) else type(value).__name__
        raise TypeError(f"{key} {text} is not a whole number")
    if not -MOST <= value <= MOST:
        raise ValueError(f"{key} is no number that can be meant")
    return int(value)


def float_array(subject: str, value: object) -> npt.NDArray[np.floating]:
    """An array of numbers, in its own floating type; whole ones become float32.

    Args:
        subject: start of the error's sentence: 'keypoint is'.
        value: what should be an array of numbers.

    Raises:
        TypeError: the value is no such array.
    """
    if not isinstance(value, np.ndarray):  # lists that hold lists that hold each other would never end
        raise TypeError(f"{subject} no array but {type(value).__name__}")
    if value.dtype.kind in "iu":
        return value.astype(np.float32)
    if value.dtype.kind != "f":
        raise TypeError(f"{subject} of type {value.dtype}")
    return value
