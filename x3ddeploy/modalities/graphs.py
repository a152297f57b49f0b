"""Preprocessing as graphs: what a camera and a pose estimator give to what the network takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto

from x3ddeploy.contract import PERSONS_AXIS, Input, Part
from x3ddeploy.errors import UsageError
from x3ddeploy.graphs.builder import BATCH_AXIS, GraphBuilder
from x3ddeploy.modalities.frames import RAW_FRAMES, Frames
from x3ddeploy.modalities.heatmaps import MIN_SCORE, RAW_KEYPOINTS, RAW_SCORES, REACH, Heatmaps
from x3ddeploy.modalities.kinds import modalities_of

_PREPROCESS, _BACKBONE = "preprocess", "_backbone"


def preprocessing_name(tensor: str, inputs: Mapping[str, Input], parts: Mapping[str, Part]) -> str:
    """Name of the graph that makes an input: after the stream whose backbone takes it alone, `preprocess_<stream>`.

    A network of one input and no stream has one graph, `preprocess`; others are called after the input.
    """
    streams = [name for name, part in parts.items() if name.endswith(_BACKBONE) and part.inputs == (tensor,)]
    if streams:
        return f"{_PREPROCESS}_{streams[0].removesuffix(_BACKBONE)}"
    return _PREPROCESS if len(inputs) == 1 else f"{_PREPROCESS}_{tensor}"


def is_preprocessing(graph: str) -> bool:
    """Whether a graph has a name that `preprocessing_name` gives."""
    return graph == _PREPROCESS or graph.startswith(f"{_PREPROCESS}_")


def preprocessing_graphs(
    inputs: Mapping[str, Input],
    parts: Mapping[str, Part],
    batch: int | None,
    metadata: Callable[[str], dict[str, str]],
) -> dict[str, onnx.ModelProto]:
    """The graphs that make a network's inputs of what a camera and a pose estimator give, by name.

    Args:
        inputs: inputs of the network.
        parts: parts of the network; they say what the graphs are called.
        batch: fixed number of clips, None for a dynamic axis.
        metadata: name of a graph -> its metadata_props.

    Raises:
        UsageError: an input is made of a whole video's skeletons.
    """
    graphs = {}
    for name, kind in modalities_of(inputs).items():
        called = preprocessing_name(name, inputs, parts)
        if isinstance(kind, Frames):
            graphs[called] = _of_frames(GraphBuilder(called), name, kind, batch, metadata(called))
        elif isinstance(kind, Heatmaps):
            graphs[called] = _of_keypoints(GraphBuilder(called), name, kind, batch, metadata(called))
        else:
            raise UsageError(
                f"there is no preprocessing graph for {name!r}: its steps look at all frames of a video, before any is "
                "sampled",
                hint="leave --preprocess out; the manifest has the steps (docs/preprocessing.md)",
            )
    return graphs


def _of_frames(
    graph: GraphBuilder, name: str, frames: Frames, batch: int | None, metadata: dict[str, str]
) -> onnx.ModelProto:
    """`frames` (N, T, H, W, 3) uint8, R, G, B, to normalised clips."""
    leading = batch or BATCH_AXIS
    view = frames.view
    values = graph.input(RAW_FRAMES, (leading, view.length, *view.size, 3), TensorProto.UINT8)
    with graph.scope("normalise"):
        values = graph.node("Cast", values, to=TensorProto.FLOAT)
        values = graph.node("Sub", values, graph.constant("mean", np.array(frames.mean, np.float32)))
        values = graph.node("Div", values, graph.constant("std", np.array(frames.std, np.float32)))
        values = graph.node("Transpose", values, perm=[0, 1, 4, 2, 3] if frames.time_first else [0, 4, 1, 2, 3])
    graph.output(values, name, (leading, *frames.clip_shape))
    return graph.model(metadata)


def _of_keypoints(
    graph: GraphBuilder, name: str, heatmaps: Heatmaps, batch: int | None, metadata: dict[str, str]
) -> onnx.ModelProto:
    """`keypoints` (N, M, T, K, 2) and `keypoint_scores` (N, M, T, K, 1) to clips (N, K, T, H, W).

    M, the number of persons, is dynamic. A clip without persons is one person with scores of zero. A model that was
    trained without scores has no `keypoint_scores`; there a missing person has coordinates of NaN.
    """
    if heatmaps.limbs:
        raise UsageError(
            f"there is no preprocessing graph that draws limbs, as {name!r} needs it",
            hint="leave --preprocess out; the manifest has the steps (docs/preprocessing.md)",
        )
    leading = batch or BATCH_AXIS
    shape = leading, PERSONS_AXIS, heatmaps.view.length, heatmaps.joints
    keypoints = graph.input(RAW_KEYPOINTS, (*shape, 2))
    with graph.scope("keypoints"):
        centres = graph.node("Mul", keypoints, graph.constant("scaling", np.float32(heatmaps.scaling)))
        x, y = graph.node("Split", centres, graph.integers(1, 1), outputs=2, axis=4)
    with graph.scope("gaussian"):
        columns, known_x = _gaussian(graph, x, "x", heatmaps.width, heatmaps.sigma)
        rows, known_y = _gaussian(graph, y, "y", heatmaps.height, heatmaps.sigma)
    with graph.scope("peak"):
        drawn = graph.node("And", known_x, known_y, name="known_place")
        if heatmaps.use_score:
            height = graph.input(RAW_SCORES, (*shape, 1))
            # NaN fails every comparison, and so draws nothing.
            least = graph.constant("min_score", np.float32(MIN_SCORE))
            scored = graph.node("GreaterOrEqual", height, least, name="scored")
            finite = graph.node("LessOrEqual", height, _largest(graph), name="finite")
            drawn = graph.node("And", drawn, graph.node("And", scored, finite, name="known_score"), name="drawn")
        else:
            height = graph.constant("one", np.float32(1))
        peak = graph.node("Where", drawn, height, _zero(graph))
    with graph.scope("draw"):
        rows = graph.node("Mul", rows, peak, name="rows")
        rows = graph.node("Unsqueeze", rows, graph.integers(5), name="upright")
        columns = graph.node("Unsqueeze", columns, graph.integers(4), name="lying")
        persons = graph.node("Mul", rows, columns, name="persons")  # (N, M, T, K, H, W)
        clip = graph.node("ReduceMax", persons, axes=[1], keepdims=0)
        clip = graph.node("Transpose", clip, perm=[0, 2, 1, 3, 4])
    graph.output(clip, name, (leading, *heatmaps.clip_shape))
    return graph.model(metadata)


def _gaussian(graph: GraphBuilder, centre: str, axis: str, size: int, sigma: float) -> tuple[str, str]:
    """Values of the windowed one-dimensional Gaussian (N, M, T, K, size), and which centres are finite.

    The window's borders are cut toward zero, as Python's int() does: the sign times the floor of the magnitude.
    """
    reach = np.float32(REACH * sigma)
    with graph.scope(axis):
        known = graph.node("LessOrEqual", graph.node("Abs", centre, name="magnitude"), _largest(graph), name="known")
        centre = graph.node("Where", known, centre, _zero(graph))
        low = graph.constant(f"{axis}/lowest", np.float32(-2 * reach - 2))
        high = graph.constant(f"{axis}/highest", np.float32(size + 2 * reach + 2))
        centre = graph.node("Min", graph.node("Max", centre, low), high)
        pixels = graph.constant(f"{axis}/pixels", np.arange(size, dtype=np.float32))
        reach_name = graph.constant("reach", reach)
        first = _toward_zero(graph, graph.node("Sub", centre, reach_name, name="from"), "first")
        last = _toward_zero(graph, graph.node("Add", centre, reach_name, name="to"), "last")
        inside = graph.node(
            "And",
            graph.node("GreaterOrEqual", pixels, first, name="after_first"),
            graph.node("LessOrEqual", pixels, last, name="before_last"),
            name="inside",
        )
        distance = graph.node("Sub", pixels, centre, name="distance")
        squared = graph.node("Mul", distance, distance, name="squared")
        exponent = graph.node("Div", squared, graph.constant("minus_two_variances", np.float32(-2 * sigma**2)))
        return graph.node("Where", inside, graph.node("Exp", exponent), _zero(graph), name="window"), known


def _toward_zero(graph: GraphBuilder, value: str, name: str) -> str:
    with graph.scope(name):
        magnitude = graph.node("Floor", graph.node("Abs", value))
        result: str = graph.node("Mul", graph.node("Sign", value), magnitude)
        return result


def _zero(graph: GraphBuilder) -> str:
    return graph.constant("zero", np.float32(0))


def _largest(graph: GraphBuilder) -> str:
    """The largest float32: what is not beyond it is finite."""
    return graph.constant("largest", np.finfo(np.float32).max)
