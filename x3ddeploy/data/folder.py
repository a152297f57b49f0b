"""Where the video of an annotated sample lies in a folder."""

from __future__ import annotations

from pathlib import Path

from x3ddeploy.errors import DataError

# The most usual first.
VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv",
)  # fmt: skip
# What a file's name may have after the sample's: NTU RGB+D's own files are `S001C001P001R001A001_rgb.avi`.
RGB = "_rgb"


def video_of(folder: Path, name: str) -> Path:
    """The file of a sample: the first that there is of its name with a suffix; else what it is mostly called."""
    suffixes = [suffix for usual in VIDEO_SUFFIXES for suffix in (usual, usual.upper())]
    candidates = [folder / f"{name}{tail}{suffix}" for tail in ("", RGB) for suffix in suffixes]
    return next((path for path in candidates if path.exists()), candidates[0])


def samples_of(video: Path) -> tuple[str, ...]:
    """What the sample of a video may be called: the file's name without suffix, and without what NTU RGB+D adds."""
    return tuple(dict.fromkeys((video.stem, video.stem.removesuffix(RGB))))


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
