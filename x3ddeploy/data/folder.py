"""Where the video of an annotated sample lies in a folder."""

from __future__ import annotations

from pathlib import Path

from x3ddeploy.errors import DataError

# What follows a sample's name, the most usual first; NTU RGB+D's own files are `S001C001P001R001A001_rgb.avi`.
SUFFIXES = (".mp4", ".avi", "_rgb.avi", ".mkv", ".mov", ".webm")


def video_of(folder: Path, name: str) -> Path:
    """The file of a sample: the first that there is of its name with one of SUFFIXES; else what it is mostly called."""
    candidates = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in candidates if path.exists()), candidates[0])


def inside(folder: Path, path: Path) -> Path:
    """The path, unless a link on the way to it leads out of the folder: annotations choose what is read.

    Raises:
        DataError: it does.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{path} is a link that leads out of the folder of the videos",
            hint=f"name the folder of the videos themselves with --videos: {path.resolve().parent}",
        )
    return path
