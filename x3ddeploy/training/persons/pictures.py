"""Pictures of persons with joints and boxes in COCO's form, as the detector and the pose network see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch.utils.data import Dataset

from x3ddeploy.data.annotation_values import leads_out
from x3ddeploy.errors import DataError
from x3ddeploy.files import read_json
from x3ddeploy.modalities.opencv import read_picture
from x3ddeploy.pose.pictures import Floats, Picture, PictureWindow, about, cropped, fitted, planes
from x3ddeploy.registry import DATASETS
from x3ddeploy.terms import Pixels

MOST_PERSONS = 32  # of a picture that the detector learns from; the largest ones
_LIMIT = 512 << 20  # bytes; COCO's own person_keypoints_train2017.json has 240 MB
_SIGMA = 1.5  # of a joint's peak, in pixels of the heatmap
# Detectors are not exact: windows are moved and scaled by up to so much of a person's size.
_SHIFT, _SCALE = 0.08, 0.15
_ZOOM = 1.3  # pictures are shown to the detector smaller by up to this
_GREY = 114  # beside a picture, as one-stage models see it


class _Image(msgspec.Struct):
    id: int
    file_name: str


class _Person(msgspec.Struct):
    image_id: int
    bbox: tuple[float, float, float, float]
    keypoints: list[float]
    iscrowd: int = 0


class _Content(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Person]


@DATASETS.register_module()
class PersonPictures(Dataset[dict[str, Any]]):
    """A sample is a picture, and the window of one of its persons.

    In training a sample is a function of the seed, the epoch and the picture alone (`SeedHook` tells them).

    Args:
        ann_file: COCO's JSON of keypoints.
        images: folder of its pictures.
        picture: height and width of what the detector takes.
        window: height and width of what the pose network takes.
        joints: number of joints of every person.
        test_mode: pictures and windows as they are found, and the first person's window.

    Raises:
        DataError: the file cannot be read, is of another form, names pictures that are not there, or has nobody.
    """

    def __init__(
        self,
        ann_file: str,
        images: str,
        picture: tuple[int, int],
        window: tuple[int, int],
        joints: int = 17,
        test_mode: bool = False,
    ) -> None:
        # Shared memory: workers that live through all epochs see the hook's changes.
        self.seed_and_epoch = torch.zeros(2, dtype=torch.int64).share_memory_()
        self.folder, self.picture, self.window, self.test_mode = Path(images), picture, window, test_mode
        self.samples = _read(Path(ann_file), self.folder, joints)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample.

        `picture` (3, H, W) and `boxes` (32, 4) in its pixels, zeros behind the persons; `window` (3, h, w), `heatmaps`
        (K, h/2, w/2), `joints` (K, 3) in pixels of the window with COCO's visibility, `person` (4,), the box there.
        """
        file, persons = self.samples[index]
        random = None if self.test_mode else np.random.default_rng([*self.seed_and_epoch.tolist(), index])
        picture = _decoded(self.folder / file)
        boxes = np.stack([box for box, _ in persons])
        box, joints = persons[0 if random is None else random.integers(len(persons))]
        height, width = self.window
        window = _moved(about(box, height, width), self.window, random)
        seen = np.concatenate([_inside(window, joints[:, :2]), joints[:, 2:]], 1).astype(np.float32)
        view = _zoomed(fitted(picture, *self.picture), random)
        shown = planes(view.cut(picture, *self.picture, _GREY), Pixels.UNIT)
        rows = np.zeros((MOST_PERSONS, 4), np.float32)
        rows[: len(boxes)] = _inside(view, boxes.reshape(-1, 2)).reshape(-1, 4)[:MOST_PERSONS]
        return {
            "picture": shown,
            "boxes": rows,
            "window": cropped(picture, window, height, width, Pixels.IMAGENET),
            "heatmaps": heatmaps(seen, height, width),
            "joints": seen,
            "person": _inside(window, box.reshape(-1, 2)).ravel(),
        }


def heatmaps(joints: Floats, height: int, width: int) -> Floats:
    """(K, height/2, width/2): a peak of 1 at each joint (https://arxiv.org/abs/1804.06208); none where visibility is 0.

    Args:
        joints: (K, 3), x and y in pixels of the window, and visibility.
        height: height of the window.
        width: width of the window.
    """
    y, x = np.mgrid[: height // 2, : width // 2].astype(np.float32)
    places = joints[:, :2, None, None] / 2
    squares = (x - places[:, 0]) ** 2 + (y - places[:, 1]) ** 2
    return np.exp(-squares / (2 * _SIGMA**2)) * (joints[:, 2] > 0)[:, None, None].astype(np.float32)


def _read(path: Path, folder: Path, joints: int) -> list[tuple[str, list[tuple[Floats, Floats]]]]:
    """File, and box (4,) and joints (K, 3) of each person, the largest first; pictures without persons are left out."""
    try:
        content: _Content = read_json(path, _Content, _LIMIT)
        files = {image.id: image.file_name for image in content.images}
        persons: dict[str, list[tuple[Floats, Floats]]] = {}
        for person in content.annotations:
            values = np.array(person.keypoints, np.float32)
            if values.size != 3 * joints or not np.isfinite(values).all():
                raise ValueError(f"a person has {values.size} keypoint values, and not x, y, v of {joints} joints")
            if person.iscrowd or not min(person.bbox[2:]) > 0:
                continue
            x, y, width, height = person.bbox
            box = np.array((x, y, x + width, y + height), np.float32)
            persons.setdefault(files[person.image_id], []).append((box, values.reshape(-1, 3)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except KeyError as error:
        raise DataError(f"{path}: a person is of the image {error}, which is not there") from error
    except ValueError as error:
        raise DataError(
            f"{path} holds no COCO keypoints: {error}", hint="`x3ddeploy synth --pictures` writes some"
        ) from error
    if not persons:
        raise DataError(f"{path} has nobody in any picture")
    missing = [file for file in persons if leads_out(file) or not (folder / file).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(persons)} pictures of {path} are not in {folder}", details=missing[:8])
    return [(file, sorted(found, key=_minus_area)) for file, found in sorted(persons.items())]


def _minus_area(person: tuple[Floats, Floats]) -> float:
    box, _ = person
    return -float(np.prod(box[2:] - box[:2]))


def _decoded(path: Path) -> Picture:
    picture = read_picture(path)
    if picture is None:
        raise DataError(f"{path} is no picture")
    return picture


def _moved(window: PictureWindow, size: Sequence[int], random: np.random.Generator | None) -> PictureWindow:
    if random is None:
        return window
    scale = window.scale * random.uniform(1 - _SCALE, 1 + _SCALE)
    height, width = size
    across, down = random.uniform(-_SHIFT, _SHIFT, 2) * max(size) * window.scale
    # About the same middle, before it is moved.
    x, y = window.origin
    return PictureWindow(
        (x + (window.scale - scale) * width / 2 + across, y + (window.scale - scale) * height / 2 + down), scale
    )


def _zoomed(window: PictureWindow, random: np.random.Generator | None) -> PictureWindow:
    return window if random is None else PictureWindow(window.origin, window.scale * random.uniform(1, _ZOOM))


def _inside(window: PictureWindow, points: Floats) -> Floats:
    """Pixels of a picture as pixels of a window; the way back from `PictureWindow.back`."""
    return ((points - np.array(window.origin)) / window.scale).astype(np.float32)
