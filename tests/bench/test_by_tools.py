"""What a runtime's own tools make of a network takes part under its tool's name, and computes the same network."""

import sys

import numpy as np
import pytest
import torch
from support.present import present

from x3ddeploy.benchmarking.competitor import Scope
from x3ddeploy.benchmarking.competitors import prepare
from x3ddeploy.benchmarking.workbench import Setting, Workbench
from x3ddeploy.bundle import Bundle


@pytest.fixture
def bench(bundle):
    """A workbench whose plain export is the bundle's graph: exporting is another test's affair."""
    opened = Workbench(Bundle.open(bundle), Setting(batch=1, threads=1), lambda text: None)
    vars(opened)["plain"] = opened.bundle.part_path("recognizer").read_bytes()
    return opened


class Similar(torch.nn.Module):
    """An operator that OpenVINO's converter knows no rule for, inputs that one output leaves out."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.from_numpy(scores))

    def forward(self, imgs, heatmap_imgs):
        same = torch.cosine_similarity(imgs.flatten(1), imgs.flatten(1))
        return {"features": heatmap_imgs.mean((2, 3, 4)), "scores": self.scores * same[:, None]}


def test_onnxruntimes_optimised_graph_is_saved_and_computes_the_same(bench):
    (entry,), absent = prepare(bench, ["saved/onnxruntime"], [Scope.COMPUTE])
    assert absent == []
    assert present(entry.relative_error) < 1e-6
    assert "saved by ONNX Runtime" in entry.loaded.network


def test_onnxruntimes_static_quantization_is_int8_and_says_that_its_clips_are_made_up(bench):
    (entry,), absent = prepare(bench, ["static/onnxruntime"], [Scope.COMPUTE])
    assert absent == []
    assert entry.loaded.precision == "int8"
    assert 1e-6 < present(entry.relative_error) < 0.5
    assert "made-up clips" in entry.loaded.notes[0]


def test_openvino_converts_the_exported_program_under_the_names_of_the_bundle(bench):
    vars(bench)["network"] = Similar(bench.expected).eval()
    (entry,), absent = prepare(bench, ["converted/openvino"], [Scope.COMPUTE])
    assert absent == []
    assert {*entry.shapes} == {"imgs", "heatmap_imgs"}
    outputs = entry.loaded.infer(entry.loaded.feeds)
    means = bench.inputs["heatmap_imgs"].mean((2, 3, 4))
    np.testing.assert_allclose(outputs["features"], means, rtol=1e-4, atol=1e-7)
    vars(bench)["network"] = None  # what was converted is kept
    (again,), absent = prepare(bench, ["converted/openvino"], [Scope.COMPUTE])
    assert absent == []
    np.testing.assert_array_equal(again.loaded.infer(again.loaded.feeds)["features"], outputs["features"])


def test_without_nncf_its_row_is_absent_with_how_to_get_it(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    ready, (absent,) = prepare(bench, ["nncf/openvino"], [Scope.COMPUTE])
    assert ready == []
    assert absent.reason == "nncf is not installed (pip install nncf)"
    assert not absent.failed
