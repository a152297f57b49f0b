"""RGBPoseConv3D, the baseline of benchmarks, is a bundle like any other, with each of the heads in the field."""

import numpy as np
import pytest
import torch
from support.recognizers import modules_of, state_dict_of, text_of
from support.small_recognizers import rgbposeconv3d

from x3ddeploy.errors import CheckpointError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.head import TwoStreamHead
from x3ddeploy.families.two_stream_x3d.spec import HeadSpec
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.parity.blocks import compare_blocks
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")
HEADS = {"plain": (0, 0), "hierarchical": (3, 0), "prototype": (3, 6)}


@pytest.fixture(scope="module")
def config():
    return rgbposeconv3d()


@pytest.fixture(scope="module")
def modules(config):
    return modules_of(config)


def checkpoint(folder, config, modules, coarse, prototypes):
    """A file with the head of that kind, and prototypes that only training needs."""
    torch.manual_seed(1)
    head = TwoStreamHead(HeadSpec(512, 128, 5, coarse, prototypes)).eval()
    weights = {**state_dict_of({"backbone": modules["backbone"]}), **state_dict_of({"cls_head": head})}
    if prototypes:
        weights["cls_head.fr_coarse_rgb.spatio_cl_net.avg_f"] = torch.zeros(6, 3)
    torch.save({"meta": {"cfg": text_of(config)}, "state_dict": weights}, folder / "best.pth")
    return head, load_network(folder / "best.pth")


@pytest.mark.parametrize("kind", HEADS)
def test_each_head_is_told_by_its_weights_and_deployed(tmp_path, config, modules, kind):
    head, loaded = checkpoint(tmp_path, config, modules, *HEADS[kind])
    contract = loaded.network.contract()
    assert contract.family == "rgbposeconv3d"
    assert contract.input_shapes(1) == {"imgs": (1, 3, 2, 32, 32), "heatmap_imgs": (1, 17, 8, 8, 8)}
    assert (contract.deployed, list(contract.scores)) == ("fused", ["rgb", "pose", "fused"])
    assert any("cls_head.fr_coarse_rgb." in note for note in loaded.notes) == (kind == "prototype")
    clips = {"imgs": torch.rand(3, 3, 2, 32, 32), "heatmap_imgs": torch.rand(3, 17, 8, 8, 8)}
    with torch.inference_mode():
        expected = head(*modules["backbone"](**clips))
    feeds = {name: value.numpy() for name, value in clips.items()}
    graphs = build_parts(loaded.network, "openvino", None, "0" * 64)
    given = open_session("onnxruntime", graphs["recognizer"].SerializeToString()).run(feeds)
    assert set(given) == {*expected, "scores"}
    for name, value in expected.items():
        np.testing.assert_allclose(given[name], value, atol=2e-5, err_msg=name)
    fused = (expected["rgb_logits"].softmax(1) + expected["pose_logits"].softmax(1)) / 2
    np.testing.assert_allclose(given["scores"], fused, atol=1e-5)
    with torch.inference_mode():
        restored = restore_network(graphs["recognizer"])(**clips)
    torch.testing.assert_close(restored["rgb_logits"], expected["rgb_logits"], rtol=1e-4, atol=2e-5)
    if kind == "plain":
        blocks = compare_blocks(
            loaded.network, "backbone", graphs["backbone"].SerializeToString(), "onnxruntime", feeds
        )
        assert {"backbone/rgb_path/layer4.0", "backbone/pose_path/layer1_lateral"} <= {row.block for row in blocks}
        assert all(row.difference.within(row.tolerance()) for row in blocks)


def test_it_is_mmactions_own_network(tmp_path, config, modules):
    torch.save({"meta": {"cfg": text_of(config)}, "state_dict": state_dict_of(modules)}, tmp_path / "best.pth")
    clips = {"imgs": torch.rand(2, 3, 2, 32, 32), "heatmap_imgs": torch.rand(2, 17, 8, 8, 8)}
    with torch.inference_mode():
        expected = modules["cls_head"](modules["backbone"](**clips))
        given = load_network(tmp_path / "best.pth").network(**clips)
    for stream, value in expected.items():
        torch.testing.assert_close(given[f"{stream}_logits"], value)


def test_one_streams_scores_alone_are_refused(tmp_path, modules):
    config = rgbposeconv3d()
    config["model"]["cls_head"]["loss_components"] = ["pose"]
    torch.save({"meta": {"cfg": text_of(config)}, "state_dict": state_dict_of(modules)}, tmp_path / "best.pth")
    with pytest.raises(CheckpointError, match="loss_components"):
        load_network(tmp_path / "best.pth")
