"""Keypoints of videos from a pickle of MMAction2's, read without executing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from x3ddeploy.data.annotation_values import image_shape
from x3ddeploy.data.folder import samples_of
from x3ddeploy.data.unpickling import unpickle_data
from x3ddeploy.errors import DataError
from x3ddeploy.prediction.keypoints import Keypoints, checked_keypoints
from x3ddeploy.text import printable, shortened

_LISTED = 8


@dataclass(frozen=True, eq=False)
class PickledKeypoints:
    """The entries of a pickle: a data set's annotations, or the one dict that MMAction2's pose extraction writes.

    Labels and splits are not looked at; an entry's other values are, when its video is asked for.
    """

    path: Path
    entries: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> PickledKeypoints:
        """Raises DataError where the file cannot be read, or holds neither form."""
        content = unpickle_data(path)
        if isinstance(content, dict):
            content = content.get("annotations", [content])
        entries: list[Any] = content if isinstance(content, list) else [None]
        if not all(isinstance(entry, dict) and isinstance(entry.get("frame_dir"), str) for entry in entries):
            raise DataError(
                f"{path} holds no annotations of MMAction2",
                hint="the form is {'annotations': [{'frame_dir', 'img_shape', 'keypoint', 'keypoint_score'}]}",
            )
        return cls(path, tuple(entries))

    def of(self, video: Path) -> Keypoints:
        """Keypoints of a video: the entry's `frame_dir`, or the last part of it, is its sample's name (`samples_of`).

        Raises:
            DataError: no entry, or several, or one that cannot be used.
        """
        names = [str(entry["frame_dir"]) for entry in self.entries]
        found: list[int] = []
        for name in samples_of(video):
            found = found or [index for index, other in enumerate(names) if other == name]
            found = found or [index for index, other in enumerate(names) if PurePosixPath(other).name == name]
        if len(found) != 1:
            raise DataError(
                f"{self.path} has {len(found) or 'no'} entries for the video {video.stem!r}",
                details=shortened([names[index] for index in found] or names, _LISTED, "entries"),
                hint="an entry's frame_dir is the video's name without suffix",
            )
        entry = self.entries[found[0]]
        where = f"{self.path}: {printable(names[found[0]])}"
        if "keypoint" not in entry:
            raise DataError(f"{where} has no keypoint", hint=f"it has {printable(', '.join(map(str, entry)))}")
        return checked_keypoints(where, entry["keypoint"], entry.get("keypoint_score"), _size(where, entry))


def _size(where: str, entry: Mapping[str, Any]) -> tuple[int, int] | None:
    size = entry.get("img_shape")
    if size is None:
        return None
    try:
        return image_shape(size)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}") from error
