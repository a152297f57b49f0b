"""A sum of several tensors as one operator, which ONNX has (`Sum`) and PyTorch has not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor


@torch.library.custom_op("x3ddeploy::total", mutates_args=())
def total(tensors: Sequence[Tensor]) -> Tensor:
    """Their sum, one broadcast to the other; of at least two."""
    return reduce(torch.add, tensors)


@total.register_fake
def _(tensors: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, tensors)
