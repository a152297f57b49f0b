"""Where MMEngine keeps checkpoints: files that are whole, and old ones that stay until a new one is there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mmengine.fileio import LocalBackend, register_backend

from x3ddeploy.atomic import write_bytes

WHOLE_FILES = "x3ddeploy.whole_files"


@register_backend(WHOLE_FILES)
class WholeFiles(LocalBackend):
    """MMEngine's local files, but for two things that a full disk or a kill would leave half done.

    MMEngine writes a checkpoint in its place, where half of one can stay, and removes the one before it first.
    """

    # Of the whole process: MMEngine makes one of these for each call that writes.
    _outdated: ClassVar[set[Path]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file whole, then remove what was outdated. Raises X3DDeployError where it cannot be written."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, obj)
        for old in self._outdated - {path}:
            old.unlink(missing_ok=True)
        self._outdated.clear()

    def remove(self, filepath: str | Path) -> None:
        """Remove a file once the next one is written."""
        self._outdated.add(Path(filepath))
