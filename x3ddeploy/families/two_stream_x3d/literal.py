"""The specification as literals, as bundles and graphs keep it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from x3ddeploy.families.two_stream_x3d.spec import BackboneSpec, ModelSpec


def model_of(spec: ModelSpec) -> dict[str, Any]:
    """A specification as JSON would give it back."""
    import msgspec  # benchmarks of PyTorch alone go without

    model: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    for stream in ("rgb", "pose"):
        # Left out where it is the default: files that were exported before it could be anything else say the same.
        if model[stream].get("activation") == BackboneSpec.activation.value:
            del model[stream]["activation"]
    return model


def spec_of(model: Mapping[str, Any]) -> ModelSpec:
    """The specification that `model_of` was given. Raises ValueError or X3DDeployError where it is none."""
    import msgspec

    model_spec: ModelSpec = msgspec.convert(model, ModelSpec)
    return model_spec
