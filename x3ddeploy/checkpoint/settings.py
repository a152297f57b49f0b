"""What the weights cannot tell: strides, shift fractions, clips and preprocessing, read off a config or a preset."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.checkpoint.pipeline import Step, find_pipeline, frame_size, step_named
from x3ddeploy.errors import CheckpointError
from x3ddeploy.models.spec import BackboneSpec, ModelSpec

# Dotted names in ModelSpec ('..stage_strides' stands for the strides inside of '..stages').
NAMES = (
    *(f"{stream}.{value}" for stream in ("rgb", "pose") for value in ("fold_div", "stem_stride", "stage_strides")),
    *(f"rgb_input.{value}" for value in ("frames", "height", "width", "mean", "std")),
    *(f"pose_input.{value}" for value in ("frames", "sigma", "scaling", "use_score")),
    "head.average_clips",
)
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
        problems: dotted name -> why the source's value cannot be used.
    """

    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

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
        CheckpointError: the config describes inputs that are not supported (limb heatmaps, doubled heatmaps, BGR).
    """
    settings = Settings(origin)
    _backbone_settings(settings, config, "rgb", len(rgb.stages))
    _backbone_settings(settings, config, "pose", len(pose.stages))
    head = lookup(config, "model.cls_head.average_clips")
    if head is not _ABSENT:
        settings.take("head.average_clips", "none" if head is None else head, _average_clips, "average_clips")
    _normalisation(settings, config)
    _clips_and_sizes(settings, config)
    return settings


_ABSENT = object()


def lookup(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, the `Unreadable` met on the way, or a marker (`is_absent`) where there is none."""
    value: Any = config
    for name in path.split("."):
        if isinstance(value, Unreadable):
            return value
        if not isinstance(value, Mapping) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def is_absent(value: object) -> bool:
    """Whether `lookup` found nothing."""
    return value is _ABSENT


def _backbone_settings(settings: Settings, config: Mapping[str, Any], stream: str, stages: int) -> None:
    for name, key, check in (
        ("fold_div", "fold_div", _at_least_two),
        ("stem_stride", "conv1_stride", _extent),
        ("stage_strides", "spatial_strides", partial(_extents, count=stages)),
    ):
        path = f"{stream}_backbone.{key}"
        value = lookup(config, f"model.{path}")
        if not is_absent(value):
            settings.take(f"{stream}.{name}", value, check, path)


def _normalisation(settings: Settings, config: Mapping[str, Any]) -> None:
    for place in ("model.data_preprocessor", "data_preprocessor"):
        imgs = lookup(config, f"{place}.preprocessors.imgs")
        if not is_absent(imgs):
            break
    else:
        return
    if lookup({"imgs": imgs}, "imgs.to_rgb") is True:
        raise _unsupported(settings.origin, "data_preprocessor.preprocessors.imgs to_rgb=True (frames as BGR)")
    for name, check in (("mean", _three_numbers), ("std", _three_positive_numbers)):
        value = lookup({"imgs": imgs}, f"imgs.{name}")
        if not is_absent(value):
            settings.take(f"rgb_input.{name}", value, check, f"data_preprocessor.preprocessors.imgs.{name}")


def _clips_and_sizes(settings: Settings, config: Mapping[str, Any]) -> None:
    pipeline = find_pipeline(config)
    if isinstance(pipeline, Unreadable):
        for name in ("rgb_input.frames", "rgb_input.height", "rgb_input.width", "pose_input.frames"):
            settings.problems[name] = f"test pipeline: {pipeline}"
        for name in _POSE_TARGET_DEFAULTS:
            settings.problems[f"pose_input.{name}"] = f"test pipeline: {pipeline}"
        pipeline = []
    sampling = step_named(pipeline, "MMUniformSampleFrames") or {}
    for stream, modality in (("rgb", "RGB"), ("pose", "Pose")):
        value = lookup(sampling, f"clip_len.{modality}")
        value = lookup(config, f"clip_len.{modality}") if is_absent(value) else value
        if not is_absent(value):
            settings.take(f"{stream}_input.frames", value, _extent, f"clip_len {modality}")
    _frame_size(settings, pipeline)
    target = step_named(pipeline, "GeneratePoseTarget")
    if target is not None:
        _refuse_unsupported_targets(settings.origin, target)
        for name, default in _POSE_TARGET_DEFAULTS.items():
            value, where = target.get(name, default), f"GeneratePoseTarget {name}"
            settings.take(f"pose_input.{name}", value, _POSE_TARGET_CHECKS[name], where)


def _frame_size(settings: Settings, pipeline: list[Step]) -> None:
    """Width and height after the last step that fixes them; a resize that keeps the ratio leaves them open."""
    size = frame_size(pipeline)
    if isinstance(size, Unreadable):
        settings.problems["rgb_input.width"] = settings.problems["rgb_input.height"] = f"frame size: {size}"
    elif size is not None:
        for name, value in zip(("rgb_input.width", "rgb_input.height"), size, strict=True):
            settings.take(name, value, _extent, f"the test pipeline's frame {name.partition('.')[2]}")


def _refuse_unsupported_targets(origin: str, target: Step) -> None:
    for option, supported in (("with_limb", False), ("with_kp", True), ("double", False)):
        value = target.get(option, supported)
        if value is not supported:
            shown = value if isinstance(value, bool) else f"{value!s:.80}"
            raise _unsupported(origin, f"GeneratePoseTarget {option}={shown}")


def _unsupported(origin: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{origin}: {what} is not supported",
        hint="supported are heatmaps of keypoints (with_kp=True, with_limb=False, double=False) and RGB frames",
    )


def _extent(value: Any) -> int:
    if type(value) is not int or not 0 < value <= _MAX_EXTENT:
        raise _WrongValueError(f"an integer in 1..{_MAX_EXTENT}")
    return value


def _at_least_two(value: Any) -> int:
    if type(value) is not int or not 2 <= value <= _MAX_EXTENT:
        raise _WrongValueError(f"an integer in 2..{_MAX_EXTENT}")
    return value


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
