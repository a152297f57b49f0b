"""Manifests of schema 1, which spoke of this network alone, as manifests of schema 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec, model_of

# Fields of schema 1 that say in this family's words what the contract says.
_REPLACED = ("spec", "fusion", "batch", "tensors")


@dataclass(frozen=True)
class _Schema1:
    spec: ModelSpec
    fusion: tuple[float, float]
    batch: int | None
    tensors: dict[str, dict[str, dict[str, list[int | str]]]]


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of schema 1 as one of schema 2.

    Raises:
        ValueError: it lacks what schema 1 has, or has it in another type.
        X3DDeployError: what it says of the network contradicts itself.
    """
    old = msgspec.convert(document, _Schema1)
    contract = two_stream_contract(old.spec, old.fusion, old.batch, {})
    kept = {name: value for name, value in document.items() if name not in _REPLACED}
    preprocessing = {
        name: {"inputs": sides.get("inputs", {}), "outputs": list(sides.get("outputs", {}))}
        for name, sides in old.tensors.items()
        if name not in contract.parts
    }
    described: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(contract))
    return {**kept, "schema_version": 2, "model": model_of(old.spec), "preprocessing": preprocessing, **described}
