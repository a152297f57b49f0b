"""`x3ddeploy.explain`: where in a video its label was seen, and which joints decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from x3ddeploy.bundle.check import open_whole
from x3ddeploy.errors import UsageError
from x3ddeploy.evaluation.report import class_names
from x3ddeploy.evaluation.scores import Scorer
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.draw_explanation import check_output, draw_explanation
from x3ddeploy.prediction.explain import MAPS_IN, Explanation, class_number, explain_window
from x3ddeploy.prediction.persons import each_person
from x3ddeploy.prediction.predict import OpenedVideo, Windowing, open_video, predict_chosen
from x3ddeploy.prediction.videos import keypoint_source
from x3ddeploy.prediction.windows import Window
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.runtimes.registry import execution_named, graph_runtimes, open_part
from x3ddeploy.terms import AnyPath, Precision

_VIEWS_AT_A_TIME = 10


def explain(
    video: AnyPath,
    keypoints: AnyPath | PoseEstimator | None = None,
    *,
    bundle: AnyPath = "deploy",
    frames: tuple[int, int] | None = None,
    label: str | None = None,
    person: int | None = None,
    min_keypoint_score: float | None = None,
    runtime: str = "onnxruntime",
    device: str | None = None,
    precision: str | Precision = Precision.FP32,
    output: AnyPath | None = None,
    progress: Step = QUIET,
) -> Explanation:
    """Why a video, or a window of it, has its label.

    Of the pictures that is Grad-CAM on the network's last feature maps; of keypoints each joint is taken away in turn.
    docs/explain.md has the formulas, and what they do not say. The answer, and what each joint adds to it, are those
    of the runtime and precision; maps of the pictures are the float32 graph's always, in that runtime where it runs
    ONNX graphs, else in ONNX Runtime on the CPU.

    Args:
        video: file; for a network of keypoints alone they may stand for it.
        keypoints: file or folder of keypoints, or an opened pose model; None for a file beside the video.
        bundle: directory.
        frames: first frame of the window, and the first one behind it; None for the whole video.
        label: name or number of the class to explain; None for the best one.
        person: number of the person whose answer is explained; None for the answer about all.
        min_keypoint_score: joints of a lower score are left out.
        runtime: whose answer is explained, as `x3ddeploy.open` takes it.
        device: device of the runtime; None for its first.
        precision: precision of the graphs or engines.
        output: an `.mp4`, or a folder for a picture of each frame that the network looked at and `explanation.json`.
        progress: receives what is written; a Progress counts joints.

    Raises:
        UsageError: there is no such class, person, frame or runtime, or the network looks at no persons.
        BundleError: the bundle has no graph or engine of that precision.
        MissingRequirementError: the runtime or its device is not here.
        DataError: video or keypoints cannot be read or do not fit each other or the network; nobody is seen.
        GateError: the network gives NaN or infinity.
        X3DDeployError: the graph has no feature map of the pictures, or a file cannot be written.
    """
    opened = open_whole(Path(bundle))
    contract, labels, counted = opened.contract, class_names(opened), counting(progress)
    given = keypoints if keypoints is None or isinstance(keypoints, PoseEstimator) else Path(keypoints)
    found = open_video(Path(video), keypoint_source(given, contract.inputs, 1, counted), contract.inputs)
    if output is not None:
        check_output(Path(output), found)
    if person is not None:
        found = _of_person(found, person, min_keypoint_score)
    windowing = Windowing(min_keypoint_score=min_keypoint_score)
    execution = execution_named(runtime, device, precision)
    maps_in = replace(execution, precision=Precision.FP32) if runtime in graph_runtimes() else MAPS_IN
    with open_part(opened, execution) as session:
        scorer = Scorer(session, contract, _VIEWS_AT_A_TIME)
        window = _window(found, frames)
        (prediction,) = predict_chosen(found, [window], contract, labels, scorer, windowing, workers=1)
        prediction = replace(prediction, person=person)
        number = class_number(label, prediction)
        explanation = explain_window(found, prediction, number, opened, scorer, min_keypoint_score, counted, maps_in)
    if output is not None:
        draw_explanation(found, explanation, Path(output), counted)
        progress(f"written: {output}")
    return explanation


def _window(video: OpenedVideo, frames: tuple[int, int] | None) -> Window:
    start, end = frames or (0, video.info.frames)
    if not 0 <= start < end <= video.info.frames:
        raise UsageError(f"frames {start} to {end} are none of {video.path}, which has {video.info.frames}")
    return Window(start, end)


def _of_person(video: OpenedVideo, person: int, min_keypoint_score: float | None) -> OpenedVideo:
    there = dict(each_person(video, min_keypoint_score))
    if person not in there:
        raise UsageError(f"there is no person {person} in {video.path}", hint=f"there are {', '.join(map(str, there))}")
    return there[person]
