"""Pictures of persons with their joints and boxes, to train a pose network and a detector on. Whole or absent.

DIR/images/<number>.jpg
DIR/person_keypoints_train.json   COCO's form of keypoints: images, annotations, categories
DIR/person_keypoints_val.json     the same of performers who are in no training picture
DIR/dataset.json                  options, versions, counts, what the data shows and what it does not; marks it as ours
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from x3ddeploy.atomic import explain_os_errors, staged_directory, write_json
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.data.synth.cast import CAMERA_YAWS
from x3ddeploy.data.synth.document import OURS, PicturesRecord
from x3ddeploy.data.synth.options import SynthOptions, last_in_training
from x3ddeploy.data.synth.place import RECORD, library_versions, require_replaceable
from x3ddeploy.data.synth.render import Scene, render
from x3ddeploy.data.synth.skeleton import Floats
from x3ddeploy.data.synth.stage import camera_of, performer_of, room_of, stage
from x3ddeploy.data.synth.together import draw_parts, stage_parts, wide
from x3ddeploy.errors import UsageError
from x3ddeploy.modalities.keypoints import COCO_17
from x3ddeploy.modalities.opencv import require_opencv

PICTURES = "images"
SPLITS = ("train", "val")
_KIND = f"{OURS} persons"
_SCHEMA_VERSION = 1
_COURSE = 8  # moments of an action, one of which a picture shows
_VAL_SHARE = 10  # every so manieth picture judges
_MARGIN_M = 0.14  # from the outer joints to the edge of limbs and head
_HIDDEN, _VISIBLE = 1, 2  # COCO's visibility; 0 is outside of the picture
_SHOWS = "that a pose network and a detector can be trained, exported and used from bare video"
_SHOWS_NOT = "anything about accuracy on real pictures: figures are drawn, and rooms are plain"


@dataclass(frozen=True)
class PictureOptions:
    """What the pictures depend on; the same options give the same set.

    Attributes:
        seed: seed of all draws.
        pictures: how many; every tenth judges.
        size: height and width in pixels of a picture of one performer; those of two are half as wide again.
        subjects: performers, a quarter of whom are in the pictures that judge, and in no other.

    Raises:
        UsageError: a value is out of its range.
    """

    seed: int
    pictures: int
    size: tuple[int, int]
    subjects: int

    def __post_init__(self) -> None:
        if self.pictures < _VAL_SHARE:
            raise UsageError(f"{self.pictures} pictures", hint=f"at least {_VAL_SHARE}, so that one of them judges")
        if self.subjects < 2 * 4:
            raise UsageError(f"{self.subjects} subjects", hint="at least 8: a picture shows two, a quarter judges")
        self.scenes()

    def scenes(self) -> SynthOptions:
        """Options of the scenes."""
        return SynthOptions(self.seed, self.size, _COURSE, self.subjects, self.subjects)


class SynthPicture(NamedTuple):
    """One picture.

    Attributes:
        image: (H, W, 3) uint8, R, G, B.
        joints: (M, 17, 2), where they are drawn: x and y in pixels.
        boxes: (M, 4), x0, y0, x1, y1 in pixels of what is in the picture.
        visibility: (M, 17): 2 seen, 1 behind the counter, 0 outside of the picture.
    """

    image: npt.NDArray[np.uint8]
    joints: Floats
    boxes: Floats
    visibility: npt.NDArray[np.int64]


def make_picture(options: PictureOptions, number: int) -> SynthPicture:
    """Make one picture, numbered from 1: one performer, perhaps with a bystander, or two performers.

    Raises:
        MissingRequirementError: OpenCV is not installed.
    """
    random, scenes = np.random.default_rng([options.seed, 7, number]), options.scenes()
    last = last_in_training(options.subjects)
    performers = range(last + 1, options.subjects + 1) if is_judging(number) else range(1, last + 1)
    camera = int(random.integers(1, len(CAMERA_YAWS) + 1))
    if random.random() < 0.5:
        parts = draw_parts(random, performers)
        scenes, performer = wide(scenes), parts[0].performer
        scene = stage_parts(random, scenes, parts, camera)
    else:
        performer, action = int(random.choice(performers)), ACTIONS[random.integers(len(ACTIONS))]
        scene = stage(random, scenes, action, performer_of(options.seed, performer), camera_of(options.seed, camera))
    scene = _moment(scene, int(random.integers(_COURSE)))
    joints = np.concatenate([figure.joints for figure in scene.figures])
    return SynthPicture(
        render(scene, room_of(options.seed, performer, camera), scenes.size)[0],
        joints,
        _boxes(joints, scene.pixels_per_metre, scenes.size),
        _visibility(joints, scene.counter_top, scenes.size),
    )


def is_judging(number: int) -> bool:
    """Whether a picture is of the split that judges."""
    return number % _VAL_SHARE == 0


def _moment(scene: Scene, time: int) -> Scene:
    """One frame of a scene."""
    only = slice(time, time + 1)
    figures = (replace(figure, joints=figure.joints[only], depth=figure.depth[only]) for figure in scene.figures)
    return replace(scene, figures=tuple(figures))


def _boxes(joints: Floats, pixels_per_metre: float, size: tuple[int, int]) -> Floats:
    margin, most = _MARGIN_M * pixels_per_metre, np.array(size[::-1]) - 1
    corners = np.clip([joints.min(1) - margin, joints.max(1) + margin], 0, most)
    return np.concatenate([corners[0], corners[1]], 1)


def _visibility(joints: Floats, counter_top: float | None, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    hidden = joints[..., 1] > (np.inf if counter_top is None else counter_top)
    inside = ((joints >= 0) & (joints <= np.array(size[::-1]) - 1)).all(-1)
    return np.where(inside, np.where(hidden, _HIDDEN, _VISIBLE), 0)


def generate_pictures(
    directory: Path, options: PictureOptions, progress: Callable[[int, int], None], *, overwrite: bool = False
) -> PicturesRecord:
    """Make all pictures of a set and put it in place when it is whole; see `generate` for arguments and errors."""
    cv2: Any = require_opencv("drawing")
    require_replaceable(directory, overwrite)
    splits: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {"images": [], "annotations": [], "categories": [_category()]} for name in SPLITS
    }
    with staged_directory(directory) as staging:
        (staging / PICTURES).mkdir()
        for number in range(1, options.pictures + 1):
            picture, split = make_picture(options, number), splits[SPLITS[is_judging(number)]]
            file = f"{number:06}.jpg"
            with explain_os_errors(staging):
                encoded = cv2.imencode(".jpg", picture.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
                (staging / PICTURES / file).write_bytes(encoded.tobytes())
            height, width = picture.image.shape[:2]
            split["images"].append({"id": number, "file_name": file, "height": height, "width": width})
            split["annotations"] += _annotations(number, picture)
            progress(number, options.pictures)
        for name, content in splits.items():
            for place, annotation in enumerate(content["annotations"], 1):
                annotation["id"] = place
            write_json(staging / f"person_keypoints_{name}.json", content)
        record = PicturesRecord(
            kind=_KIND,
            schema_version=_SCHEMA_VERSION,
            versions=library_versions("numpy"),
            **asdict(options),
            splits={name: len(content["images"]) for name, content in splits.items()},
            persons=sum(len(content["annotations"]) for content in splits.values()),
            shows=_SHOWS,
            does_not_show=_SHOWS_NOT,
        )
        write_json(staging / RECORD, record)
    return record


def _category() -> dict[str, Any]:
    return {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO_17), "skeleton": []}


def _annotations(number: int, picture: SynthPicture) -> list[dict[str, Any]]:
    """COCO's entries of the persons in a picture; ids are given at the end."""
    entries = []
    for joints, box, visibility in zip(picture.joints, picture.boxes, picture.visibility, strict=True):
        x0, y0, x1, y1 = (round(float(value), 2) for value in box)
        points = np.where((visibility > 0)[:, None], joints, 0)
        entries.append(
            {
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                "area": round((x1 - x0) * (y1 - y0), 2),
                "num_keypoints": int((visibility > 0).sum()),
                "keypoints": np.column_stack([points.round(2), visibility]).ravel().tolist(),
            }
        )
    return entries
