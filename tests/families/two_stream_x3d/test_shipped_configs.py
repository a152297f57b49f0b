"""The configs that ship say what the presets say."""

from pathlib import Path

import pytest
import torch

from x3ddeploy.families.two_stream_x3d.checkpoint import expected_shapes, read_override, resolve_spec
from x3ddeploy.families.two_stream_x3d.presets import PRESETS

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize("name", ["ntu60", "ma52"])
def test_a_shipped_config_resolves_to_its_preset_without_help(name):
    weights = {key: torch.zeros(shape) for key, shape in expected_shapes(PRESETS[name]).items()}
    path = CONFIGS / f"{name}.py"
    resolved = resolve_spec(weights, None, read_override(str(path)))
    assert resolved.spec == PRESETS[name]
    assert not [origin for origin in resolved.origins.values() if origin.startswith("preset")]
    assert resolved.origins["rgb.stem_stride"] == f"config {path}"
