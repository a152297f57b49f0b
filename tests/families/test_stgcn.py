"""Graph convolutions: MMAction2's numbers, exact rewrites, graphs of constants, and the way back."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from support.recognizers import modules_of, save
from support.small_recognizers import AGCN, STGCN, STGCNPP, STGCNPP_SPACE, stgcn

from x3ddeploy.checkpoint.config import read_config_file
from x3ddeploy.contract import Average, Views
from x3ddeploy.errors import BundleError, CheckpointError, UsageError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.stgcn.lowering import REWRITES
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.lowering.rewrite import prove
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")

NETWORKS = {
    "ST-GCN++": lambda: stgcn(STGCNPP),
    "ST-GCN": lambda: stgcn(STGCN),
    "2s-AGCN": lambda: stgcn(AGCN),
    # Each of these is another way through a rewrite.
    "offsets to the graph, the convolution behind it": lambda: stgcn(
        STGCN, gcn_adaptive="offset", gcn_conv_pos="post", gcn_with_res=True
    ),
    "a graph as it is, of every person's own norm": lambda: stgcn(STGCN, gcn_adaptive=None, data_bn_type="MVC"),
    "attention": lambda: stgcn(AGCN, gcn_attention=True),
    "attention on fixed graphs": lambda: stgcn(AGCN, gcn_attention=True, gcn_adaptive=False),
    "other branches": lambda: stgcn(STGCNPP, tcn_ms_cfg=[(3, 1), ("max", 3), (5, 2), "1x1"]),
    "branches without a maximum stay": lambda: stgcn(STGCNPP, tcn_ms_cfg=[(3, 1), (3, 2), (5, 1), "1x1"]),
}


def stirred(modules):
    """With learned graphs that are no longer MMAction2's."""
    random = torch.Generator().manual_seed(1)
    for module in modules.values():
        for name, value in module.named_parameters():
            if name.endswith(("A", "alpha")):
                value.data += 0.3 * torch.randn(value.shape, generator=random)
    return modules


@pytest.fixture(scope="module", params=NETWORKS)
def case(request, tmp_path_factory):
    """The network, MMAction2's own modules, and clips: random ones and an impulse."""
    path = save(tmp_path_factory.mktemp("stgcn") / "best.pth", config := NETWORKS[request.param]())
    modules = stirred(modules_of(config))
    content = torch.load(path)
    content["state_dict"] = {
        f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
    }
    torch.save(content, path)
    loaded = load_network(path)
    shape = loaded.network.contract().inputs["keypoint"].clip_shape
    clips = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    clips[1] = 0
    clips[1, 1, 7, 4, 0] = 1
    return loaded.network, modules, clips


def test_its_numbers_are_those_of_mmaction(case):
    network, modules, clips = case
    with torch.inference_mode():
        expected = modules["cls_head"](modules["backbone"](clips))
        given = network(keypoint=clips)
    torch.testing.assert_close(given["logits"], expected, rtol=0, atol=0)
    torch.testing.assert_close(given["scores"], expected.softmax(1))


def test_each_rewrite_computes_the_same(case):
    network, _, clips = case
    backbone = prove(copy.deepcopy(network.get_submodule("backbone")), REWRITES, [clips[:1], clips[1:2], clips])
    assert max(proof.relative_error for proof in backbone) < 1e-12
    features = network.get_submodule("backbone")(clips)
    (head,) = prove(network.get_submodule("cls_head"), REWRITES[-1:], [features])
    assert head.relative_error < 1e-12


def test_its_graph_is_the_network_and_gives_it_back(case):
    network, _, clips = case
    graph = build_parts(network, "onnxruntime", None, "0" * 64)["recognizer"]
    with torch.inference_mode():
        expected = network(keypoint=clips)["logits"]
        restored = restore_network(graph)(keypoint=clips)["logits"]
    given = open_session("onnxruntime", graph.SerializeToString()).run({"keypoint": clips.numpy()})["logits"]
    scale = float(expected.abs().max())
    np.testing.assert_allclose(given, expected, atol=1e-5 * scale)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5 * scale)
    operators = {node.op_type for node in graph.graph.node}
    assert not operators & {"Shape", "Gather", "Einsum", "BatchNormalization", "Expand"}


def test_what_it_is_fed_is_the_configs_pipeline(tmp_path):
    network = load_network(save(tmp_path / "a.pth", stgcn(STGCNPP_SPACE))).network
    (value,) = network.contract().inputs.values()
    steps = [step.type for step in value.pipeline]
    assert steps == ["PreNormalize3D", "GenSkeFeat", "UniformSampleFrames", "PoseDecode", "FormatGCNInput"]
    assert (value.clip_shape, value.views, value.keypoint_order) == ((2, 8, 25, 3), Views(2), "dataset")
    assert network.contract().outputs["logits"].average is Average.PROB
    shorter = load_network(tmp_path / "a.pth", Wishes(frames=6)).network
    assert shorter.contract().inputs["keypoint"].clip_shape == (2, 6, 25, 3)
    with pytest.raises(UsageError, match="2 weights"):
        load_network(tmp_path / "a.pth", Wishes(fusion=(1.0, 2.0)))


def test_what_it_cannot_be_fed_is_said(tmp_path):
    config = stgcn(STGCNPP)
    config["test_pipeline"].insert(0, {"type": "PoseCompact"})
    path = save(tmp_path / "a.pth", config)
    with pytest.raises(BundleError, match="the step PoseCompact is not understood"):
        load_network(path)
    config = stgcn(STGCNPP)
    config["test_pipeline"][1]["feats"] = ["j", "b"]
    with pytest.raises(BundleError, match="make 2 features"):
        load_network(save(tmp_path / "b.pth", config))
    config = stgcn(STGCNPP)
    config["model"]["backbone"]["gcn_attention"] = True
    content = torch.load(path)
    content["meta"]["cfg"] = "\n".join(f"{name} = {value!r}" for name, value in config.items())
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="attention"):
        load_network(tmp_path / "c.pth")


def test_the_config_that_ships_is_of_a_network_that_is_exported(tmp_path):
    config = read_config_file(Path(__file__).parents[2] / "configs" / "stgcnpp_synth.py")
    said = {name: config[name] for name in ("model", "test_pipeline")}
    network = load_network(save(tmp_path / "best.pth", said)).network
    (value,) = network.contract().inputs.values()
    assert (network.contract().classes, value.clip_shape) == (12, (2, 16, 17, 3))
