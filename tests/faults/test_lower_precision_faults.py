"""Each single fault of a graph of lower precision is refused before the graph is kept."""

import pytest
from support.faults.editing import edited
from support.faults.harness import LEAST_CHANGE, moved
from support.faults.micro import graphs, intent, lower
from support.faults.scales import LOST_BIASES, SCALES, WEIGHTS
from support.parts import PARTS

from x3ddeploy.errors import GateError
from x3ddeploy.precision.faithful import require_faithful

FORMS = [
    ("tensorrt", "fp16"),
    ("tensorrt", "bf16"),
    ("tensorrt", "int8"),
    ("onnxruntime", "int8"),
    ("openvino", "int8"),
]
FAULTS = {
    **{f"fp16: {name}": ("tensorrt", "fp16", *fault) for name, fault in {**LOST_BIASES, **WEIGHTS}.items()},
    **{f"int8: {name}": ("tensorrt", "int8", *fault) for name, fault in {**LOST_BIASES, **WEIGHTS, **SCALES}.items()},
    **{
        f"int8 for onnxruntime: {name}": ("onnxruntime", "int8", *fault)
        for name, fault in {**WEIGHTS, **SCALES}.items()
    },
}


@pytest.mark.parametrize(("target", "precision"), FORMS)
def test_right_graphs_are_faithful(target, precision):
    for part in PARTS:
        require_faithful(graphs(target)[part], lower(target, precision, part), intent(target, precision, part), part)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused(name):
    target, precision, part, edit = FAULTS[name]
    for each in (part, "recognizer"):
        right = lower(target, precision, each)
        faulty = edited(right, edit)
        assert moved(faulty, right, each) > LEAST_CHANGE, "a fault that changes nothing proves nothing"
        with pytest.raises(GateError, match="is not its float32 graph"):
            require_faithful(graphs(target)[each], faulty, intent(target, precision, each), each)
