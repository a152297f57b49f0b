"""TANet's kernels, computed from the clip, are a product with a matrix over frames in the graph."""

import logging

import numpy as np
import pytest
import torch
from support.recognizers import modules_of, save
from support.small_recognizers import tanet

from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.lowering.rewrite import relative_error
from x3ddeploy.mmaction_compat import import_registry
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")


@pytest.fixture(autouse=True, scope="module")
def registered():
    import_registry()


def probes(frames, channels):
    """Random frames, and one lit place in one of them; alone and in odd batches of clips."""
    lit = torch.zeros(3 * frames, channels, 4, 3)
    lit[frames + frames // 2, channels // 2, 1, 2] = 5.0
    return [torch.randn(batch * frames, channels, 4, 3) for batch in (1, 3)] + [lit]


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
@pytest.mark.parametrize("taps", [3, 5])
def test_kernels_as_bands_are_exact(frames, taps):
    from mmaction.models.common import TAM

    from x3ddeploy.families.tanet.adaptive import kernels_as_bands

    torch.manual_seed(frames)
    module = TAM(8, frames, adaptive_kernel_size=taps, adaptive_convolution_padding=taps // 2, init_std=1).eval()
    for layer in (module.G[1], module.L[1]):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    torch.nn.init.normal_(module.G[3].weight, std=2)
    assert relative_error(module, kernels_as_bands(module), probes(frames, 8)) < 1e-12


def test_a_kernel_that_changes_the_number_of_frames_is_refused():
    from mmaction.models.common import TAM

    from x3ddeploy.families.tanet.adaptive import kernels_as_bands

    with pytest.raises(ValueError, match="number of frames"):
        kernels_as_bands(TAM(8, 4, adaptive_convolution_padding=0))


def test_its_graph_computes_what_mmaction_does_and_gives_the_weights_back(tmp_path):
    network = load_network(save(tmp_path / "best.pth", tanet())).network
    assert (network.family, network.contract().inputs["imgs"].clip_shape) == ("tanet", (4, 3, 32, 32))
    modules = modules_of(tanet())
    model = build_parts(network, "onnxruntime", None, "0" * 64)["recognizer"]
    session = open_session("onnxruntime", model.SerializeToString())
    for batch in (1, 3):
        x = torch.randn(batch, 4, 3, 32, 32)
        with torch.inference_mode():
            expected = modules["cls_head"](modules["backbone"](x.flatten(0, 1)), num_segs=4)
            restored = restore_network(model)(imgs=x)["logits"]
        bound = 1e-5 * float(expected.abs().max())
        assert np.abs(session.run({"imgs": x.numpy()})["logits"] - expected.numpy()).max() <= bound
        assert float((restored - expected).abs().max()) <= bound


def test_building_it_says_nothing(tmp_path, monkeypatch):
    """TANet initialises weights when it is made; MMEngine's logger tells of each, on stdout, where results are."""
    from mmengine.logging import MMLogger

    path = save(tmp_path / "best.pth", tanet())
    said: list[logging.LogRecord] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "callHandlers", said.append)
    load_network(path)
    assert not [record for record in said if record.levelname != "ERROR"]
