"""A video's answers as one HTML page beside it: player, skeletons, labels over time, scores over time."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from x3ddeploy.atomic import write_bytes
from x3ddeploy.prediction.overlay import PERSONS, drawn_joints, limbs
from x3ddeploy.prediction.predict import OpenedVideo, Prediction
from x3ddeploy.report.templating import templates
from x3ddeploy.text import escaped

_CURVES = 6  # classes with a colour of their own, of which style sheets know as many
_PER_PICTURE = 10_000  # steps that a picture's width and height are cut into for the joints
_NOT_DRAWN = -(2**15)


def write_page(video: OpenedVideo, predictions: Sequence[Prediction], output: Path) -> None:
    """Write the page; it plays the video from where it lies now, and holds all else itself.

    Args:
        video: an opened video; its file is there.
        predictions: predictions of its windows.
        output: file to write, in a folder that is there.

    Raises:
        X3DDeployError: the file cannot be written.
    """
    write_bytes(output, render_page(video, predictions, address(video.path, output)).encode())


def address(video: Path, page: Path) -> str:
    """The video as a page calls it: relative, and with all escaped that an address would read otherwise."""
    relative = Path(os.path.relpath(video.resolve(), page.parent.resolve()))
    return quote(os.fsencode(relative.as_posix()))


def render_page(video: OpenedVideo, predictions: Sequence[Prediction], source: str) -> str:
    """The page's text. A policy in it forbids the browser to load anything but the video.

    Args:
        video: an opened video.
        predictions: predictions of its windows.
        source: address of the video, as the page names it.
    """
    environment = templates()
    pieces: dict[str, str] = {}
    for name, files in {"style": ("base.css", "video.css"), "script": ("video.js",)}.items():
        text = "\n" + "".join(environment.get_template(file).render() for file in files)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        pieces |= {name: text, f"{name}_hash": f"sha256-{digest}"}
    return environment.get_template("video.html.j2").render(
        **pieces,
        name=escaped(video.path.name),
        source=source,
        notes=[escaped(note) for note in dict.fromkeys(note for entry in predictions for note in entry.notes)],
        data=page_data(video, predictions),
    )


def page_data(video: OpenedVideo, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """What the page's script draws.

    `names` are the classes that are shown, the first `curves` of them with a colour and a curve of their own. A row is
    a person, or all of them: `windows` are [start, end, class, its score, the scores of the curves' classes], with
    class -1 where the network saw nobody; `spans` are [start, end, window], the frames that show a window's label.
    """
    curves = _top_classes(predictions)
    best = [int(entry.deployed.argmax()) for entry in predictions if entry.seen]
    classes = list(dict.fromkeys([*curves, *best]))
    rows = []
    for person in dict.fromkeys(entry.person for entry in predictions):
        windows = [entry for entry in predictions if entry.person == person]
        rows.append(
            {
                "person": person,
                "windows": [_window(entry, classes, curves) for entry in windows],
                "spans": list(_spans(windows, video.info.frames)),
            }
        )
    return {
        "frames": video.info.frames,
        "fps": None if video.info.fps is None else float(video.info.fps),
        "width": video.info.width,
        "height": video.info.height,
        "names": [escaped(predictions[0].labels[index]) for index in classes],
        "curves": len(curves),
        "rows": rows,
        "colours": ["#{:02x}{:02x}{:02x}".format(*colour) for colour in PERSONS],
        "skeletons": _skeletons(video),
    }


def _top_classes(predictions: Sequence[Prediction]) -> list[int]:
    """Classes that win most windows first, then those of the highest scores."""
    seen = [entry.deployed for entry in predictions if entry.seen]
    if not seen:
        return []
    scores = np.stack(seen)
    wins = np.bincount(scores.argmax(1), minlength=scores.shape[1])
    return [int(index) for index in np.lexsort((-scores.max(0), -wins))[:_CURVES]]


def _window(entry: Prediction, classes: Sequence[int], curves: Sequence[int]) -> list[Any]:
    if not entry.seen:
        return [entry.window.start, entry.window.end, -1, 0, []]
    best = int(entry.deployed.argmax())
    scores = [round(float(entry.deployed[index]), 4) for index in (best, *curves)]
    return [entry.window.start, entry.window.end, classes.index(best), scores[0], scores[1:]]


def _spans(windows: Sequence[Prediction], frames: int) -> Iterator[list[int]]:
    """Start and end of the frames that each window is nearest to, and its number: as `nearest_window` has it."""
    start = 0
    for number, entry in enumerate(windows):
        window, end = entry.window, frames
        if number + 1 < len(windows):
            after = windows[number + 1].window
            end = (window.start + window.end + after.start + after.end - 2) // 4 + 1
        shown = (start, end) if entry.person is None else (max(start, window.start), min(end, window.end))
        if shown[0] < shown[1]:
            yield [*shown, number]
        start = end


def _skeletons(video: OpenedVideo) -> dict[str, Any] | None:
    """Joints that are drawn, in shares of the picture: little-endian int16 (frames, persons, joints, 2) as base64."""
    if video.annotation is None or video.annotation.in_space:
        return None
    size = (video.info.height, video.info.width)
    positions, drawn = drawn_joints(video.annotation, size)
    shares = np.clip(np.round((positions + 0.5) / (size[1], size[0]) * _PER_PICTURE), 1 + _NOT_DRAWN, -1 - _NOT_DRAWN)
    packed = np.where(drawn[..., None], shares, _NOT_DRAWN).astype("<i2").transpose(1, 0, 2, 3)
    persons, _, joints = drawn.shape
    return {
        "persons": persons,
        "joints": joints,
        "limbs": limbs(joints),
        "data": base64.b64encode(packed.tobytes()).decode(),
    }
