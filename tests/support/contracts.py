"""Contracts: of networks that take one input (frames alone, or heatmaps alone), and of the tiny two-stream network."""

from x3ddeploy.contract import (
    BATCH_AXIS,
    WHOLE,
    Activation,
    Contract,
    Input,
    InputKind,
    Output,
    OutputKind,
    Part,
    Score,
    Transform,
    Views,
)
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS

CLASSES = 3
LENGTH, SIZE, JOINTS = 4, 16, 17


def frames_input(*more, shape=(3, LENGTH, SIZE, SIZE), compact=False):
    pipeline = (
        Transform("UniformSampleFrames", {"clip_len": LENGTH}),
        *((Transform("MMCompact", {"hw_ratio": 1.0, "allow_imgpad": True}),) if compact else ()),
        Transform("Resize", {"scale": [SIZE, SIZE], "keep_ratio": False}),
        Transform("Normalize", {"mean": [100.0, 110.0, 120.0], "std": [50.0, 55.0, 60.0]}),
        *more,
    )
    return Input(InputKind.FRAMES, (BATCH_AXIS, *shape), pipeline)


def heatmaps_input(**drawing):
    pipeline = (
        Transform("UniformSampleFrames", {"clip_len": LENGTH}),
        Transform("MMCompact", {"hw_ratio": 1.0, "allow_imgpad": True}),
        Transform("Resize", {"scale": [SIZE, SIZE], "keep_ratio": False}),
        Transform("GeneratePoseTarget", {"sigma": 0.6, "scaling": 0.5, **drawing}),
    )
    return Input(InputKind.HEATMAPS, (BATCH_AXIS, JOINTS, LENGTH, SIZE // 2, SIZE // 2), pipeline)


def one_input(name, value, activation=Activation.SOFTMAX):
    """A network that is not cut, and has one set of logits."""
    logits = Output(OutputKind.LOGITS, (BATCH_AXIS, CLASSES), activation)
    return Contract(
        family="one",
        inputs={name: value},
        parts={WHOLE: Part((name,), ("logits",))},
        outputs={"logits": logits},
        scores={"classes": Score({"logits": 1.0})},
        deployed="classes",
    )


def frames_contract(**values):
    return one_input("imgs", frames_input(**values))


def heatmaps_contract():
    return one_input("heatmap_imgs", heatmaps_input())


def skeleton_input(steps, shape):
    """Steps as a config has them; shape (M, T, V, C)."""
    pipeline = tuple(
        Transform(step["type"], {key: value for key, value in step.items() if key != "type"}) for step in steps
    )
    clips = next((step["num_clips"] for step in steps if "num_clips" in step), 1)
    return Input(InputKind.SKELETON, (BATCH_AXIS, *shape), pipeline, Views(clips))


def two_streams(weights=(1, 1)):
    return two_stream_contract(PRESETS["tiny"], weights, None, {})
