"""That INT8 is slower than float32 here is said before anything is calibrated."""

import contextlib
import time

import pytest

from x3ddeploy.precision import verdict
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision
from x3ddeploy.timing.busy_machine import CpuOfOthers

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


class Clip(Graph):
    device = "cpu"

    def ByteSize(self):
        return 8


@pytest.mark.parametrize(("share", "mark"), [(0.5, " (busy machine)"), (0.05, ""), (None, "")])
def test_figures_from_a_busy_machine_are_marked_before_the_work_and_behind_it(monkeypatch, share, mark):
    monkeypatch.setattr(verdict, "open_session", lambda runtime, graph, **_: graph)
    monkeypatch.setattr(verdict, "cpu_of_others", lambda: contextlib.nullcontext(CpuOfOthers(share)))
    monkeypatch.setattr(verdict, "graph_runtimes", lambda: ("onnxruntime",))
    monkeypatch.setattr(verdict, "convolutions_in", lambda runtime, graph: None)
    foretold = verdict.will_not_pay(ORT, Clip(0.001), Clip(0.008), {}, 1)
    assert f" times the speed of fp32{mark}, so that" in foretold
    graphs = {Precision.FP32: Clip(0.004), Precision.INT8: Clip(0.0005)}
    judged = verdict.judge(graphs, {}, 1, lambda line: None)
    assert judged.mark == mark
    assert judged.sentences[0].endswith(f" times as fast as fp32{mark}")
