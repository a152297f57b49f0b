"""From weights, config and presets to one ModelSpec, with the origin of every value."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from x3ddeploy.checkpoint.config import CHECKPOINT_CONFIG, read_config_file
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint.contradictions import contradictions
from x3ddeploy.families.two_stream_x3d.checkpoint.layout import TRAINING_ONLY, check_layout
from x3ddeploy.families.two_stream_x3d.checkpoint.settings import NAMES, Settings, settings_of_config, settings_of_spec
from x3ddeploy.families.two_stream_x3d.checkpoint.weights import WeightsSpec, read_weights, without_trace
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, ModelSpec, PoseInput, RGBInput, text_of

_WEIGHTS = "weights"
_DERIVED = "derived"
_COCO_JOINTS = 17
_RGB_CHANNELS = 3


@dataclass(frozen=True)
class Override:
    """What the user named with `--config`: a preset, or a config file's values.

    Attributes:
        origin: 'preset NAME' or 'config FILE'.
    """

    origin: str
    source: ModelSpec | Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """A recognizer that is fully known.

    Attributes:
        state_dict: exactly the weights of `layout.expected_shapes(spec)`; what serves training only is left out.
        origins: dotted name of each field of `spec` (and 'rgb.stage_strides', 'pose.stage_strides', which 'rgb.stages'
            and 'pose.stages' hold as well) -> 'weights', 'checkpoint config', 'config FILE', 'default of CLASS',
            'preset NAME', 'derived'.
        notes: contradictions and substitutions that the user should know.
    """

    spec: ModelSpec
    state_dict: dict[str, Tensor]
    origins: dict[str, str]
    notes: tuple[str, ...]


def read_override(name: str) -> Override:
    """Read what `--config` names: a preset's name, or the path of a Python config.

    Raises:
        CheckpointError: it is neither, or the file cannot be read.
    """
    path = Path(name)
    if name in PRESETS:
        return Override(f"preset {name}", PRESETS[name])
    if path.suffix == ".py" or path.is_file():
        return Override(f"config {name}", read_config_file(path))
    close = difflib.get_close_matches(name, PRESETS, n=1)
    raise CheckpointError(
        f"--config {name!r} is neither a preset ({', '.join(PRESETS)}) nor a config file",
        hint=f"did you mean {close[0]!r}?" if close else "name a preset or the path of a Python config",
    )


def resolve_spec(
    state_dict: Mapping[str, Tensor],
    config: Mapping[str, Any] | None = None,
    override: Override | None = None,
) -> Resolved:
    """Find out which network the weights are of and what it is fed.

    Depth, widths, squeeze-and-excitation, joints, classes and prototypes are the weights' own. Every other value comes
    from the first of these that has it: the checkpoint's config (with its classes' defaults), `override` (likewise),
    the preset with the same backbones; of what a config says, and cannot be read, no preset is a substitute.

    Args:
        state_dict: weights in the original layout, as `read_checkpoint` gives them.
        config: the checkpoint's own config, read by `read_config_text`; None where it carries none.
        override: what the user named with `--config`.

    Raises:
        CheckpointError: the weights do not make such a network (all missing, unexpected and misshapen ones are
            listed); a config describes unsupported input; values that nothing tells (all of them are listed).
    """
    weights = read_weights(state_dict)
    checked = check_layout(state_dict, weights)
    if weights.rgb.in_channels != _RGB_CHANNELS:
        raise CheckpointError(
            f"the RGB backbone takes {weights.rgb.in_channels} channels, not {_RGB_CHANNELS}",
            hint="only RGB frames are supported; flow or stacked frames are not",
        )
    notes: list[str] = []
    stated: list[Settings] = []
    for source in (None if config is None else Override(CHECKPOINT_CONFIG, config), override):
        if source is not None:
            settings = _settings(source, weights)
            stated.append(settings)
            notes += settings.notes
            if not isinstance(source.source, ModelSpec):
                notes += contradictions(source.source, source.origin, weights)
    presets = [
        _settings(Override(f"preset {name}", preset), weights)
        for name, preset in PRESETS.items()
        if without_trace(preset.rgb) == weights.rgb and without_trace(preset.pose) == weights.pose
    ]
    values, origins, choice_notes = _choose(stated, presets)
    notes += choice_notes
    training_only = sum(key.startswith(TRAINING_ONLY) for key in state_dict)
    if training_only:
        notes.append(f"left out {training_only} weights that serve training only (cls_head.fr_coarse_*)")
    spec = _assemble(weights, values)
    _check_strides(spec, weights, origins)
    return Resolved(spec, checked, _all_origins(spec, origins), tuple(notes))


def _settings(source: Override, weights: WeightsSpec) -> Settings:
    if isinstance(source.source, ModelSpec):
        return settings_of_spec(source.source, source.origin, weights.rgb, weights.pose)
    return settings_of_config(source.source, source.origin, weights.rgb, weights.pose)


def _choose(stated: list[Settings], presets: list[Settings]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Each setting's value and origin, from the first source that has it; notes on those that have another or none."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    notes: list[str] = []
    unknown: list[str] = []
    for name in NAMES:
        problems = [f"{source.origin}: {source.problems[name]}" for source in stated if name in source.problems]
        having = [source for source in (*stated, *presets) if name in source.values]
        if not any(name in source.values for source in stated) and problems:
            having = []  # what a config says and cannot be read is asked for: a preset that fits would be a guess
        if not having:
            unknown.append(f"{name} ({'; '.join(problems)})" if problems else name)
            continue
        values[name], origins[name] = having[0].values[name], having[0].origin_of(name)
        notes += [f"{problem}; {name} {text_of(values[name])} is from the {origins[name]}" for problem in problems]
        notes += [
            f"{source.origin_of(name)}: {name} is {text_of(source.values[name])}, "
            f"but {origins[name]} says {text_of(values[name])}, which is used"
            for source in having[1:]
            if source in stated and source.values[name] != values[name]
        ]
    if unknown:
        raise CheckpointError(
            "the checkpoint does not tell all that its network and inputs need",
            details=unknown,
            hint=f"pass --config with the training config, or with a preset ({', '.join(PRESETS)}) that fits",
        )
    return values, origins, notes


def _assemble(weights: WeightsSpec, values: Mapping[str, Any]) -> ModelSpec:
    def backbone(stream: str, known: BackboneSpec) -> BackboneSpec:
        strides = values[f"{stream}.stage_strides"]
        return replace(
            known,
            stages=tuple(replace(stage, stride=stride) for stage, stride in zip(known.stages, strides, strict=True)),
            stem_stride=values[f"{stream}.stem_stride"],
            fold_div=values[f"{stream}.fold_div"],
            activation=values[f"{stream}.activation"],
        )

    def heatmap_extent(frame_extent: int) -> int:
        return int(frame_extent * values["pose_input.scaling"] + 0.5)  # as MMAction2's GeneratePoseTarget rounds

    rgb_input = RGBInput(**{name: values[f"rgb_input.{name}"] for name in ("frames", "height", "width", "mean", "std")})
    return ModelSpec(
        rgb=backbone("rgb", weights.rgb),
        pose=backbone("pose", weights.pose),
        head=replace(weights.head, average_clips=values["head.average_clips"]),
        rgb_input=rgb_input,
        pose_input=PoseInput(
            height=heatmap_extent(rgb_input.height),
            width=heatmap_extent(rgb_input.width),
            keypoint_order="coco17" if weights.pose.in_channels == _COCO_JOINTS else "dataset",
            **{name: values[f"pose_input.{name}"] for name in ("frames", "sigma", "scaling", "use_score")},
        ),
    )


def _check_strides(spec: ModelSpec, weights: WeightsSpec, origins: Mapping[str, str]) -> None:
    """The one trace of a stride: where channels stay, there is a downsample if the stride is not 1."""
    wrong = [
        f"{stream}.layer{number}: the {origins[f'{stream}.stage_strides']} says stride {stage.stride}, but the weights "
        f"have {'a' if traced.stride != 1 else 'no'} downsample in its first block"
        for stream, ours, theirs in (("rgb", spec.rgb, weights.rgb), ("pose", spec.pose, weights.pose))
        for number, (stage, seen, traced) in enumerate(
            zip(ours.stages, without_trace(ours).stages, theirs.stages, strict=True), 1
        )
        if seen != traced
    ]
    if wrong:
        raise CheckpointError(
            "the weights were trained with other strides",
            details=wrong,
            hint="pass the config that this checkpoint was trained with",
        )


def _all_origins(spec: ModelSpec, chosen: Mapping[str, str]) -> dict[str, str]:
    derived = dict.fromkeys(("pose_input.height", "pose_input.width", "pose_input.keypoint_order"), _DERIVED)
    fields = [
        f"{part.name}.{value.name}"
        for part in dataclasses.fields(spec)
        for value in dataclasses.fields(getattr(spec, part.name))
    ]
    return {**{name: derived.get(name, _WEIGHTS) for name in fields}, **chosen}
