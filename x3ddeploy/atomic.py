"""Files that are whole or absent: a temporary file in the same directory, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from x3ddeploy.errors import X3DDeployError

_HINTS = {
    errno.ENOSPC: "free some space, or write elsewhere with -o",
    errno.EDQUOT: "your disk quota is used up: free some space, or write elsewhere with -o",
    errno.EFBIG: "the file-size limit is too low (see `ulimit -f`)",
    errno.EROFS: "the file system is read-only: write elsewhere with -o",
    errno.EACCES: "no permission to write there: write elsewhere with -o",
    errno.EPERM: "no permission to write there: write elsewhere with -o",
}


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while writing under `path` into one error that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        where = error.filename or path
        raise X3DDeployError(
            f"cannot write {where}: {reason}", hint=_HINTS.get(error.errno or 0, "write elsewhere with -o")
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    Raises:
        X3DDeployError: the directory is missing, read-only or full; the old file is then untouched.
    """
    with explain_os_errors(path):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _fsync(path.parent)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only process in this block for this directory; others wait. The lock ends with its process.

    It is on the directory itself, and leaves no file behind.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused (they are not JSON)."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


@contextlib.contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """Build a directory beside `target` and put it in place only when the block ends well.

    The old `target` stays whole until then; on an error the staging directory is removed and nothing has changed.
    A killed process leaves a `.{name}.*.partial` directory behind, which is swept by the next one.
    """
    target = target.absolute()
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in target.parent.glob(f".{target.name}.*.partial"):
            if not _is_alive(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}-", suffix=".partial", dir=target.parent))
        try:
            yield staging
            for file in staging.rglob("*"):
                _fsync(file)
            staging.chmod(0o777 & ~_umask())
            _swap(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, target: Path) -> None:
    if target.exists():
        previous = staging.with_name(staging.name.replace(".partial", ".previous"))
        target.rename(previous)
        try:
            staging.rename(target)
        except BaseException:
            previous.rename(target)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    else:
        staging.rename(target)
    _fsync(target.parent)


def _is_alive(staging: Path) -> bool:
    """Whether the process that made this staging directory (its id is in the name) still runs."""
    try:
        os.kill(int(staging.name.rsplit("-", 1)[0].rsplit(".", 1)[1]), 0)
    except (ValueError, IndexError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fsync(path: Path) -> None:
    """Bring a file or a directory's entries to the disk; some file systems refuse that for directories."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
