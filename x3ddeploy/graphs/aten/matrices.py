"""Products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.aten.convolutions import weight_and_offsets
from x3ddeploy.graphs.draft import Constant, Draft, Operand, arguments, handles, rank_of, source_of
from x3ddeploy.graphs.trace import shape_of


@handles("linear.default")
def _linear(draft: Draft, node: ATen) -> Operand:
    """A Gemm on (N, C); on more axes a product with the transposed weight, and a sum."""
    x = draft.tensor(source_of(node))
    weight, offsets = weight_and_offsets(draft, node)
    if rank_of(node) == 2:
        return draft.node("Gemm", x, weight, *offsets, transB=1)
    y = draft.node("MatMul", x, Constant(f"{weight.name}/transposed", weight.value.T))
    return draft.node("Add", y, *offsets) if offsets else y


@handles("addmm.default")
def _addmm(draft: Draft, node: ATen) -> Operand:
    bias, x, weight = (draft.tensor(value) for value in arguments(node)[:3])
    return draft.node("Gemm", x, weight, bias)


@handles("einsum.default")
def _einsum(draft: Draft, node: ATen) -> Operand:
    """Einsum of two tensors as one product of matrices: few runtimes have a fast Einsum, TensorRT's keeps to float32.

    Axes that both have and the result has as well are the product's batch, axes that the result lacks are summed, the
    others are rows and columns. A constant is laid out here, a computed tensor by Transpose and Reshape where it is not
    so already.
    """
    equation, operands = arguments(node)[:2]
    terms, _, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    letters = "".join(sorted(set("".join(names))))
    plain = all(len(set(term)) == len(term) for term in (*names, result)) and "." not in equation and result
    if len(names) != 2 or not plain or any(sum(letter in term for term in (*names, result)) < 2 for letter in letters):
        raise X3DDeployError(
            f"{draft.path}: einsum '{equation}' has no handler",
            hint="of two tensors with an arrow, no letter twice in one of them and none in one of them alone",
        )
    rows, columns = (_Laid(name, value, shape_of(value)) for name, value in zip(names, operands, strict=True))
    if isinstance(draft.values[rows.node], Constant):
        rows, columns = columns, rows
    both = [letter for letter in rows.letters if letter in columns.letters]
    batch = "".join(letter for letter in both if letter in result)
    summed = "".join(letter for letter in both if letter not in result)
    across, down = (
        "".join(letter for letter in result if letter in laid.letters and letter not in batch)
        for laid in (rows, columns)
    )
    x = rows.matrix(draft, batch, (across,) if batch else across, summed)
    y = columns.matrix(draft, batch, (summed,), down)
    sizes = {**rows.sizes, **columns.sizes}
    order = batch + across + down
    product = draft.node("MatMul", x, y)
    if len(down) != 1 or (batch and len(across) != 1):
        product = draft.node("Reshape", product, tuple(_constant(sizes[letter]) for letter in order))
    if order == result:
        return product
    return draft.node("Transpose", product, perm=[order.index(letter) for letter in result])


@dataclass(frozen=True)
class _Laid:
    """An operand of an einsum: a letter an axis."""

    letters: str
    node: ATen
    shape: tuple[int | str, ...]

    @property
    def sizes(self) -> dict[str, int | str]:
        """Size of each letter's axis."""
        return dict(zip(self.letters, self.shape, strict=True))

    def matrix(self, draft: Draft, batch: str, rows: Sequence[str], columns: str) -> Operand:
        """The tensors as matrices: the batch's axes, then rows and columns; letters of a group become one axis."""
        order = [*batch, *(letter for group in (*rows, columns) for letter in group)]
        perm = [self.letters.index(letter) for letter in order]
        sizes = self.sizes
        target = tuple(_joint(sizes, group) for group in (*batch, *rows, columns))
        x = draft.tensor(self.node)
        if isinstance(x, Constant):
            shape = [_constant(size) for size in target]
            return Constant(f"{x.name}/{''.join(order)}", x.value.transpose(perm).reshape(shape))
        if perm != sorted(perm):
            x = draft.node("Transpose", x, perm=perm)
        if target != tuple(sizes[letter] for letter in order):
            x = draft.node("Reshape", x, tuple(_constant(size) for size in target))
        return x


def _joint(sizes: dict[str, int | str], letters: str) -> int | str:
    """Size of several axes as one; 'N' stands for every multiple of it."""
    found = [sizes[letter] for letter in letters]
    return next((size for size in found if isinstance(size, str)), None) or prod(cast("list[int]", found))


def _constant(size: int | str) -> int:
    return -1 if isinstance(size, str) else size
