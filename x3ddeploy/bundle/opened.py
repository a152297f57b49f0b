"""A bundle on disk, opened: its directory and its manifest."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from x3ddeploy.atomic import explain_os_errors
from x3ddeploy.bundle.labels import read_labels
from x3ddeploy.bundle.manifest import Manifest
from x3ddeploy.bundle.paths import LABELS, MANIFEST, graph_name
from x3ddeploy.bundle.pending import NEXT, settle
from x3ddeploy.bundle.reading import read_manifest
from x3ddeploy.contract import Contract
from x3ddeploy.errors import BundleError
from x3ddeploy.exchange import recover
from x3ddeploy.files import sha256_of
from x3ddeploy.locks import locked
from x3ddeploy.text import shell_word

# A file that was written less than this before it was hashed may be written again without another time of change.
_CLOCK_TICK_S = 2.0
_MAY_NOT_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its directory and its manifest."""

    path: Path
    manifest: Manifest

    @cached_property
    def contract(self) -> Contract:
        """What the network takes and gives, part by part. Raises BundleError where the manifest contradicts itself."""
        return self.manifest.contract

    @cached_property
    def _hashed(self) -> dict[str, tuple[int, ...]]:
        """Files whose sha256 was right -> what the file system said of them then."""
        return {}

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read a bundle's manifest; an update of it that was interrupted after it was decided is finished first.

        Raises:
            BundleError: no such directory, no or no valid manifest, a newer schema, or it says what cannot be.
        """
        if not path.exists():
            with explain_os_errors(path):
                recover(path)
        if (path / NEXT).is_dir():
            try:
                with locked(path):
                    settle(path)
            except OSError as error:
                if error.errno not in _MAY_NOT_WRITE:
                    with explain_os_errors(path):
                        raise
                path = path / NEXT
        return cls(path, read_manifest(path / MANIFEST))

    def part_path(self, part: str, precision: str = "fp32") -> Path:
        """Path of a part's graph. Raises BundleError where the bundle has no such graph."""
        name = graph_name(part, precision)
        if name not in self.manifest.files:
            graphs = [file for file in self.manifest.files if file.endswith(".onnx")]
            make = f"make it with `x3ddeploy quantize {shell_word(self.path)} --{precision}`; " if "/" in name else ""
            raise BundleError(f"{self.path} has no {name}", hint=f"{make}it has {', '.join(graphs)}")
        return self.path / name

    def altered_files(self) -> list[str]:
        """Every file that is missing or is not what the manifest says, with the reason; empty when all is well."""
        return [f"{name}: {problem}" for name in self.manifest.files if (problem := self.alteration(name))]

    def alteration(self, name: str) -> str:
        """How a file is not what the manifest says of it, in words; '' where it is that."""
        file, entry = self.path / name, self.manifest.files.get(name)
        if entry is None:
            return "not in the manifest"
        if not file.is_file():
            return "missing"
        status = file.stat()
        if status.st_size != entry.size_bytes:
            return f"{status.st_size} bytes, not {entry.size_bytes}"
        found = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        if self._hashed.get(name) == found:
            return ""
        if sha256_of(file) != entry.sha256:
            return "its sha256 differs"
        if time.time() - status.st_ctime > _CLOCK_TICK_S:
            self._hashed[name] = found
        return ""

    def labels(self) -> list[str] | None:
        """Class names, one a class, or None where the bundle has none."""
        file = self.path / LABELS
        return read_labels(file) if LABELS in self.manifest.files else None
