"""Protobuf's text format, as far as Triton's model configurations need it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """The name of an enum's value: written without quotes."""

    text: str


Value = str | int | bool | Name | Mapping[str, "Value"] | Sequence["Value"]


def to_pbtxt(message: Mapping[str, Value]) -> str:
    """A message as text: a mapping is a message, a sequence a repeated field, one line a value."""
    return "".join(line + "\n" for line in _lines(message))


def _lines(message: Mapping[str, Value]) -> list[str]:
    lines = []
    for field, value in message.items():
        repeated = isinstance(value, Sequence) and not isinstance(value, str)
        for item in value if repeated else [value]:  # type: ignore[union-attr]
            if isinstance(item, Mapping):
                lines += [f"{field} {{", *(f"  {line}" for line in _lines(item)), "}"]
            else:
                lines.append(f"{field}: {_scalar(item)}")
    return lines


def _scalar(value: Value) -> str:
    if isinstance(value, Name):
        return value.text
    # JSON's escapes are among those of protobuf's strings.
    return json.dumps(value, ensure_ascii=True) if isinstance(value, str | bool) else str(value)
