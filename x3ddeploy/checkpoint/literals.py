"""Python config text as values, read from its syntax tree; nothing is ever executed, imported or looked up."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterable
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

_CONTAINERS = (dict, list, tuple)
# Builtins that leave what they are given as it is.
_UNCHANGING = frozenset(
    {"dict", "float", "int", "len", "list", "max", "min", "range", "round", "sorted", "str", "sum", "tuple"}
)


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
    None, `+ - * / //` on numbers, `+` on strings or sequences, names assigned before, what they hold by key or
    index, and `.copy()` of a dict or a list. A key or an index may be assigned to; as in Python, all names of one
    dict see it. Whatever else code may have changed is `Unreadable`, by each of its names.

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
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            whole = statement.value if isinstance(statement, ast.Expr) else None
            calls = [node for node in ast.walk(statement) if self._may_change(node) and node is not whole]
            changed, doubtful = self._mentioned(calls), set[str]()
            if not self._changes_as_read(statement):
                self._refuse_read_base(statement)
                changed |= self._mentioned([statement])
                doubtful = _names(statement) | (_made(statement) & (self.names.keys() | _UNCHANGING))
            if changed:
                doubtful |= {name for name, value in self.names.items() if changed & self._held([value])}
            self.names.update(dict.fromkeys(doubtful, self.unreadable(statement)))
        self._check_depth()
        return self.names

    def _check_depth(self) -> None:
        """What names build of each other nests no deeper than what is written at once: readers go down into it."""
        level = list(self.names.values())
        for _ in range(_MAX_DEPTH + 1):
            inside = (item for value in level for item in _items(value))
            level = list({id(item): item for item in inside if isinstance(item, _CONTAINERS)}.values())
        if level:
            raise CheckpointError(f"{self.origin}: values nest deeper than {_MAX_DEPTH}")

    def _changes_as_read(self, statement: ast.stmt) -> bool:
        """Carry out an assignment, or the `update` of a dict; False for what is neither."""
        match statement:
            case ast.Assign(targets=targets, value=ast.expr() as right):
                value = self.value(right, 0)
                return all(self._assign(target, value) for target in targets)
            case ast.AnnAssign(target=target, value=ast.expr() as right):
                return self._assign(target, self.value(right, 0))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=held, attr="update"), args=[] | [_]) as call):
                holder, new = self.value(held, 0), self._dict(call, _pairs(call), 0)
                if isinstance(holder, dict) and isinstance(new, dict) and id(holder) not in self._held([new]):
                    holder.update(new)
                    return True
        return False

    def _assign(self, target: ast.expr, value: Any) -> bool:
        """Give a name, a key or an index its value; False for a target that is none of them."""
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            return True
        if not isinstance(target, ast.Subscript):
            return False
        holder, key = self.value(target.value, 0), self.value(target.slice, 0)
        place = isinstance(key, (str, int)) if isinstance(holder, dict) else _has(holder, key)
        if not isinstance(holder, (dict, list)) or not place or id(holder) in self._held([value]):
            return False  # also what would hold itself, and have no end
        holder[key] = value
        return True

    def _may_change(self, node: ast.AST) -> bool:
        """Whether it calls what is not known here, perhaps for each item of something."""
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name not in _UNCHANGING or name in self.names
            case ast.Call(func=ast.Attribute(attr="copy"), args=[], keywords=[]):
                return False
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return any(isinstance(part, ast.Call) and self._may_change(part) for part in ast.walk(node))
        return isinstance(node, ast.Call)

    def _mentioned(self, nodes: Iterable[ast.AST]) -> set[int]:
        return self._held([self.names.get(name) for node in nodes for name in _names(node)])

    def _held(self, values: list[Any]) -> set[int]:
        """Identities of the dicts and lists among values and in them, however deep."""
        found: dict[int, Any] = {}
        waiting = values
        while waiting:
            value = waiting.pop()
            if isinstance(value, _CONTAINERS) and id(value) not in found:
                self._count(len(value))
                found[id(value)] = value
                waiting += _items(value)
        return {key for key, value in found.items() if not isinstance(value, tuple)}

    def _refuse_read_base(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.With) and any("read_base" in ast.dump(item) for item in statement.items):
            raise CheckpointError(
                f"{self.origin} line {statement.lineno}: `with read_base()` configs import code and cannot be read",
                hint="give the merged config that training dumped into its work directory",
            )

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
            case ast.Call(func=ast.Name(id="dict"), args=[] | [_]) if "dict" not in self.names:
                return self._dict(node, _pairs(node), depth)
            case ast.Call(func=ast.Attribute(value=held, attr="copy"), args=[], keywords=[]):
                value = self.value(held, depth + 1)
                if not isinstance(value, (dict, list)):
                    return value if isinstance(value, Unreadable) else self.unreadable(node)
                self._count(len(value))
                return value.copy()
            case ast.Subscript(value=held, slice=place):
                value, key = self.value(held, depth + 1), self.value(place, depth + 1)
                return value[key] if _has(value, key) else self.unreadable(node)
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


def _pairs(call: ast.Call) -> list[tuple[Any, ast.expr]]:
    """Keys and values of what `dict` or `update` is called with; key None for what is unpacked."""
    # MMEngine dumps a dict whose keys are no identifiers as dict({...}), which is dict(**{...}).
    unpacked = [(None, argument) for argument in call.args]
    return [*unpacked, *((word.arg and ast.Constant(word.arg), word.value) for word in call.keywords)]


def _names(node: ast.AST) -> set[str]:
    """Names that it mentions."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _made(statement: ast.stmt) -> set[str]:
    """Names of the functions, classes and modules that it makes or imports."""
    return {getattr(part, field, "") for part in ast.walk(statement) for field in ("name", "asname")}


def _items(value: object) -> Iterable[Any]:
    """What a dict, a list or a tuple holds; nothing for what is none."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _has(holder: object, key: object) -> bool:
    """Whether there is something at a key or an index."""
    if isinstance(holder, dict):
        return isinstance(key, (str, int)) and key in holder
    return isinstance(holder, (list, tuple)) and type(key) is int and -len(holder) <= key < len(holder)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
