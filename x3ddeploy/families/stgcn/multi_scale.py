"""MMAction2's `mstcn`, six branches over the time, as three convolutions and one pooling; and the way back.

A branch is a 1 x 1 convolution, a BatchNorm and a ReLU before a dilated convolution or a maximum; one is a 1 x 1
convolution alone. The 1 x 1 convolutions read the same input: they are one. The dilated ones are one with as many
groups, whose kernel has the taps of all dilations. Its groups are of equal width, filled up with the channels of the
other branches, which a single tap in the middle hands on; so the width stays what the concatenated branches had. The
BatchNorm behind the concatenation goes into the taps, and that of the lone 1 x 1 branch into its weights, with a ReLU
twice, which is one. Striding picks the same frames from what was computed at all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.families.stgcn.graph_convolution import convolution_of, folded_into
from x3ddeploy.lowering.batchnorm import affine

_POOL = 3  # frames that the maximum is over; others do not keep the number of frames


@dataclass(frozen=True)
class Arrangement:
    """Where the channels of the concatenated branches lie.

    Attributes:
        order: for each place, the channel of MMAction2's concatenation that lies there.
        starts, widths: place and width of each branch in that concatenation.
        groups: groups of the dilated convolution.
        reach: frames that its kernel reaches to either side.
        pooled: first place of the channels whose maximum is taken, and how many they are.
    """

    order: tuple[int, ...]
    starts: tuple[int, ...]
    widths: tuple[int, ...]
    groups: int
    reach: int
    pooled: tuple[int, int]


class MultiScale(nn.Module):
    """The six branches as three convolutions and one pooling."""

    def __init__(self, unit: Any, arranged: Arrangement) -> None:
        super().__init__()
        self.pooled = arranged.pooled
        squeeze, taps = _squeeze(unit, arranged), _taps(unit, arranged)
        dtype, order = unit.transform[2].weight.dtype, list(arranged.order)
        width = len(order) // arranged.groups
        kernel, bias = taps[0][order][:, order], taps[1][order]
        groups = [kernel[start : start + width, start : start + width] for start in range(0, len(order), width)]
        self.squeeze = convolution_of(*(value[order].to(dtype) for value in squeeze))
        self.temporal = convolution_of(
            torch.cat(groups)[..., None].to(dtype),
            bias.to(dtype),
            stride=(_stride(unit), 1),
            padding=(arranged.reach, 0),
            groups=arranged.groups,
        )
        kernel, bias = folded_into(unit.transform[2], unit.bn)
        self.transform = convolution_of(kernel[:, order].to(dtype), bias.to(dtype))
        self.pool = nn.MaxPool2d((_POOL, 1), 1, (_POOL // 2, 0))

    def forward(self, x: Tensor) -> Tensor:
        squeezed = F.relu(self.squeeze(x))
        start, count = self.pooled
        before, pooled, after = torch.split(squeezed, [start, count, squeezed.shape[1] - start - count], 1)
        squeezed = torch.cat((before, self.pool(pooled), after), 1)
        return self.transform(F.relu(self.temporal(squeezed)))


def lowered_scales(unit: Any) -> nn.Module:
    """`mstcn` in its deploy form; itself where its branches cannot be arranged so."""
    arranged = arrangement(unit)
    return unit if arranged is None else MultiScale(unit, arranged)


def arrangement(unit: Any) -> Arrangement | None:
    """Where the channels of its branches go; None where they make no groups of equal width."""
    widths = [unit.rem_mid_channels, *[unit.mid_channels] * (unit.num_branches - 1)]
    starts = [sum(widths[:index]) for index in range(len(widths))]
    kinds = [cfg if isinstance(cfg, str) else cfg[0] for cfg in unit.ms_cfg]
    dilated = [index for index, kind in enumerate(kinds) if isinstance(kind, int)]
    alone = [index for index, kind in enumerate(kinds) if kind == "1x1"]
    pooled = [index for index, kind in enumerate(kinds) if kind == "max"]
    if (
        not dilated
        or not pooled
        or any(unit.ms_cfg[index][1] != _POOL for index in pooled)
        or sum(widths) % len(dilated)
    ):
        return None
    width = sum(widths) // len(dilated)
    if any(unit.ms_cfg[index][0] % 2 == 0 or widths[index] > width for index in dilated):
        return None

    def channels(index: int) -> list[int]:
        return list(range(starts[index], starts[index] + widths[index]))

    others = [channel for index in (*alone, *pooled) for channel in channels(index)]
    order: list[int] = []
    for index in dilated:
        own = channels(index)
        room = width - len(own)
        filled, others = others[:room], others[room:]
        order += own + filled if index != dilated[-1] else filled + own
    maxima = {channel for index in pooled for channel in channels(index)}
    places = [place for place, channel in enumerate(order) if channel in maxima]
    if places[-1] - places[0] + 1 != len(places):
        return None
    reach = max((unit.ms_cfg[index][0] // 2) * unit.ms_cfg[index][1] for index in dilated)
    return Arrangement(tuple(order), tuple(starts), tuple(widths), len(dilated), reach, (places[0], len(places)))


def raised_scales(unit: Any, path: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `mstcn` that an exported `MultiScale` is equal to, by their names."""
    arranged = arrangement(unit)
    if arranged is None or f"{path}.squeeze.weight" not in weights:
        return {}
    order = torch.tensor(arranged.order).argsort()
    squeeze, bias = (weights[f"{path}.squeeze.{leaf}"][order] for leaf in ("weight", "bias"))
    grouped, shift = weights[f"{path}.temporal.weight"][..., 0], weights[f"{path}.temporal.bias"][order]
    width = grouped.shape[1]
    kernel = torch.zeros(len(order), len(order), grouped.shape[2])
    for start in range(0, len(order), width):
        kernel[start : start + width, start : start + width] = grouped[start : start + width]
    kernel = kernel[order][:, order]
    scale, after = torch.ones(len(order)), torch.zeros(len(order))
    made: dict[str, Tensor] = {}
    for index, (start, count) in enumerate(zip(arranged.starts, arranged.widths, strict=True)):
        cfg, rows, branch = unit.ms_cfg[index], slice(start, start + count), f"{path}.branches.{index}"
        if cfg == "1x1":
            made |= {f"{branch}.weight": squeeze[rows], f"{branch}.bias": bias[rows]}
            continue
        made |= {f"{branch}.0.weight": squeeze[rows], f"{branch}.1.bias": bias[rows]}
        if cfg[0] == "max":
            scale[rows], after[rows] = kernel[rows, rows, arranged.reach].diagonal(), shift[rows]
        else:
            taps = kernel[rows, rows][..., _taps_of(cfg, arranged.reach)]
            made |= {f"{branch}.3.conv.weight": taps[..., None], f"{branch}.3.conv.bias": shift[rows]}
    made |= {f"{path}.transform.0.weight": scale, f"{path}.transform.0.bias": after}
    made[f"{path}.transform.2.weight"] = weights[f"{path}.transform.weight"][:, order]
    made[f"{path}.bn.bias"] = weights[f"{path}.transform.bias"]
    return made


