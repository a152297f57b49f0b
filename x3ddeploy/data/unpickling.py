"""Annotation pickles without code: containers, numbers, strings and numpy arrays of them, nothing else.

Nothing that a file names is ever imported. The few names that numpy's arrays, scalars and dtypes pickle to stand for
functions of this file, which check what numpy's own would trust: a crafted dtype or array state can corrupt memory.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from x3ddeploy.checkpoint.listing import printable
from x3ddeploy.errors import DataError

_NUMERIC = re.compile(r"[<>=|]?([biufU]\d+|\?)")
_UNCHANGED = "restricted stand-ins take no state"


class _DType:
    """A numpy dtype as its pickle describes it: a type string, then a state whose second item is the byte order."""

    def __init__(self, kind: object, *_: object) -> None:
        if not isinstance(kind, str) or _NUMERIC.fullmatch(kind) is None:
            raise pickle.UnpicklingError(f"an array of type {printable(str(kind), 40)!r}")
        self.value = np.dtype(kind)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, kind, size = state[1], self.value.kind, self.value.itemsize
        if kind == "U":  # stored as 'U20' or as 'U0' with the size in the state
            size = int(state[5]) if int(state[5]) > 0 else size
            kind, size = "U", size // 4
        self.value = np.dtype(f"{'=' if order == '|' else order}{kind}{size}")


class _Array(np.ndarray[Any, Any]):
    """An array that is filled from a checked state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, column_major, data = state[-4:]
        value = _filled(data, dtype, shape)  # fails where they do not agree
        checked: Any = (1, value.shape, value.dtype, bool(column_major), bytes(data))
        super().__setstate__(checked)


class _Function:
    """What a name in the file stands for: it can be called, and not changed."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _: object) -> None:
        raise pickle.UnpicklingError(_UNCHANGED)


def _filled(data: object, dtype: object, shape: object) -> np.ndarray[Any, Any]:
    if not (isinstance(dtype, _DType) and isinstance(data, bytes | bytearray) and isinstance(shape, tuple)):
        raise pickle.UnpicklingError("an array without plain data")
    if dtype.value.itemsize == 0 or math.prod(shape) * dtype.value.itemsize != len(data) or min(shape, default=0) < 0:
        raise pickle.UnpicklingError(f"an array of {len(data)} bytes that should be {shape} of {dtype.value}")
    return np.frombuffer(data, dtype.value).reshape(shape)


def _empty_array(*_: object) -> _Array:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _array_of_buffer(
    data: object, dtype: object, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
) -> np.ndarray[Any, Any]:
    flat = _filled(data, dtype, shape).ravel()
    if axes is not None:
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: object, data: object) -> Any:
    return _filled(data, dtype, (1,))[0]


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {printable(encoding, 40)}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


_NAMES: dict[str, Callable[..., Any]] = {
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "collections.OrderedDict": dict,
    "_codecs.encode": _latin1,  # how protocols under 3 write bytes,
    "builtins.bytes": _empty_bytes,  # and no bytes
    "numpy.ndarray": _empty_array,  # only ever an argument of _reconstruct
    "numpy.dtype": _DType,
    **{  # numpy 1 and numpy 2
        f"numpy.{core}.{name}": function
        for core in ("core", "_core")
        for name, function in (
            ("multiarray._reconstruct", _empty_array),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _array_of_buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full_name not in _NAMES:
            raise _RefusedNameError(full_name)
        return _Function(_NAMES[full_name])


class _RefusedNameError(Exception):
    pass


def unpickle_data(file: BinaryIO, name: str) -> object:
    """Read one pickle of plain data.

    Args:
        file: opened file, at the pickle's start.
        name: what errors call the file.

    Raises:
        DataError: the file is damaged, no pickle, or names something that is not plain data (the message says what).
    """
    try:
        return _Unpickler(file).load()
    except _RefusedNameError as refused:
        raise DataError(
            f"{name} asks for {printable(str(refused))}, which is not plain data, so it was not read",
            hint="re-save it where you trust it, with dicts, lists, numbers, strings and numpy arrays only",
        ) from None
    except Exception as error:  # hostile bytes can raise anything in the unpickler
        reason = printable(str(error).partition("\n")[0]) or type(error).__name__
        raise DataError(
            f"{name} cannot be read as a pickle of annotations: {reason}",
            hint="copy or download it again; it must be the .pkl of MMAction2's PoseDataset",
        ) from error
