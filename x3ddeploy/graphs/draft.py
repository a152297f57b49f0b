"""Nodes as they are drafted: what a handler of an ATen operator appends to, and how it reads its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.fx import Node as ATen


@dataclass(frozen=True)
class Constant:
    """An initializer to be: its name and value."""

    name: str
    value: npt.NDArray[Any]


# What a node reads: a tensor of the draft, an initializer, or whole numbers (a shape, axes, pads).
Operand = str | Constant | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A node that has no name yet.

    Attributes:
        path: dotted name of the module that asks for it.
        tensor: what its output is called in the draft.
        dims: the output's shape where ONNX's shape inference cannot find it.
        outputs: how many there are; of several, `piece` says what each is called.
    """

    op: str
    inputs: tuple[Operand, ...]
    attributes: dict[str, Any]
    path: str
    tensor: str
    dims: tuple[int | str, ...] = ()
    outputs: int = 1

    def piece(self, index: int) -> str:
        """What one of several outputs is called in the draft."""
        return f"{self.tensor}:{index}"


@dataclass(frozen=True)
class Cuts:
    """Slices of one tensor that are not written yet: one node does several axes at once."""

    source: Operand
    cuts: tuple[tuple[int, int, int, int], ...]  # axis, start, end, step
    path: str


@dataclass
class Draft:
    """Nodes as they come, what each ATen node gives, and those that give several tensors."""

    nodes: list[Node] = field(default_factory=list)
    values: dict[ATen, Operand | Cuts] = field(default_factory=dict)
    splits: dict[ATen, Node] = field(default_factory=dict)
    path: str = ""

    def node(self, op: str, *inputs: Operand, dims: tuple[int | str, ...] = (), **attributes: Any) -> str:
        """Append a node of the module that is being written; the name of its output."""
        return self._append(op, inputs, attributes, self.path, dims)

    def tensor(self, value: Any) -> Operand:
        """What to read for an argument of an ATen node: a node's output, or a number as a constant."""
        if isinstance(value, (int, float)):
            return Constant(f"const/{float(value)!r}", np.asarray(value, np.float32))
        known = self.values[value]
        if not isinstance(known, Cuts):
            return known
        axes, starts, ends, steps = zip(*known.cuts, strict=True)
        inputs: list[Operand] = [known.source, starts, ends, axes]
        if set(steps) != {1}:
            inputs.append(steps)
        self.values[value] = tensor = self._append("Slice", tuple(inputs), {}, known.path, ())
        return tensor

    def split(self, source: Operand, sizes: tuple[int, ...], axis: int) -> Node:
        """Append a node that cuts a tensor up along an axis."""
        node = Node("Split", (source, sizes), {"axis": axis}, self.path, f"%{len(self.nodes)}", outputs=len(sizes))
        self.nodes.append(node)
        return node

    def _append(
        self, op: str, inputs: tuple[Operand, ...], attributes: dict[str, Any], path: str, dims: tuple[int | str, ...]
    ) -> str:
        tensor = f"%{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, attributes, path, tensor, dims))
        return tensor


Handler = Callable[[Draft, ATen], "Operand | Cuts"]
HANDLERS: dict[str, Handler] = {}


def handles(*operators: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of these ATen operators, without their 'aten.'."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update((f"aten.{name}", handler) for name in operators)
        return handler

    return register


def arguments(node: ATen) -> tuple[Any, ...]:
    """Positional arguments of an ATen node."""
    return node.args


def argument(node: ATen, index: int, name: str, default: Any = None) -> Any:
    """One argument of an ATen node, by its place or name."""
    return arguments(node)[index] if len(arguments(node)) > index else node.kwargs.get(name, default)


def several(value: int | Sequence[int], count: int) -> list[int]:
    """One number an axis; a single one stands for all."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def rank_of(node: ATen) -> int:
    """Number of axes of the tensor that a node gives."""
    return len(node.meta["val"].shape)


def source_of(node: ATen) -> ATen:
    """The node whose tensor an ATen node reads first."""
    source: ATen = arguments(node)[0]
    return source


def same(draft: Draft, node: ATen) -> Operand | Cuts:
    """The handler of an operator that does nothing at inference."""
    return draft.values[source_of(node)]
