"""The converse of the fault list: networks that are right pass every gate in every precision, whatever their size."""

from dataclasses import replace

import pytest
from support.faults.micro import SOURCE, SPEC, options

from x3ddeploy.exporting.export import export_bundle
from x3ddeploy.families.two_stream_x3d.randomized import random_network
from x3ddeploy.families.two_stream_x3d.spec import StageSpec
from x3ddeploy.loading import Loaded
from x3ddeploy.runtimes.registry import choose
from x3ddeploy.verification import verify_bundle

DEEP = (StageSpec(6, 10, 22, 2, (8, 0) * 3), StageSpec(4, 12, 26, 2, (8,) * 4))
WIDE = (StageSpec(1, 96, 216, 2, (24,)), StageSpec(1, 192, 432, 2, (24,)))


def with_stages(stages):
    return replace(SPEC, rgb=replace(SPEC.rgb, stages=stages), pose=replace(SPEC.pose, stages=stages))


SPECS = {"small": SPEC, "deep": with_stages(DEEP), "wide": with_stages(WIDE)}


OPENVINO = pytest.mark.openvino


@pytest.mark.parametrize(
    ("size", "target", "seed"),
    [
        ("small", "onnxruntime", 5),
        ("deep", "tensorrt", 5),
        pytest.param("deep", "openvino", 6, marks=OPENVINO),
        ("wide", "tensorrt", 6),
        pytest.param("wide", "openvino", 5, marks=OPENVINO),
    ],
)
def test_a_right_network_is_exported_quantized_and_verified(size, target, seed, tmp_path, add_lower_precisions):
    loaded = Loaded(random_network(SPECS[size], seed), SOURCE, {}, None, ())
    export_bundle(loaded, tmp_path / "deploy", options(target, preprocess=True), lambda text: None)
    bundle = add_lower_precisions(tmp_path / "deploy")
    runtimes = ["onnxruntime", *(["openvino"] if target == "openvino" else [])]
    report = verify_bundle(bundle, choose(bundle, runtimes), False, None, lambda text: None)
    report.raise_for_failures()
    for precision in ("fp16", "int8"):
        assert any(check.name == f"{precision}: recognizer -> scores" for check in report.checks)
