"""What takes long to make for a benchmark and is the same again, kept in the user's cache directory: networks that
PyTorch's compilers or its exporter made.

A file's name is a hash of all that it depends on, so that what is out of date is never taken; of each kind, what was
not used for longest goes where all take more than `_MOST_BYTES`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from x3ddeploy.atomic import write_bytes
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.progress import Step

_MOST_BYTES = 2 << 30  # about 200 plain exports of the full-size network


def cache_folder(kind: str) -> Path:
    """Where things of a kind are kept: x3ddeploy/<kind> in XDG_CACHE_HOME, or in ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "x3ddeploy" / kind


def kept_file(kind: str, suffix: str, depends_on: Sequence[Any]) -> Path:
    """Where something is kept, or is to be.

    Args:
        kind: its folder.
        suffix: end of the file's name.
        depends_on: everything that it depends on, as JSON takes it.
    """
    key = hashlib.sha256(json.dumps(list(depends_on)).encode()).hexdigest()[:32]
    return cache_folder(kind) / f"{key}{suffix}"


def made_ready(folder: Path) -> None:
    """Make a folder of the cache, which nobody else may write into: code is loaded from it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def used(file: Path) -> None:
    """Note that a kept file was made or taken just now, and let go what was not for longest."""
    with contextlib.suppress(OSError):  # another process let it go, or reads it (Windows)
        os.utime(file)
        newest = sorted(
            ((found.stat(), found) for found in file.parent.iterdir() if found.is_file()),
            key=lambda pair: pair[0].st_mtime,
            reverse=True,
        )
        held = 0
        for said, found in newest:
            held += said.st_size
            if held > _MOST_BYTES and found != file:
                found.unlink()


def kept_bytes(file: Path, make: Callable[[], bytes], name: str, progress: Step) -> bytes:
    """What `make` makes, now or in an earlier run; where the cache cannot be written, it is made every time.

    Args:
        file: its `kept_file`.
        make: makes it.
        name: what it is and what makes it, for people.
        progress: receives whether it is made.
    """
    with contextlib.suppress(OSError):
        data = file.read_bytes()
        progress(f"{name}: made before")
        used(file)
        return data
    progress(f"{name}: making it")
    data = make()
    try:
        made_ready(file.parent)
        write_bytes(file, data)
        used(file)
    except (OSError, X3DDeployError) as error:
        progress(f"{name}: not kept for the next run: {error}")
    return data
