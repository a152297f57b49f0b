"""What every network is in its training form, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from x3ddeploy.contract import Contract
from x3ddeploy.errors import BundleError


class Network(nn.Module, ABC):
    """A network in its training form, which every exported graph is compared with. Clips do not see each other.

    Called with the contract's inputs by name it gives every tensor of the contract's outputs by name.
    """

    family: ClassVar[str]

    @property
    @abstractmethod
    def model(self) -> dict[str, Any]:
        """What the family builds this network of, as JSON would give it back; without weights."""

    @abstractmethod
    def contract(self, batch: int | None = None) -> Contract:
        """What it takes and gives, part by part; of a fixed number of clips, or of any."""

    @abstractmethod
    def part(self, name: str) -> Callable[..., dict[str, Tensor]]:
        """What a part computes: its inputs in the contract's order -> its outputs by name."""

    def blocks(self, part: str) -> dict[str, nn.Module]:
        """Stretches of a part that can be judged alone: name as graphs record it -> the module that it ends in."""
        return {}


def stored_weight(weights: Mapping[str, Tensor], name: str, like: Tensor, *, padded: bool = False) -> Tensor:
    """A weight of an exported graph, with the training form's axes (a kernel (k, k) back to (1, k, k)).

    Args:
        weights: weights of the graph, by name.
        name: name of the weight.
        like: the training form's parameter.
        padded: whether channels may have been padded on, which are cut off again.

    Raises:
        BundleError: it is missing, is not float32, or has another number of values.
    """
    stored = weights.get(name)
    if stored is None or stored.dtype != torch.float32:
        raise BundleError(f"the graph lacks the float32 weight {name!r}", hint="export the checkpoint again")
    kept = stored[tuple(slice(size) for size in like.shape[:2])] if padded else stored
    if kept.numel() != like.numel():
        raise BundleError(
            f"weight {name!r} has shape {tuple(stored.shape)}, and the network asks for {tuple(like.shape)}",
            hint="the file was altered: export the checkpoint again",
        )
    return kept.reshape(like.shape).contiguous()
