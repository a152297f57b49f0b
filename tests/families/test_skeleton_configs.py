"""Every graph-convolution config of MMAction2's wheel, at its full size, with random weights."""

import pytest
from support.recognizers import config_of, save

from x3ddeploy.exporting.parts import build_parts, serialize
from x3ddeploy.loading import load_network
from x3ddeploy.mmaction_compat import config_path
from x3ddeploy.parity.compare import compare_parts, failures
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.parity.reference import Reference
from x3ddeploy.runtimes.registry import open_session

pytest.importorskip("mmaction")
pytestmark = pytest.mark.families

FOLDERS = ("stgcn", "stgcnpp", "2s-agcn")
# Nodes of the whole network, of which no more than these are wanted.
CEILINGS = {"stgcn": 81, "stgcnpp": 150, "2s-agcn": 214}


def configs():
    return sorted(
        f"{folder}/{path.name}"
        for folder in FOLDERS
        for path in config_path("skeleton/stgcn/stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-2d.py")
        .parent.with_name(folder)
        .glob("*.py")
    )


@pytest.mark.parametrize("name", configs())
def test_a_config_of_the_wheel_is_exported_and_computes_the_same(tmp_path, name):
    network = load_network(save(tmp_path / "best.pth", config_of(f"skeleton/{name}"))).network
    contract = network.contract(1)
    graphs = build_parts(network, "onnxruntime", 1, "0" * 64)
    assert len(graphs["recognizer"].graph.node) <= CEILINGS[name.partition("/")[0]]
    reference = Reference(network)
    for runtime in ("onnxruntime", "openvino"):
        sessions = {part: open_session(runtime, serialize(graph)) for part, graph in graphs.items()}
        rows = compare_parts(reference, contract, sessions)
        assert failures(rows, Float32Gate(reference.rounding)) == []
