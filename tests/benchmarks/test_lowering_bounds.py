"""The forms that benchmarks/lowering_bounds.py times: the exact ones are, and a bound lacks its part."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.scripts import module_of

from x3ddeploy.exporting.parts import build_parts
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.runtimes.registry import open_session

bounds = module_of(Path(__file__).parents[2] / "benchmarks" / "lowering_bounds.py")


@pytest.fixture(scope="module")
def recognizers(bundle, tiny_network):
    """Each target's graph."""
    made = {name: build_parts(tiny_network, name, None, "0" * 64)["recognizer"] for name in ("onnxruntime", "openvino")}
    return {"tensorrt": onnx.load(bundle / "recognizer.onnx"), **made}


@pytest.fixture(scope="module")
def scores(recognizers, tiny_network):
    """Function: a graph's scores of two clips."""
    clips = batch_inputs(clip_inputs(tiny_network.spec), 2, seed=3)
    return lambda model: open_session("onnxruntime", bounds.serialize(model), threads=1).run(clips)["scores"]


def test_exact_forms_compute_what_is_exported_and_bounds_do_not(recognizers, scores):
    expected = scores(recognizers["onnxruntime"])
    for runtime, forms in bounds.forms(recognizers).items():
        for name, (model, exact) in forms.items():
            assert np.allclose(scores(model), expected, rtol=0, atol=1e-5) is exact, (runtime, name)


@pytest.mark.parametrize("kinds", [("shift",), ("se_module",), ("shift", "se_module")])
def test_a_bound_has_the_part_no_more_and_every_other_node(recognizers, kinds):
    for model in recognizers.values():
        left = {node.name for node in bounds.without(model, *kinds).graph.node}
        assert left == {node.name for node in model.graph.node if not any(f"/{kind}/" in node.name for kind in kinds)}
