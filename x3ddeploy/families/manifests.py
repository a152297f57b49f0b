"""What families know of the manifests of their bundles, each asked only where its bundle is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from x3ddeploy.contract import Contract
from x3ddeploy.families import family_named, is_known


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of schema 1 as one of schema 2. Schema 1 knew no families; all of its bundles are of one.

    Raises:
        ValueError: it lacks what schema 1 has, or has it in another type.
        X3DDeployError: what it says of the network contradicts itself.
    """
    from x3ddeploy.families.two_stream_x3d import schema_1

    return schema_1.upgraded(document)


def contradictions(model: Mapping[str, Any], contract: Contract) -> Iterator[str]:
    """Where a contract is not the one that its family derives from the model; nothing for families that are not here.

    Blocks are not asked: they are what graphs record.

    Raises:
        ValueError, X3DDeployError: the model is none of its family.
    """
    if not is_known(contract.family):
        return
    try:
        expected = family_named(contract.family).contract(model, contract.fusion, contract.batch)
    except (LookupError, TypeError, AttributeError) as error:  # whatever a family's reading of it meets
        raise ValueError(f"it lacks something, or has it in another type: {error!r}") from error
    contract = replace(contract, parts={name: replace(part, blocks=()) for name, part in contract.parts.items()})
    for group in (field.name for field in fields(Contract)):
        said, follows = getattr(contract, group), getattr(expected, group)
        if not isinstance(said, dict):
            if said != follows:
                yield f"{group} is {said!r}, and the model says {follows!r}"
            continue
        yield from (f"{group}.{name} is not what the model says" for name in follows if said.get(name) != follows[name])
        yield from (f"{group}.{name} is of no such network" for name in said.keys() - follows.keys())
