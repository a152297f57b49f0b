"""Checks on loaded weights: real, finite, stored in full; and their conversion to float32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from x3ddeploy.errors import CheckpointError
from x3ddeploy.text import shortened

_LISTED = 10


def to_float32(weights: Mapping[str, object], name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights as contiguous float32 tensors on the CPU that own their memory, and what was converted.

    Args:
        weights: named values of any type.
        name: what errors call the file.

    Raises:
        CheckpointError: a value is not a dense tensor of real floating-point numbers, or not finite; the first ten
            such keys are listed.
    """
    problems = {key: problem for key, value in weights.items() if (problem := _problem(value))}
    if problems:
        raise CheckpointError(
            f"{name}: {len(problems)} weights are not tensors of floating-point numbers",
            details=shortened([f"{key}: {problem}" for key, problem in problems.items()], _LISTED),
            hint="save the training model's float state_dict, before any quantization or conversion",
        )
    dtypes: Counter[str] = Counter()
    converted: dict[str, Tensor] = {}
    for key, value in weights.items():
        assert isinstance(value, Tensor)  # else it were among the problems
        if value.dtype != torch.float32:
            dtypes[str(value.dtype).removeprefix("torch.")] += 1
        converted[key] = value.detach().as_subclass(Tensor).to(torch.float32, copy=True).contiguous()
    infinite = [key for key, value in converted.items() if not torch.isfinite(value).all()]
    if infinite:
        raise CheckpointError(
            f"{name}: {len(infinite)} weights hold NaN or infinite values",
            details=shortened(infinite, _LISTED),
            hint="training diverged or the file is damaged; take an earlier checkpoint",
        )
    return converted, tuple(f"converted {count} {dtype} tensors to float32" for dtype, count in dtypes.items())


def _problem(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__.lstrip('_').lower()}, not a tensor"
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        return "a sparse, quantized or dataless tensor"
    if not value.is_floating_point():
        return f"{str(value.dtype).removeprefix('torch.')} numbers"
    # A view with stride 0 claims any size; converting it would allocate it.
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"shape {tuple(value.shape)} is more than is stored"
    return ""
