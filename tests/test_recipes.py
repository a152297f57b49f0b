"""The recipes of docs/architecture.md, followed: a runtime and a target that are new. A family is support/toy.py."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

import x3ddeploy
from x3ddeploy.cli import parameters
from x3ddeploy.families.two_stream_x3d.lowering import strategy
from x3ddeploy.families.two_stream_x3d.lowering.strategy import Layout, Strategy
from x3ddeploy.graphs.roles import Role
from x3ddeploy.precision import targets
from x3ddeploy.precision.qdq import Scheme
from x3ddeploy.precision.targets import TargetPrecision
from x3ddeploy.runtimes.base import Session, check_feeds
from x3ddeploy.runtimes.registry import RUNTIMES, Runtime
from x3ddeploy.terms import Precision, Target


def test_a_new_family_takes_few_lines():
    toy = Path(__file__).parent / "support" / "toy.py"
    assert len(toy.read_text(encoding="utf-8").splitlines()) < 150


class NewSession(Session):
    runtime, version = "new", "1.0"

    def __init__(self, path):
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.inputs = {
            value.name: tuple(axis if isinstance(axis, int) else None for axis in value.shape)
            for value in self._session.get_inputs()
        }
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, feeds):
        check_feeds(self.inputs, feeds)
        return dict(zip(self.outputs, self._session.run(None, dict(feeds)), strict=True))


@pytest.fixture
def new_runtime(monkeypatch):
    """The two steps of the recipe."""
    module = ModuleType("new_runtime")
    vars(module).update(
        require_device=lambda device: None, open_model=lambda model, *, device, threads, outputs: NewSession(model)
    )
    monkeypatch.setitem(sys.modules, "new_runtime", module)
    devices = {"cpu": frozenset({Precision.FP32})}
    monkeypatch.setitem(RUNTIMES, "new", Runtime("new", "onnxruntime", "pip install new", "new_runtime", devices))


@pytest.mark.usefixtures("new_runtime")
def test_a_new_runtime_is_taken_by_its_name(bundle, tmp_path):
    golden = {path.stem: np.load(path) for path in (bundle / "golden").glob("*.npy")}
    with x3ddeploy.open(bundle, runtime="new") as recognizer:
        clip = {name: golden[name] for name in recognizer.inputs}
        np.testing.assert_allclose(recognizer.predict_clips(clip)["scores"], golden["scores"], atol=1e-5)
    verification = x3ddeploy.verify(bundle, runtimes=["new"])
    verification.raise_for_failures()
    assert {check.runtime for check in verification.checks} == {"new"}
    np.savez(tmp_path / "clip.npz", label=0, **{name: value[0] for name, value in clip.items()})
    report = x3ddeploy.evaluate(bundle, data=tmp_path, runtimes=["new"], output=tmp_path / "eval").report
    assert {result.runtime for result in report.results} == {"torch", "new"}
    timed = x3ddeploy.bench(
        bundle,
        runtimes=["new"],
        precisions=["fp32"],
        scopes=["compute"],
        seconds=0,
        threads=1,
        output=tmp_path / "bench",
    ).report
    assert [row.name for row in timed.competitors] == ["new/fp32"]


def test_the_help_of_every_verb_names_every_runtime():
    assert [name for name in RUNTIMES if name not in parameters.RUNTIME_NAMES] == []


@pytest.fixture
def new_target(monkeypatch):
    """The three steps of the recipe; the first of them, a member of an enumeration, as Python's `enum` makes it."""
    target = str.__new__(Target, "new")
    target._name_, target._value_ = "NEW", "new"
    monkeypatch.setitem(Target._member_map_, "NEW", target)
    monkeypatch.setitem(Target._value2member_map_, "new", target)
    monkeypatch.setattr(Target, "_member_names_", [*Target._member_names_, "NEW"])
    monkeypatch.setitem(strategy.TARGETS, target, Strategy(Layout.FRAMES, width_multiple=1, input_multiple=1))
    scheme = Scheme(frozenset({Role.CLASSIFIER}), unsigned=True, stored_int8=True)
    monkeypatch.setitem(targets.TARGETS, target, TargetPrecision(scheme, None, "onnxruntime"))


@pytest.mark.usefixtures("new_target")
def test_a_new_target_is_lowered_for_and_quantized_by_its_scheme(checkpoint, tmp_path):
    exported = x3ddeploy.export(checkpoint, tmp_path / "deploy", target="new")
    assert exported.bundle.manifest.target == "new"
    (made,) = x3ddeploy.quantize(tmp_path / "deploy", precisions=["int8"], calib_random=True, calib_clips=2).made
    assert (made.precision, made.random) == ("int8", True)
