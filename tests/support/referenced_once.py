"""What PyTorch computes for an engine's gate is computed once a process, for each part, precision and fault alike."""

import contextlib

import pytest

from support.traced_once import digest_of
from x3ddeploy.parity import reference


@contextlib.contextmanager
def referenced_once():
    """For those who import it when they need it, as the check of engines does: they do not ask for its rounding."""
    make = reference.Reference
    known: dict[str, reference.Reference] = {}

    def remembered(network):
        key = digest_of(network)
        if key not in known:
            known[key] = make(network)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "Reference", remembered)
        yield
