"""The training-form network in float64, beside its own float32: what is right, and what float32 makes of it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping

import numpy as np
import torch

from x3ddeploy.families.network import Network
from x3ddeploy.parity.metrics import compare_output
from x3ddeploy.runtimes.base import Array

Arrays = dict[str, Array]


class Reference:
    """Outputs of a network in float64, and the distance of its float32 from them.

    Clips do not see each other in the training form, so each distinct clip is computed once and by itself, however
    many batches it is in.

    Attributes:
        rounding: 'part -> output' -> PyTorch's float32 distance from float64, relative to the output's range (`scores`:
            absolute), the largest over the clips so far.
    """

    def __init__(self, network: Network) -> None:
        """Take a copy of a network in evaluation mode."""
        self._single, self._exact = network, copy.deepcopy(network).double()
        self._known: dict[str, Arrays] = {}
        self.rounding: dict[str, float] = {}

    def outputs(self, inputs: Mapping[str, Array]) -> Arrays:
        """Features, logits and scores in float64, of a batch of clips in float32."""
        batch = len(next(iter(inputs.values())))
        clips = [
            self._clip({name: value[index : index + 1] for name, value in inputs.items()}) for index in range(batch)
        ]
        return {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}

    def _clip(self, inputs: Mapping[str, Array]) -> Arrays:
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(inputs[name]).tobytes() for name in sorted(inputs)))
        key = digest.hexdigest()
        if key not in self._known:
            exact = run_network(self._exact, {name: value.astype(np.float64) for name, value in inputs.items()})
            self._note(exact, inputs)
            self._known[key] = exact
        return self._known[key]

    def _note(self, exact: Arrays, inputs: Mapping[str, Array]) -> None:
        rounded = run_network(self._single, inputs)
        available = {**inputs, **single(exact)}
        for part, described in self._single.contract().parts.items():
            if set(described.inputs) <= set(inputs):
                outputs = rounded
            else:  # judged alone, on what is right before it
                feeds = [torch.from_numpy(available[name]) for name in described.inputs]
                with torch.inference_mode():
                    outputs = {name: value.numpy() for name, value in self._single.part(part)(*feeds).items()}
            for name in described.outputs:
                distance = compare_output(name, exact[name], outputs[name]).relative
                label = f"{part} -> {name}"
                self.rounding[label] = max(distance, self.rounding.get(label, 0.0))


def single(outputs: Mapping[str, Array]) -> Arrays:
    """The same in float32."""
    return {name: value.astype(np.float32) for name, value in outputs.items()}


def run_network(network: Network, inputs: Mapping[str, Array]) -> Arrays:
    """What the training-form network gives, in its own type: features, logits, scores."""
    with torch.inference_mode():
        outputs = network(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}
