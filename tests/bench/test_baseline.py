"""RGBPoseConv3D as the baseline: MMAction2's own network, and an export that computes the same."""

import pytest
import torch

from x3ddeploy.benchmarking.loaders import require_same
from x3ddeploy.errors import GateError
from x3ddeploy.families.rgbposeconv3d import network as rgbposeconv3d


def test_the_baseline_is_mmaction2s_own_network():
    pytest.importorskip("mmaction")
    network = rgbposeconv3d.build(classes=60)
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(36.1e6, rel=0.01)
    small = torch.rand(1, 3, 4, 64, 64), torch.rand(1, 17, 16, 16, 16)
    with torch.inference_mode():
        rgb, pose = network(*small)
    assert rgb.shape == pose.shape == (1, 60)
    assert torch.isfinite(rgb).all()


def test_an_export_of_the_baseline_that_computes_something_else_is_not_timed():
    logits = torch.ones(1, 4), torch.ones(1, 4)
    require_same(logits, {"rgb": logits[0].numpy(), "pose": logits[1].numpy()})
    with pytest.raises(GateError, match="pose"):
        require_same(logits, {"rgb": logits[0].numpy(), "pose": logits[1].numpy() + 0.1})
