"""The one mechanism behind every rewrite: a copy of a module with some of its parts exchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Rewrite:
    """One exact step of a lowering, by name."""

    name: str
    apply: Callable[[nn.Module], nn.Module]


def replaced(module: M, kind: type[nn.Module], rewrite: Callable[[nn.Module], nn.Module]) -> M:
    """A copy of `module` in which `rewrite(part)` stands for every part of type `kind`; the original is untouched."""
    result = copy.deepcopy(module)
    if isinstance(result, kind):
        return rewrite(result)  # type: ignore[return-value]
    for name, part in list(result.named_modules()):
        if isinstance(part, kind):
            parent, _, leaf = name.rpartition(".")
            result.get_submodule(parent).add_module(leaf, rewrite(part))
    return result
