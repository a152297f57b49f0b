"""Values of a config by their dotted path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x3ddeploy.checkpoint.literals import Unreadable

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
