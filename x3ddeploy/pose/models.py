"""ONNX files of pose models and detectors, told apart by what they give, in one of our runtimes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.files import regular_size
from x3ddeploy.pose.decode import best_boxes, corners, from_heatmaps, from_simcc, from_yolox
from x3ddeploy.pose.pictures import Floats, Picture, PictureWindow, about, cropped, fitted, letterboxed
from x3ddeploy.runtimes.base import Session
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.terms import Pixels, named

_BATCH = 16  # pictures at a time where the model takes any number
_LARGEST = 2**31 - 1


class Kind(Enum):
    """How a model answers."""

    HEATMAPS = "heatmaps"  # (N, K, h, w): HRNet, ViTPose
    SIMCC = "SimCC"  # (N, K, x bins) and (N, K, y bins): RTMPose
    YOLO_POSE = "YOLO-pose"  # (N, 5 + 3K, A): box, score, K times x, y, score
    RTMO = "RTMO"  # (N, M, 5) and (N, M, K, 3): boxes with scores, keypoints
    YOLO = "YOLO"  # (N, 4 + classes, A), person is class 0
    YOLOX = "YOLOX"  # (N, A, 5 + classes), on grids
    BOXES = "boxes"  # (N, M, 5) and classes (N, M): mmdeploy's detectors


_PIXELS = {
    Kind.HEATMAPS: Pixels.IMAGENET,
    Kind.SIMCC: Pixels.IMAGENET,
    Kind.YOLO_POSE: Pixels.UNIT,
    Kind.RTMO: Pixels.BGR,
    Kind.YOLO: Pixels.UNIT,
    Kind.YOLOX: Pixels.BGR,
}
TOP_DOWN = (Kind.HEATMAPS, Kind.SIMCC)
ONE_STAGE = (Kind.YOLO_POSE, Kind.RTMO)


@dataclass(frozen=True, eq=False)
class Persons:
    """Who is in one picture, the surest first.

    Attributes:
        boxes: (M, 4), x0, y0, x1, y1 in pixels.
        keypoints: (M, K, 2), x and y in pixels; (M, 0, 2) of a detector.
        scores: (M, K).
    """

    boxes: Floats
    keypoints: Floats
    scores: Floats


@contextmanager
def _runs(path: Path, runtime: str) -> Iterator[None]:
    """A file that the runtime does not take is the user's, not a fault of ours; each runtime raises what it likes."""
    try:
        yield
    except X3DDeployError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} is no model that {runtime} runs: {reason}", hint="name an ONNX file") from error


