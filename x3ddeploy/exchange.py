"""Two directories change places: in one system call where the system has one, else so that a kill can be mended."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

from x3ddeploy.locks import locked

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux: renameat2(2)
_RENAME_SWAP = 2  # macOS: renamex_np(2)
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)  # of the kernel, or of the file system


def exchange(one: Path, other: Path) -> None:
    """Let two directories of one file system change places.

    Without a system call for it there is a moment at which `other` is away; `recover` mends a kill in it.
    """
    if exchange_in_one_call(one, other):
        return
    previous = _previous(other)
    other.rename(previous)
    try:
        one.rename(other)
    except BaseException:
        previous.rename(other)
        raise
    previous.rename(one)


def recover(directory: Path) -> None:
    """Put the old directory back where a process was killed in the midst of an exchange without a system call."""
    previous = _previous(directory)
    if not previous.is_dir():
        return
    # Who exchanges holds the lock on what is now `previous`: this waits for a living one.
    with contextlib.suppress(FileNotFoundError), locked(previous):
        if directory.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(directory)


def exchange_in_one_call(one: Path, other: Path) -> bool:
    """False where system or file system have no such call. Raises OSError where it failed."""
    if sys.platform == "win32":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    elif hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(first, second, _RENAME_SWAP)
    else:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _previous(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.previous")
