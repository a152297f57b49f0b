"""The contract of the two-stream recognizer: both backbones, the head, and the recognizer that is all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from x3ddeploy.contract import (
    BATCH_AXIS,
    WHOLE,
    Activation,
    Average,
    Block,
    Contract,
    Input,
    InputKind,
    Output,
    OutputKind,
    Part,
    Score,
    Shape,
    Transform,
)
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

FAMILY = "two_stream_x3d"
STREAM_INPUTS = {"rgb": "imgs", "pose": "heatmap_imgs"}
FUSED = "fused"
EQUAL_FUSION = (1.0, 1.0)


def two_stream_contract(
    spec: ModelSpec, fusion: tuple[float, float], batch: int | None, blocks: Mapping[str, Sequence[Block]]
) -> Contract:
    """What a bundle of this network says of itself.

    Args:
        spec: the network and what it is fed.
        fusion: weights of the RGB and the pose stream in `scores`.
        batch: fixed number of clips, None for a dynamic axis.
        blocks: part -> its blocks, as its graph records them.
    """

    def shape(of_clip: Sequence[int]) -> Shape:
        return _shape(of_clip, batch)

    head = spec.head
    kinds = {"": head.classes, "_coarse": head.coarse_classes}
    logits = {
        f"{stream}{kind}_logits": Output(
            OutputKind.LOGITS, shape((classes,)), Activation.SOFTMAX, Average(head.average_clips)
        )
        for stream in STREAM_INPUTS
        for kind, classes in kinds.items()
        if classes
    }
    features = {name: Output(OutputKind.FEATURES, shape(sizes[1:])) for name, sizes in spec.feature_shapes().items()}
    scores = Output(OutputKind.SCORES, shape((head.classes,)), None, Average(head.average_clips))
    given = (*logits, "scores")
    parts = {
        f"{stream}_backbone": Part((source,), (f"{stream}_feat",), tuple(blocks.get(f"{stream}_backbone", ())))
        for stream, source in STREAM_INPUTS.items()
    }
    return Contract(
        family=FAMILY,
        inputs=clip_inputs(spec, batch),
        parts={**parts, "head": Part(tuple(features), given), WHOLE: Part(tuple(STREAM_INPUTS.values()), given)},
        outputs={**features, **logits, "scores": scores},
        scores={
            **{stream: Score({f"{stream}_logits": 1.0}) for stream in STREAM_INPUTS},
            FUSED: Score({f"{stream}_logits": weight for stream, weight in zip(STREAM_INPUTS, fusion, strict=True)}),
        },
        deployed=FUSED,
    )


def clip_inputs(spec: ModelSpec, batch: int | None = None) -> dict[str, Input]:
    """What the network is fed, by name.

    Both clips are drawn, cropped and resized alike; then the frames are normalised, and the joints drawn.
    """
    rgb, pose = spec.rgb_input, spec.pose_input
    shapes = spec.input_shapes()

    def pipeline(frames: int, *rest: Transform) -> tuple[Transform, ...]:
        return (
            Transform("UniformSampleFrames", {"clip_len": frames}),
            Transform("MMCompact", {"hw_ratio": 1.0, "allow_imgpad": True}),
            Transform("Resize", {"scale": [rgb.width, rgb.height], "keep_ratio": False}),
            *rest,
        )

    normalise = Transform("Normalize", {"mean": list(rgb.mean), "std": list(rgb.std)})
    draw = Transform("GeneratePoseTarget", {"sigma": pose.sigma, "scaling": pose.scaling, "use_score": pose.use_score})
    return {
        "imgs": Input(InputKind.FRAMES, _shape(shapes["imgs"][1:], batch), pipeline(rgb.frames, normalise)),
        "heatmap_imgs": Input(
            InputKind.HEATMAPS,
            _shape(shapes["heatmap_imgs"][1:], batch),
            pipeline(pose.frames, draw),
            keypoint_order=pose.keypoint_order,
        ),
    }


def _shape(of_clip: Sequence[int], batch: int | None) -> Shape:
    return (batch or BATCH_AXIS, *of_clip)
