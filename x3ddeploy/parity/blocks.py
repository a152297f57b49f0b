"""Block by block: where along a backbone a graph parts from the training-form network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.x3d import Backbone
from x3ddeploy.parity.gates import float32_tolerance
from x3ddeploy.parity.metrics import Difference, compare
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session


@dataclass(frozen=True)
class BlockRow:
    """One block's output, e.g. of 'rgb_backbone/layer2.3'.

    Attributes:
        difference: from the training-form network in float64.
        rounding: how far that network's float32 is from it.
    """

    block: str
    difference: Difference
    rounding: float

    def tolerance(self, explicit: float | None = None) -> float:
        """Largest relative error: what its rounding allows, where none is given."""
        return float32_tolerance(self.rounding) if explicit is None else explicit


def compare_blocks(
    network: TwoStreamX3D,
    part: str,
    model: Path | bytes,
    runtime: str,
    inputs: Mapping[str, Array],
    device: str | None = None,
) -> list[BlockRow]:
    """Outputs of the stem, of every block and of conv5, in the order of the network.

    Args:
        network: the reference, in evaluation mode.
        part: 'rgb_backbone' or 'pose_backbone'.
        model: that part's graph (the recognizer holds both backbones under the same names).
        runtime: what runs it; not 'torch'.
        inputs: of the graph, by name.
        device: of the runtime; None for its default.
    """
    backbone = network.get_submodule(part)
    assert isinstance(backbone, Backbone)
    source = "imgs" if part == "rgb_backbone" else "heatmap_imgs"
    rounded = _block_outputs(backbone, inputs[source])
    expected = _block_outputs(copy.deepcopy(backbone).double(), inputs[source].astype(np.float64))
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    tensors = {block.name: block.tensor for block in PartMetadata.of(proto).blocks}
    names = {block: tensors[f"{part}/{block}"] for block in expected if f"{part}/{block}" in tensors}
    declared = {value.name for value in proto.graph.output}
    inner = tuple(name for name in names.values() if name not in declared)
    outputs = open_session(runtime, model, device=device, outputs=inner).run(inputs)
    frames = inputs[source].shape[2]
    return [
        BlockRow(
            f"{part}/{block}",
            compare(expected[block], _as_clips(outputs[name], frames)),
            compare(expected[block], rounded[block]).relative,
        )
        for block, name in names.items()
    ]


def first_diverging(rows: list[BlockRow], explicit: float | None = None) -> str | None:
    """The first block that is further away than its rounding allows, or than an explicit tolerance."""
    return next((row.block for row in rows if not row.difference.within(row.tolerance(explicit))), None)


def _block_outputs(backbone: Backbone, clip: Array) -> dict[str, Array]:
    """Name of each block to its output (N, C, T, H, W)."""
    outputs: dict[str, Array] = {}
    named: list[tuple[str, nn.Module]] = [("conv1_s", backbone.conv1_s)]
    for index, stage in enumerate(backbone.stages, 1):
        named += [(f"layer{index}.{number}", block) for number, block in enumerate(stage)]
    named.append(("conv5", backbone.conv5))
    x = torch.from_numpy(clip)
    with torch.inference_mode():
        for name, module in named:
            x = module(x)
            outputs[name] = x.numpy()
    return outputs


def _as_clips(value: Array, frames: int) -> Array:
    """(N*T, C, H, W) to (N, C, T, H, W); a 5-D tensor is that already."""
    if value.ndim == 5:
        return value
    clips = value.reshape(-1, frames, *value.shape[1:])
    return np.ascontiguousarray(clips.swapaxes(1, 2))
