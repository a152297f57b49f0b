"""Block by block: where along a part a graph leaves the training-form network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.families.network import Network
from x3ddeploy.parity.gates import float32_tolerance
from x3ddeploy.parity.metrics import Difference, compare
from x3ddeploy.runtimes.base import Array
from x3ddeploy.runtimes.registry import open_session


@dataclass(frozen=True)
class BlockRow:
    """One block's output, e.g. of 'backbone/layer2.3'.

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
    network: Network,
    part: str,
    model: Path | bytes,
    runtime: str,
    inputs: Mapping[str, Array],
    device: str | None = None,
) -> list[BlockRow]:
    """Outputs of the blocks that a graph records, in the order of the network; none where it records none.

    Args:
        network: the reference, in evaluation mode.
        part: one of its pieces.
        model: graph of that part (the recognizer holds all pieces under the same names).
        runtime: what runs it; not 'torch'.
        inputs: inputs of the graph, by name.
        device: device of the runtime; None for its default.
    """
    rounded = _block_outputs(network, part, inputs)
    exact = {name: value.astype(np.float64) for name, value in inputs.items()}
    expected = _block_outputs(copy.deepcopy(network).double(), part, exact)
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    tensors = {block.name: block.tensor for block in PartMetadata.of(proto).blocks if block.name in expected}
    declared = {value.name for value in proto.graph.output}
    inner = tuple(name for name in tensors.values() if name not in declared)
    outputs = open_session(runtime, model, device=device, outputs=inner).run(inputs) if tensors else {}
    return [
        BlockRow(
            block,
            compare(expected[block], _as_clips(outputs[name], expected[block])),
            compare(expected[block], rounded[block]).relative,
        )
        for block, name in tensors.items()
    ]


def first_diverging(rows: list[BlockRow], explicit: float | None = None) -> str | None:
    """The first block that is further away than its rounding allows, or than an explicit tolerance."""
    return next((row.block for row in rows if not row.difference.within(row.tolerance(explicit))), None)


def _block_outputs(network: Network, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Name of each block to its output, clip by clip."""
    outputs: dict[str, Array] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda module, given, output: outputs.update({name: output.numpy()})

    hooks = [module.register_forward_hook(keep(name)) for name, module in network.blocks(part).items()]
    try:
        with torch.inference_mode():
            network.part(part)(*(torch.from_numpy(value) for value in inputs.values()))
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _as_clips(value: Array, like: Array) -> Array:
    """(N*T, C, H, W) to (N, C, T, H, W), where the training form's tensor is that."""
    if value.ndim != like.ndim - 1:
        return value
    clips = value.reshape(-1, like.shape[2], *value.shape[1:])
    return np.ascontiguousarray(clips.swapaxes(1, 2))