class Model:
    """A pose model or a detector, ready to run; `with` closes it.

    Args:
        path: the ONNX file.
        runtime, device, threads: where it runs.
        pixels: what it takes pixels as; None for what models of its kind do.

    Raises:
        UsageError: it is no such model, its input's size is not fixed, or `pixels` cannot be told from its outputs.
        MissingRequirementError: the runtime is not here.
    """

    def __init__(
        self,
        path: Path,
        *,
        runtime: str = "onnxruntime",
        device: str | None = None,
        threads: int | None = None,
        pixels: str | Pixels | None = None,
    ) -> None:
        self.path = path
        try:
            regular_size(path, _LARGEST)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}", hint="name an ONNX file") from error
        with _runs(path, runtime):
            self._session: Session = open_session(runtime, path, device=device, threads=threads)
        if len(self._session.inputs) != 1:
            raise UsageError(f"{path} takes {', '.join(self._session.inputs)}, and a picture is one tensor")
        ((self._name, shape),) = self._session.inputs.items()
        if len(shape) != 4 or shape[1] != 3 or shape[2] is None or shape[3] is None:
            raise UsageError(
                f"{path} takes {self._name} of shape {shape}, and not (N, 3, height, width) of a known size",
                hint="export it with a fixed height and width",
            )
        self.height, self.width = shape[2], shape[3]
        self._batch = _BATCH if shape[0] is None else shape[0]
        with _runs(path, runtime):
            answers = self._run([np.zeros((3, self.height, self.width), np.float32)])
        self.kind = _kind_of([answer.shape for answer in answers], path)
        self.joints = _joints_of(self.kind, [answer.shape for answer in answers])
        found = named(Pixels, pixels) if pixels else _PIXELS.get(self.kind)
        if found is None:
            raise UsageError(
                f"{path} gives {self.kind.value}, which detectors of several kinds do",
                hint=f"say what it takes pixels as, with --detector-pixels: one of {', '.join(Pixels)}; RTMDet takes "
                f"{Pixels.BGR_IMAGENET.value}, YOLOX {Pixels.BGR.value}",
            )
        self._pixels = found

    def in_boxes(self, pictures: Sequence[Picture], boxes: Sequence[Floats]) -> list[Persons]:
        """Keypoints of the persons in the boxes of each picture, by a top-down model; all persons share its batches.

        Args:
            pictures: (H, W, 3), R, G, B.
            boxes: boxes of each picture, (M, 4).
        """
        windows = [[about(box, self.height, self.width) for box in of_one] for of_one in boxes]
        planes = [
            cropped(picture, window, self.height, self.width, self._pixels)
            for picture, of_one in zip(pictures, windows, strict=True)
            for window in of_one
        ]
        points, scores = self._joints_in(planes)
        found, start = [], 0
        for of_one, windows_of_one in zip(boxes, windows, strict=True):
            end = start + len(windows_of_one)
            joints = [window.back(points[start + place]) for place, window in enumerate(windows_of_one)]
            keypoints = np.stack(joints) if joints else np.zeros((0, self.joints, 2), np.float32)
            found.append(Persons(of_one, keypoints, scores[start:end]))
            start = end
        return found

    def persons(self, pictures: Sequence[Picture]) -> list[Persons]:
        """Persons of each picture, by a one-stage model or a detector."""
        planes = [letterboxed(picture, self.height, self.width, self._pixels) for picture in pictures]
        answers = self._run(planes)
        return [
            self._persons([answer[place] for answer in answers], fitted(picture, self.height, self.width))
            for place, picture in enumerate(pictures)
        ]

    def close(self) -> None:
        """Give back what the runtime holds."""
        self._session.close()

    def _joints_in(self, planes: Sequence[Floats]) -> tuple[Floats, Floats]:
        if not planes:
            return np.zeros((0, self.joints, 2), np.float32), np.zeros((0, self.joints), np.float32)
        answers = self._run(planes)
        if self.kind is Kind.SIMCC:
            return from_simcc(answers[0], answers[1], self.height, self.width)
        return from_heatmaps(answers[0], self.height, self.width)

    def _persons(self, answers: Sequence[Floats], window: PictureWindow) -> Persons:
        keypoints, scores = np.zeros((0, 0, 2), np.float32), np.zeros((0, 0), np.float32)
        if self.kind is Kind.RTMO or self.kind is Kind.BOXES:
            boxes, sure = answers[0][:, :4], answers[0][:, 4]
            if self.kind is Kind.BOXES:
                sure = np.where(answers[1] == 0, sure, 0)
            else:
                keypoints, scores = answers[1][..., :2], answers[1][..., 2]
        elif self.kind is Kind.YOLOX:
            boxes, sure = from_yolox(answers[0], self.height, self.width)
        else:
            rows = answers[0].T
            boxes, sure = corners(rows[:, :4]), rows[:, 4]
            if self.kind is Kind.YOLO_POSE:
                joints = rows[:, 5:].reshape(len(rows), -1, 3)
                keypoints, scores = joints[..., :2], joints[..., 2]
        best = best_boxes(boxes, sure)
        boxes = window.back(boxes[best].reshape(-1, 2, 2)).reshape(-1, 4)
        if not self.joints:
            return Persons(boxes, np.zeros((len(best), 0, 2), np.float32), np.zeros((len(best), 0), np.float32))
        return Persons(boxes, window.back(keypoints[best]), np.clip(scores[best], 0, 1).astype(np.float32))

    def _run(self, planes: Sequence[Floats]) -> list[Floats]:
        """Every output of all pictures, in batches; a fixed batch is filled with the last picture again."""
        parts: list[list[Floats]] = []
        for start in range(0, len(planes), self._batch):
            given = list(planes[start : start + self._batch])
            filled = given + [given[-1]] * (self._batch - len(given) if self._batch != _BATCH else 0)
            outputs = self._session.run({self._name: np.stack(filled)})
            answers = [np.asarray(value, np.float32)[: len(given)] for value in outputs.values()]
            if not all(np.isfinite(answer).all() for answer in answers):
                raise X3DDeployError(f"{self.path} gives NaN or infinity", hint="export the model again")
            parts.append(answers)
        return [np.concatenate(answers) for answers in zip(*parts, strict=True)]


def _kind_of(shapes: Sequence[tuple[int, ...]], path: Path) -> Kind:
    """What gives tensors of these shapes for one picture."""
    match shapes:
        case [(_, _, _, _)]:
            return Kind.HEATMAPS
        case [(_, joints, _), (_, others, _)] if joints == others and shapes[0][2] != 5:
            return Kind.SIMCC
        case [(_, _, 5), (_, _, _, 3)]:
            return Kind.RTMO
        case [(_, _, 5), (_, _)]:
            return Kind.BOXES
        case [(_, rows, candidates)] if rows < candidates and rows >= 20 and (rows - 5) % 3 == 0:
            return Kind.YOLO_POSE
        case [(_, rows, candidates)] if 5 <= rows < candidates:
            return Kind.YOLO
        case [(_, candidates, rows)] if 6 <= rows < candidates:
            return Kind.YOLOX
    told = ", ".join(str(shape) for shape in shapes)
    raise UsageError(
        f"{path} gives {told}, which no pose model or detector that is known does",
        hint=f"known are {', '.join(kind.value for kind in Kind)}; docs/pose.md has their tensors",
    )


def _joints_of(kind: Kind, shapes: Sequence[tuple[int, ...]]) -> int:
    if kind in TOP_DOWN:
        return shapes[0][1]
    if kind is Kind.RTMO:
        return shapes[1][2]
    return (shapes[0][1] - 5) // 3 if kind is Kind.YOLO_POSE else 0
