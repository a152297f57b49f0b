"""Golden arrays on disk: one .npy file a tensor, simple enough to be read without numpy, and read without pickle."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x3ddeploy.errors import BundleError
from x3ddeploy.files import regular_size
from x3ddeploy.npy import read_npy


def read_array(file: Path) -> npt.NDArray[np.generic]:
    """The array in an .npy file.

    Raises:
        BundleError: it cannot be read; or its header speaks of more than the file holds, or of objects.
    """
    try:
        size = regular_size(file)
        with file.open("rb") as content:
            return read_npy(content, size)
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {file}: {error}", hint="export again") from error


def npy_bytes(array: npt.NDArray[np.generic]) -> bytes:
    """The content of an array's file: rows first, whatever the order that a runtime gave it in."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()
