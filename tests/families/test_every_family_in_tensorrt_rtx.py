"""TensorRT-RTX takes a network of every family, half-typed and quantized, part by part and whole; without a GPU."""

from dataclasses import replace

import pytest
import torch
from support.recognizers import save
from support.small_3d import CONFIGS, small
from support.small_recognizers import STGCNPP, c2d, posec3d, rgbposeconv3d, stgcn, tanet, trn, tsm, tsn

import x3ddeploy
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families import FAMILIES
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.loading import load_network
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import TARGETS
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.tensorrt.trt import open_tensorrt
from x3ddeploy.terms import Precision, Target

pytest.importorskip("mmaction")
pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (pip install 'x3ddeploy[tensorrt-rtx]')")


def two_stream(folder):
    torch.save(checkpoint_dict(random_network(PRESETS["tiny"], seed=1)), folder / "best.pth")
    return [folder / "best.pth"]


def epamnet(folder):
    """The two-stream network under the names that EPAM-Net has, with its attention."""
    spec = replace(PRESETS["tiny"], pose_input=replace(PRESETS["tiny"].pose_input, frames=8))
    content = checkpoint_dict(random_network(spec, seed=2))
    attention = {
        "spatial.conv.weight": torch.randn(1, 2, 1, 7, 7) / 5,
        **{f"spatial.bn.{name}": torch.ones(1) for name in ("weight", "bias", "running_mean", "running_var")},
        "conv_temporal_attention.weight": torch.randn(1, 1, 7),
    }
    weights = {**content["state_dict"], **{f"attention_module.{name}": value for name, value in attention.items()}}
    inner = {name if name.startswith("cls_head.") else f"backbone.{name}": value for name, value in weights.items()}
    text = content["meta"]["cfg"].replace("rgb_backbone=", "backbone=dict(type='EPAMBackbone', rgb_backbone=", 1)
    text = text.replace("    cls_head=", "    ), cls_head=", 1).replace(",\n    ), cls_head", "), cls_head")
    torch.save({"meta": {"cfg": text}, "state_dict": inner}, folder / "best.pth")
    return [folder / "best.pth"]


def streams(folder):
    found = []
    for feature in ("j", "b"):
        config = stgcn(STGCNPP)
        config["test_pipeline"][1]["feats"] = [feature]
        found.append(save(folder / f"{feature}.pth", config))
    return found


def of_config(make):
    return lambda folder: [save(folder / "best.pth", make())]


# Family -> what writes checkpoints of a small network of it.
NETWORKS = {
    "two_stream_x3d": two_stream,
    "epamnet": epamnet,
    "skeleton_streams": streams,
    "posec3d": of_config(posec3d),
    "rgbposeconv3d": of_config(rgbposeconv3d),
    "stgcn": of_config(lambda: stgcn(STGCNPP)),
    "tsn": of_config(tsn),
    "tsm": of_config(tsm),
    "trn": of_config(trn),
    "c2d": of_config(c2d),
    "tanet": of_config(tanet),
    **{name: of_config(lambda name=name: small(name)) for name in CONFIGS},
}


def test_every_family_has_a_network_here():
    assert set(NETWORKS) == {name for name, known in FAMILIES.items() if isinstance(known, str)}


@pytest.mark.families
@pytest.mark.parametrize("family", NETWORKS)
def test_a_bundle_becomes_engines(family, tmp_path):
    """As the commands do it, from the checkpoint on; made-up clips stand for nothing."""
    checkpoints = NETWORKS[family](tmp_path)
    exported = x3ddeploy.export(checkpoints if len(checkpoints) > 1 else checkpoints[0], tmp_path / "deploy")
    assert exported.bundle.contract.family == family
    for precision in (Precision.FP16, Precision.INT8):
        x3ddeploy.quantize(tmp_path / "deploy", precisions=[precision], calib_random=True)
        engines = x3ddeploy.build_trt(
            tmp_path / "deploy",
            precision=precision,
            rtx=True,
            compute_capabilities=["8.9"],
            builder_optimization_level=0,
        )
        assert [made.entry.part for made in engines.made] == list(exported.bundle.contract.parts)
        computed = {layer.runs for made in engines.made for layer in made.built.precision.layers}
        assert precision.value in computed


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_baseline_of_benchmarks_becomes_an_engine(precision, baseline):
    """RGBPoseConv3D, whole, by the graphs of its own bundle: what engines are compared with are engines."""
    model = baseline
    if precision == "fp16":
        model = to_half(model, Precision.FP16, float32_nodes(model))
    elif precision == "int8":
        quantizer = Quantizer(TARGETS[Target.TENSORRT], {site.source: Range(-4.0, 4.0) for site in find_sites(model)})
        model = quantizer.quantize(model, [site.node for site in quantizer.eligible(model)])
    network = open_tensorrt(Flavour.RTX, lambda severity, text: None).parse(model.SerializeToString())
    options = BuildOptions(
        Flavour.RTX, Precision(precision), Batches(1, 1, 4), compute_capabilities=("8.9",), optimization_level=0
    )
    plan, _ = network.build(options, None, lambda text: None)
    assert len(plan) > 0
    assert any(layer.reads_dequantized for layer in network.layers()) == (precision == "int8")


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    network = load_network(save(tmp_path_factory.mktemp("baseline") / "best.pth", rgbposeconv3d())).network
    return build_parts(network, "tensorrt", None, "0" * 64)["recognizer"]
