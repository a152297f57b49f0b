"""The layout decides which weights load; a wrong name or shape here loads a network that computes something else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checkpoint_files import tiny_weights, trained_weights

from x3ddeploy.families.two_stream_x3d.checkpoint import expected_shapes, resolve_spec
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D

PLAIN = replace(PRESETS["tiny"], head=replace(PRESETS["tiny"].head, coarse_classes=0, prototype_dim=0))


@pytest.mark.parametrize("spec", [*PRESETS.values(), PLAIN], ids=[*PRESETS, "plain head"])
def test_expected_shapes_are_those_of_the_network(spec) -> None:
    network = TwoStreamX3D(spec).state_dict()
    assert expected_shapes(spec) == {
        name: tuple(value.shape) for name, value in network.items() if not name.endswith("num_batches_tracked")
    }


def test_full_size_layout_has_the_published_names() -> None:
    shapes = expected_shapes(PRESETS["ntu60"])
    assert shapes["rgb_backbone.conv1_s.conv.weight"] == (24, 3, 1, 3, 3)
    assert shapes["rgb_backbone.layer3.10.se_module.fc1.weight"] == (16, 216, 1, 1, 1)
    assert shapes["rgb_backbone.layer4.0.downsample.conv.weight"] == (192, 96, 1, 1, 1)
    assert shapes["pose_backbone.layer2.1.conv2.conv.weight"] == (108, 1, 1, 3, 3)
    assert shapes["cls_head.fr_pose.spatio_cl_net.avg_f"] == (256, 60)


def test_resolved_weights_load_strictly_into_the_network() -> None:
    resolved = resolve_spec(trained_weights())
    TwoStreamX3D(resolved.spec).load_state_dict(resolved.state_dict, strict=True)
    assert resolved.state_dict.keys() == tiny_weights().keys()
