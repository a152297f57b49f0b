"""Is there a place for a result? Asked before the work, not after minutes of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from x3ddeploy.atomic import explain_os_errors

REPORT_BYTES = 16 << 20  # a report with its samples and plots


def require_place(directory: Path, size_bytes: int) -> None:
    """Refuse a directory that a result of that size cannot be written into.

    Where it does not exist yet, that is asked of the nearest directory above it that does. Nothing is left behind.

    Raises:
        X3DDeployError: it is no directory, not writable, or its disk has less room.
    """
    with explain_os_errors(directory):
        place = directory.absolute()
        while not place.exists():
            place = place.parent
        descriptor, name = tempfile.mkstemp(prefix=".x3ddeploy.", suffix=".partial", dir=place)
        os.close(descriptor)
        Path(name).unlink()
        free = shutil.disk_usage(place).free
        if free < size_bytes:
            reason = f"{size_bytes / 1e6:.0f} MB are needed, and {free / 1e6:.0f} MB are free"
            raise OSError(errno.ENOSPC, reason, str(directory))
