"""RGBPoseConv3D as the baseline: MMAction2's own network, and an export that computes the same."""

import pytest
import torch

from x3ddeploy.benchmarking.loaders import require_same
from x3ddeploy.errors import GateError
from x3ddeploy.families import baseline_named


def test_the_baseline_is_mmaction2s_own_network():
    pytest.importorskip("mmaction")
    from mmengine.registry import DefaultScope

    import x3ddeploy.families.two_stream_x3d.training  # noqa: F401 - has a head of the same name

    with DefaultScope.overwrite_default_scope("x3ddeploy"):  # as a training leaves it
        network = baseline_named("rgbposeconv3d").build(classes=60)
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(36.1e6, rel=0.01)
    small = torch.rand(1, 3, 4, 64, 64), torch.rand(1, 17, 16, 16, 16)
    with torch.inference_mode():
        rgb, pose = network(*small)
    assert rgb.shape == pose.shape == (1, 60)
    assert torch.isfinite(rgb).all()


def test_an_export_of_the_baseline_that_computes_something_else_is_not_timed():
    logits = {"rgb": torch.ones(1, 4), "pose": torch.ones(1, 4)}
    exported = {name: value.numpy() for name, value in logits.items()}
    require_same("RGBPoseConv3D", logits, {**exported, "pose": exported["pose"] + 0.00099})
    with pytest.raises(GateError, match="RGBPoseConv3D's pose"):
        require_same("RGBPoseConv3D", logits, {**exported, "pose": exported["pose"] + 0.00101})
