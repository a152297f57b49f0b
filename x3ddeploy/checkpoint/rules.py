"""What each key of a config means to an export: represented, known to change nothing, or refused by its name.

A table of rules stands for one class of the original code. A key that its table lacks is refused as well: it may do
anything, and nothing in the weights would show it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from x3ddeploy.checkpoint.literals import Unreadable
from x3ddeploy.text import printable

_MISSING = object()


@dataclass(frozen=True)
class Rule:
    """What becomes of one key.

    Attributes:
        why: what the key does in the original class, or what it may say; shown where it says something else.
        allows: whether a value can be exported; `Unreadable` reaches it only where `needs_value`.
        needs_value: whether a value that cannot be read is refused.
        left_out: the class's default, checked where the config leaves the key out; by default nothing is.
    """

    why: str
    allows: Callable[[Any], bool] = lambda _: True
    needs_value: bool = False
    left_out: Any = _MISSING


def harmless(why: str) -> Rule:
    """A key that changes nothing of what a trained network computes, whatever its value."""
    return Rule(why)


REPRESENTED = Rule("is part of the specification")
SHOWN = Rule("shows in the weights, which are compared with it")


def only(*values: Any, why: str, left_out: Any = _MISSING) -> Rule:
    """A key that may have these values and no other."""
    return Rule(why, lambda value: any(_same(value, known) for known in values), needs_value=True, left_out=left_out)


@dataclass(frozen=True)
class DictRules:
    """Rules for one dict of a config.

    Attributes:
        types: class names that its `type` may have; empty where it has none.
        keys: what it may hold.
        optional: whether None may stand in its place.
    """

    types: tuple[str, ...]
    keys: Mapping[str, Rule | DictRules]
    optional: bool = False


# Registries in which a class of MMAction2's name is MMAction2's, or of what it stands on; ours looks there, too.
SCOPES = ("x3ddeploy", "mmaction", "mmengine", "mmcv", None)
# Beside `type` in any dict that MMEngine builds a module from.
_ANYWHERE = {
    "_scope_": only(*SCOPES, why="the class is another package's"),
    "init_cfg": harmless("says how weights start before training"),
}


def refusals(value: Any, place: DictRules, path: str) -> Iterator[str]:
    """One line for each key under `path` that cannot be exported, with its value and the reason."""
    if value is None and place.optional:
        return
    if not isinstance(value, Mapping):
        yield f"{path} = {shown(value)}: not a dict that can be read"
        return
    if "type" in value and class_name(value["type"]) not in place.types:
        known = f"known here: {', '.join(place.types)}" if place.types else "no class belongs here"
        yield f"{path}.type = {shown(value['type'])}: {known}"
        return  # what the keys of an unknown class mean is unknown
    rules = {**(_ANYWHERE if place.types else {}), **place.keys}
    for key, item in value.items():
        if key == "type":
            continue
        rule, where = rules.get(key), f"{path}.{key}"
        if rule is None:
            yield f"{where} = {shown(item)}: not a key that is known of {' or '.join(place.types) or path}"
        elif isinstance(rule, DictRules):
            yield from refusals(item, rule, where)
        elif rule.needs_value and (isinstance(item, Unreadable) or not rule.allows(item)):
            yield f"{where} = {shown(item)}: {rule.why}"
    for key, rule in rules.items():
        left_out = isinstance(rule, Rule) and key not in value and rule.left_out is not _MISSING
        if left_out and isinstance(rule, Rule) and not rule.allows(rule.left_out):
            yield f"{path}.{key} is left out, which means {rule.left_out!r}: {rule.why}"


def class_name(kind: Any) -> str | None:
    """A class's name without the scope or module before it; None for what is no name."""
    return kind.rpartition(".")[2] if isinstance(kind, str) else None


def shown(value: Any) -> str:
    """A config's value on one line, cut and printable."""
    return f"({value})" if isinstance(value, Unreadable) else printable(reprlib.repr(value), 80)


def _same(value: Any, known: Any) -> bool:
    """Equal, lists as tuples, and True not as 1."""
    if isinstance(value, (list, tuple)):
        return isinstance(known, tuple) and len(value) == len(known) and all(map(_same, value, known))
    return isinstance(value, bool) == isinstance(known, bool) and bool(value == known)
