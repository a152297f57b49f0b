"""Modules that are the same down to their last weight are traced once a process: tracing is nearly all of an export."""

import contextlib
import hashlib
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from x3ddeploy.exporting import parts
from x3ddeploy.graphs.trace import Program, trace

_MOST_WEIGHTS = 1 << 20  # programs of larger modules are not kept: they hold their weights
_OWN = set(vars(nn.Module())) - {"training", "_forward_hooks", "_forward_pre_hooks"}  # looked at by themselves


@contextlib.contextmanager
def traced_once():
    """What `export` traces in this process is remembered by its modules' types, code, attributes and weights."""
    known: dict[object, Program] = {}

    def remembered(module, shapes):
        if sum(value.numel() for value in module.parameters()) > _MOST_WEIGHTS:
            return trace(module, shapes)
        key = (_digest(module), tuple(shapes.items()))
        if key not in known:
            known[key] = trace(module, shapes)
        return replace(known[key], module=module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "trace", remembered)
        yield


def _digest(module: nn.Module) -> str:
    found = hashlib.sha256()
    for path, inner in module.named_modules():
        found.update(repr((path, type(inner), type(inner).forward)).encode())
        for name, value in sorted(vars(inner).items()):
            if name not in _OWN:
                found.update(name.encode() + _content(value))
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        found.update(name.encode() + _content(value))
    return found.hexdigest()


def _content(value: object) -> bytes:
    if isinstance(value, Tensor):
        return repr((value.dtype, value.shape)).encode() + bytes(value.detach().flatten().view(torch.uint8).numpy())
    return repr(value).encode()
