"""The baseline that GPU hosts time without MMAction2 is MMAction2's, layer by layer."""

import importlib.util
from pathlib import Path

import pytest
import torch
from support.scripts import module_of

from x3ddeploy.families import baseline_named

GPU = Path(__file__).parent.parent.parent / "benchmarks" / "gpu"


@pytest.fixture(scope="module")
def ours():
    return module_of(GPU / "rgbposeconv3d_torch.py")


@pytest.mark.skipif(importlib.util.find_spec("mmaction") is None, reason="MMAction2 is not installed")
def test_it_computes_what_mmaction2_computes(ours):
    baseline = baseline_named("rgbposeconv3d")
    reference = baseline.build(7)
    network = ours.RGBPoseConv3D(7).eval()
    network.load_state_dict(reference.state_dict())
    imgs, heatmap_imgs = torch.rand(1, 3, 8, 32, 32), torch.rand(1, 17, 32, 8, 8)
    with torch.inference_mode():
        for expected, actual in zip(reference(imgs, heatmap_imgs), network(imgs, heatmap_imgs), strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    assert {name: clip.shape[1:] for name, clip in baseline.inputs(1, {}).items()} == ours.INPUT_SHAPES


def test_random_weights_keep_activations_finite_and_alive(ours):
    network = ours.build(5)
    with torch.inference_mode():
        outputs = network(torch.rand(2, 3, 8, 32, 32), torch.rand(2, 17, 32, 8, 8))
    for value in outputs:
        assert value.shape == (2, 5)
        assert value.isfinite().all()
        assert 1e-4 < value.std() < 1e3
