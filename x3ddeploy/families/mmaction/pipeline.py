"""A test pipeline of MMAction2's as what a contract says of an input: steps, views and the shape of a clip.

Steps stay as they are, with the parameters that the config gives them; whether a step is understood is asked of the
modality that takes it. Here only those are told apart that read files, that lay axes out, and that make views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from x3ddeploy.checkpoint.rules import shown
from x3ddeploy.contract import InputKind, Transform, Views
from x3ddeploy.errors import CheckpointError, UsageError
from x3ddeploy.families.mmaction.training_config import Config, Described, mmaction_class
from x3ddeploy.modalities.view import COMPACTS

DECOMPRESS = "DecompressPose"
_DECOMPRESSED = {"squeeze": True, "max_person": 10}  # `x3ddeploy.data.compressed`
DRAW, GRAPH, FORMAT = "GeneratePoseTarget", "FormatGCNInput", "FormatShape"
FRAMES_INPUT, HEATMAPS_INPUT, SKELETON_INPUT = "imgs", "heatmap_imgs", "keypoint"
# They read files, or hand the result on; what they give is what the network's own data source gives here.
_OPENING = ("DecordInit", "OpenCVInit", "PyAVInit", "PIMSInit", DECOMPRESS)
_SAMPLING = ("SampleFrames", "DenseSampleFrames", "UniformSample", "UniformSampleFrames", "MMUniformSampleFrames")
_DECODING = ("DecordDecode", "OpenCVDecode", "PyAVDecode", "PIMSDecode", "RawFrameDecode", "PoseDecode", "MMDecode")
_PACKING = "PackActionInputs"
_READING = frozenset({*_OPENING, *_DECODING, _PACKING})
_EXACT = "accurate"
# In what order steps come: what was sampled is decoded, and all that is not named here is done to what was decoded.
_DECODED, _CHANGED, _LAID_OUT = 2, 3, 4
_TURNS = {
    **dict.fromkeys(_OPENING, 0), **dict.fromkeys(_SAMPLING, 1), **dict.fromkeys(_DECODING, _DECODED),
    FORMAT: _LAID_OUT, _PACKING: 5,
}  # fmt: skip
_CROPS = {"ThreeCrop": 3, "TenCrop": 5}  # TenCrop: each mirrored as well
_DENSE_POSITIONS = 10  # DenseSampleFrames' default
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Resize": {"keep_ratio": True},
    DRAW: {"sigma": 0.6, "scaling": 1.0, "use_score": True},
}
_MODALITY = {InputKind.FRAMES: "RGB", InputKind.HEATMAPS: "Pose"}  # as clip_len of MMUniformSampleFrames calls them
IMAGES_TOO = "MIX2d3d"  # images as NCHW, clips as NCTHW
_MOST = 8192  # frames or pixels; it keeps a hostile config from asking for terabytes


def kinds_fed(types: Sequence[str]) -> frozenset[InputKind]:
    """What a pipeline with steps of these names feeds a network with."""
    if GRAPH in types:
        return frozenset({InputKind.SKELETON})
    if DRAW not in types:
        return frozenset({InputKind.FRAMES})
    both = "MMDecode" in types or "MMUniformSampleFrames" in types
    return frozenset({InputKind.HEATMAPS, InputKind.FRAMES} if both else {InputKind.HEATMAPS})


def parameters(step: Config) -> dict[str, Any]:
    """A step's parameters, tuples as the lists that JSON would make of them."""
    return {key: _plain(value) for key, value in step.items() if key not in ("type", "_scope_")}


def steps_of(described: Described) -> list[Transform]:
    """The steps that an input goes through, in order, without those that read files.

    Raises:
        CheckpointError: a step reads other frames than those that were sampled, or compressed keypoints in another way;
            what is sampled is not decoded once and then laid out once.
    """
    steps = [Transform(mmaction_class(step.get("type")), parameters(step)) for step in described.steps]
    _check_turns([step.type for step in steps])
    for step in steps:
        mode = step.parameters.get("mode", _EXACT)
        if step.type in _READING and mode != _EXACT:
            raise CheckpointError(
                f"{step.type}.mode = {shown(mode)} of the test pipeline: it takes the nearest key frames",
                hint=f"the very frames that are sampled are read here, as mode={_EXACT!r} does",
            )
        if step.type == DECOMPRESS and {**_DECOMPRESSED, **step.parameters} != _DECOMPRESSED:
            raise CheckpointError(
                f"{DECOMPRESS} {step.parameters}: compressed keypoints are read as {_DECOMPRESSED}",
                hint="other ways of reading them are not supported",
            )
    return [_with_defaults(step) for step in steps if step.type not in _READING]


def _check_turns(types: Sequence[str]) -> None:
    turns = [_TURNS.get(type_, _CHANGED) for type_ in types]
    if turns != sorted(turns) or (turns.count(_DECODED), turns.count(_LAID_OUT)) != (1, 1):
        raise CheckpointError(
            f"the steps of the test pipeline are {', '.join(types)}",
            hint=f"one samples, one decodes what was sampled, others change it, and {FORMAT} lays it out",
        )


def check_layout(described: Described, layout: str) -> None:
    """Raise CheckpointError where the last step gives clips in another order of axes."""
    (said,) = (parameters(step) for step in described.steps if mmaction_class(step.get("type")) == FORMAT)
    if {"collapse": False, **said} != {"input_format": layout, "collapse": False}:
        raise CheckpointError(f"{FORMAT} {shown(said)}: clips are fed as {layout}, with their axis")


