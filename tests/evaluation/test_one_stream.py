"""A network of one stream: its one score is reported and predicted; what it does not take is not asked for."""

from dataclasses import replace
from types import MappingProxyType, SimpleNamespace
from typing import cast

import numpy as np
import pytest
from support.contracts import CLASSES, LENGTH, SIZE, frames_contract, frames_input, one_input

from x3ddeploy.bundle import Bundle, Source
from x3ddeploy.contract import Activation, Average, Contract, Output, OutputKind, Score
from x3ddeploy.data.sources import open_source
from x3ddeploy.evaluation import evaluate as module
from x3ddeploy.evaluation.evaluate import Loading, evaluate
from x3ddeploy.evaluation.report import eval_report
from x3ddeploy.evaluation.scores import Scorer, VideoScores, reported_scores
from x3ddeploy.probabilities import sigmoid, softmax
from x3ddeploy.runtimes import base
from x3ddeploy.runtimes.registry import REFERENCE, Execution
from x3ddeploy.terms import Precision

CONTRACT = frames_contract()
ORT = Execution("onnxruntime", "cpu", Precision.FP32)
LABELS = [0, 1, 2, 1]


class Averages(base.Session):
    """The logits are the mean of each channel."""

    runtime, version = "fake", "1"
    inputs = MappingProxyType({name: value.clip_shape for name, value in CONTRACT.inputs.items()})

    def run(self, feeds):
        assert set(feeds) == {"imgs"}
        return {"logits": feeds["imgs"].mean((2, 3, 4))}


@pytest.fixture
def source(tmp_path):
    random = np.random.default_rng(0)
    for index, label in enumerate(LABELS):
        imgs = random.normal(size=(3, LENGTH, SIZE, SIZE)).astype(np.float32)
        imgs[label if index else 2] += 1  # the first one is taken for another class
        np.savez(tmp_path / f"{index}.npz", imgs=imgs, label=label)
    return open_source(tmp_path, CONTRACT)


def test_one_score_is_reported_and_nobody_is_looked_for(source, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "open_part", lambda bundle, execution, threads: Averages())
    manifest = SimpleNamespace(source=Source("a.pth", "0" * 64), precisions={})
    bundle = cast(Bundle, SimpleNamespace(contract=CONTRACT, path=tmp_path, labels=lambda: None, manifest=manifest))
    evaluation = evaluate(bundle, source, [REFERENCE, ORT], Loading(batch=3), lambda done, total: None)
    report = eval_report(bundle, source, evaluation, Loading(), 1, [])
    assert report.deployed == "classes"
    assert report.persons is None
    assert report.bundle.fusion == [1.0]
    for result in report.results:
        assert list(result.scores) == ["classes"]
        assert result.scores["classes"].top1 == 0.75
    assert len(report.classes) == CLASSES


def test_the_activation_is_the_contracts():
    clips = np.random.default_rng(1).normal(size=(2, 3, LENGTH, SIZE, SIZE)).astype(np.float32)
    logits = clips.mean((2, 3, 4))
    for activation, expected in ((Activation.SOFTMAX, softmax), (Activation.SIGMOID, sigmoid)):
        contract = one_input("imgs", frames_input(), activation)
        scores = Scorer(Averages(), contract, 1)([{"imgs": clips}])
        np.testing.assert_allclose(scores.of(contract.scores["classes"])[0], expected(logits).mean(0))
    np.testing.assert_allclose(sigmoid(np.array([[0.0, 800, -800]])), [[0.5, 1, 0]])


def test_scores_of_more_than_two_streams_are_those_of_the_contract():
    names = ("joint", "bone", "motion")
    scores = {name: SimpleNamespace(weights={f"{name}_logits": 1.0}) for name in names}
    scores["fused"] = SimpleNamespace(weights={f"{name}_logits": 1.0 for name in names})
    contract = SimpleNamespace(scores=scores, deployed="fused", logits={name: f"{name}_logits" for name in names})
    assert list(reported_scores(cast(Contract, contract)).scores) == [*names, "fused"]


def _streams(average):
    return dict.fromkeys("ab", Output(OutputKind.LOGITS, ("N", 2), Activation.SOFTMAX, average))


def test_a_score_is_the_weighted_mean():
    scores = VideoScores({"a": np.array([[1.0, 0.0]]), "b": np.array([[0.0, 1.0]])}, _streams(Average.PROB))
    np.testing.assert_allclose(scores.of(Score({"a": 3, "b": 1})), [[0.75, 0.25]])


def test_streams_averaged_by_score_are_fused_as_logits_as_mmactions_metric_does():
    # By probabilities the second class would win: the first stream is sure of the first, but counts once.
    logits = {"a": np.array([[9.0, 0.0]]), "b": np.array([[0.0, 5.0]])}
    fused = VideoScores(logits, _streams(Average.SCORE)).of(Score({"a": 1, "b": 1.5}))
    np.testing.assert_allclose(fused, softmax((logits["a"] + 1.5 * logits["b"]) / 2.5))
    assert fused.argmax() == 0


class Rows(base.Session):
    """The logits are the clips' own first values."""

    runtime, version = "fake", "1"

    def run(self, feeds):
        return {"logits": feeds["imgs"][:, :, 0, 0, 0]}


@pytest.mark.parametrize("average", ["prob", "score", "none"])
@pytest.mark.parametrize("activation", Activation)
def test_views_of_a_video_are_averaged_as_the_contract_says(average, activation):
    contract = one_input("imgs", frames_input(), activation)
    output = replace(contract.outputs["logits"], average=Average(average))
    contract = replace(contract, outputs={"logits": output})
    logits = np.random.default_rng(0).normal(size=(5, CLASSES)).astype(np.float32) * 3
    views = np.zeros((5, 3, LENGTH, SIZE, SIZE), np.float32)
    views[:, :, 0, 0, 0] = logits
    made = Scorer(Rows(), contract, 2)([{"imgs": views[:3]}, {"imgs": views[3:]}]).of(contract.scores["classes"])
    to_shares = {Activation.SOFTMAX: softmax, Activation.SIGMOID: sigmoid}[activation]
    for row, part in zip(made, (logits[:3], logits[3:]), strict=True):
        mean = to_shares(part.mean(0, keepdims=True))[0] if average == "score" else to_shares(part).mean(0)
        np.testing.assert_allclose(row, mean, rtol=1e-6)
