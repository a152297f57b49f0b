"""Shapes of a network's features and logits, by running it on tensors without data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from x3ddeploy.contract import Activation
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.mmaction.network import Backbone, Head
from x3ddeploy.text import shortened

_CLIPS = 11  # a prime, so that a network that mixes clips, or makes others of them, is seen
_LISTED = 12
# Attributes of layers that are at least one. Tensors without data pass where kernels refuse them.
_POSITIVE = re.compile(r"(\w+_)?(kernel_size|stride|dilation|groups)s?")


def shapes_of(
    model: Mapping[str, Any],
    built: Mapping[str, nn.Module],
    clips: Mapping[str, tuple[int, ...]],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """`features` and `logits` of a model.

    Args:
        model: see `x3ddeploy.families.mmaction.model`, as far as it is known.
        built: its modules.
        clips: shape of one clip, by input.
        names: names of the features.

    Raises:
        CheckpointError: a layer has a size that none can have; the network does not take such clips, gives other
            features than there are names, or no row of classes for each clip.
    """
    impossible = [f"{part}.{problem}" for part, module in built.items() for problem in _impossible(module)]
    if impossible:
        raise CheckpointError(
            "the config gives layers sizes that none can have",
            details=shortened(impossible, _LISTED),
            hint="strides, dilations, groups and sizes of kernels are whole numbers from 1 on",
        )
    backbone = Backbone(built, model["recognizer"], names)
    settings: dict[str, Any] = {"fcn_test": model["fcn_test"], "neck": "neck" in built}
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        try:
            features = backbone.features(*(torch.empty(_CLIPS, *shape) for shape in clips.values()))
            head = Head(built["cls_head"], model["recognizer"], (), Activation.SOFTMAX, {}, **settings)
            given = head.classified(features)
        except Exception as error:  # whatever a network raises where tensors do not fit it
            shapes = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in clips.items())
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(
                f"the network does not take clips of {shapes}: {reason}",
                hint="the test pipeline, --frames or --size say another size than the config's network takes",
            ) from error
    if len(features) != len(names):
        raise CheckpointError(f"the backbone gives {len(features)} tensors, and {len(names)} are known: {names}")
    logits = given if isinstance(given, dict) else {"": given}
    rows = {tuple(value.shape[:1]) for value in (*features, *logits.values())}
    if rows != {(_CLIPS,)} or any(value.dim() != 2 for value in logits.values()):
        found = ", ".join(" x ".join(map(str, value.shape)) for value in logits.values())
        raise CheckpointError(
            f"of {_CLIPS} clips the head gives {found}, which is not a row of classes each",
            hint="its consensus over frames, or the number of its segments, is not that of the backbone's clips",
        )
    return {
        "features": {name: list(value.shape[1:]) for name, value in zip(names, features, strict=True)},
        "logits": {f"{name}_logits".lstrip("_"): int(value.shape[1]) for name, value in logits.items()},
    }


def _impossible(part: nn.Module) -> Iterator[str]:
    """Layers of a part with a stride, a dilation, groups or a kernel of less than one."""
    for name, module in part.named_modules():
        for key, value in vars(module).items():
            sizes = value if isinstance(value, tuple | list) else (value,)
            if _POSITIVE.fullmatch(key) and any(isinstance(size, int) and size < 1 for size in sizes):
                yield f"{name}.{key} = {value!r}"
