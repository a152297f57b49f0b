"""A trial that starts where the quantized layers start computes what the whole stream would."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.contracts import two_streams
from support.present import present

from x3ddeploy.precision.prefix import Prefix, cuts
from x3ddeploy.precision.qdq import Scheme
from x3ddeploy.precision.sites import QUANTIZABLE
from x3ddeploy.precision.streams import stream_graph, streams_of
from x3ddeploy.precision.targets import TargetPrecision
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

ORT = Execution("onnxruntime", "cpu", Precision.INT8)
STREAMS = streams_of(two_streams())
EVERYTHING = TargetPrecision(Scheme(QUANTIZABLE, unsigned=True, stored_int8=True), None, "onnxruntime")


class Counted:
    """Clips that know how often they were gone through."""

    def __init__(self, clips):
        self.clips, self.times = clips, 0

    def __iter__(self):
        self.times += 1
        return iter(self.clips)


def test_a_graph_is_cut_where_one_tensor_crosses_and_never_beside_a_shortcut():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Exp", ["a"], ["b"], name="branch"),
        helper.make_node("Add", ["a", "b"], ["c"], name="sum"),
        helper.make_node("Neg", ["c"], ["y"], name="last"),
    ]
    shape = helper.make_tensor_type_proto(TensorProto.FLOAT, (1, 2))
    x, y = (helper.make_value_info(name, shape) for name in "xy")
    graph = helper.make_model(helper.make_graph(nodes, "residual", [x], [y]))
    assert cuts(graph) == {1: "a", 3: "c"}


@pytest.mark.parametrize("stream", ["rgb", "pose"])
def test_every_layer_alone_gives_the_same_logits_with_a_shared_prefix(recognizer, ranges_of, clips, stream):
    quantizer = Quantizer(EVERYTHING, ranges_of(recognizer))
    whole = Trials(recognizer, STREAMS, ORT, quantizer, clips)
    counted = Counted(clips)
    shared = Trials(recognizer, STREAMS, ORT, quantizer, counted, one_by_one=True)
    sites = [site.node for site in quantizer.eligible(whole.streams[stream])]
    for site in (sites[0], sites[len(sites) // 2], sites[-1], sites[1]):  # the last one lies before the others
        np.testing.assert_allclose(shared.logits(stream, [site]), whole.logits(stream, [site]), rtol=0, atol=2e-5)
        assert np.abs(whole.logits(stream, [site]) - whole.reference(stream)).max() > 0
    assert counted.times <= 3  # once whole, once for the first cut, and once more where a trial lies before it


def test_what_lies_between_two_cuts_is_computed_from_the_first(recognizer, clips):
    graph = stream_graph(recognizer, "rgb_logits")
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    counted = Counted(clips)
    prefix = Prefix(graph, ORT, counted)
    names = [present(prefix.before([name]))[0] for name in convolutions[4:]]
    assert counted.times == 1
    assert len(set(names)) > 2


def test_tensors_that_are_too_large_are_not_held(recognizer, clips):
    graph = stream_graph(recognizer, "rgb_logits")
    last = [node.name for node in graph.graph.node if node.op_type == "Conv"][-1]
    assert Prefix(graph, ORT, clips, limit_bytes=100).before([last]) is None
    assert Prefix(graph, ORT, clips).before([graph.graph.node[0].name]) is None
