"""Modules that are the same down to their last weight are traced once a process: tracing is nearly all of an export.

Shapes of what MMAction2's modules give are found out once, too, which is nearly all of reading a checkpoint.
"""

import contextlib
import copy
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from x3ddeploy.exporting import parts
from x3ddeploy.families.mmaction import shapes
from x3ddeploy.graphs.trace import Program, trace

_MOST_WEIGHTS = 1 << 20  # programs of larger modules are not kept: they hold their weights
_OWN = set(vars(nn.Module())) - {"training", "_forward_hooks", "_forward_pre_hooks"}  # looked at by themselves


@contextlib.contextmanager
def traced_once():
    """What `export` traces in this process is remembered by its modules' types, code, attributes and weights."""
    known: dict[object, Program] = {}
    found: dict[object, dict[str, object]] = {}
    find_out = shapes.shapes_of

    def remembered(module, inputs):
        if sum(value.numel() for value in module.parameters()) > _MOST_WEIGHTS:
            return trace(module, inputs)
        key = (digest_of(module), tuple(inputs.items()))
        if key not in known:
            known[key] = trace(module, inputs)
        return replace(known[key], module=module)

    def found_out(model, built, clips, names):
        modules = tuple((part, digest_of(module, weights=False)) for part, module in built.items())
        key = (model["recognizer"], model["fcn_test"], modules, tuple(clips.items()), names)
        if key not in found:
            found[key] = find_out(model, built, clips, names)
        return copy.deepcopy(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "trace", remembered)
        patch.setattr(shapes, "shapes_of", found_out)
        yield


def digest_of(module: nn.Module, *, weights: bool = True) -> str:
    found = hashlib.sha256()
    for path, inner in module.named_modules():
        found.update(repr((path, type(inner), type(inner).forward)).encode())
        for name, value in sorted(vars(inner).items()):
            if name not in _OWN:
                found.update(name.encode() + _content(value))
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        found.update(name.encode() + (_content(value) if weights else repr((value.dtype, value.shape)).encode()))
    return found.hexdigest()


def _content(value: object) -> bytes:
    if isinstance(value, Tensor):
        return repr((value.dtype, value.shape)).encode() + bytes(value.detach().flatten().view(torch.uint8).numpy())
    if isinstance(value, np.ndarray):
        return repr((value.dtype, value.shape)).encode() + value.tobytes()
    if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__"):  # which would say where it lies alone
        return repr(type(value)).encode() + b"".join(
            name.encode() + _content(inner) for name, inner in sorted(vars(value).items())
        )
    return repr(value).encode()
