"""What the weights cannot tell: strides, shift fractions, activations, clips and preprocessing, off a config or preset.

A key that a config leaves out has the default of the class that it belongs to, as in training.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from x3ddeploy.checkpoint.config import is_absent, lookup
from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.checkpoint.pipeline import Pipeline, Split, find_pipeline, frame_size, step_named
from x3ddeploy.families.two_stream_x3d.checkpoint.model_keys import (
    BACKBONES,
    HEAD,
    PREPROCESSOR,
    check_model_keys,
    refuse,
)
from x3ddeploy.families.two_stream_x3d.checkpoint.transforms import missing_transforms, refused_transforms
from x3ddeploy.families.two_stream_x3d.config_keys import BackboneConfig, PoseBackboneConfig
from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, ModelSpec, Nonlinearity

# Dotted names in ModelSpec ('..stage_strides' stands for the strides inside of '..stages').
NAMES = (
    *(f"{stream}.{value}" for stream in ("rgb", "pose") for value in (
        "fold_div", "stem_stride", "stage_strides", "activation"
    )),
    *(f"rgb_input.{value}" for value in ("frames", "height", "width", "mean", "std")),
    *(f"pose_input.{value}" for value in ("frames", "sigma", "scaling", "use_score")),
    "head.average_clips",
)  # fmt: skip
# A config can ask for no more than this many frames or pixels; it keeps a hostile one from asking for terabytes.
_MAX_EXTENT = 8192
_MAX_FACTOR = 64  # of heatmap pixels a frame pixel, and of a keypoint's spread in pixels
# MMAction2's GeneratePoseTarget where the config leaves a value out.
_POSE_TARGET_DEFAULTS = {"sigma": 0.6, "scaling": 1.0, "use_score": True}


@dataclass(frozen=True)
class Settings:
    """Values by their name among `NAMES`, from one source.

    Attributes:
        origin: the source, as the user knows it: 'checkpoint config', 'config FILE', 'preset NAME'.
        defaults: dotted name -> the class whose default the value is, as the source leaves its key out.
        problems: dotted name -> why the source's value cannot be used.
        notes: what the source says without effect, or leaves out.
    """

    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def origin_of(self, name: str) -> str:
        """Where the value under `name` comes from."""
        return f"default of {self.defaults[name]}" if name in self.defaults else self.origin

    def default(self, name: str, value: Any, owner: str) -> None:
        """Keep a class's default."""
        self.values[name] = value
        self.defaults[name] = owner

    def take(self, name: str, value: Any, check: Callable[[Any], Any], where: str) -> None:
        """Keep `check(value)` under `name`; note the problem where the value is no literal or fails its check."""
        if isinstance(value, Unreadable):
            self.problems[name] = f"{where}: {value}"
            return
        try:
            self.values[name] = check(value)
        except _WrongValueError as error:
            self.problems[name] = f"{where} = {reprlib.repr(value)[:60]} is not {error}"


class _WrongValueError(Exception):
    """Says what the value should have been."""


def settings_of_spec(spec: ModelSpec, origin: str, rgb: BackboneSpec, pose: BackboneSpec) -> Settings:
    """A preset's settings; its strides only where it has as many stages as the weights (`rgb`, `pose`)."""
    settings = Settings(origin)
    for name in NAMES:
        part, _, attribute = name.partition(".")
        if attribute != "stage_strides":
            settings.values[name] = getattr(getattr(spec, part), attribute)
    for name, ours, weights in (("rgb", spec.rgb, rgb), ("pose", spec.pose, pose)):
        strides = [stage.stride for stage in ours.stages]
        settings.take(f"{name}.stage_strides", strides, partial(_extents, count=len(weights.stages)), "stage strides")
    return settings


def settings_of_config(config: Mapping[str, Any], origin: str, rgb: BackboneSpec, pose: BackboneSpec) -> Settings:
    """A training config's settings; those that it lacks are left out.

    Args:
        config: the config's values.
        origin: the config, as the user knows it.
        rgb: the RGB backbone as the weights have it: it says how many strides there must be.
        pose: the pose backbone, likewise.

    Raises:
        CheckpointError: the config asks for what no specification says: an unknown class, key or transform, another
            normalisation or activation, limb heatmaps, BGR.
    """
    check_model_keys(config, origin)
    settings = Settings(origin)
    _backbone_settings(settings, config, "rgb", len(rgb.stages))
    _backbone_settings(settings, config, "pose", len(pose.stages))
    _head_settings(settings, config)
    _normalisation(settings, config)
    _clips_and_sizes(settings, config)
    return settings


_DEFAULTS = {"rgb": BackboneConfig, "pose": PoseBackboneConfig}


def _backbone_settings(settings: Settings, config: Mapping[str, Any], stream: str, stages: int) -> None:
    if is_absent(lookup(config, f"model.{stream}_backbone")):
        return
    for name, key, check in (
        ("fold_div", "fold_div", _at_least_two),
        ("stem_stride", "conv1_stride", _extent),
        ("stage_strides", "spatial_strides", partial(_first_extents, count=stages)),
        ("activation", "use_swish", _activation),
    ):
        path, full_name = f"{stream}_backbone.{key}", f"{stream}.{name}"
        value = lookup(config, f"model.{path}")
        default = getattr(_DEFAULTS[stream], key)
        if stream == "rgb" and key == "use_swish":
            if not is_absent(value) and value is not True:
                settings.notes.append(f"{settings.origin}: {path} is without effect: its class has swish always")
            settings.default(full_name, Nonlinearity.SWISH, BACKBONES[stream])
        elif is_absent(value):
            settings.take(full_name, default, check, f"{path}, left out,")
            settings.defaults[full_name] = BACKBONES[stream]
        else:
            settings.take(full_name, value, check, path)


