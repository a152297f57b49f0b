"""Why a window has its label: where in the pictures the class was seen, and which joints decided.

The joints' part is by occlusion (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901): each joint in turn is taken
away, and the network asked again. What a joint adds is the difference of the log odds of the class,
ln(p / (1 - p)) with it less without it, the "weight of evidence" of Robnik-Sikonja and Kononenko (2008,
https://doi.org/10.1109/TKDE.2007.190734): unlike a probability it does not come to rest near 1. It is exact, and needs
no gradients. The pictures' part is Grad-CAM (`x3ddeploy.prediction.gradcam`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from x3ddeploy.bundle import Bundle
from x3ddeploy.contract import Contract, Input, InputKind
from x3ddeploy.data.prepare import prepare_clips, seen_of_frames
from x3ddeploy.data.video import read_frames
from x3ddeploy.errors import DataError, UsageError
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.modalities import Indices, modalities_of, needs_frames, needs_keypoints, one_view, sample_clips
from x3ddeploy.modalities.keypoints import COCO_17
from x3ddeploy.prediction.document import SCHEMA_VERSION, ExplainedFrame, ExplainedJoint, ExplanationReport
from x3ddeploy.prediction.gradcam import GradCam
from x3ddeploy.prediction.predict import OpenedVideo, Prediction
from x3ddeploy.progress import Progress
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

# Maps are found by small differences, which the steps of a lower precision would swallow: they are float32's always.
MAPS_IN = Execution("onnxruntime", "cpu", Precision.FP32)
_LEAST = 1e-12  # of a probability and of its rest: 27.6 in log odds

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Heat:
    """Where the class was seen.

    Attributes:
        frames: (T,), of the video: those that the network looked at.
        values: (T, height, width), at least 0, of what it saw of each.
        box: left, top, right and bottom of that in pixels of the frame.
    """

    frames: npt.NDArray[np.int64]
    values: Floats
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a window has a label.

    Attributes:
        prediction: answer about the window, over all its views.
        label: number of the class that is explained.
        view_score: its probability in the view that is explained: one clip, of its frames the middle.
        frames: (T,), of the video: those that this view looks at.
        heat: heat of the pictures; None where the network takes none.
        joints: evidence of each joint; None where it takes none.
        without: probability of the class without each joint; None likewise.
    """

    prediction: Prediction
    label: int
    view_score: float
    frames: npt.NDArray[np.int64]
    heat: Heat | None
    joints: npt.NDArray[np.float64] | None
    without: npt.NDArray[np.float64] | None

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.prediction.labels[self.label]

    def report(self) -> ExplanationReport:
        """What is said of it."""
        seconds = self.prediction.seconds() or (None, None)
        joints = frames = None
        if self.joints is not None and self.without is not None:
            order = np.argsort(-self.joints, kind="stable")
            names = joint_names(len(self.joints))
            joints = [
                ExplainedJoint(int(joint), names[joint], float(self.joints[joint]), float(self.without[joint]))
                for joint in order
            ]
        if self.heat is not None:
            total = float(self.heat.values.sum()) or 1.0
            shares = self.heat.values.sum((1, 2)) / total
            frames = [ExplainedFrame(int(at), float(share)) for at, share in zip(self.heat.frames, shares, strict=True)]
        return ExplanationReport(
            schema_version=SCHEMA_VERSION,
            video=str(self.prediction.video),
            start_frame=self.prediction.window.start,
            end_frame=self.prediction.window.end,
            start_s=seconds[0],
            end_s=seconds[1],
            person=UNSET if self.prediction.person is None else self.prediction.person,
            label=self.name,
            class_index=self.label,
            score=float(self.prediction.deployed[self.label]),
            view_score=self.view_score,
            frames=frames,
            joints=joints,
        )


def joint_names(count: int) -> Sequence[str]:
    """COCO's, or 'joint 3' where there are others."""
    return COCO_17 if count == len(COCO_17) else [f"joint {number}" for number in range(count)]


def class_number(name: str | None, prediction: Prediction) -> int:
    """The number of a class by its name or its number; the best one for None.

    Raises:
        UsageError: there is no such class.
        DataError: nobody is seen, so that there is no best one.
    """
    if not prediction.seen:
        raise DataError(
            f"nobody is seen in frames {prediction.window.start}-{prediction.window.end - 1} of {prediction.video}",
            hint="there is no label to explain; name other frames",
        )
    if name is None:
        return int(prediction.deployed.argmax())
    if name in prediction.labels:
        return list(prediction.labels).index(name)
    if name.isdecimal() and int(name) < len(prediction.labels):
        return int(name)
    raise UsageError(f"there is no class {name!r}", hint=f"one of: {', '.join(prediction.labels[:20])}")


