"""Arrays of `.npz` files that others wrote: nothing is unpickled, and no more memory is taken than was agreed to.

A zip archive of some kilobytes can hold gigabytes of zeros, and an array's header can claim any shape. So each header
is read, and held against the archive's directory and the limit, before its array is.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from x3ddeploy.errors import DataError
from x3ddeploy.files import regular_size
from x3ddeploy.npy import read_npy
from x3ddeploy.text import escaped

# A minute of 1080p at 30 frames a second is 11 GB raw; who has more has a video.
CLIP_LIMIT = 16 << 30
# 17 joints of 10 persons in an hour at 30 frames a second are 220 MB.
KEYPOINTS_LIMIT = 1 << 30
# zipfile reads an archive's directory at once; arrays are read in smaller pieces.
_LARGEST_READ = 4 << 20

Arrays = dict[str, npt.NDArray[Any]]


class _Pieces:
    """A file that gives at most some MiB at a time, which a directory of millions of entries does not keep to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, _LARGEST_READ + 1) if size >= 0 else _LARGEST_READ + 1)
        if len(data) > _LARGEST_READ:
            raise ValueError("its directory is too large")
        return data


def read_arrays(path: Path, limit: int, only: Collection[str] = (), optional: Collection[str] = ()) -> Arrays:
    """Read an `.npz` file.

    Args:
        path: written by numpy.savez or savez_compressed.
        limit: bytes that the arrays may take together.
        only: names of arrays that must be there.
        optional: names of arrays that may be there. Where none is named, all arrays are read.

    Raises:
        DataError: it is no such file, is damaged, lacks an array, holds anything but numbers and strings, or more than
            the limit.
    """
    arrays: Arrays = {}
    names: dict[str, None] = {}  # in their order
    try:
        regular_size(path, CLIP_LIMIT)
        with path.open("rb") as file, zipfile.ZipFile(_Pieces(file)) as archive:
            left = limit
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in names:
                    raise ValueError(f"{name} occurs twice")
                names[name] = None
                if (only or optional) and name not in (*only, *optional):
                    continue
                left -= entry.file_size
                if left < 0:
                    raise ValueError(f"it holds more than {limit / 1e6:.0f} MB")
                with archive.open(entry) as content:
                    arrays[name] = read_npy(content, entry.file_size)
    except Exception as error:  # hostile bytes can raise anything in zipfile, zlib and numpy
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise DataError(
            f"{path} cannot be read as arrays: {escaped(reason[:160])}", hint="write it with numpy.savez"
        ) from error
    missing = [name for name in only if name not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {' and '.join(missing)}: it holds {escaped(', '.join(names)[:160]) or 'nothing'}",
            hint=f"write it with numpy.savez(FILE, {', '.join(f'{name}=...' for name in only)})",
        )
    return arrays
