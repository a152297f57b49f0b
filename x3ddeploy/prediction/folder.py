"""A folder that fills: each file once, as soon as nobody writes it any more."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from x3ddeploy.data.folder import VIDEO_SUFFIXES
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.locks import is_open_for_writing
from x3ddeploy.modalities.opencv import read_picture, require_opencv
from x3ddeploy.prediction.inputs import KEYPOINT_SUFFIXES
from x3ddeploy.prediction.sources import Frames, Picture
from x3ddeploy.progress import Step

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_MOST_WAITING = 16  # videos that came while others were looked at; the oldest of more is dropped
_LOOK_S = 0.02  # from one look into the folder to the next
# A file that has not changed for so long is whole, unless somebody has it open for writing.
_QUIET_VIDEO_NS = 1_000_000_000
_QUIET_PICTURE_NS = 50_000_000

T = TypeVar("T")
_Version = tuple[int, int, int]


@dataclass(frozen=True)
class Come:
    """A file that is whole, and when it was written last, in seconds of `time.monotonic`."""

    path: Path
    time_s: float


class FilledFolder:
    """The files of some suffixes in a folder, each once, also those that are there already; those written first lead.

    A file that is written anew is another one. Names that begin with a dot are those of half-written files.

    Raises:
        UsageError: there is no such folder.
    """

    def __init__(self, folder: Path, suffixes: tuple[str, ...], quiet_ns: int) -> None:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}", hint="make it first; files are looked for as they come")
        self._folder, self._suffixes, self._quiet_ns = folder, suffixes, quiet_ns
        self._given: dict[Path, _Version] = {}
        self._changed: dict[Path, tuple[_Version, int]] = {}

    def come(self) -> list[Come]:
        """What became whole since this was asked last.

        Raises:
            DataError: the folder is gone.
        """
        now, found = time.monotonic_ns(), []
        changed: dict[Path, tuple[_Version, int]] = {}
        given: dict[Path, _Version] = {}
        for status, path in self._there():
            version = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._given.get(path) == version:
                given[path] = version
                continue
            known, since = self._changed.get(path, (None, now))
            if known is None:  # it has lain here for a while when it is seen first
                since = now - min(max(time.time_ns() - status.st_mtime_ns, 0), self._quiet_ns)
            elif known != version:
                since = now
            if now - since >= self._quiet_ns and not is_open_for_writing(path):
                given[path] = version
                found.append(Come(path, since / 1e9))
            else:
                changed[path] = version, since
        self._given, self._changed = given, changed
        return found

    def _there(self) -> list[tuple[os.stat_result, Path]]:
        """Files in the order in which they were written last."""
        there = []
        try:
            for entry in os.scandir(self._folder):
                if entry.name.lower().endswith(self._suffixes) and not entry.name.startswith("."):
                    with suppress(FileNotFoundError):  # it is gone again
                        there.append((entry.stat(), Path(entry.path)))
        except OSError as error:
            raise DataError(f"cannot look into {self._folder}: {error.strerror}") from error
        there = [(status, path) for status, path in there if stat.S_ISREG(status.st_mode)]
        return sorted(there, key=lambda file: (file[0].st_mtime_ns, file[1].name))


def answers_by_kind(
    folder: Path, of_pictures: Callable[[Path], Iterator[T]], of_videos: Callable[[Path], Iterator[T]]
) -> Iterator[T]:
    """Answers about a folder that fills with pictures, or with videos; the first file of either says which it is.

    Raises:
        UsageError: there is no such folder.
        DataError: it is gone.
    """
    files = FilledFolder(folder, (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES, *KEYPOINT_SUFFIXES), 0)

    def waited() -> Iterator[T]:
        while not (found := files.come()):
            time.sleep(_LOOK_S)
        yield from (of_pictures if found[0].path.suffix.lower() in PICTURE_SUFFIXES else of_videos)(folder)

    return waited()


def folder_frames(folder: Path, tell: Step) -> Frames:
    """Pictures that come into a folder, as they come; those that are there already are of the past.

    Raises:
        UsageError: there is no such folder.
        MissingRequirementError: OpenCV is not installed.
    """
    require_opencv("reading pictures")
    files = FilledFolder(folder, PICTURE_SUFFIXES, _QUIET_PICTURE_NS)
    past = files.come()
    if past:
        tell(f"{len(past)} pictures that lie in {folder} already are not looked at")

    def read() -> Iterator[Picture]:
        while True:
            for entry in files.come():
                picture = read_picture(entry.path)
                if picture is None:
                    tell(f"{entry.path} is no picture that can be read")
                else:
                    yield picture
            time.sleep(_LOOK_S)

    return read


class FolderVideos:
    """Videos that come into a folder, one by one, for ever; of more than 16 that wait the oldest is left out.

    Those that are there at the start all have their turn.

    Args:
        folder: the folder that fills.
        posed: whether files of keypoints stand for videos that are not there.
        tell: receives what is left out.

    Attributes:
        dropped: files that were left out.
    """

    def __init__(self, folder: Path, tell: Step, *, posed: bool) -> None:
        self.dropped = 0
        self._files = FilledFolder(folder, (*VIDEO_SUFFIXES, *(KEYPOINT_SUFFIXES if posed else ())), _QUIET_VIDEO_NS)
        self._tell, self._waiting = tell, deque[Come]()

    def __iter__(self) -> Iterator[Come]:
        yield from self._come()
        while True:
            self._waiting.extend(self._come())
            while len(self._waiting) > _MOST_WAITING:
                self.dropped += 1
                self._tell(f"{self._waiting.popleft().path} is left out: {_MOST_WAITING} newer ones wait")
            if self._waiting:
                yield self._waiting.popleft()
            else:
                time.sleep(_LOOK_S)

    def _come(self) -> list[Come]:
        return [come for come in self._files.come() if not _beside_a_video(come.path)]


def _beside_a_video(path: Path) -> bool:
    return path.suffix in KEYPOINT_SUFFIXES and any(path.with_suffix(suffix).exists() for suffix in VIDEO_SUFFIXES)
