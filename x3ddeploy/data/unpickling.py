"""Annotation pickles without code: containers, numbers, strings and numpy arrays of them, nothing else.

Nothing that a file names is ever imported. The few names that numpy's arrays, scalars and dtypes pickle to stand for
functions of this file, which check what numpy's own would trust: a crafted dtype or array state can corrupt memory.

A small file can also ask for much: a memo of two thousand million places, the same gigabyte copied a million times,
keys whose hash never ends. Python's own unpickler, the one that is written in Python, lets all of it be counted.
"""

from __future__ import annotations

import math
import os
import pickle
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from x3ddeploy.errors import DataError
from x3ddeploy.files import regular_size
from x3ddeploy.text import printable

# The largest files of MMAction2's model zoo, NTU RGB+D 120 and Kinetics, are of 1 to 3 GB.
FILE_LIMIT = 8 << 30
# An annotation takes about 100 steps to read: these are three hundred thousand videos, and a minute at most.
_MOST_STEPS = 1 << 25
_MOST_AXES = 8
_KEYS = (str, bytes, int, float, np.generic, type(None))
_SIZED = (str, bytes, bytearray, list, tuple, set, frozenset, dict)
# What functions make of the file's bytes: text to bytes, bytes to an array.
_MADE_BY_SIZE = 4
_MADE_AT_LEAST = 1 << 20
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

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled again, by MMEngine's data sets say, it is an array like any other."""
        return np.asarray(self).__reduce_ex__(protocol)


class _Function:
    """What a name in the file stands for: it can be called, and not changed."""

    __slots__ = ("_call", "_spend")

    def __init__(self, call: Callable[..., Any], spend: Callable[[object], None]) -> None:
        self._call, self._spend = call, spend

    def __call__(self, *arguments: object) -> Any:
        for argument in arguments:
            self._spend(argument)
        return self._call(*arguments)

    def __setstate__(self, _: object) -> None:
        raise pickle.UnpicklingError(_UNCHANGED)


def _filled(data: object, dtype: object, shape: object) -> np.ndarray[Any, Any]:
    if not (isinstance(dtype, _DType) and isinstance(data, bytes | bytearray) and isinstance(shape, tuple)):
        raise pickle.UnpicklingError("an array without plain data")
    if len(shape) > _MOST_AXES or not all(isinstance(side, int) for side in shape):
        raise pickle.UnpicklingError("an array of another shape than arrays have")
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


def _key(value: object) -> None:
    """Refuse what could be nested: its hash might take for ever."""
    if not isinstance(value, _KEYS):
        raise pickle.UnpicklingError(f"{type(value).__name__} as a key, or in a set")


def _set(items: Iterable[object] = ()) -> set[object]:
    if not isinstance(items, list | tuple | set | frozenset):
        raise pickle.UnpicklingError("a set of no list")
    for item in items:
        _key(item)
    return set(items)


def _dict(pairs: Iterable[object] = ()) -> dict[object, object]:
    if not isinstance(pairs, list | tuple):
        raise pickle.UnpicklingError("a dict of no list")
    result = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise pickle.UnpicklingError("a dict of no pairs")
        _key(pair[0])
        result[pair[0]] = pair[1]
    return result


_NAMES: dict[str, Callable[..., Any]] = {
    "builtins.set": _set,
    "builtins.frozenset": lambda items=(): frozenset(_set(items)),
    "collections.OrderedDict": _dict,
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


class _File:
    """A file that gives only what it holds: no memory is taken for a string that claims to be longer."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        if size > self._size:
            raise pickle.UnpicklingError("pickle data was truncated")
        return self._file.read(size)

    def readinto(self, buffer: bytearray) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Steps(dict[int, Callable[[Any], None]]):
    """The unpickler's functions by opcode; each look-up is a step of reading the file."""

    left = _MOST_STEPS

    def __getitem__(self, opcode: int) -> Callable[[Any], None]:
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError(f"more than {_MOST_STEPS} steps to read it")
        return super().__getitem__(opcode)


class _Unpickler(pickle._Unpickler):
    """Python's, with a limit to the steps, to what is made of the file's bytes, and to what may be a key."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(_File(file, size))
        self.dispatch = _Steps({**_DISPATCH, **_CHECKED})  # type: ignore[misc]
        self._left = _MADE_BY_SIZE * size + _MADE_AT_LEAST

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full_name not in _NAMES:
            raise _RefusedNameError(full_name)
        return _Function(_NAMES[full_name], self._spend)

    def _spend(self, value: object) -> None:
        if isinstance(value, _SIZED):
            self._left -= len(value)
        if self._left < 0:
            raise pickle.UnpicklingError("it copies its content over and over")


def _check_build(unpickler: Any) -> None:
    *_, target, state = unpickler.stack
    if not isinstance(target, _Array | _DType):
        raise pickle.UnpicklingError("a state for what has none")
    for value in state if isinstance(state, tuple) else ():
        unpickler._spend(value)


def _check_keys(of: slice) -> Callable[[Any], None]:
    def check(unpickler: Any) -> None:
        for key in unpickler.stack[of]:
            _key(key)

    return check


def _after(check: Callable[[Any], None], function: Callable[[Any], None]) -> Callable[[Any], None]:
    def checked(unpickler: Any) -> None:
        check(unpickler)
        function(unpickler)

    return checked


_DISPATCH: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch
_CHECKED = {
    opcode[0]: _after(check, _DISPATCH[opcode[0]])
    for opcode, check in (
        (pickle.SETITEM, _check_keys(slice(-2, -1))),
        (pickle.SETITEMS, _check_keys(slice(None, None, 2))),
        (pickle.DICT, _check_keys(slice(None, None, 2))),
        (pickle.ADDITEMS, _check_keys(slice(None))),
        (pickle.FROZENSET, _check_keys(slice(None))),
        (pickle.BUILD, _check_build),
    )
}


class _RefusedNameError(Exception):
    pass


def unpickle_data(path: Path) -> object:
    """Read a pickle of plain data.

    Args:
        path: the file.

    Raises:
        DataError: it is no regular file or too large, damaged, no pickle, asks for more than it holds, or names
            something that is not plain data (the message says what).
    """
    try:
        regular_size(path, FILE_LIMIT)
        with path.open("rb") as file:
            return _Unpickler(file, os.fstat(file.fileno()).st_size).load()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except _RefusedNameError as refused:
        raise DataError(
            f"{path} asks for {printable(str(refused))}, which is not plain data, so it was not read",
            hint="re-save it where you trust it, with dicts, lists, numbers, strings and numpy arrays only",
        ) from None
    except Exception as error:  # hostile bytes can raise anything in the unpickler
        reason = printable(str(error).partition("\n")[0]) or type(error).__name__
        raise DataError(
            f"{path} cannot be read as a pickle of annotations: {reason}",
            hint="copy or download it again; it must be the .pkl of MMAction2's PoseDataset",
        ) from error
