"""A training config of MMAction2's, as far as it says what a network is: a key is used, known to be idle, or refused.

What a key of a network's class does to its numbers, the class itself does when it is built from it. So a key is refused
where the class does not take it (it may have meant something to another version, and nothing in the weights would
show it), where its value is no literal, and where what surrounds the network would compute something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from x3ddeploy.checkpoint.config import is_absent, lookup
from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.checkpoint.pipeline import find_pipeline
from x3ddeploy.checkpoint.rules import REPRESENTED, SCOPES, DictRules, Rule, harmless, only, refusals, shown
from x3ddeploy.contract import LARGEST_SIZE
from x3ddeploy.errors import CheckpointError

Config = Mapping[str, Any]

PARTS = ("backbone", "neck", "cls_head")
_SCOPE = "mmaction"
_LISTED = 12
# In any dict that a network's module is built from; dropped before it is.
TRAINING_ONLY = frozenset({
    "init_cfg", "pretrained", "pretrained2d", "_scope_", "loss_cls", "topk",
    "label_smooth_eps", "init_std", "frozen_stages", "zero_init_residual",
})  # fmt: skip
_PREPROCESSOR = DictRules(
    ("ActionDataPreprocessor",),
    {
        "mean": REPRESENTED,
        "std": REPRESENTED,
        "to_rgb": only(False, None, why="frames are fed as R, G, B; BGR is not supported"),
        "to_float32": only(True, why="the network is fed float32"),
        "format_shape": REPRESENTED,
        "blending": harmless("mixes clips in training"),
    },
    optional=True,
)
_FED_SEVERAL = "MMRecognizer3D"
_SEVERAL = DictRules(("MultiModalDataPreprocessor",), {"preprocessors": REPRESENTED})
_AROUND: dict[str, Rule | DictRules] = {
    "data_preprocessor": REPRESENTED,
    "train_cfg": harmless("is stored by the class and never read"),
    "test_cfg": DictRules(
        (),
        {
            "max_testing_views": harmless("is how many views are computed at a time"),
            "fcn_test": only(True, False, why="it is a yes or no"),
            "average_clips": harmless("is stored by the class and never read; the head's own counts"),
        },
        optional=True,
    ),
}


def mmaction_class(kind: Any) -> str:
    """Name of a class of MMAction2's; that of another package, such as timm's, stays whole."""
    name = kind if isinstance(kind, str) else ""
    scope, _, last = name.rpartition(".")
    return last if scope.partition(".")[0] in ("", _SCOPE) else name


def module_type(config: Config | None, part: str) -> str:
    """Class of the recognizer (part '') or of one of its parts; empty where the config has none."""
    kind = lookup(config or {}, ".".join(filter(None, ("model", part, "type"))))
    return "" if is_absent(kind) else mmaction_class(kind)


def pipeline_types(config: Config | None) -> tuple[str, ...]:
    """Names of the steps of the test pipeline, as far as they can be read."""
    found = find_pipeline(config or {})
    if isinstance(found, Unreadable):
        return ()
    return tuple(mmaction_class(step.get("type")) for step in found.steps if isinstance(step, Mapping))


@dataclass(frozen=True)
class Described:
    """What a config says of a network.

    Attributes:
        recognizer: class name.
        types: part -> class name.
        modules: part -> what its dict holds, without `type` and without what serves training only.
        fcn_test: `fcn_test` of `model.test_cfg`.
        preprocessors: input, or '' where there is one for all -> its `mean`, `std`, `format_shape`.
        steps: steps of the test pipeline, in order.
    """

    recognizer: str
    types: dict[str, str]
    modules: dict[str, dict[str, Any]]
    fcn_test: bool
    preprocessors: dict[str, Config]
    steps: list[Config]


def described(config: Config, origin: str) -> Described:
    """Read a config. What its classes make of their arguments is not asked yet.

    Raises:
        CheckpointError: something in it is not understood; every such key is listed by its dotted name.
    """
    model = lookup(config, "model")
    if not isinstance(model, Mapping):
        raise CheckpointError(f"{origin}: model is no dict that can be read", hint="give the config of the training")
    problems = list(_problems(config, model))
    found = find_pipeline(config)
    if isinstance(found, Unreadable):
        problems.append(f"test_pipeline {found}")
    elif not found.steps:
        problems.append("test_pipeline is missing: it says what the network is fed")
    else:
        problems += _unreadable(found.steps, f"{found.split.value}_pipeline")
        strange = [shown(step) for step in found.steps if not isinstance(step, Mapping)]
        problems += [f"test_pipeline: {step} is no step" for step in strange]
    refuse(problems, origin)
    assert not isinstance(found, Unreadable)
    modules = {part: model[part] for part in PARTS if isinstance(model.get(part), Mapping)}
    return Described(
        recognizer=module_type(config, ""),
        types={part: module_type(config, part) for part in modules},
        modules={part: _trained(module) for part, module in modules.items()},
        fcn_test=fcn_test(model),
        preprocessors=_preprocessors(config),
        steps=list(found.steps),
    )


def fcn_test(model: Config) -> bool:
    """Whether `model.test_cfg` asks for fully convolutional testing."""
    settings = model.get("test_cfg")
    return isinstance(settings, Mapping) and settings.get("fcn_test") is True


def refuse(problems: list[str], origin: str) -> None:
    """Raise CheckpointError where there are any."""
    if problems:
        more = [f"... and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
        raise CheckpointError(
            f"{origin} asks for what cannot be exported as it was trained",
            details=[*problems[:_LISTED], *more],
            hint="a key that does nothing at inference can be taken out of the config, which --config then names",
        )


def _problems(config: Config, model: Config) -> Iterator[str]:
    for key, value in model.items():
        path = f"model.{key}"
        if key == "type" or (value is None and key in PARTS):
            continue
        if key in PARTS:
            yield from _unreadable(_trained(value), path)
            yield from _oversized(_trained(value), path)
        elif key in _AROUND:
            yield from refusals({key: value}, DictRules((), {key: _AROUND[key]}), "model")
        else:
            yield f"{path} = {shown(value)}: no recognizer of MMAction2's has such a key"
    if fcn_test(model) and module_type(config, "") == "Recognizer2D" and model.get("neck") is None:
        yield "model.test_cfg.fcn_test = True: MMAction2's heads of frames cannot be tested so"
    for path, value, place in _preprocessor_places(config):
        yield from refusals(value, place, path)
    scopes = {"default_scope": config.get("default_scope"), **dict(_scopes(model, "model"))}
    yield from (f"{path} = {shown(scope)}: classes of another package" for path, scope in scopes.items()
                if scope not in SCOPES)  # fmt: skip


def _scopes(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every registry that a class is looked up in, by its place."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        if key == "_scope_":
            yield f"{path}.{key}", item
        else:
            yield from _scopes(item, f"{path}.{key}")


def _preprocessor_places(config: Config) -> Iterator[tuple[str, Any, DictRules]]:
    """Path, value and rules of each data preprocessor, first of the one that holds several, where there is one."""
    for path in ("model.data_preprocessor", "data_preprocessor"):
        value = lookup(config, path)
        if is_absent(value):
            continue
        if value is None:  # MMEngine gives a model that says so no other
            return
        kind = mmaction_class(value.get("type")) if isinstance(value, Mapping) else ""
        if kind not in _SEVERAL.types or module_type(config, "") != _FED_SEVERAL:
            yield path, value, _PREPROCESSOR
            return
        yield path, value, _SEVERAL
        inner = value.get("preprocessors")
        if not isinstance(inner, Mapping):
            yield f"{path}.preprocessors", inner, replace(_PREPROCESSOR, optional=False)
            return
        yield from ((f"{path}.preprocessors.{name}", item, _PREPROCESSOR) for name, item in inner.items())
        return


def _preprocessors(config: Config) -> dict[str, Config]:
    return {path.rpartition("preprocessors.")[2] if ".preprocessors." in path else "": value or {}
            for path, value, place in _preprocessor_places(config) if place is _PREPROCESSOR}  # fmt: skip


def _trained(value: Any) -> Any:
    """A literal without what serves training alone, at any depth; `type` goes from the outermost dict."""
    if isinstance(value, Mapping):
        return {key: _inner(item) for key, item in value.items() if key not in TRAINING_ONLY and key != "type"}
    return value


def _inner(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _inner(item) for key, item in value.items() if key not in TRAINING_ONLY}
    if isinstance(value, (list, tuple)):
        return type(value)(_inner(item) for item in value)
    return value


def _oversized(value: Any, path: str) -> Iterator[str]:
    """Numbers that no network has: one with them is gone before its memory is."""
    for place, leaf in _leaves(value, path):
        if type(leaf) is int and abs(leaf) > LARGEST_SIZE:
            yield f"{place} = {shown(leaf)}: the most is {LARGEST_SIZE}"


def _unreadable(value: Any, path: str) -> Iterator[str]:
    """Places in a literal that are none."""
    yield from (f"{place} {leaf}" for place, leaf in _leaves(value, path) if isinstance(leaf, Unreadable))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every place in a literal that holds no further ones, and what is there."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value
