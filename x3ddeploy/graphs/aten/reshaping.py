"""Operators that move values: other shapes and orders, pieces, joints and borders."""

from __future__ import annotations

import operator
import sys
from typing import cast

import numpy as np
import numpy.typing as npt
from torch.fx import Node as ATen

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.draft import (
    HANDLERS,
    Constant,
    Cuts,
    Draft,
    Operand,
    argument,
    arguments,
    handles,
    rank_of,
    same,
    source_of,
)
from x3ddeploy.graphs.trace import shape_of


@handles("transpose.int", "t.default", "permute.default", "movedim.int")
def _transpose(draft: Draft, node: ATen) -> Operand:
    rank = rank_of(node)
    order = list(range(rank))
    name = str(node.target)
    if "permute" in name:
        order = [axis % rank for axis in arguments(node)[1]]
    elif "movedim" in name:
        order.insert(arguments(node)[2] % rank, order.pop(arguments(node)[1] % rank))
    else:
        first, second = (axis % rank for axis in (arguments(node)[1:] or (0, 1)))
        order[first], order[second] = order[second], order[first]
    return draft.node("Transpose", draft.tensor(arguments(node)[0]), perm=order)


@handles("reshape.default", "view.default", "_unsafe_view.default", "flatten.using_ints", "unflatten.int")
@handles("squeeze.dim", "squeeze.dims", "squeeze.default", "unsqueeze.default")
def _reshape(draft: Draft, node: ATen) -> Operand | Cuts:
    """Reshape to constants, and -1 for the one size that N is in.

    The clips' or frames' axis gets one name throughout: ONNX Runtime adds a shortcut inside the convolution before it
    only where it sees that both have the same number of frames, and a Reshape to -1 does not say so.
    """
    shape = shape_of(node)
    if shape == shape_of(source_of(node)):
        return draft.values[source_of(node)]
    if sum(isinstance(size, str) for size in shape) > 1:
        raise X3DDeployError(f"{draft.path}: two sizes of {list(shape)} depend on the number of clips")
    target = tuple(-1 if isinstance(size, str) else size for size in shape)
    is_of_frames = isinstance(shape[0], str) and "*" in shape[0]
    return draft.node("Reshape", draft.tensor(arguments(node)[0]), target, dims=shape if is_of_frames else ())


@handles("slice.Tensor")
def _slice(draft: Draft, node: ATen) -> Operand | Cuts:
    """Joined with the slice that it reads, where nothing else reads that one: one node cuts several axes."""
    source = source_of(node)
    known = draft.values[source]
    axis, start, end, step = (
        argument(node, index, name, default)
        for index, (name, default) in enumerate((("dim", 0), ("start", 0), ("end", sys.maxsize), ("step", 1)), 1)
    )
    if (start or 0, sys.maxsize if end is None else end, step) == (0, sys.maxsize, 1):
        return known
    size = shape_of(source)[axis]
    if isinstance(size, str):
        raise X3DDeployError(f"{draft.path}: a slice of the clips' axis", hint="each clip is one row throughout")
    start, end, _ = slice(start, end).indices(size)
    return _cut(draft, source, (axis % rank_of(source), start, end, step))


def _cut(draft: Draft, source: ATen, cut: tuple[int, int, int, int]) -> Cuts:
    known = draft.values[source]
    if isinstance(known, Cuts) and len(source.users) == 1 and known.path == draft.path:
        return Cuts(known.source, (*known.cuts, cut), draft.path)
    return Cuts(draft.tensor(source), (cut,), draft.path)


@handles("select.int")
def _select(draft: Draft, node: ATen) -> Operand:
    axis, index = arguments(node)[1:3]
    size = shape_of(source_of(node))[axis]
    assert isinstance(size, int)
    index = index % size
    cut = draft.node(
        "Slice", draft.tensor(arguments(node)[0]), (index,), (index + 1,), (axis % rank_of(source_of(node)),)
    )
    return draft.node("Reshape", cut, tuple(-1 if isinstance(size, str) else size for size in shape_of(node)))


@handles("split.Tensor", "split_with_sizes.default", "split.sizes", "chunk.default")
def _split(draft: Draft, node: ATen) -> Operand | Cuts:
    """One node where three pieces or more are all read; else they are cut where they are."""
    sizes, axis = _pieces(node)
    read = {arguments(user)[1] for user in node.users if user.users}
    if len(sizes) == len(read) >= 3:
        draft.splits[node] = draft.split(draft.tensor(source_of(node)), sizes, axis)
    return same(draft, node)


