"""Locks between processes that end with their process and leave no file behind; all that takes `fcntl` is here."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from x3ddeploy.errors import X3DDeployError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only process in this block for this directory; others wait.

    The lock is on the directory itself. Where another directory was put in its place while this process waited, the
    lock is taken anew on that one.

    Raises:
        OSError: there is no such directory, or its file system has no locks.
        X3DDeployError: this operating system has no such locks.
    """
    if fcntl is None:
        raise X3DDeployError(
            f"cannot lock {directory}: this operating system has no flock", hint="write into bundles on Linux or macOS"
        )
    while True:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.path.samestat(os.fstat(descriptor), directory.stat()):
                continue
            yield
            return
        finally:
            os.close(descriptor)


def claim(path: Path) -> int | None:
    """Lock a file or directory of this process's own; gives its descriptor, or None where it was swept before that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if path.exists():
        return descriptor
    os.close(descriptor)
    return None


def claim_alone(path: Path) -> int | None:
    """Lock a file or directory; gives its descriptor, or None where another process has locked it.

    Where the file system has no locks, nothing is locked.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor


def is_claimed(path: Path) -> bool:
    """Whether a living process has claimed it; also where that cannot be told."""
    if fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_open_for_writing(path: Path) -> bool:
    """Whether a process has the file open for writing, as far as the system tells: Linux, of one's own files."""
    if fcntl is None or sys.platform != "linux":
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            # A lease is refused while the file is open for writing (fcntl(2)). Whoever opens it before the lease is
            # given back waits so long, and a signal comes, which by default would end the process: SIGURG does not.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
