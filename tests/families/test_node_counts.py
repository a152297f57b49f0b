"""Graphs of MMAction2's shipped configs have the nodes that their layers take, and none for shapes.

Those of graph convolutions: `test_stgcn.py`.
"""

import pytest
from support.recognizers import config_of, save

from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.base import Wishes
from x3ddeploy.graphs.lint import check_model
from x3ddeploy.loading import load_network

pytest.importorskip("mmaction")
pytestmark = pytest.mark.families

R, S = "recognition", "skeleton"
K400 = "kinetics400-rgb.py"
SMALL = (64, 64)
# Config -> its family, frames of a clip where they are to choose, height and width, most nodes of the whole network:
# an operator a layer, an activation and a sum, and what the family's rewrites need for the rest.
CONFIGS: dict[str, tuple[str, int | None, tuple[int, int] | None, int]] = {
    f"{R}/slowonly/slowonly_r50_8xb16-4x16x1-256e_{K400}": ("slowonly", 4, SMALL, 125),
    f"{R}/slowonly/slowonly_r101_8xb16-8x8x1-196e_{K400}": ("slowonly", 4, SMALL, 245),
    f"{R}/slowonly/slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-4x16x1-steplr-150e_{K400}": (
        "slowonly", 4, SMALL, 215,
    ),
    f"{R}/slowfast/slowfast_r50_8xb8-4x16x1-256e_{K400}": ("slowfast", 32, SMALL, 256),
    f"{R}/slowfast/slowfast_r101-r50_32xb8-4x16x1-256e_{K400}": ("slowfast", 32, SMALL, 375),
    f"{R}/i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_{K400}": ("i3d", 8, SMALL, 126),
    f"{R}/i3d/i3d_imagenet-pretrained-r50-heavy_8xb8-32x2x1-100e_{K400}": ("i3d", 8, SMALL, 126),
    f"{R}/i3d/i3d_imagenet-pretrained-r50-nl-dot-product_8xb8-32x2x1-100e_{K400}": ("i3d", 8, SMALL, 211),
    f"{R}/r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_{K400}": ("r2plus1d", 8, SMALL, 165),
    f"{R}/c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb.py": ("c3d", None, None, 30),
    f"{R}/x3d/x3d_s_13x6x1_facebook-{K400}": ("x3d", 5, SMALL, 315),
    f"{R}/x3d/x3d_m_16x5x1_facebook-{K400}": ("x3d", 4, SMALL, 315),
    f"{R}/csn/ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_{K400}": ("csn", 8, SMALL, 125),
    f"{R}/csn/ipcsn_r152_32x2x1-180e_{K400}": ("csn", 8, (32, 32), 413),
    f"{R}/tpn/tpn-slowonly_r50_8xb8-8x8x1-150e_{K400}": ("tpn", 8, SMALL, 156),
    f"{R}/tpn/tpn-tsm_imagenet-pretrained-r50_8xb8-1x1x8-150e_sthv1-rgb.py": ("tpn", None, SMALL, 300),
    f"{R}/tanet/tanet_imagenet-pretrained-r50_8xb8-1x1x8-50e_sthv1-rgb.py": ("tanet", None, SMALL, 450),
    f"{R}/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_{K400}": ("tsn", None, SMALL, 130),
    f"{R}/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_{K400}": ("tsm", None, SMALL, 300),
    f"{R}/tsm/tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_{K400}": ("tsm", None, SMALL, 300),
    f"{R}/c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_{K400}": ("c2d", None, SMALL, 140),
    f"{S}/posec3d/slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint.py": ("posec3d", 8, (32, 32), 103),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_its_graph_has_no_more_nodes_than_its_layers_take(tmp_path, name):
    family, frames, size, most = CONFIGS[name]
    network = load_network(save(tmp_path / "best.pth", config_of(name)), Wishes(frames=frames, size=size)).network
    graph = build_parts(network, "tensorrt", None, "0" * 64)["recognizer"]
    (tmp_path / "best.pth").unlink()
    check_model(graph)
    assert network.family == family
    assert len(graph.graph.node) <= most
