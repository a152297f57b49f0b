"""Files and directories that are whole or absent: made beside their place, synced, put in place at once."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.exchange import exchange, recover
from x3ddeploy.locks import claim, is_claimed, locked

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
    """Write `data` to `path`; see `staged_file`.

    Raises:
        X3DDeployError: the directory is missing, read-only or full; the old file is then untouched.
    """
    with staged_file(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to be written, and put in place when the block ends well: readers see the old or the new.

    A killed process leaves a `.{name}.*.partial` file behind, which is swept by the next write to `path`.

    Raises:
        X3DDeployError: the directory is missing, read-only or full; the old file is then untouched.
    """
    with explain_os_errors(path):
        _sweep(path)
        temporary, claimed = _claimed(lambda: new_beside(path, lambda file: file.touch(exist_ok=False)))
        try:
            yield temporary
            _sync_file(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(claimed)
        sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused (they are not JSON)."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """`value`, a document's type or plain values, as indented JSON. Raises ValueError for NaN and infinity."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, default=msgspec.to_builtins)
    return (text + "\n").encode()


@contextlib.contextmanager
def staged_directory(target: Path, may_replace: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Build a directory beside `target` and put it in place only when the block ends well.

    The old `target` stays whole until then; on an error the staging directory is removed and nothing has changed.
    A killed process leaves a `.{name}.*.partial` directory behind, which is swept by the next one.

    Args:
        target: the directory; a link is followed.
        may_replace: called under the lock on an old `target` that is not empty; raises where it is not to be lost.
    """
    target = target.resolve()
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        _sweep(target)
        staging, claimed = _claimed(lambda: new_beside(target, Path.mkdir))
        try:
            yield staging
            sync_tree(staging)
            _put_in_place(staging, target, may_replace)
        finally:
            os.close(claimed)
            shutil.rmtree(staging, ignore_errors=True)


def sync_tree(directory: Path) -> None:
    """Bring every file under a directory to the disk, and the directories with them."""
    for path in directory.rglob("*"):
        if path.is_dir():
            sync_directory(path)
        else:
            _sync_file(path)
    sync_directory(directory)


def _sync_file(path: Path) -> None:
    # Windows syncs what is open for writing alone.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Bring a directory's entries to the disk; some file systems refuse that."""
    with contextlib.suppress(OSError):
        _sync_file(path)


def _put_in_place(staging: Path, target: Path, may_replace: Callable[[], None]) -> None:
    try:
        staging.rename(target)  # over nothing, or over an empty directory
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        with locked(target):
            may_replace()
            exchange(staging, target)
    sync_directory(target.parent)


def _claimed(make: Callable[[], Path]) -> tuple[Path, int]:
    """A new file or directory that no other process sweeps while this one lives, and the descriptor that says so."""
    while True:
        path = make()
        descriptor = claim(path)
        if descriptor is not None:
            return path, descriptor


def new_beside(path: Path, make: Callable[[Path], None]) -> Path:
    """A file or directory `.{name}.*.partial` beside `path`, of a name that nobody else has.

    It gets the permissions of new files from the system. `tempfile` would give it the owner's alone, and the mask to
    widen them with can only be read by setting it, for a moment and for all threads, to none.

    Args:
        path: what shall come of it.
        make: makes it; raises FileExistsError where there is one of that name.
    """
    while True:
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        with contextlib.suppress(FileExistsError):
            make(new)
            return new


def _sweep(target: Path) -> None:
    """Remove what killed processes left of `target`."""
    for entry in target.parent.iterdir():
        if entry.name.startswith(f".{target.name}.") and entry.name.endswith(".partial") and not is_claimed(entry):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
