"""MMAction2's registered classes, built from literals; nothing is downloaded and nothing unpickled."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from x3ddeploy.checkpoint.rules import shown
from x3ddeploy.errors import BundleError, CheckpointError
from x3ddeploy.families.mmaction.model import Model, packed, unpacked
from x3ddeploy.families.mmaction.training_config import TRAINING_ONLY, refuse
from x3ddeploy.mmaction_compat import import_registry, mmaction_scope, quiet

# Nothing is downloaded; some classes demand to be told so.
_UNTRAINED = {"pretrained": None, "pretrained2d": False}
# Class -> the package that it stands on, which MMAction2 does not require.
_STANDS_ON = {"MobileOneTSM": "mmpretrain"}
Classes = Mapping[str, "type[nn.Module]"]
NONE: Classes = {}
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


class Parameter(NamedTuple):
    """What a class takes: the default, or `inspect.Parameter.empty`, and which class says so."""

    default: Any
    owner: str


def version() -> str:
    """Registry of MMAction2 as it is installed. Raises MissingRequirementError where it cannot be imported."""
    import_registry()
    import mmaction

    return str(mmaction.__version__)


def class_named(name: str, own: Classes = NONE) -> type[nn.Module]:
    """A class of the family's own, or a registered one.

    Raises:
        MissingRequirementError: MMAction2 cannot be imported.
        CheckpointError: it has no such class.
    """
    if name in own:
        return own[name]
    found: type[nn.Module] | None = import_registry().module_dict.get(name)
    if found is None:
        needed = _STANDS_ON.get(name)
        raise CheckpointError(
            f"MMAction2 {version()} has no class {name!r}" + (f" without {needed}" if needed else ""),
            hint=f"pip install {needed}" if needed else "install the version that the network was trained with",
        )
    return found


# Read once: RGBPoseConv3D writes into its own defaults when it is built.
_KNOWN: dict[type, Mapping[str, Parameter]] = {}


def parameters(kind: type) -> Mapping[str, Parameter]:
    """Every named argument of a class, its own and those that it hands on to its bases by `**kwargs`."""
    if kind not in _KNOWN:
        _KNOWN[kind] = _parameters(kind)
    return _KNOWN[kind]


def _parameters(kind: type) -> Mapping[str, Parameter]:
    found: dict[str, Parameter] = {}
    for owner in kind.__mro__:
        if "__init__" not in vars(owner):
            continue
        signature = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
        for parameter in signature:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, Parameter(copy.deepcopy(parameter.default), owner.__name__))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature):
            break
    return found


def resolved(
    name: str, arguments: Mapping[str, Any], path: str, swallowed: str = "", own: Classes = NONE
) -> tuple[dict[str, Any], Any]:
    """A module as a model keeps it: its class, the arguments as given, and the defaults of all others.

    Args:
        name: name of the class.
        arguments: literals.
        path: dotted name of the module in the config.
        swallowed: pattern of arguments that the class takes without naming them.
        own: classes of the family's own.

    Returns:
        The module, and the class that says each default, by argument.

    Raises:
        CheckpointError: the class takes no such argument.
    """
    known = parameters(class_named(name, own))
    strange = [key for key in arguments if key not in known and not (swallowed and re.fullmatch(swallowed, key))]
    refuse([f"{path}.{key} = {shown(arguments[key])}: {name} takes no such argument" for key in strange], path)
    defaults = {
        key: parameter
        for key, parameter in known.items()
        if key not in arguments and key not in TRAINING_ONLY and _is_literal(parameter.default)
    }
    module = {
        "type": name,
        "arguments": packed(arguments),
        "defaults": {key: packed(parameter.default) for key, parameter in defaults.items()},
    }
    return module, {key: parameter.owner for key, parameter in defaults.items()}


def build(model: Model, own: Classes = NONE) -> dict[str, nn.Module]:
    """The modules of a recognizer by their names in its state_dict, in evaluation mode.

    Args:
        model: see `x3ddeploy.families.mmaction.model`.
        own: classes of the family's own, which stand for registered ones of the same names.

    Raises:
        MissingRequirementError: MMAction2 cannot be imported.
        CheckpointError: a class refuses its arguments.
        BundleError: this MMAction2's classes have other defaults than the one that the model was read with.
    """
    registry = import_registry()
    changed = list(_changed_defaults(model, own))
    if changed:
        raise BundleError(
            f"this MMAction2 ({version()}) builds another network than {model['mmaction2']}, which exported it",
            details=changed,
            hint=f"pip install mmaction2=={model['mmaction2']}",
        )
    built: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]), mmaction_scope(), quiet():  # drawn weights are overwritten
        torch.manual_seed(0)
        for part, said in model["modules"].items():
            arguments = unpacked(said["arguments"])
            kind = class_named(said["type"], own)
            known = parameters(kind)
            untrained = {key: value for key, value in _UNTRAINED.items() if key in known}
            try:
                built[part] = registry.build({**arguments, **untrained, "type": kind})
            except Exception as error:  # whatever a class makes of arguments that it cannot be built with
                raise _refusal(part, said["type"], arguments, error) from error
    for module in built.values():
        module.eval()  # gives None where a class's own `train` does
    return built


def weights_of(model: Model, most: int, own: Classes = NONE) -> dict[str, Tensor]:
    """The weights of a recognizer by name, without memory for their values.

    Args:
        model: see `x3ddeploy.families.mmaction.model`.
        most: how many there can be; a config that asks for a million blocks is left where it has asked for so many.
        own: classes of the family's own.

    Raises:
        CheckpointError: as `build`, and where there are more.
    """
    count = itertools.count(1)

    def counted(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        if next(count) > most:
            raise ValueError(f"it has more than {most} weights")

    with torch.device("meta"), _undrawn(), register_module_parameter_registration_hook(counted):
        modules = build(model, own)
    return {f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()}


@contextmanager
def _undrawn() -> Iterator[None]:
    """Nothing is drawn: the constructor of TANet asks for it, and then looks at the values, which are not there."""
    from mmengine.model import BaseModule

    drawing = BaseModule.init_weights
    BaseModule.init_weights = lambda module: None
    try:
        yield
    finally:
        BaseModule.init_weights = drawing


def _refusal(part: str, name: str, arguments: Mapping[str, Any], error: Exception) -> CheckpointError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    named = _UNEXPECTED.search(reason)
    places = list(_places(arguments, named[1], f"model.{part}")) if named else []
    return CheckpointError(
        f"MMAction2 {version()} cannot build model.{part}, {name}: {reason}",
        details=[f"{place}: no such argument" for place in places],
        hint="the config is not that of this checkpoint, or of another version of MMAction2",
    )


def _places(value: Any, key: str, path: str) -> Iterator[str]:
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    for name, item in items:
        if name == key:
            yield f"{path}.{key}"
        yield from _places(item, key, f"{path}.{name}")


def _changed_defaults(model: Model, own: Classes) -> Iterator[str]:
    for part, module in model["modules"].items():
        known = parameters(class_named(module["type"], own))
        for key, value in module["defaults"].items():
            now = known[key].default if key in known else None
            if packed(now) != value:
                yield f"{part}.{key}: {unpacked(value)!r} then, {now!r} now"


def _is_literal(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_literal, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(_is_literal, value.values()))
    return value is None or type(value) in (bool, int, float, str)
