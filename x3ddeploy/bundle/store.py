"""Writing into a bundle: files first, the manifest last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from x3ddeploy.atomic import explain_os_errors, locked, staged_directory, write_bytes, write_json
from x3ddeploy.bundle.manifest import EngineEntry, FileEntry, Manifest, Precision
from x3ddeploy.bundle.opened import Bundle, sha256_of
from x3ddeploy.bundle.paths import BENCH, BENCH_REPORTS, CALIBRATION, ENGINES, EVAL, MANIFEST, golden_folder


def seal(directory: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, last, over every file that is in `directory` now; gives it with its files."""
    files = _entries(directory, directory)
    sealed = replace(manifest, files=files)
    _write_manifest(directory, sealed)
    return sealed


def add_precision(
    bundle: Bundle, name: str, files: Mapping[str, bytes], golden: Mapping[str, bytes], precision: Precision
) -> Bundle:
    """Put graphs of a lower precision into a bundle, in the place of those of the same name.

    The manifest forgets the old ones first and learns the new ones last: whenever it is read, it is true.

    Args:
        bundle: opened.
        name: 'fp16', 'bf16' or 'int8', the folder.
        files: contents by name in that folder.
        golden: outputs of these graphs on the golden clip, contents by name in `golden/<name>/`.
        precision: how they came about.

    Raises:
        X3DDeployError: the disk is full or read-only; what the manifest says still holds.
    """
    path, manifest = bundle.path, bundle.manifest
    others = {key: entry for key, entry in manifest.precisions.items() if key != name}
    folders = {name: files, golden_folder(name): golden}
    replaced = tuple(f"{folder}/" for folder in folders)
    kept = {key: entry for key, entry in manifest.files.items() if not key.startswith(replaced)}
    calibrations = {entry.calibration for entry in others.values()}
    kept = {key: entry for key, entry in kept.items() if key.split("/")[0] != CALIBRATION or key in calibrations}
    manifest = replace(manifest, files=kept, precisions=others)
    with explain_os_errors(path):
        _write_manifest(path, manifest)
        entries: dict[str, FileEntry] = {}
        for folder, contents in folders.items():
            with staged_directory(path / folder) as staging:
                for file, content in contents.items():
                    write_bytes(staging / file, content)
            entries |= _entries(path / folder, path)
        if precision.calibration:
            calibration = path / precision.calibration
            entries[precision.calibration] = FileEntry(sha256_of(calibration), calibration.stat().st_size)
        manifest = replace(manifest, files={**kept, **entries}, precisions={**others, name: precision})
        _write_manifest(path, manifest)
    return Bundle(path, manifest)


def add_engine(path: Path, name: str, entry: EngineEntry, plan: bytes, report: bytes) -> Bundle:
    """Put an engine and its report into a bundle, in the place of the one of that name.

    The manifest is read anew under a lock, so that engines which are built at the same time are all kept; it forgets
    the old one first and learns the new one last.

    Args:
        path: the bundle's directory.
        name: of the plan in the bundle, 'engines/<gpu>-<sm>-trt<version>/<part>.<precision>.plan'.
        entry: what it is.
        plan: raw, so that trtexec loads it as well.
        report: JSON, written beside it under the same name.

    Raises:
        X3DDeployError: the disk is full or read-only; what the manifest says still holds.
        BundleError: the bundle is gone.
    """
    contents = {name: plan, f"{name.removesuffix('.plan')}.json": report}
    with explain_os_errors(path), locked(path):
        manifest = Bundle.open(path).manifest
        kept = {key: value for key, value in manifest.files.items() if key not in contents}
        others = {key: value for key, value in manifest.engines.items() if key != name}
        if len(kept) < len(manifest.files):
            _write_manifest(path, replace(manifest, files=kept, engines=others))
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        for key, content in contents.items():
            write_bytes(path / key, content)
        entries = {key: FileEntry(sha256_of(path / key), len(content)) for key, content in contents.items()}
        manifest = replace(manifest, files={**kept, **entries}, engines={**others, name: entry})
        _write_manifest(path, manifest)
    return Bundle(path, manifest)


def _entries(directory: Path, root: Path) -> dict[str, FileEntry]:
    return {
        file.relative_to(root).as_posix(): FileEntry(sha256_of(file), file.stat().st_size)
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    write_json(directory / MANIFEST, msgspec.to_builtins(manifest))


def derived_files(path: Path, manifest: Manifest) -> list[str]:
    """Files in a bundle's directory that were made from it and that a new export would lose (engines, ...).

    Reports of a benchmark and an evaluation are not counted: they speak of the graphs that are being replaced.
    """
    folders = {*manifest.precisions, CALIBRATION, ENGINES}
    reports = {BENCH, EVAL, *BENCH_REPORTS}
    known = {name for name in manifest.files if name.split("/")[0] not in folders} | {MANIFEST} | reports
    names = (file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file())
    return [name for name in names if name not in known]
