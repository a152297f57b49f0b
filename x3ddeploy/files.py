"""Files that others wrote, read whole: regular ones only, up to a stated size, and JSON without surprises."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

T = TypeVar("T")
# Far above what people write by hand (recipes, labels, configs), far below what would hurt.
TEXT_LIMIT = 16 << 20
# bench.json and eval.json hold samples of every competitor; COCO files hold every joint of every frame.
JSON_LIMIT = 1 << 30
# Without O_NONBLOCK, opening a pipe would wait for a writer; Windows has no such flag, and one for bytes as they are.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Versioned(msgspec.Struct, frozen=True):
    """What is asked of a document before anything else of it is read."""

    schema_version: int


def regular_size(path: Path, limit: int | None = None) -> int:
    """Size in bytes of a file that can be read to its end.

    To be called before a library opens `path` by its name: a pipe would block it, a device would never end.

    Args:
        path: the file; links are followed.
        limit: the largest size that is taken, None for any.

    Raises:
        OSError: it is missing, unreadable, no regular file, or larger; `strerror` says which.
    """
    descriptor = _open(path, limit)
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes, also where its size is not told (`/proc`) or grows.

    Raises:
        OSError: it is missing, unreadable, no regular file, or larger; `strerror` says which.
    """
    with os.fdopen(_open(path, limit), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(path, limit)
    return data


def read_text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        OSError: as `read_file`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_file(path, limit).decode("utf-8-sig")


def read_json(path: Path, kind: type[T] | Any, limit: int = JSON_LIMIT) -> T:
    """The JSON document in a file, checked against a type; see `decode_json`.

    Raises:
        OSError: as `read_file`.
        ValueError: it is no JSON, or not of that type; the message says where.
    """
    return decode_json(read_file(path, limit), kind)


def decode_json(data: bytes, kind: type[T] | Any) -> T:
    """JSON as a value of type `kind`; NaN, infinity and numbers out of range are not JSON.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or is not of that type; the message says where.
    """
    try:
        value: T = msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def sha256_of(file: Path | BinaryIO) -> str:
    """Hex digest of a file, or of the rest of one that is open.

    Raises:
        OSError: it is missing or cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return sha256_of(opened)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _open(path: Path, limit: int | None) -> int:
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory", str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, not a file", str(path))
        if limit is not None and status.st_size > limit:
            raise _too_large(path, limit)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _too_large(path: Path, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than the {limit / 1e6:.0f} MB that are read of such a file", str(path))
