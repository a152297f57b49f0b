"""An update of a bundle that is decided, and not everywhere in place yet.

A directory `.next` in a bundle is a whole bundle, and counts in the place of the one around it. It appears by one
rename, which is the commit of every update. After that its files are put in place one by one, which can be done any
number of times over, and it goes. A reader that may not write reads `.next` as it is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from x3ddeploy.atomic import sync_directory
from x3ddeploy.bundle.paths import MANIFEST
from x3ddeploy.bundle.reading import read_manifest

NEXT = ".next"


def settle(path: Path) -> None:
    """Under the bundle's lock: put a decided update in place, and sweep one that never was decided."""
    for leftover in path.glob(f"{NEXT}.*.partial"):
        shutil.rmtree(leftover)
    following = path / NEXT
    if following.is_dir():
        _put_in_place(following, path)
        shutil.rmtree(following.rename(path / f"{NEXT}.retired.partial"))


def link(source: Path, target: Path) -> None:
    """A second name of a file that nobody changes in place; a copy where the file system has one name a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_in_place(following: Path, path: Path) -> None:
    """Make the bundle what `.next` is. The manifest comes last: the old one tells what is to be removed."""
    old, new = read_manifest(path / MANIFEST), read_manifest(following / MANIFEST)
    for name in new.files:
        _put(following / name, path / name)
    for name in old.files.keys() - new.files.keys():
        (path / name).unlink(missing_ok=True)
        _remove_empty((path / name).parent, path)
    _put(following / MANIFEST, path / MANIFEST)


def _put(file: Path, target: Path) -> None:
    if target.exists() and target.samefile(file):
        return
    partial = target.with_name(f".{target.name}.next.partial")
    partial.unlink(missing_ok=True)
    link(file, partial)
    partial.replace(target)
    sync_directory(target.parent)


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
