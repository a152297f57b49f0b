"""What every network is in its training form, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from x3ddeploy.contract import Contract


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
