"""What a manifest says of a recognizer of MMAction2's, as literals, and the contract that follows from that alone.

    mmaction2   version that the class defaults were read from
    recognizer  class of the recognizer, which says how backbone, neck and head are called
    modules     'backbone', 'neck', 'cls_head' -> type, arguments as the config has them, defaults of the class's own
    fcn_test    whether the head is asked for it (model.test_cfg)
    inputs      name -> kind, shape of one clip, pipeline, views, keypoint_order
    features    names and clip shapes of what goes from the backbone to the head
    logits      names of the logits, each with its number of classes
    scored      those of them that the deployed score weighs
    activation  of the logits
    average     of a video's views

Neither PyTorch nor MMAction2 is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from x3ddeploy.contract import (
    BATCH_AXIS,
    WHOLE,
    Activation,
    Average,
    Contract,
    Input,
    Output,
    OutputKind,
    Part,
    Score,
)
from x3ddeploy.errors import UsageError

BACKBONE, HEAD = "backbone", "head"
SCORES = "scores"
# What the one score of a network with one set of logits is called, and that of several together.
ONE, FUSED = "classes", "fused"

Model = Mapping[str, Any]


def packed(value: Any) -> Any:
    """A literal as JSON keeps it. MMAction2's classes tell tuples from lists, and JSON does not: tuples are marked."""
    if isinstance(value, tuple):
        return {"tuple": [packed(item) for item in value]}
    if isinstance(value, list):
        return [packed(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): packed(item) for key, item in value.items()}
    return value


def unpacked(value: Any) -> Any:
    """The literal that `packed` was given."""
    if isinstance(value, Mapping):
        if set(value) == {"tuple"}:
            return tuple(unpacked(item) for item in value["tuple"])
        return {key: unpacked(item) for key, item in value.items()}
    return [unpacked(item) for item in value] if isinstance(value, list) else value


def packed_inputs(inputs: Mapping[str, Input]) -> dict[str, Any]:
    """Inputs as a model keeps them."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(inputs)))
    return made


def inputs_of(model: Model, batch: int | None = None) -> dict[str, Input]:
    """What a network of a model is fed."""
    inputs = msgspec.convert(model["inputs"], dict[str, Input])
    return {name: replace(value, shape=(batch or BATCH_AXIS, *value.clip_shape)) for name, value in inputs.items()}


def contract_of(family: str, model: Model, fusion: tuple[float, ...], batch: int | None) -> Contract:
    """What a bundle of this network says of itself, without blocks.

    Args:
        family: key in `x3ddeploy.families`.
        model: see above.
        fusion: weights of the logits in `scores`.
        batch: fixed number of clips, None for any.

    Raises:
        ValueError: the model lacks something, or has it in another type.
        UsageError: as many weights as there are logits are needed.
    """
    try:
        leading = batch or BATCH_AXIS
        inputs = inputs_of(model, batch)
        features = {name: (leading, *map(int, shape)) for name, shape in model["features"].items()}
        logits = {name: (leading, int(classes)) for name, classes in model["logits"].items()}
        scored = tuple(model["scored"])
        classes = logits[scored[0]][1]
        activation, average = Activation(model["activation"]), Average(model["average"])
    except (LookupError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise ValueError(f"not the model of a recognizer: {error}") from error
    if len(fusion) != len(scored):
        raise UsageError(
            f"the deployed score is given {len(fusion)} weights, and there are {len(scored)} sets of logits",
            hint="leave --fusion out" if len(scored) == 1 else "give one weight a set: " + ", ".join(scored),
        )
    given = (*logits, SCORES)
    deployed = ONE if len(scored) == 1 else FUSED
    single = {name.removesuffix("_logits"): Score({name: 1.0}) for name in scored} if len(scored) > 1 else {}
    return Contract(
        family=family,
        inputs=inputs,
        parts={
            BACKBONE: Part(tuple(inputs), tuple(features)),
            HEAD: Part(tuple(features), given),
            WHOLE: Part(tuple(inputs), given),
        },
        outputs={
            **{name: Output(OutputKind.FEATURES, shape) for name, shape in features.items()},
            **{name: Output(OutputKind.LOGITS, shape, activation, average) for name, shape in logits.items()},
            SCORES: Output(OutputKind.SCORES, (leading, classes), None, average),
        },
        scores={**single, deployed: Score(dict(zip(scored, fusion, strict=True)))},
        deployed=deployed,
    )


def equal_fusion(model: Model) -> tuple[float, ...]:
    """Every set of logits that is scored counts alike."""
    return (1.0,) * len(model["scored"])


def values_of(model: Model) -> dict[str, str]:
    """Every value of a model by its dotted name, as text for people."""
    values = {"recognizer": str(model["recognizer"])}
    for name, module in model["modules"].items():
        values[f"{name}.type"] = str(module["type"])
        for group in ("arguments", "defaults"):
            values |= {f"{name}.{key}": text(value) for key, value in module[group].items()}
    for name, value in inputs_of(model).items():
        values[f"{name}.shape"] = " x ".join(map(str, value.clip_shape))
        for step in value.pipeline:
            shown = ", ".join(f"{key}={setting}" for key, setting in step.parameters.items())
            values[f"{name}.{step.type}"] = shown or "yes"
        values[f"{name}.views"] = str(value.views.count)
    values["classes"] = ", ".join(f"{count}" for count in dict.fromkeys(model["logits"].values()))
    return values | {"activation": model["activation"], "average": model["average"]}


def text(value: Any) -> str:
    """A literal as the config spells it."""
    return str(unpacked(value))
