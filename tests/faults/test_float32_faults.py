"""Each single fault of a float32 graph is refused by the export's parity, and right networks are not."""

import pytest
from support.faults.editing import edited
from support.faults.float_graphs import CLIP, EVERY_FORM, FRAMES
from support.faults.harness import LEAST_CHANGE, change, patched, refused
from support.faults.lowered import LOWERED
from support.faults.micro import SOURCE, graphs, network, options
from support.faults.preprocessing import GRAPHS, PYTHON
from support.parts import PARTS

from x3ddeploy.errors import GateError
from x3ddeploy.exporting.comparison import compare_preprocessing
from x3ddeploy.exporting.export import export_bundle
from x3ddeploy.exporting.parts import build_graphs
from x3ddeploy.loading import Loaded
from x3ddeploy.parity.compare import failures
from x3ddeploy.parity.gates import Float32Gate

# The edits of a form that two of them share are tried on one, and on the other those that its operators make different.
BOTH_FORMS = ("weights of one channel 1 % larger", "swish missing", "excitation: added instead of multiplied")
EDITS = {
    **{f"tensorrt: {name}": ("tensorrt", *fault) for name, fault in {**FRAMES, **EVERY_FORM}.items()},
    **{f"openvino: {name}": ("openvino", *fault) for name, fault in CLIP.items()},
    **{f"openvino: {name}": ("openvino", *EVERY_FORM[name]) for name in BOTH_FORMS},
}


def _marked(edits):
    return [
        pytest.param(name, marks=pytest.mark.openvino if target == "openvino" else ()) for name, (target, *_) in edits
    ]


@pytest.mark.parametrize("name", LOWERED)
def test_a_fault_of_the_lowering_is_refused(name):
    made = patched(LOWERED[name], lambda: build_graphs(network(), SOURCE, options("tensorrt")))
    parts = {part: graph for part, graph in made.items() if graph != graphs("tensorrt")[part]}
    assert "recognizer" in parts
    for part, graph in parts.items():
        assert change(graph, part) > LEAST_CHANGE, "a fault that changes nothing proves nothing"
    assert refused(parts, "tensorrt") == set(parts)


@pytest.mark.parametrize("name", _marked(EDITS.items()))
def test_a_fault_of_one_graph_is_refused(name):
    target, part, edit = EDITS[name]
    parts = {each: edited(graphs(target)[each], edit) for each in (part, "recognizer")}
    for each, graph in parts.items():
        assert change(graph, each) > LEAST_CHANGE, "a fault that changes nothing proves nothing"
    assert refused(parts, target) == set(parts)


@pytest.mark.parametrize("target", ["tensorrt", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_right_graphs_are_the_network(target):
    for part in PARTS:
        assert change(graphs(target)[part], part) < 1e-6
    assert refused({part: graphs(target)[part] for part in PARTS}, target) == set()


def preprocessing_gate(made):
    """Names of the preprocessing graphs that the export does not let pass."""
    rows = compare_preprocessing(network(), made, "onnxruntime", options("tensorrt", preprocess=True))
    return {row.part for row in failures(rows, Float32Gate({}))}


def test_right_preprocessing_passes():
    assert preprocessing_gate(graphs("tensorrt")) == set()


@pytest.mark.parametrize("name", GRAPHS)
def test_a_fault_of_a_preprocessing_graph_is_refused(name):
    part, edit = GRAPHS[name]
    assert preprocessing_gate({**graphs("tensorrt"), part: edited(graphs("tensorrt")[part], edit)}) == {part}


@pytest.mark.parametrize("name", PYTHON)
def test_a_fault_of_pythons_preprocessing_is_refused(name):
    assert len(patched(PYTHON[name], lambda: preprocessing_gate(graphs("tensorrt")))) == 1


@pytest.mark.parametrize("name", ["shift dropped", "squeeze: bias lost"])
def test_the_export_fails_and_writes_nothing(tmp_path, name):
    loaded = Loaded(network(), SOURCE, {}, None, ())
    with pytest.raises(GateError, match="parity failed"):
        patched(
            LOWERED[name],
            lambda: export_bundle(loaded, tmp_path / "deploy", options("tensorrt"), lambda text: None),
        )
    assert list(tmp_path.iterdir()) == []
