"""From MMAction2's graph convolutions to their deploy form, exact steps each, and from its weights back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from x3ddeploy.families.stgcn.graph_convolution import lowered_adaptive, lowered_unit, raised_adaptive, raised_unit
from x3ddeploy.families.stgcn.multi_scale import lowered_scales, raised_scales
from x3ddeploy.lowering.batchnorm import affine
from x3ddeploy.lowering.rewrite import Rewrite, replaced

Raise = Callable[[Any, str, Mapping[str, Tensor]], dict[str, Tensor]]


class GCNBackbone(nn.Module):
    """A backbone whose BatchNorm of the data is a product and a sum where the data lie, before any axis moves."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        norm, joints = backbone.data_bn, backbone.graph.num_node
        self.data_bn = _DataNorm(norm, joints, backbone.in_channels) if isinstance(norm, nn.BatchNorm1d) else None
        self.gcn = backbone.gcn

    def forward(self, x: Tensor) -> Tensor:
        persons, frames, joints, channels = x.shape[1:]
        if self.data_bn is not None:
            x = self.data_bn(x)
        x = x.reshape(-1, frames, joints, channels).permute(0, 3, 1, 2)
        for block in self.gcn:
            x = block(x)
        return x.reshape(-1, persons, *x.shape[1:])


class _DataNorm(nn.Module):
    """(N, M, T, V, C) by factor and sum of (M or 1, 1, V, C), which lie in that order in the BatchNorm's channels."""

    def __init__(self, bn: nn.BatchNorm1d, joints: int, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(value.to(bn.weight.dtype).reshape(-1, 1, joints, channels), requires_grad=False)
            for value in affine(bn)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


class MeanHead(nn.Module):
    """`GCNHead`: one mean over persons, frames and joints, since every person has as many of both."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.fc = head.fc

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc(x.mean((1, 3, 4))))


def _exchanged(forms: Mapping[str, Callable[[Any], nn.Module]]) -> Callable[[nn.Module], nn.Module]:
    """A step that exchanges modules by the name of their class, which is MMAction2's."""

    def apply(module: nn.Module) -> nn.Module:
        kinds = {type(part) for part in module.modules() if type(part).__name__ in forms}
        for kind in kinds:
            module = replaced(module, kind, forms[kind.__name__])
        return module

    return apply


REWRITES = (
    Rewrite("graphs in one constant", _exchanged({"unit_gcn": lowered_unit, "unit_aagcn": lowered_adaptive})),
    Rewrite("dilations in one convolution", _exchanged({"mstcn": lowered_scales})),
    Rewrite("data normalised where they lie", _exchanged({"STGCN": GCNBackbone, "AAGCN": GCNBackbone})),
    Rewrite("one mean of all", _exchanged({"GCNHead": MeanHead})),
)
_RAISED: dict[str, Raise] = {"unit_gcn": raised_unit, "unit_aagcn": raised_adaptive, "mstcn": raised_scales}


def raised(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The training form's weights that the merged ones of an exported graph are equal to, by their names."""
    found: dict[str, Tensor] = {}
    for path, module in network.named_modules():
        if type(module).__name__ in _RAISED:
            found |= _RAISED[type(module).__name__](module, path, weights)
    return found
