"""Python config text as values, read from its syntax tree; nothing is ever executed, imported or looked up."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from x3ddeploy.errors import CheckpointError
from x3ddeploy.text import printable

# Limits against hostile text; real configs are 2 to 60 kB, nest about 10 deep and hold some thousand values.
_MAX_CHARACTERS = 1 << 20
_MAX_DEPTH = 64
_MAX_VALUES = 1_000_000
_MAX_INTEGER = 1 << 63

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class Unreadable:
    """Stands where a value is not a literal; it matters only to who asks for that value.

    Attributes:
        source_line: line in the text, from 1.
        text: text of that line, cut to 80 characters.
    """

    source_line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.source_line} is not a literal: {self.text}"


def read_literals(text: str, origin: str) -> dict[str, Any]:
    """Top-level names of Python text with their literal values; `Unreadable` for those that are none.

    Read are `dict(...)` of keywords and literal dicts, braces, lists, tuples, strings, numbers, True, False,
    None, `+ - * / //` on numbers, `+` on strings or sequences, and names assigned before.

    Args:
        text: Python source.
        origin: what errors call it.

    Raises:
        CheckpointError: a syntax error (with its line), or text beyond what any config is (size, depth, values).
    """
    if len(text) > _MAX_CHARACTERS:
        raise CheckpointError(f"{origin} has {len(text)} characters; configs have at most {_MAX_CHARACTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's remarks on escapes are the author's affair
            module = ast.parse(text)
    except SyntaxError as error:
        line = printable((error.text or "").strip(), 80)
        raise CheckpointError(
            f"{origin} is not Python: line {error.lineno}: {error.msg}",
            details=[line] if line else [],
            hint="give the config that training dumped into its work directory",
        ) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:  # null characters; absurd nesting
        raise CheckpointError(f"{origin} cannot be parsed: {error or type(error).__name__}") from error
    return _Reader(text, origin).module(module)


class _Reader:
    def __init__(self, text: str, origin: str) -> None:
        self.lines = text.split("\n")
        self.origin = origin
        self.names: dict[str, Any] = {}
        self.values_left = _MAX_VALUES

    def module(self, module: ast.Module) -> dict[str, Any]:
        for statement in module.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if (
                isinstance(statement, (ast.Assign, ast.AnnAssign))
                and statement.value is not None
                and all(isinstance(target, ast.Name) for target in targets)
            ):
                value = self.value(statement.value, 0)
                self.names.update({target.id: value for target in targets if isinstance(target, ast.Name)})
            elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                self._distrust(statement)
        return self.names

    def _distrust(self, statement: ast.stmt) -> None:
        """Whatever is no plain assignment may have changed (or made) any name that it mentions."""
        if isinstance(statement, ast.With) and any("read_base" in ast.dump(item) for item in statement.items):
            raise CheckpointError(
                f"{self.origin} line {statement.lineno}: `with read_base()` configs import code and cannot be read",
                hint="give the merged config that training dumped into its work directory",
            )
        marker = self.unreadable(statement)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                self.names[node.id] = marker

    def value(self, node: ast.expr, depth: int) -> Any:
        self._count(1)
        if depth > _MAX_DEPTH:
            raise CheckpointError(f"{self.origin} line {node.lineno}: values nest deeper than {_MAX_DEPTH}")
        match node:
            case ast.Constant(value=int() as number) if number >= _MAX_INTEGER:
                return self.unreadable(node)
            case ast.Constant(value=None | bool() | int() | float() | str() as constant):
                return constant
            case ast.Name(id=name):
                return self.names.get(name, self.unreadable(node))
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                if any(isinstance(element, ast.Starred) for element in elements):
                    return self.unreadable(node)
                values = [self.value(element, depth + 1) for element in elements]
                return values if isinstance(node, ast.List) else tuple(values)
            case ast.Dict(keys=keys, values=nodes):
                return self._dict(node, [(key, value) for key, value in zip(keys, nodes, strict=True)], depth)
            case ast.Call(func=ast.Name(id="dict"), args=[] | [_], keywords=keywords) if "dict" not in self.names:
                # MMEngine dumps a dict whose keys are no identifiers as dict({...}), which is dict(**{...}).
                unpacked = [(None, argument) for argument in node.args]
                named = [(word.arg and ast.Constant(word.arg), word.value) for word in keywords]
                return self._dict(node, [*unpacked, *named], depth)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                value = self.value(operand, depth + 1)
                if isinstance(value, Unreadable) or not _is_number(value):
                    return value if isinstance(value, Unreadable) else self.unreadable(node)
                return -value if isinstance(sign, ast.USub) else value
            case ast.BinOp():
                return self._arithmetic(node, depth)
        return self.unreadable(node)

    def _dict(self, node: ast.expr, pairs: list[tuple[Any, ast.expr]], depth: int) -> Any:
        result: dict[Any, Any] = {}
        for key_node, value_node in pairs:
            value = self.value(value_node, depth + 1)
            if key_node is None:  # **value
                if not isinstance(value, dict):
                    return value if isinstance(value, Unreadable) else self.unreadable(node)
                self._count(len(value))
                result.update(value)
                continue
            key = key_node.value if isinstance(key_node, ast.Constant) else self.value(key_node, depth + 1)
            if not isinstance(key, (str, int)):
                return self.unreadable(node)
            result[key] = value
        return result

    def _arithmetic(self, node: ast.BinOp, depth: int) -> Any:
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        for side in (left, right):
            if isinstance(side, Unreadable):
                return side
        if isinstance(node.op, ast.Add) and type(left) is type(right) and isinstance(left, (str, list, tuple)):
            self._count(len(left) + len(right))
            return left + right
        operation = _ARITHMETIC.get(type(node.op))
        # Bounded operands keep a chain of products from growing numbers of a million digits.
        if operation is None or not all(_is_number(side) and abs(side) < _MAX_INTEGER for side in (left, right)):
            return self.unreadable(node)
        try:
            return operation(left, right)
        except ZeroDivisionError:
            return self.unreadable(node)

    def unreadable(self, node: ast.expr | ast.stmt) -> Unreadable:
        return Unreadable(node.lineno, printable(self.lines[node.lineno - 1].strip(), 80))

    def _count(self, values: int) -> None:
        self.values_left -= values
        if self.values_left < 0:
            raise CheckpointError(f"{self.origin} makes more than {_MAX_VALUES} values; no config does")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
