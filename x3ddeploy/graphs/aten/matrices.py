"""Products of matrices."""

from __future__ import annotations

from torch.fx import Node as ATen

from x3ddeploy.graphs.draft import Constant, Draft, Operand, argument, arguments, handles, rank_of


@handles("linear.default")
def _linear(draft: Draft, node: ATen) -> Operand:
    """A Gemm on (N, C); on more axes a product with the transposed weight, and a sum."""
    x, weight = (draft.tensor(value) for value in arguments(node)[:2])
    bias = argument(node, 2, "bias")
    offsets = [] if bias is None else [draft.tensor(bias)]
    if rank_of(node) == 2:
        return draft.node("Gemm", x, weight, *offsets, transB=1)
    assert isinstance(weight, Constant)
    y = draft.node("MatMul", x, Constant(f"{weight.name}/transposed", weight.value.T))
    return draft.node("Add", y, *offsets) if offsets else y


@handles("addmm.default")
def _addmm(draft: Draft, node: ATen) -> Operand:
    bias, x, weight = (draft.tensor(value) for value in arguments(node)[:3])
    return draft.node("Gemm", x, weight, bias)


@handles("einsum.default")
def _einsum(draft: Draft, node: ATen) -> Operand:
    return draft.node("Einsum", *(draft.tensor(value) for value in arguments(node)[1]), equation=arguments(node)[0])
