"""What a test knows of a value whose declared type is wider; it fails where that does not hold."""

from collections.abc import Iterable
from typing import TypeVar

Value = TypeVar("Value")


def present(value: Value | None) -> Value:
    assert value is not None
    return value


def of_type(kind: type[Value], value: object) -> Value:
    assert isinstance(value, kind)
    return value


def all_of(kind: type[Value], values: Iterable[object]) -> list[Value]:
    return [of_type(kind, value) for value in values]