def _with_defaults(step: Transform) -> Transform:
    """What a config leaves out means its class's default, and is said: a contract means something else by it."""
    given = step.parameters
    if step.type in COMPACTS:
        ratio = given.get("hw_ratio")
        ratio = ratio[0] if isinstance(ratio, list) and ratio and ratio == ratio[:1] * len(ratio) else ratio
        return Transform(step.type, {**given, "hw_ratio": ratio})
    return Transform(
        step.type, {**given, **{key: value for key, value in _DEFAULTS.get(step.type, {}).items() if key not in given}}
    )


@dataclass(frozen=True)
class Clips:
    """What is sampled of a video.

    Attributes:
        length: frames of one clip.
        count: clips of one video.
    """

    length: int
    count: int


def clips_sampled(
    steps: Sequence[Transform], kind: InputKind, *, flat: bool = False, segments: int | None = None
) -> Clips:
    """How many frames one clip has, and how many clips a video.

    Args:
        steps: steps of the pipeline.
        kind: kind of the input.
        flat: whether the network is 2-D: clips of one frame are segments, which it takes together.
        segments: how many frames it takes together, where it says so.

    Raises:
        CheckpointError: nothing samples, or what it says cannot be.
    """
    sampling = [step for step in steps if step.type in _SAMPLING]
    if len(sampling) != 1:
        raise CheckpointError(
            f"the test pipeline has {len(sampling)} steps that sample frames, not one",
            hint=f"one of {', '.join(_SAMPLING)} says how many frames the network takes",
        )
    (step,) = sampling
    length, count = step.parameters.get("clip_len", 1), step.parameters.get("num_clips", 1)
    if isinstance(length, Mapping):
        length = length.get(_MODALITY[kind])
    length, count = whole(length, f"{step.type}.clip_len"), whole(count, f"{step.type}.num_clips")
    positions = _DENSE_POSITIONS if step.type == "DenseSampleFrames" else 1
    positions = whole(step.parameters.get("num_sample_positions", positions), f"{step.type}.num_sample_positions")
    positions *= 2 if step.parameters.get("twice_sample") else 1
    taken = count if flat and length == 1 else length
    taken = taken if segments is None else whole(segments, "cls_head.num_segments")
    drawn = length * count * positions
    if drawn % taken:
        raise CheckpointError(f"{step.type} draws {drawn} frames of a video, and the network takes {taken} together")
    return Clips(taken, drawn // taken)


def views_of(steps: Sequence[Transform], clips: int, kind: InputKind) -> Views:
    """How many views of one video are scored."""
    crops = next((_CROPS[step.type] for step in steps if step.type in _CROPS), 1)
    mirrored = any(step.type == "TenCrop" for step in steps)
    double = any(step.type == DRAW and step.parameters.get("double") for step in steps)
    return Views(clips, crops, flip=mirrored or (double and kind is InputKind.HEATMAPS))


def size_seen(steps: Sequence[Transform]) -> tuple[int, int]:
    """Height and width after the last step that fixes both. Raises CheckpointError where none does."""
    size: tuple[Any, Any] | None = None
    for step in steps:
        if step.type == "Resize":
            scale = step.parameters.get("scale")
            fixed = isinstance(scale, list) and len(scale) == 2 and step.parameters.get("keep_ratio", True) is False
            size = (scale[1], scale[0]) if fixed and scale is not None else None
        elif step.type in ("CenterCrop", *_CROPS):
            side = step.parameters.get("crop_size")
            size = (side[1], side[0]) if isinstance(side, list) and len(side) == 2 else (side, side)
    if size is None:
        raise CheckpointError(
            "the test pipeline leaves frames of different sizes",
            hint="a Resize with keep_ratio=False, or a crop, has to fix height and width; say which with --size",
        )
    return whole(size[0], "height of the test pipeline"), whole(size[1], "width of the test pipeline")


def whole(value: Any, what: str) -> int:
    """A number of frames or pixels. Raises CheckpointError where it is none."""
    if type(value) is not int or not 0 < value <= _MOST:
        raise CheckpointError(f"{what} = {shown(value)} is not an integer in 1..{_MOST}")
    return value


def wished_length(steps: list[Transform], kind: InputKind, length: int | None) -> list[Transform]:
    """The steps with another number of frames a clip."""
    if length is None:
        return steps

    def changed(step: Transform) -> Transform:
        said = step.parameters.get("clip_len")
        value = {**said, _MODALITY[kind]: length} if isinstance(said, Mapping) else length
        return replace(step, parameters={**step.parameters, "clip_len": value}) if step.type in _SAMPLING else step

    return [changed(step) for step in steps]


def wished_size(steps: list[Transform], size: tuple[int, int] | None) -> list[Transform]:
    """The steps with other extents of what is seen; what is scaled before a crop stays in proportion to it.

    Raises:
        UsageError: the crops of the pipeline are square, and the wish is not.
    """
    if size is None:
        return steps
    height, width = size
    before = size_seen(steps)[0]
    made = []
    for step in steps:
        given = dict(step.parameters)
        if step.type == "Resize" and given.get("keep_ratio", True) is False:
            given["scale"] = [width, height]
        elif step.type == "Resize" and isinstance(given.get("scale"), list):
            given["scale"] = [side if side == -1 else round(side * height / before) for side in given["scale"]]
        elif step.type in ("CenterCrop", *_CROPS):
            if height != width:
                raise UsageError(
                    f"{step.type} cuts squares, and {height} x {width} is none", hint="give --size equal sides"
                )
            given["crop_size"] = height
        made.append(replace(step, parameters=given))
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
