"""A function as a module, so that the node it becomes has a name of its own in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Operation(nn.Module):
    """One call of a function; an exported graph names the node after this module, as it does for `nn.Linear`."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: Any) -> Tensor:
        return self.function(*arguments)
