"""EPAM-Net is told by its weights, and its attention is that of the public code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.present import of_type
from support.small_epamnet import SPEC, attention_weights, save, write

from x3ddeploy.errors import CheckpointError, UsageError
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.base import Wishes
from x3ddeploy.families.epamnet.network import EPAMNet
from x3ddeploy.families.two_stream_x3d.checkpoint import expected_shapes
from x3ddeploy.families.two_stream_x3d.demo import config_text
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.runtimes.registry import open_session

# As the public configs have it: all of both backbones is in the class.
PUBLISHED = "backbone=dict(type='EPAMBackbone', num_classes=60, attention_type='CBAM_spatial_efficient_temporal',"
PUBLISHED += " freeze_rgb=False, freeze_pose=False, return_both_streams=True),"


def attended(weights, rgb, pose, stride):
    """The attention as the facts of the network say it, step by step."""
    pose = pose[:, :, range(0, pose.shape[2], stride)]
    pooled = torch.stack((pose.max(1).values, pose.mean(1)), 1)
    x = F.conv3d(pooled, weights["spatial.conv.weight"], padding=(0, 3, 3))
    norm = (weights[f"spatial.bn.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    spatial = F.batch_norm(x, *norm).sigmoid()
    temporal = F.conv1d(spatial.mean((3, 4)), weights["conv_temporal_attention.weight"], padding=3).sigmoid()
    return rgb * (1 + spatial * temporal[..., None, None])


@pytest.fixture(scope="module")
def plain():
    return random_network(SPEC, seed=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(tmp_path_factory.mktemp("epamnet"))


def test_its_numbers_are_those_of_the_published_network(checkpoint, plain):
    loaded = load_network(checkpoint)
    assert loaded.network.family == "epamnet"
    contract = loaded.network.contract()
    assert contract.waves == (("rgb_backbone", "pose_backbone"), ("attention",), ("head",))
    clips = {"imgs": torch.rand(3, 3, 4, 32, 32), "heatmap_imgs": torch.rand(3, 17, 8, 16, 16)}
    with torch.inference_mode():
        rgb, pose = plain.rgb_backbone(clips["imgs"]), plain.pose_backbone(clips["heatmap_imgs"])
        expected = plain.classify(attended(attention_weights(), rgb, pose, 2), pose)
    graphs = build_parts(loaded.network, "onnxruntime", None, "0" * 64)
    feeds = {name: value.numpy() for name, value in clips.items()}
    given = open_session("onnxruntime", graphs["recognizer"].SerializeToString()).run(feeds)
    for name in ("rgb_logits", "pose_logits", "scores"):
        np.testing.assert_allclose(given[name], expected[name], atol=2e-5, err_msg=name)
    with torch.inference_mode():
        restored = restore_network(graphs["recognizer"])(**clips)
        alone = restore_network(graphs["attention"]).part("attention")(rgb, pose)["attended_feat"]
    torch.testing.assert_close(restored["rgb_logits"], expected["rgb_logits"], rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(alone, attended(attention_weights(), rgb, pose, 2), rtol=1e-4, atol=1e-5)


def test_a_published_config_needs_no_option(tmp_path):
    spec = replace(PRESETS["ntu60"], head=replace(PRESETS["ntu60"].head, coarse_classes=8, prototype_dim=0))
    text = config_text(spec)
    start, end = text.index("    rgb_backbone="), text.index("    cls_head=")
    text = f"{text[:start]}    {PUBLISHED}\n{text[end:]}".replace("RGBPoseX3DRecognizer", "EPAMRecognizer")
    weights = {name: torch.zeros(shape) for name, shape in expected_shapes(spec).items()}
    weights |= {f"attention_module.{name}": value for name, value in attention_weights().items()}
    network = of_type(EPAMNet, load_network(write(tmp_path, weights, text)).network)
    assert network.contract().outputs["attended_feat"].shape == ("N", 432, 16, 7, 7)
    assert [shape[2] for shape in network.spec.feature_shapes().values()] == [16, 48]
    other = text.replace("CBAM_spatial_efficient_temporal", "self_attention")
    with pytest.raises(CheckpointError, match=r"model\.backbone\.attention_type = 'self_attention'"):
        load_network(write(tmp_path, weights, other))


def test_what_the_attention_cannot_align_is_refused(checkpoint):
    with pytest.raises(UsageError, match="multiple of --frames"):
        load_network(checkpoint, Wishes(pose_frames=6))


def test_an_attention_that_lacks_a_weight_is_refused(tmp_path, checkpoint):
    content = torch.load(checkpoint)
    del content["state_dict"]["backbone.attention_module.spatial.bn.weight"]
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"attention_module\.spatial\.bn\.weight"):
        load_network(tmp_path / "x.pth")