def _squeeze(unit: Any, arranged: Arrangement) -> tuple[Tensor, Tensor]:
    """Weight and bias of all 1 x 1 convolutions, in MMAction2's order of channels."""
    scale, shift = affine(unit.transform[0])
    weights, biases = [], []
    for index, branch in enumerate(unit.branches):
        if unit.ms_cfg[index] == "1x1":
            rows = slice(arranged.starts[index], arranged.starts[index] + arranged.widths[index])
            weight = branch.weight.double() * scale[rows, None, None, None]
            bias = branch.bias.double() * scale[rows] + shift[rows]
        else:
            weight, bias = folded_into(branch[0], branch[1])
        weights.append(weight.detach())
        biases.append(bias.detach())
    return torch.cat(weights), torch.cat(biases)


def _taps(unit: Any, arranged: Arrangement) -> tuple[Tensor, Tensor]:
    """Kernel (C, C, frames) and bias of what the branches do to what was squeezed, in MMAction2's order."""
    scale, shift = affine(unit.transform[0])
    total = len(arranged.order)
    kernel = torch.zeros(total, total, 2 * arranged.reach + 1, dtype=torch.float64)
    bias = torch.zeros(total, dtype=torch.float64)
    for index, branch in enumerate(unit.branches):
        rows = slice(arranged.starts[index], arranged.starts[index] + arranged.widths[index])
        cfg = unit.ms_cfg[index]
        if cfg == "1x1":
            kernel[rows, rows, arranged.reach] = torch.eye(arranged.widths[index], dtype=torch.float64)
        elif cfg[0] == "max":
            kernel[rows, rows, arranged.reach] = torch.diag(scale[rows])
            bias[rows] = shift[rows]
        else:
            conv = branch[3].conv
            taps = conv.weight.detach().double()[..., 0] * scale[rows, None, None]
            kernel[rows, rows, _taps_of(cfg, arranged.reach)] = taps
            bias[rows] = conv.bias.detach().double() * scale[rows] + shift[rows]
    return kernel, bias


def _taps_of(cfg: tuple[int, int], reach: int) -> slice:
    """Places of a dilated kernel's taps in the kernel of all."""
    size, dilation = cfg
    first = reach - size // 2 * dilation
    return slice(first, first + (size - 1) * dilation + 1, dilation)


def _stride(unit: Any) -> int:
    """Frames from one output to the next, alike in all branches."""
    index = next(index for index, cfg in enumerate(unit.ms_cfg) if isinstance(cfg, tuple) and isinstance(cfg[0], int))
    return int(unit.branches[index][3].stride)
