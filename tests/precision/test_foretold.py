"""That INT8 is slower than float32 here is said before anything is calibrated."""

import time

import pytest

from x3ddeploy.precision import verdict
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

ORT = Execution("onnxruntime", "cpu", Precision.INT8)


class Graph:
    def __init__(self, seconds):
        self.seconds = seconds

    def SerializeToString(self):
        return self

    def run(self, feeds):
        time.sleep(self.seconds)


@pytest.mark.parametrize(("float32_s", "int8_s", "said"), [(0.001, 0.008, True), (0.008, 0.001, False)])
def test_what_is_slower_is_said_with_how_much(monkeypatch, float32_s, int8_s, said):
    monkeypatch.setattr(verdict, "open_session", lambda runtime, graph, **_: graph)
    sentence = verdict.will_not_pay(ORT, Graph(float32_s), Graph(int8_s), {}, 1)
    assert ("int8 will not pay in onnxruntime on this processor: 0." in sentence) is said
    assert bool(sentence) is said
