"""What families know of the manifests of their bundles, each asked only where its bundle is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from x3ddeploy.contract import Contract

# Manifests of schema 1 know no families; they are all of this one.
_OF_SCHEMA_1 = "two_stream_x3d"
_ROOMS = {"two_stream_x3d": "x3ddeploy.families.two_stream_x3d.manifest"}


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of schema 1 as one of schema 2.

    Raises:
        ValueError: it lacks what schema 1 has, or has it in another type.
        X3DDeployError: what it says of the network contradicts itself.
    """
    document_2: dict[str, Any] = import_module(_ROOMS[_OF_SCHEMA_1]).upgraded(document)
    return document_2


def contradictions(model: Mapping[str, Any], contract: Contract) -> Iterable[str]:
    """Where a contract is not the one that its family derives from the model; nothing for families that are not here.

    Raises:
        ValueError, X3DDeployError: the model is none of its family.
    """
    if contract.family not in _ROOMS:
        return ()
    found: Iterable[str] = import_module(_ROOMS[contract.family]).contradictions(model, contract)
    return found