def _pieces(split: ATen) -> tuple[tuple[int, ...], int]:
    """Sizes of the pieces, and the axis that is cut."""
    pieces = split.meta["val"]
    axis = argument(split, 2, "dim", 0) % len(pieces[0].shape)
    return tuple(int(piece.shape[axis]) for piece in pieces), axis


def _piece(draft: Draft, node: ATen) -> Operand | Cuts:
    """One piece of a split."""
    split, index = source_of(node), cast(int, arguments(node)[1])
    if split in draft.splits:
        return draft.splits[split].piece(index)
    sizes, axis = _pieces(split)
    start = sum(sizes[:index])
    return Cuts(draft.tensor(split), ((axis, start, start + sizes[index], 1),), draft.path)


HANDLERS[str(operator.getitem)] = _piece


@handles("cat.default")
def _cat(draft: Draft, node: ATen) -> Operand:
    pieces = [draft.tensor(value) for value in arguments(node)[0]]
    return draft.node("Concat", *pieces, axis=argument(node, 1, "dim", 0) % rank_of(node))


_PAD_MODES = {"reflect": "reflect", "replicate": "edge"}  # PyTorch's word -> ONNX's


@handles("pad.default", "constant_pad_nd.default")
def _pad(draft: Draft, node: ATen) -> Operand:
    pads = list(arguments(node)[1])
    mode = argument(node, 2, "mode", "constant") if str(node.target) == "aten.pad.default" else "constant"
    value = argument(node, 3 if str(node.target) == "aten.pad.default" else 2, "value", None)
    rank = rank_of(node)
    before, after = [0] * rank, [0] * rank
    for index in range(len(pads) // 2):
        before[rank - 1 - index], after[rank - 1 - index] = pads[2 * index : 2 * index + 2]
    x = draft.tensor(arguments(node)[0])
    amounts = (*before, *after)
    if mode != "constant":
        if mode not in _PAD_MODES:
            raise X3DDeployError(
                f"{draft.path}: padding in the mode {mode!r} has no form in ONNX's opset 17",
                hint=f"pad with {', '.join(_PAD_MODES)} or a constant",
            )
        return draft.node("Pad", x, amounts, mode=_PAD_MODES[mode])
    return draft.node("Pad", x, amounts, *([draft.tensor(value)] if value else []))


@handles("index.Tensor")
def _index(draft: Draft, node: ATen) -> Operand:
    """Places along one axis that are known beforehand."""
    given = [(axis, index) for axis, index in enumerate(arguments(node)[1]) if index is not None]
    places = draft.tensor(given[0][1])
    if len(given) != 1 or not isinstance(places, Constant):
        raise X3DDeployError(
            f"{draft.path}: indexing by several tensors, or by computed ones, has no handler",
            hint="index by numbers, one axis at a time",
        )
    axis, size = given[0][0], shape_of(source_of(node))[given[0][0]]
    if isinstance(size, str):
        raise X3DDeployError(f"{draft.path}: a choice of clips", hint="each clip is one row throughout")
    return draft.node("Gather", draft.tensor(source_of(node)), _integers(places.value % size), axis=axis)


@handles("upsample_nearest1d.vec", "upsample_nearest2d.vec", "upsample_nearest3d.vec")
def _nearest(draft: Draft, node: ATen) -> Operand | Cuts:
    """Where the factor is one over a whole number, a slice with steps; else the places that PyTorch takes.

    Source: `nearest_neighbor_compute_source_index` in ATen/native/UpSample.h, floor(place / factor) in float32.
    """
    source = source_of(node)
    before, after = source.meta["val"].shape[2:], node.meta["val"].shape[2:]
    factors = arguments(node)[2] if len(arguments(node)) > 2 else None
    changed: dict[int, npt.NDArray[np.int64]] = {}
    for axis, (size, wanted) in enumerate(zip(before, after, strict=True)):
        scale = np.float32(1 / factors[axis]) if factors else np.float32(size) / np.float32(wanted)
        places = np.minimum((np.arange(wanted, dtype=np.float32) * scale).astype(np.int64), size - 1)
        if places.tolist() != list(range(size)):
            changed[axis + 2] = places
    steps = {axis: int(places[1]) if len(places) > 1 else 1 for axis, places in changed.items()}
    if all(step and places.tolist() == list(range(0, len(places) * step, step))
           for step, places in zip(steps.values(), changed.values(), strict=True)):  # fmt: skip
        cuts = tuple((axis, 0, int(places[-1]) + 1, steps[axis]) for axis, places in changed.items())
        return Cuts(draft.tensor(source), cuts, draft.path) if cuts else draft.values[source]
    x = draft.tensor(source)
    for axis, places in changed.items():
        x = draft.node("Gather", x, _integers(places), axis=axis)
    return x


def _integers(values: npt.NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
