"""MMAction2's `unit_gcn` and `unit_aagcn` as products with one constant matrix and one convolution, and the way back.

Both compute y = act(bn(sum_k W_k x A_k + b) + res(x)): W_k mixes channels, A_k joints. With the A_k side by side in one
matrix (V, K * V) the product x A has, for each joint, its K values V apart: a convolution with a (1, K) kernel of
dilation (1, V) then sums them over k and channels. Nothing is transposed, adjacency and its learned factors are one
constant, and a residual convolution is one more k whose A is the identity. In exact arithmetic nothing changes;
weights are computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.lowering.batchnorm import affine
from x3ddeploy.lowering.rewrite import total


class GraphConvolution(nn.Module):
    """A product with the joints' matrices, one convolution over all of them, the residual, and the activation.

    Args:
        graph: (V, K * V), the A_k side by side.
        kernel: (C', C, 1, K).
        offset: (C', 1, V) where what is added differs from joint to joint, else (C',).
        act: on the result.
        identity: whether the input itself is the residual.
    """

    def __init__(
        self, graph: Tensor, kernel: Tensor, offset: Tensor, act: Callable[[Tensor], Tensor], *, identity: bool
    ) -> None:
        super().__init__()
        self.graph, self.kernel, self.offset = (_fixed(value) for value in (graph, kernel, offset))
        self.act, self.identity = act, identity

    def forward(self, x: Tensor) -> Tensor:
        alike = self.offset.dim() == 1
        bias = self.offset if alike else None
        y = F.conv2d(torch.matmul(x, self.graph), self.kernel, bias, dilation=(1, x.shape[-1]))
        more = [x] * self.identity + [self.offset] * (not alike)
        return self.act(total([y, *more]) if more else y)


class AdaptiveConvolution(nn.Module):
    """`unit_aagcn` whose A_k depend on the clip: A_k + alpha tanh(a_k(x)^T b_k(x) / size), a and b one convolution."""

    def __init__(self, unit: Any) -> None:
        super().__init__()
        self.embedding = _stacked([*unit.conv_a, *unit.conv_b])
        self.A, self.alpha = _fixed(unit.A), _fixed(unit.alpha)
        scale, shift = affine(unit.bn)
        kernel = torch.cat([conv.weight.double() for conv in unit.conv_d], 1) * scale[:, None, None, None]
        bias = sum(conv.bias.double() for conv in unit.conv_d) * scale + shift
        self.mixing = convolution_of(kernel.to(unit.A.dtype), bias.to(unit.A.dtype))
        self.down, self.subsets = unit.down, int(unit.num_subset)

    def forward(self, x: Tensor) -> Tensor:
        channels, frames, joints = x.shape[1:]
        embedded = self.embedding(x)
        size = embedded.shape[1] // (2 * self.subsets) * frames
        a, b = (part.reshape(-1, self.subsets, size, joints) for part in embedded.chunk(2, 1))
        graph = torch.tanh(torch.matmul(a.transpose(2, 3), b) / size) * self.alpha + self.A
        moved = torch.matmul(x.reshape(-1, 1, channels * frames, joints), graph)
        y = self.mixing(moved.reshape(-1, self.subsets * channels, frames, joints))
        return F.relu(y + self.down(x))


class Attended(nn.Module):
    """A lowered `unit_aagcn` and the attention behind it: over joints, frames and channels, as MMAction2 has them."""

    def __init__(self, unit: Any, lowered: nn.Module) -> None:
        super().__init__()
        self.unit = lowered
        self.conv_ta, self.conv_sa, self.fc1c, self.fc2c = unit.conv_ta, unit.conv_sa, unit.fc1c, unit.fc2c

    def forward(self, x: Tensor) -> Tensor:
        y = self.unit(x)
        y = y * torch.sigmoid(self.conv_sa(y.mean(-2))).unsqueeze(-2) + y
        y = y * torch.sigmoid(self.conv_ta(y.mean(-1))).unsqueeze(-1) + y
        gate = torch.sigmoid(self.fc2c(F.relu(self.fc1c(y.mean((2, 3))))))
        return y * gate.unsqueeze(-1).unsqueeze(-1) + y


def lowered_unit(unit: Any) -> nn.Module:
    """`unit_gcn` in its deploy form; itself where its norm is no BatchNorm."""
    if not isinstance(unit.bn, nn.BatchNorm2d) or (unit.with_res and not _is_residual(getattr(unit, "down", None))):
        return cast(nn.Module, unit)
    subsets = unit.num_subsets
    graph = adjacency(unit).double()
    scale, shift = affine(unit.bn)
    weight, bias = unit.conv.weight.double()[..., 0, 0], unit.conv.bias.double()
    joints = graph.shape[-1]
    if unit.conv_pos == "pre":
        kernels = list((weight * scale.repeat(subsets)[:, None]).chunk(subsets))
        spread = sum((b * scale)[:, None] * a.sum(0) for b, a in zip(bias.chunk(subsets), graph, strict=True))
        offset = cast(Tensor, spread) + shift[:, None]
    else:
        kernels = list((weight * scale[:, None]).chunk(subsets, 1))
        offset = (bias * scale + shift)[:, None]
    graphs = list(graph)
    identity = bool(unit.with_res) and not isinstance(unit.down, nn.Sequential)
    if unit.with_res and not identity:
        kernel, bias = folded_into(*unit.down)
        kernels, graphs = [*kernels, kernel[..., 0, 0]], [*graphs, torch.eye(joints, dtype=torch.float64)]
        offset = offset + bias[:, None]
    return _of(unit.conv.weight.dtype, graphs, kernels, offset, unit.act, identity=identity)


def lowered_adaptive(unit: Any) -> nn.Module:
    """`unit_aagcn` in its deploy form."""
    if unit.adaptive:
        lowered: nn.Module = AdaptiveConvolution(unit)
    else:
        scale, shift = affine(unit.bn)
        kernels = [conv.weight.double()[..., 0, 0] * scale[:, None] for conv in unit.conv_d]
        offset = (sum(conv.bias.double() for conv in unit.conv_d) * scale + shift)[:, None]
        graphs = list(unit.A.double())
        identity = not isinstance(unit.down, nn.Sequential)
        if not identity:
            kernel, bias = folded_into(*unit.down)
            kernels, graphs = [*kernels, kernel[..., 0, 0]], [*graphs, torch.eye(len(graphs[0]), dtype=torch.float64)]
            offset = offset + bias[:, None]
        lowered = _of(unit.A.dtype, graphs, kernels, offset, F.relu, identity=identity)
    return Attended(unit, lowered) if unit.attention else lowered


def adjacency(unit: Any) -> Tensor:
    """(K, V, V) with which `unit_gcn` computes."""
    factors = {"offset": lambda: unit.A + unit.PA, "importance": lambda: unit.A * unit.PA}
    return cast(Tensor, factors.get(unit.adaptive, lambda: unit.A)()).detach()


def raised_unit(unit: Any, path: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `unit_gcn` that an exported `GraphConvolution` is equal to, by their names; its A is set."""
    if f"{path}.graph" not in weights:
        return {}
    subsets, merged = unit.num_subsets, f"{path}.graph"
    graph, kernel, offset = weights[merged], weights[f"{path}.kernel"][:, :, 0], weights[f"{path}.offset"]
    joints = graph.shape[0]
    matrices = torch.stack(graph.split(joints, 1)[:subsets])
    kernels = list(kernel.unbind(-1))
    made = {f"{path}.bn.bias": offset}
    if unit.conv_pos == "pre":
        made[f"{path}.conv.weight"] = torch.cat(kernels[:subsets])
        columns = np.stack([np.ones(joints), *matrices.double().sum(1).numpy()], 1)
        parts = torch.from_numpy(np.linalg.lstsq(columns, offset[:, 0].double().numpy().T, rcond=1e-7)[0]).float()
        made |= {f"{path}.bn.bias": parts[0], f"{path}.conv.bias": parts[1:].flatten()}
    else:
        made[f"{path}.conv.weight"] = torch.cat(kernels[:subsets], 1)
    if len(kernels) > subsets:
        made |= {f"{path}.down.0.weight": kernels[subsets], f"{path}.down.1.bias": torch.zeros(len(kernel))}
    if unit.adaptive == "init":
        made[f"{path}.A"] = matrices
    else:
        unit.A = matrices
    if hasattr(unit, "PA"):
        made[f"{path}.PA"] = torch.full_like(matrices, 1.0 if unit.adaptive == "importance" else 0.0)
    return made


def raised_adaptive(unit: Any, path: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `unit_aagcn` that its exported deploy form is equal to, by their names."""
    made = {name.replace(f"{path}.unit.", f"{path}."): value for name, value in weights.items()
            if name.startswith(f"{path}.unit.")}  # fmt: skip
    weights, subsets = {**weights, **made}, unit.num_subset
    if f"{path}.graph" in weights:
        kernels = list(weights[f"{path}.kernel"][:, :, 0].unbind(-1))
        unit.A = torch.stack(weights[f"{path}.graph"].split(unit.A.shape[-1], 1)[:subsets])
        bias = weights[f"{path}.offset"]
        if len(kernels) > subsets:
            made |= {f"{path}.down.0.weight": kernels[subsets], f"{path}.down.1.bias": torch.zeros(len(bias))}
        kernels = kernels[:subsets]
    elif f"{path}.mixing.weight" in weights:
        kernels = list(weights[f"{path}.mixing.weight"].chunk(subsets, 1))
        bias = weights[f"{path}.mixing.bias"]
        embedded = zip(*(weights[f"{path}.embedding.{leaf}"].chunk(2 * subsets) for leaf in ("weight", "bias")),
                       strict=True)  # fmt: skip
        for index, (weight, offset) in enumerate(embedded):
            conv = f"{path}.conv_{'ab'[index // subsets]}.{index % subsets}"
            made |= {f"{conv}.weight": weight, f"{conv}.bias": offset}
    else:
        return made
    for index, kernel in enumerate(kernels):
        made |= {f"{path}.conv_d.{index}.weight": kernel, f"{path}.conv_d.{index}.bias": torch.zeros(len(bias))}
    return {**made, f"{path}.bn.bias": bias}


def _of(
    dtype: torch.dtype,
    graphs: list[Tensor],
    kernels: list[Tensor],
    offset: Tensor,
    act: Callable[[Tensor], Tensor],
    *,
    identity: bool,
) -> GraphConvolution:
    kernel = torch.stack(kernels, -1)[:, :, None]
    offset = offset[:, 0] if offset.shape[1] == 1 else offset[:, None]
    graph, kernel, offset = (value.to(dtype) for value in (torch.cat(graphs, 1), kernel, offset))
    return GraphConvolution(graph, kernel, offset, act, identity=identity)


def _is_residual(down: object) -> bool:
    """Whether a residual is the input itself, or a convolution and a BatchNorm."""
    return not isinstance(down, nn.Module) or (isinstance(down, nn.Sequential) and isinstance(down[-1], nn.BatchNorm2d))


def folded_into(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution with the BatchNorm behind it, in float64."""
    scale, shift = affine(bn)
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.detach().double()
    return conv.weight.detach().double() * scale[:, None, None, None], bias * scale + shift


def _stacked(convolutions: list[nn.Conv2d]) -> nn.Conv2d:
    """1 x 1 convolutions of one input as one, their outputs behind each other."""
    biases = [cast(Tensor, conv.bias) for conv in convolutions]
    return convolution_of(torch.cat([conv.weight for conv in convolutions]), torch.cat(biases))


def convolution_of(weight: Tensor, bias: Tensor, **settings: Any) -> nn.Conv2d:
    """A convolution of fixed weights; its settings are those of `nn.Conv2d`."""
    groups = settings.get("groups", 1)
    size = int(weight.shape[2]), int(weight.shape[3])
    conv = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], size, **settings)
    conv.weight, conv.bias = _fixed(weight), _fixed(bias)
    return conv


def _fixed(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().clone(), requires_grad=False)
