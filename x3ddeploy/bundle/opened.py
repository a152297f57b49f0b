"""A bundle on disk, opened: its directory and its manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from x3ddeploy.bundle.manifest import SCHEMA_VERSION, Manifest
from x3ddeploy.bundle.paths import LABELS, MANIFEST, graph_name, stays_inside
from x3ddeploy.contract import Contract
from x3ddeploy.errors import BundleError
from x3ddeploy.text import shell_word


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its directory and its manifest."""

    path: Path
    manifest: Manifest

    @cached_property
    def contract(self) -> Contract:
        """What the network takes and gives, part by part. Raises BundleError where the manifest contradicts itself."""
        from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract  # the one family of schema 1

        return two_stream_contract(self.manifest.spec, self.manifest.fusion, self.manifest.batch, {})

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read a bundle's manifest.

        Raises:
            BundleError: no such directory, no or no valid manifest, a newer schema, or paths that lead outside.
        """
        file = path / MANIFEST
        try:
            text = file.read_bytes()
        except FileNotFoundError as error:
            what = "holds no manifest.json: it is not a bundle" if path.is_dir() else "does not exist"
            raise BundleError(f"{path} {what}", hint="make one with `x3ddeploy export CKPT -o DIR`") from error
        except OSError as error:
            raise BundleError(f"cannot read {file}: {error.strerror}", hint="check the path") from error
        try:
            version = msgspec.json.decode(text, type=_Versioned).schema_version
            if version != SCHEMA_VERSION:
                raise BundleError(
                    f"{file} has schema version {version}, and this x3ddeploy reads {SCHEMA_VERSION}",
                    hint="use the version of x3ddeploy that made it, or export again",
                )
            manifest = msgspec.json.decode(text, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BundleError(f"{file} is not a valid manifest: {error}", hint="export again") from error
        outside = [name for name in manifest.files if not stays_inside(name)]
        if outside:
            raise BundleError(f"{file} names files outside the bundle", details=outside, hint="do not use this bundle")
        return cls(path, manifest)

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
        problems = []
        for name, entry in self.manifest.files.items():
            file = self.path / name
            if not file.is_file():
                problems.append(f"{name}: missing")
            elif file.stat().st_size != entry.size_bytes:
                problems.append(f"{name}: {file.stat().st_size} bytes, not {entry.size_bytes}")
            elif sha256_of(file) != entry.sha256:
                problems.append(f"{name}: its sha256 differs")
        return problems

    def labels(self) -> list[str] | None:
        """Class names, one a class, or None where the bundle has none."""
        file = self.path / LABELS
        return file.read_text(encoding="utf-8").splitlines() if LABELS in self.manifest.files else None


@dataclass(frozen=True)
class _Versioned:
    schema_version: int
