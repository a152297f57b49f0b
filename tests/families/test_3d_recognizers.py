"""MMAction2's 3-D recognizers are told by their config and weights, and their graphs compute what they compute."""

import numpy as np
import pytest
import torch
from support.recognizers import modules_of, save
from support.small_3d import CONFIGS, small

from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.calibration.ranges import Range
from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.graphs.lint import check_model
from x3ddeploy.graphs.roles import Role, roles
from x3ddeploy.loading import load_network, restore_network
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.precision.targets import TARGETS
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.tensorrt.trt import open_tensorrt
from x3ddeploy.terms import Precision, Target

pytest.importorskip("mmaction")

# C3D's two fully connected layers have 4096 channels and OmniResNet 2048, whatever a config says: their turn is
# `make families`.
WIDE = ("c3d", "omnisource")
FAMILIES = [pytest.param(name, marks=pytest.mark.families if name in WIDE else ()) for name in CONFIGS]
SHAPES = {"Shape", "Size", "Expand", "Where", "Range", "ConstantOfShape", "Cast", "Unsqueeze", "Squeeze"}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def modules(family):
    return modules_of(small(family))


@pytest.fixture(scope="module")
def network(family, tmp_path_factory):
    return load_network(save(tmp_path_factory.mktemp(family) / "best.pth", small(family))).network


@pytest.fixture(scope="module")
def graphs(network):
    return build_parts(network, "onnxruntime", None, "0" * 64)


def clips(network, batch, seed=0):
    (value,) = network.contract().inputs.values()
    return torch.randn(batch, *value.clip_shape, generator=torch.Generator().manual_seed(seed))


def theirs(modules, x):
    """What MMAction2's recognizer computes in testing."""
    with torch.inference_mode():
        features = modules["backbone"](x)
        if "neck" in modules:
            features = modules["neck"](features)[0]
        return modules["cls_head"](features)


def test_its_logits_are_those_of_mmaction(family, network, modules):
    assert network.family == family
    x = clips(network, 2)
    with torch.inference_mode():
        given = network(imgs=x)
    torch.testing.assert_close(given["logits"], theirs(modules, x), rtol=0, atol=0)
    torch.testing.assert_close(given["scores"], given["logits"].softmax(1))


def test_its_graph_computes_its_logits_without_arithmetic_of_shapes(network, modules, graphs):
    model = graphs["recognizer"]
    check_model(model)
    assert SHAPES.isdisjoint(node.op_type for node in model.graph.node)
    session = open_session("onnxruntime", model.SerializeToString())
    for batch in (1, 3):
        x = clips(network, batch, seed=batch)
        expected = theirs(modules, x).numpy()
        given = session.run({"imgs": x.numpy()})["logits"]
        assert np.abs(given - expected).max() <= 1e-5 * np.abs(expected).max()


def test_its_parts_join_by_their_tensors(network, graphs):
    x = clips(network, 1).numpy()
    features = open_session("onnxruntime", graphs["backbone"].SerializeToString()).run({"imgs": x})
    assert list(features) == list(network.contract().parts["backbone"].outputs)
    logits = open_session("onnxruntime", graphs["head"].SerializeToString()).run(features)["logits"]
    whole = open_session("onnxruntime", graphs["recognizer"].SerializeToString()).run({"imgs": x})["logits"]
    np.testing.assert_allclose(logits, whole, rtol=1e-5, atol=1e-6)


def test_a_graph_gives_the_training_form_back(network, graphs):
    x = clips(network, 2)
    with torch.inference_mode():
        expected, restored = network(imgs=x)["logits"], restore_network(graphs["recognizer"])(imgs=x)["logits"]
    assert (restored - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_layers_are_what_they_compute(family, graphs):
    found = roles(graphs["recognizer"])
    count = {role: sum(value is role for value in found.values()) for role in Role}
    layers = [node for node in graphs["recognizer"].graph.node if node.op_type in ("Conv", "Gemm")]
    assert all(node.name in found for node in layers)
    assert count[Role.STEM] == (2 if family == "slowfast" else 1)
    assert count[Role.CLASSIFIER] == {"c3d": 3, "x3d": 2, "omnisource": 2}.get(family, 1)
    assert (count[Role.DEPTHWISE] > 0) == (family in ("x3d", "csn"))
    assert (count[Role.SQUEEZE] > 0) == (family == "x3d")
    assert (count[Role.RESIDUAL] > 0) == (family != "c3d")


def in_precision(model, precision):
    """A float32 graph in another precision; INT8 with ranges of no meaning."""
    if precision is Precision.FP32:
        return model
    if precision is Precision.FP16:
        return to_half(model, precision, {*float32_nodes(model)})
    ranges = {site.source: Range(-4.0, 4.0) for site in find_sites(model)}
    quantizer = Quantizer(TARGETS[Target.TENSORRT], ranges)
    return quantizer.quantize(model, [site.node for site in quantizer.eligible(model)])


@pytest.mark.families
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
def test_tensorrt_rtx_builds_it(graphs, precision):
    pytest.importorskip("tensorrt_rtx")
    model = in_precision(graphs["recognizer"], precision)
    tensorrt = open_tensorrt(Flavour.RTX, lambda severity, text: None)
    parsed = tensorrt.parse(model.SerializeToString())
    options = BuildOptions(Flavour.RTX, precision, Batches(1, 1, 4), compute_capabilities=("8.9",))
    plan, _ = parsed.build(options, None, lambda text: None)
    assert len(plan) > 0
    reads_int8 = [layer for layer in parsed.layers() if layer.reads_dequantized]
    assert bool(reads_int8) == (precision is Precision.INT8)
