"""The original layout of the weights: which tensors a network has, and in what shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.two_stream_x3d.checkpoint.weights import WeightsSpec
from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec
from x3ddeploy.families.two_stream_x3d.x3d import X3DBackbone
from x3ddeploy.text import shortened

# Coarse prototypes, a loss of the training alone.
TRAINING_ONLY = ("cls_head.fr_coarse_rgb.", "cls_head.fr_coarse_pose.")

_LISTED = 12


def expected_shapes(spec: ModelSpec | WeightsSpec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of `spec`, in the original layout, without `num_batches_tracked`.

    They are those of the network itself, built without memory for its weights.
    """
    with torch.device("meta"):
        parts = {
            "rgb_backbone": X3DBackbone(spec.rgb),
            "pose_backbone": X3DBackbone(spec.pose),
            "cls_head": TwoStreamHead(spec.head),
        }
    return {
        f"{part}.{name}": tuple(value.shape)
        for part, module in parts.items()
        for name, value in module.state_dict().items()
        if not name.endswith(".num_batches_tracked")
    }


def check_layout(state_dict: Mapping[str, Tensor], spec: ModelSpec | WeightsSpec) -> dict[str, Tensor]:
    """The weights that inference needs, exactly those of `expected_shapes(spec)`.

    Raises:
        CheckpointError: weights are missing, unexpected (other than what serves training only) or of another shape;
            one error lists all three.
    """
    expected = expected_shapes(spec)
    missing = [key for key in expected if key not in state_dict]
    unexpected = [key for key in state_dict if key not in expected and not key.startswith(TRAINING_ONLY)]
    misshapen = [
        f"{key}: {tuple(state_dict[key].shape)} where {shape} is expected"
        for key, shape in expected.items()
        if key in state_dict and tuple(state_dict[key].shape) != shape
    ]
    if missing or unexpected or misshapen:
        raise CheckpointError(
            f"the weights are not those of a two-stream X3D recognizer: {len(missing)} missing, "
            f"{len(unexpected)} unexpected, {len(misshapen)} of another shape",
            details=[
                *shortened([f"missing: {key}" for key in missing], _LISTED, "missing"),
                *shortened([f"unexpected: {key}" for key in unexpected], _LISTED, "unexpected"),
                *shortened([f"of another shape: {line}" for line in misshapen], _LISTED, "of another shape"),
            ],
            hint="give a checkpoint of the original two-stream network, with all of its weights",
        )
    return {key: state_dict[key] for key in expected}