def _head_settings(settings: Settings, config: Mapping[str, Any]) -> None:
    if is_absent(lookup(config, "model.cls_head")):
        return
    value = lookup(config, "model.cls_head.average_clips")
    if is_absent(value):
        settings.default("head.average_clips", "none", HEAD)
    else:
        settings.take("head.average_clips", "none" if value is None else value, _average_clips, "average_clips")


def _normalisation(settings: Settings, config: Mapping[str, Any]) -> None:
    places = ("model.data_preprocessor", "data_preprocessor")
    place = next((place for place in places if not is_absent(lookup(config, place))), places[0])
    imgs = lookup(config, f"{place}.preprocessors.imgs")
    if is_absent(imgs):
        return
    mean, std = (lookup({"imgs": imgs}, f"imgs.{name}") for name in ("mean", "std"))
    if is_absent(mean) or mean is None:  # the class then normalises nothing, whatever std says
        settings.default("rgb_input.mean", (0.0, 0.0, 0.0), PREPROCESSOR)
        settings.default("rgb_input.std", (1.0, 1.0, 1.0), PREPROCESSOR)
        return
    where = "data_preprocessor.preprocessors.imgs"
    settings.take("rgb_input.mean", mean, _three_numbers, f"{where}.mean")
    settings.take("rgb_input.std", None if is_absent(std) else std, _three_positive_numbers, f"{where}.std")


def _clips_and_sizes(settings: Settings, config: Mapping[str, Any]) -> None:
    found = find_pipeline(config)
    if isinstance(found, Unreadable):
        for name in ("rgb_input.frames", "rgb_input.height", "rgb_input.width", "pose_input.frames"):
            settings.problems[name] = f"test pipeline: {found}"
        for name in _POSE_TARGET_DEFAULTS:
            settings.problems[f"pose_input.{name}"] = f"test pipeline: {found}"
        found = Pipeline([], Split.TEST)
    pipeline, split = found
    refuse(list(refused_transforms(pipeline, split)), settings.origin, f"the {split.value} pipeline")
    settings.notes.extend(f"{settings.origin}: {note}" for note in missing_transforms(pipeline))
    sampling = step_named(pipeline, "MMUniformSampleFrames") or {}
    for stream, modality in (("rgb", "RGB"), ("pose", "Pose")):
        value = lookup(sampling, f"clip_len.{modality}")
        value = lookup(config, f"clip_len.{modality}") if is_absent(value) else value
        if not is_absent(value):
            settings.take(f"{stream}_input.frames", value, _extent, f"clip_len {modality}")
    size = frame_size(pipeline, split)
    if isinstance(size, Unreadable):
        settings.problems["rgb_input.width"] = settings.problems["rgb_input.height"] = f"frame size: {size}"
    elif size is not None:
        for name, value in zip(("rgb_input.width", "rgb_input.height"), size, strict=True):
            settings.take(name, value, _extent, f"the test pipeline's frame {name.partition('.')[2]}")
    target = step_named(pipeline, "GeneratePoseTarget")
    for name, default in _POSE_TARGET_DEFAULTS.items() if target is not None else ():
        assert target is not None
        if name in target:
            settings.take(f"pose_input.{name}", target[name], _POSE_TARGET_CHECKS[name], f"GeneratePoseTarget {name}")
        else:
            settings.default(f"pose_input.{name}", default, "GeneratePoseTarget")


def _extent(value: Any) -> int:
    if type(value) is not int or not 0 < value <= _MAX_EXTENT:
        raise _WrongValueError(f"an integer in 1..{_MAX_EXTENT}")
    return value


def _at_least_two(value: Any) -> int:
    if type(value) is not int or not 2 <= value <= _MAX_EXTENT:
        raise _WrongValueError(f"an integer in 2..{_MAX_EXTENT}")
    return value


def _first_extents(value: Any, count: int) -> tuple[int, ...]:
    """As many strides as there are stages: the original classes take the first ones of a longer list."""
    return _extents(value[:count] if isinstance(value, (list, tuple)) else value, count)


def _activation(value: Any) -> Nonlinearity:
    return Nonlinearity.SWISH if _boolean(value) else Nonlinearity.NONE


def _extents(value: Any, count: int) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise _WrongValueError(f"{count} strides, one a stage of the weights")
    return tuple(_extent(item) for item in value)


def _positive_number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= _MAX_FACTOR:
        raise _WrongValueError(f"a number above 0, up to {_MAX_FACTOR}")
    return float(value)


def _three_numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise _WrongValueError("three numbers")
    if not all(type(item) in (int, float) and math.isfinite(item) for item in value):
        raise _WrongValueError("three numbers")
    return tuple(float(item) for item in value)


def _three_positive_numbers(value: Any) -> tuple[float, ...]:
    numbers = _three_numbers(value)
    if min(numbers) <= 0:
        raise _WrongValueError("three positive numbers")
    return numbers


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _WrongValueError("True or False")
    return value


def _average_clips(value: Any) -> str:
    if value not in ("prob", "score", "none"):
        raise _WrongValueError("'prob', 'score' or None")
    return str(value)


_POSE_TARGET_CHECKS: dict[str, Callable[[Any], Any]] = {
    "sigma": _positive_number,
    "scaling": _positive_number,
    "use_score": _boolean,
}
