"""Every shipped config of a 2-D network of MMAction2's: exported, compared, and run in OpenVINO. For `make families`.

Pictures are of 64 x 64: the graphs are those of the full size, node for node.
"""

import numpy as np
import onnx
import pytest
import torch
from support.recognizers import config_of, modules_of, save

from x3ddeploy.bundle import Bundle
from x3ddeploy.errors import CheckpointError
from x3ddeploy.loading import load_network
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")
pytestmark = pytest.mark.families

# Config below `recognition/` -> the family, the shape of a clip and the views of a video at its own size, and the nodes
# that its whole graph may have.
CONFIGS = {
    "tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py": ("tsn", (25, 224), 10, 130),
    "tsn/tsn_imagenet-pretrained-r101_8xb32-1x1x8-100e_kinetics400-rgb.py": ("tsn", (25, 224), 10, 250),
    "tsn/tsn_imagenet-pretrained-r50_8xb32-dense-1x1x5-100e_kinetics400-rgb.py": ("tsn", (25, 224), 10, 130),
    "tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py": ("tsm", (8, 256), 6, 300),
    "tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_kinetics400-rgb.py": ("tsm", (16, 224), 10, 300),
    "tsm/tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb.py": ("tsm", (8, 224), 100, 300),
    "tsm/tsm_imagenet-pretrained-r101_8xb16-1x1x8-50e_sthv2-rgb.py": ("tsm", (8, 256), 6, 400),
    "tsm/tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb.py": ("tsm", (8, 256), 3, 190),
    "tsm/tsm_imagenet-pretrained-r50-nl-gaussian_8xb16-1x1x8-50e_kinetics400-rgb.py": ("tsm", (8, 224), 10, 365),
    "tsm/tsm_imagenet-pretrained-r50-nl-embedded-gaussian_8xb16-1x1x8-50e_kinetics400-rgb.py": (
        "tsm", (8, 224), 10, 365
    ),
    "tsm/tsm_imagenet-pretrained-r50-nl-dot-product_8xb16-1x1x8-50e_kinetics400-rgb.py": ("tsm", (8, 224), 10, 365),
    "c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb.py": ("c2d", (8, 224), 30, 140),
    "c2d/c2d_r50-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb.py": ("tsn", (8, 224), 30, 130),
    "trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py": ("trn", (8, 256), 6, 260),
    "tanet/tanet_imagenet-pretrained-r50_8xb8-1x1x8-50e_sthv1-rgb.py": ("tanet", (8, 256), 6, 450),
    "tanet/tanet_imagenet-pretrained-r50_8xb6-1x1x16-50e_sthv1-rgb.py": ("tanet", (16, 224), 1, 450),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_config_is_exported_as_it_was_trained(name, run, tmp_path):
    family, (length, size), views, nodes = CONFIGS[name]
    config = config_of(f"recognition/{name}")
    checkpoint = save(tmp_path / "best.pth", config)
    value = load_network(checkpoint).network.contract().inputs["imgs"]
    axes = (3, length) if config["model"]["type"] == "Recognizer3D" else (length, 3)
    assert (value.clip_shape, value.views.count) == ((*axes, size, size), views)

    process = run("export", checkpoint, "-o", tmp_path / "deploy", "--size", "64x64")
    assert process.returncode == 0, process.stderr
    bundle = Bundle.open(tmp_path / "deploy")
    assert bundle.manifest.family == family
    graph = bundle.part_path("recognizer").read_bytes()
    assert len(onnx.load_from_string(graph).graph.node) <= nodes

    clip = torch.randn(1, *axes, 64, 64, generator=torch.Generator().manual_seed(1))
    modules = modules_of(config)
    with torch.inference_mode():
        np.random.seed(0)  # TRN draws its relations
        frames = clip[0] if axes[1] == 3 else clip
        expected = modules["cls_head"](modules["backbone"](frames), **({"num_segs": length} if axes[1] == 3 else {}))
    for runtime in ("onnxruntime", "openvino"):
        given = open_session(runtime, graph).run({"imgs": clip.numpy()})["logits"]
        assert np.abs(given - expected.numpy()).max() <= 1e-4 * np.abs(expected.numpy()).max(), runtime


def test_a_class_that_mmcv_lite_does_not_build_is_named(tmp_path):
    config = config_of("recognition/tsm/tsm_imagenet-pretrained-mobileone-s4_8xb16-1x1x16-50e_kinetics400-rgb.py")
    text = "".join(f"{name} = {value!r}\n" for name, value in config.items())
    torch.save({"meta": {"cfg": text}, "state_dict": {"backbone.a": torch.zeros(1)}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="has no class 'MobileOneTSM' without mmpretrain"):
        load_network(tmp_path / "a.pth")
