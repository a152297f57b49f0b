"""NumPy's .npy format, read without Python's parser.

`numpy.load` gives an array's header to `ast.literal_eval`, and the parser of CPython 3.11 fails by chance where two
threads are in it (https://github.com/python/cpython/issues/106905): good clips would be called damaged.
The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import re
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_LENGTHS = {(1, 0): 2, (2, 0): 4, (3, 0): 4}  # bytes that tell how long the header is, by version
_LONGEST_HEADER = 10_000  # numpy's own limit
_PIECE = 256 << 10  # bytes that are read at once: zipfile copies what it reads
_HEADER = re.compile(  # three items in any order; Python 2 wrote long integers with an L
    r"""\s*\{(?=.*['"]descr['"]\s*:\s*['"](?P<dtype>[\w<>=|\[\]]+)['"])"""
    r"""(?=.*['"]fortran_order['"]\s*:\s*(?P<fortran>True|False))"""
    r"""(?=.*['"]shape['"]\s*:\s*\((?P<shape>[\d\s,L]*)\)).*\}\s*"""
)


def read_npy(file: IO[bytes], size: int) -> npt.NDArray[Any]:
    """Read an array of numbers or strings.

    Args:
        file: at its start.
        size: bytes that it holds. No array is allocated for a header that speaks of another number.

    Raises:
        ValueError: it is not in NumPy's format, is truncated, is not as large as its shape says, or holds anything but
            numbers and strings.
        OSError: as reading raises it.
    """
    version = np.lib.format.read_magic(file)
    if version not in _LENGTHS:
        raise ValueError(f"it is in version {version} of NumPy's format")
    length = int.from_bytes(_exactly(file, _LENGTHS[version]), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header has {length} bytes")
    header = _HEADER.fullmatch(_exactly(file, length).decode("latin1"))
    if header is None:
        raise ValueError("its header is not that of an array of numbers or strings")
    if re.fullmatch(r"[<>=|]?[biufU]\d+", header["dtype"]) is None:
        raise ValueError(f"it holds {header['dtype'][:20]}, neither numbers nor strings")
    try:
        dtype = np.dtype(header["dtype"])
    except TypeError as error:
        raise ValueError(str(error)) from error
    shape = tuple(int(number) for number in re.findall(r"\d+", header["shape"]))
    if math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"it is not as large as its shape {shape} says")
    array: npt.NDArray[Any] = np.empty(shape, dtype, "F" if header["fortran"] == "True" else "C")
    if array.nbytes:
        content = array.reshape(-1, order="A").view(np.uint8)
        for start in range(0, content.size, _PIECE):
            piece = content[start : start + _PIECE]
            piece[:] = np.frombuffer(_exactly(file, piece.size), np.uint8)
    return array


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("it is truncated")
    return data
