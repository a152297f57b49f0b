"""An engine that computes something else than its graph is not kept: single faults, built with TensorRT stand-ins."""

from typing import cast

import numpy as np
import onnx
import pytest
from onnx import helper
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import SHAPES, Module
from support.faults.editing import constant, edited
from support.faults.float_graphs import EVERY_FORM, FRAMES
from support.faults.scales import LOST_BIASES

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.engines.check import CheckRequest, compare_session
from x3ddeploy.errors import GateError
from x3ddeploy.runtimes.tensorrt_session import session_of_plans
from x3ddeploy.tensorrt.cuda import Cuda
from x3ddeploy.tensorrt.trt import TensorRT
from x3ddeploy.terms import Precision

PRECISIONS = ("fp16", "int8")


def verdict(deployed, part, precision, edit=lambda model: None):
    """Build a part's graph with a fault in it, and ask the gate of `build-trt`."""
    bundle = Bundle.open(deployed.path)
    cuda = FakeCuda()
    tensorrt = TensorRT(Module(SHAPES["11"], cuda), Flavour.TENSORRT, lambda severity, text: None)
    graph = edited(onnx.load(bundle.part_path(part, precision)), edit)
    options = BuildOptions(Flavour.TENSORRT, Precision(precision), Batches(1, 1, 4))
    plan, _ = tensorrt.parse(graph.SerializeToString()).build(options, None, lambda text: None)
    wanted = CheckRequest(str(bundle.path), part, (("",),), options.precision, options.batches, Flavour.TENSORRT)
    compare_session(bundle, wanted, session_of_plans(cast(Cuda, cuda), tensorrt, [[plan]])).raise_for_failures(part)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_right_engines_pass(deployed, precision):
    for part in ("rgb_backbone", "pose_backbone", "head", "recognizer"):
        verdict(deployed, part, precision)


def zeros(output):
    """Give nothing but zeros for one output."""

    def edit(model):
        made = next(node for node in model.graph.node if output in node.output)
        made.output[:] = ["fault/right" if name == output else name for name in made.output]
        kind = next(value for value in model.graph.output if value.name == output).type.tensor_type.elem_type
        nothing = constant(model, "fault/zero", np.zeros((), helper.tensor_dtype_to_np_dtype(kind)))
        model.graph.node.append(helper.make_node("Mul", ["fault/right", nothing], [output], name="fault/Mul"))

    return edit


FAULTS = {
    **LOST_BIASES,
    "rgb_feat is zero": ("rgb_backbone", zeros("rgb_feat")),
    "pose_feat is zero": ("pose_backbone", zeros("pose_feat")),
    "scores are zero": ("head", zeros("scores")),
    "rgb_logits are zero": ("recognizer", zeros("rgb_logits")),
    "shift: frames of neighbouring clips meet": FRAMES["shift: frames of neighbouring clips meet"],
    "head: the first clip's features for all": EVERY_FORM["head: the first clip's features for all"],
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_fault_of_the_engine_is_refused(deployed, precision, name):
    part, edit = FAULTS[name]
    with pytest.raises(GateError, match="comparisons with golden outputs and PyTorch fail"):
        verdict(deployed, part, precision, edit)
