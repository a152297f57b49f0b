"""What a manifest says of this family's network: what follows from its model, and how schema 1 becomes schema 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec

from x3ddeploy.contract import Contract
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.literal import model_of, spec_of
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec

# Fields of schema 1 that say in this family's words what the contract says.
_REPLACED = ("spec", "fusion", "batch", "tensors")


@dataclass(frozen=True)
class _Schema1:
    spec: ModelSpec
    fusion: tuple[float, float]
    batch: int | None
    tensors: dict[str, dict[str, dict[str, list[int | str]]]]


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
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


def contradictions(model: dict[str, Any], contract: Contract) -> Iterator[str]:
    """Where the contract is not the one that follows from the model; blocks are as the graphs record them."""
    if len(contract.fusion) != 2:
        yield f"the deployed score {contract.deployed!r} is not of both streams"
        return
    rgb, pose = contract.fusion
    contract = replace(contract, parts={name: replace(part, blocks=()) for name, part in contract.parts.items()})
    expected = two_stream_contract(spec_of(model), (rgb, pose), contract.batch, {})
    for group in (field.name for field in fields(Contract)):
        said, follows = getattr(contract, group), getattr(expected, group)
        if not isinstance(said, dict):
            if said != follows:
                yield f"{group} is {said!r}, and the model says {follows!r}"
            continue
        yield from (f"{group}.{name} is not what the model says" for name in follows if said.get(name) != follows[name])
        yield from (f"{group}.{name} is of no such network" for name in said.keys() - follows.keys())