def explain_window(
    video: OpenedVideo,
    prediction: Prediction,
    label: int,
    bundle: Bundle,
    scorer: Scorer,
    min_keypoint_score: float | None,
    progress: Progress,
    maps_in: Execution = MAPS_IN,
) -> Explanation:
    """Explain a prediction.

    Args:
        video: opened; where the answer is about a person, with the keypoints of that person alone.
        prediction: answer about a window of it.
        label: number of the class.
        bundle: opened.
        scorer: runs its network.
        min_keypoint_score: as in the prediction.
        progress: counts joints.
        maps_in: where the float32 graph's maps are computed.

    Raises:
        DataError: a frame cannot be decoded.
        GateError: the network gives NaN or infinity.
        X3DDeployError: the graph has no feature map of the pictures.
    """
    contract = bundle.contract
    inputs, window = one_view(contract.inputs), prediction.window
    fps = None if video.info.fps is None else float(video.info.fps)
    indices = {
        name: drawn + window.start for name, drawn in sample_clips(window.end - window.start, inputs, fps=fps).items()
    }
    view = _View(video, inputs, indices, window.frames, min_keypoint_score)
    clip = view.clip()
    share = _class_score(scorer, contract, label)
    score, joints, without = share(clip), None, None
    if needs_keypoints(inputs) and video.annotation is not None:
        count = video.annotation.keypoints.shape[2]
        lost = []
        for joint in range(count):
            progress.count("joints", joint, count)
            lost.append(share(view.clip(joint)))
        progress.count("joints", count, count)
        without = np.array(lost)
        joints = log_odds(score) - log_odds(without)
    heat = _heat(bundle, view, clip, label, maps_in) if needs_frames(inputs) else None
    looked = np.unique(np.concatenate([drawn.ravel() for drawn in indices.values()]))
    return Explanation(prediction, label, score, looked, heat, joints, without)


def log_odds(probability: Any) -> Any:
    """ln(p / (1 - p)), of probabilities that are kept 1e-12 away from 0 and 1."""
    kept = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.log(kept / (1 - kept))


class _View:
    """One clip of a window, whose frames are decoded once."""

    def __init__(
        self,
        video: OpenedVideo,
        inputs: Mapping[str, Input],
        indices: Mapping[str, Indices],
        window: slice,
        min_keypoint_score: float | None,
    ) -> None:
        self._video, self.inputs, self.indices, self._min_score = video, inputs, indices, min_keypoint_score
        self._window = window
        self._pictures: dict[int, npt.NDArray[np.uint8]] = {}

    def clip(self, without: int | None = None) -> dict[str, Floats]:
        """Each input, (1, ...); without one of the joints."""
        return prepare_clips(
            self._read, self._video.annotation, self.inputs, self.indices, self._min_score, without, self._window
        )

    def boxes(self) -> dict[str, tuple[float, float, float, float]]:
        """What is seen of the frames; see `seen_of_frames`."""
        shown = (self._video.info.height, self._video.info.width)
        return seen_of_frames(self._video.annotation, self.inputs, self.indices, shown, self._min_score, self._window)

    def _read(self, wanted: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
        missing = [frame for frame in wanted if frame not in self._pictures]
        if missing:
            self._pictures |= dict(zip(missing, read_frames(self._video.path, missing), strict=True))
        return [self._pictures[frame] for frame in wanted]


def _class_score(scorer: Scorer, contract: Contract, label: int) -> Any:
    def score(clip: Mapping[str, Floats]) -> float:
        return float(scorer([clip]).of(contract.scores[contract.deployed])[0, label])

    return score


def _heat(bundle: Bundle, view: _View, clip: Mapping[str, Floats], label: int, maps_in: Execution) -> Heat:
    (name,) = (name for name, value in view.inputs.items() if value.kind is InputKind.FRAMES)
    frames = view.indices[name][0]
    shape = modalities_of(view.inputs)[name].clip_shape
    cam = GradCam(bundle, maps_in.runtime, maps_in.device)
    try:
        values = cam.maps(clip, label).at(len(frames), *shape[-2:])
    finally:
        cam.close()
    return Heat(frames, values, view.boxes()[name])
