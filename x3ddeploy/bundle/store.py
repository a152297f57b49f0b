"""Writing into a bundle: what is new appears whole, with the manifest that names it, by one rename."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from x3ddeploy.atomic import explain_os_errors, staged_directory, sync_tree, write_bytes, write_json
from x3ddeploy.bundle.manifest import EngineEntry, FileEntry, Manifest, PrecisionEntry
from x3ddeploy.bundle.opened import Bundle
from x3ddeploy.bundle.paths import (
    BENCH,
    BENCH_REPORTS,
    CALIBRATION,
    ENGINES,
    EVAL,
    MANIFEST,
    golden_folder,
    graph_name,
)
from x3ddeploy.bundle.pending import NEXT, link, settle
from x3ddeploy.bundle.reading import read_manifest
from x3ddeploy.errors import BundleError
from x3ddeploy.files import sha256_of
from x3ddeploy.locks import locked


@dataclass(frozen=True)
class BundleUpdate:
    """What an update makes of a bundle.

    Attributes:
        manifest: as it shall be, with the entries of those files that stay.
        contents: files that are new or take the place of one that was there, by path in the bundle.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]


def seal(directory: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, last, over every file that is in `directory` now; gives it with its files."""
    files = {
        file.relative_to(directory).as_posix(): FileEntry(sha256_of(file), file.stat().st_size)
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }
    sealed = replace(manifest, files=files)
    _write_manifest(directory, sealed)
    return sealed


def create(path: Path, manifest: Manifest, contents: Mapping[str, bytes], may_replace: Callable[[], None]) -> Bundle:
    """Write a new bundle, in the place of the one that is there.

    Args:
        path: the bundle's directory.
        manifest: without its files.
        contents: contents of every file, by path in the bundle.
        may_replace: called under the lock on what is there; raises where it is not to be lost.

    Raises:
        X3DDeployError: the disk is full or read-only; what was there is untouched.
    """

    def check() -> None:
        settle(path)  # under the lock that `Bundle.open` would wait for
        may_replace()

    with staged_directory(path, check) as staging:
        for name, content in contents.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(staging / name, content)
        manifest = seal(staging, manifest)
    return Bundle(path, manifest)


def update(path: Path, change: Callable[[Manifest], BundleUpdate]) -> Bundle:
    """Change a bundle; the only way in which its manifest and the files that it names are changed.

    Under the bundle's lock the manifest is read anew, the new bundle is laid out beside the old one (files that stay
    get a second name), one rename decides for it, and then its files are put in place and the old ones are removed.
    Killed before the rename, the bundle is the old one; after it, the new one.

    Args:
        path: the bundle's directory.
        change: gives what shall be, from the manifest as it is now.

    Raises:
        X3DDeployError: the disk is full or read-only; the bundle is the old or the new one.
        BundleError: the bundle is gone, lacks a file that its manifest names, or would say what cannot be.
    """
    with explain_os_errors(path), locked(path):
        settle(path)
        wanted = change(read_manifest(path / MANIFEST))
        entries = {
            name: FileEntry(hashlib.sha256(content).hexdigest(), len(content))
            for name, content in wanted.contents.items()
        }
        manifest = replace(wanted.manifest, files=dict(sorted({**wanted.manifest.files, **entries}.items())))
        staging = path / f"{NEXT}.new.partial"
        staging.mkdir()
        try:
            for name in manifest.files:
                _lay_out(name, wanted.contents, path, staging)
            _write_manifest(staging, manifest)
            sync_tree(staging)
            staging.rename(path / NEXT)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        settle(path)
    return Bundle(path, manifest)


def add_precision(
    bundle: Bundle,
    name: str,
    files: Mapping[str, bytes],
    golden: Mapping[str, bytes],
    precision: PrecisionEntry,
    calibration: bytes = b"",
) -> Bundle:
    """Put graphs of a lower precision into a bundle, in the place of those of the same name.

    Args:
        bundle: the bundle whose float32 graphs they were made from.
        name: 'fp16', 'bf16' or 'int8', the folder.
        files: contents by name in that folder.
        golden: outputs of these graphs on the golden clip, contents by name in `golden/<name>/`.
        precision: how they came about.
        calibration: content of the file that `precision.calibration` names, where it names one.

    Raises:
        BundleError: the bundle has other float32 graphs by now.
        X3DDeployError: see `update`.
    """
    folders = {name: files, golden_folder(name): golden}
    contents = {f"{folder}/{file}": content for folder, held in folders.items() for file, content in held.items()}
    if precision.calibration:
        contents[precision.calibration] = calibration

    def change(manifest: Manifest) -> BundleUpdate:
        for part in bundle.manifest.parts:
            _require_same(bundle.path, manifest, graph_name(part), bundle.manifest.files[graph_name(part)].sha256)
        precisions = {**manifest.precisions, name: precision}
        calibrations = {entry.calibration for entry in precisions.values()}
        replaced = tuple(f"{folder}/" for folder in folders)
        kept = {file: entry for file, entry in manifest.files.items() if not file.startswith(replaced)}
        kept = {
            file: entry for file, entry in kept.items() if file.split("/")[0] != CALIBRATION or file in calibrations
        }
        return BundleUpdate(replace(manifest, files=kept, precisions=precisions), contents)

    return update(bundle.path, change)


def add_engine(path: Path, name: str, entry: EngineEntry, plan: bytes, report: bytes) -> Bundle:
    """Put an engine and its report into a bundle, in the place of the one of that name.

    Args:
        path: the bundle's directory.
        name: name of the plan in the bundle, 'engines/<gpu>-<sm>-trt<version>/<part>.<precision>.plan'.
        entry: what it is.
        plan: raw, so that trtexec loads it as well.
        report: JSON, written beside it under the same name.

    Raises:
        BundleError: the bundle is gone, or has another graph by now than the one that the engine was built from.
        X3DDeployError: see `update`.
    """
    contents = {name: plan, f"{name.removesuffix('.plan')}.json": report}

    def change(manifest: Manifest) -> BundleUpdate:
        _require_same(path, manifest, graph_name(entry.part, entry.options.precision.value), entry.graph_sha256)
        return BundleUpdate(replace(manifest, engines={**manifest.engines, name: entry}), contents)

    return update(path, change)


def _require_same(path: Path, manifest: Manifest, graph: str, sha256: str) -> None:
    """What was made from a graph is not put beside another one that came to lie there in the meantime."""
    file = manifest.files.get(graph)
    if file is None or file.sha256 != sha256:
        raise BundleError(f"{path / graph} was replaced while this command ran", hint="run the command again")


def _lay_out(name: str, contents: Mapping[str, bytes], path: Path, staging: Path) -> None:
    if name in contents:
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(staging / name, contents[name])
        return
    try:
        link(path / name, staging / name)
    except FileNotFoundError as error:
        raise BundleError(f"{path / name} is missing, and the manifest names it", hint="export again") from error


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    write_json(directory / MANIFEST, manifest)
    read_manifest(directory / MANIFEST)  # what nobody could read again must not be decided


def derived_files(path: Path, manifest: Manifest) -> list[str]:
    """Files in a bundle's directory that were made from it and that a new export would lose (engines, ...).

    Reports of a benchmark and an evaluation are not counted: they speak of the graphs that are being replaced.
    """
    folders = {*manifest.precisions, CALIBRATION, ENGINES}
    reports = {BENCH, EVAL, *BENCH_REPORTS}
    known = {name for name in manifest.files if name.split("/")[0] not in folders} | {MANIFEST} | reports
    names = (file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file())
    return [name for name in names if name not in known and not name.split("/")[-1].endswith(".partial")]
