"""The GPU scripts rehearsed on a stand-in: builds take the time that they take, one engine cannot be captured, and the
call is cut at random points. Whatever had been built and timed by then has to be on disk."""

import importlib
import json
import random
import shutil
import sys
from pathlib import Path

import msgspec
import pytest
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import SHAPES, Module

from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.engines import worker
from x3ddeploy.engines.check import CheckResult
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.tensorrt.trt import ParsedNetwork, TensorRT
from x3ddeploy.timing.measure import measure
from x3ddeploy.timing.under_load import UnderLoad

GPU = Path(__file__).parent.parent.parent / "benchmarks" / "gpu"

NETWORKS = ("fp32", "original.fp32", "slow.fp32", "fp32@8")
# Seconds of a build: TensorRT-RTX took 39 + 27 + 2 for our parts; a plain export never came to an end.
BUILD_S = {"rgb_backbone": 39, "pose_backbone": 27, "head": 2, "original.fp32.onnx": 80, "slow.fp32.onnx": 1000}
BUDGET_S = 450


class Rehearsal:
    """One call on the stand-in; `cut` is the number of the event (a build, a run) that the call is ended at."""

    def __init__(self, script, folder, prepared, monkeypatch, shape, cut=None):
        self.now, self.events, self.cut = 0.0, 0, cut
        self.finished_builds, self.finished_groups = 0, 0
        self.output = folder / "result.json"
        cuda = FakeCuda()
        self.module = Module(SHAPES[shape], cuda)
        tensorrt = TensorRT(self.module, Flavour.TENSORRT, lambda severity, text: None)
        self.part = ""
        rehearsal, build = self, ParsedNetwork.build

        def slow_build(network, *arguments, **options):
            rehearsal.event()
            rehearsal.now += BUILD_S[rehearsal.part]
            made = build(network, *arguments, **options)
            rehearsal.module.capture_fails = rehearsal.part == "original.fp32.onnx"
            return made

        def in_child(task, request, what, progress, limit_s):
            rehearsal.part = Path(request["graph"]).name
            if BUILD_S[rehearsal.part] > limit_s:
                rehearsal.now += limit_s
                raise X3DDeployError(f"{what} was ended after {limit_s:.0f} s")
            return worker.build(request, progress)

        def built(evidence, wanted, part, path, level):
            rehearsal.part = part
            plan = own_built(evidence, wanted, part, path, level)
            rehearsal.finished_builds += 1
            return plan

        def timed(runs, seconds, warm_up_s):
            rehearsal.now += seconds + warm_up_s

            def counted(run):
                return lambda: (rehearsal.event(), run())[1]

            measured = measure({name: counted(run) for name, run in runs.items()}, 0, min_rounds=3, warm_up=0)
            rehearsal.finished_groups += not measured.interrupted
            return measured

        class Budget:
            def __init__(self, seconds):
                self._end = rehearsal.now + seconds

            @property
            def left_s(self):
                return self._end - rehearsal.now

        def under_load(runs, seconds):
            rehearsal.now += seconds
            for run in runs:
                rehearsal.event()
                run()
            rehearsal.finished_groups += 1
            return UnderLoad(seconds, (1.0,) * len(runs))

        own_built = script.Evidence._built
        monkeypatch.setattr(ParsedNetwork, "build", slow_build)
        monkeypatch.setattr(script, "run_in_child", in_child)
        monkeypatch.setattr(script.Evidence, "_built", built)
        monkeypatch.setattr(script, "measure", timed)
        monkeypatch.setattr(script, "measure_under_load", under_load)
        monkeypatch.setattr(script, "BATCHES", (1, 8))
        monkeypatch.setattr(script, "compare_session", lambda *arguments: CheckResult((), ()))
        monkeypatch.setattr(worker, "open_tensorrt", lambda flavour, log: tensorrt)
        self.evidence = script.Evidence(prepared, cuda, tensorrt, self.keep, folder / "timing.cache")
        self._budget = Budget(BUDGET_S)

    def event(self):
        self.events += 1
        if self.events == self.cut:
            raise KeyboardInterrupt

    def keep(self, evidence):
        self.output.write_text(json.dumps(msgspec.to_builtins(vars(evidence)["rows"])))
        self.kept = {name: json.loads(json.dumps(getattr(evidence, name))) for name in ("rows", "engines", "absent")}

    def run(self):
        self.kept = {"rows": [], "engines": [], "absent": []}
        try:
            self.evidence.networks(NETWORKS, self._budget)
        except KeyboardInterrupt:
            return
        assert self.cut is None


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(GPU))
    try:
        yield importlib.import_module("tensorrt_engines")
    finally:
        sys.path.remove(str(GPU))


@pytest.fixture(scope="module")
def prepared(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    deploy = shutil.copytree(bundle, folder / "deploy")
    (folder / "plain").mkdir()
    for name in ("original", "slow"):
        shutil.copy(deploy / "recognizer.onnx", folder / "plain" / f"{name}.fp32.onnx")
    return folder


def rehearse(script, tmp_path, prepared, shape="8.6", cut=None):
    with pytest.MonkeyPatch.context() as patch:
        rehearsal = Rehearsal(script, tmp_path, prepared, patch, shape, cut)
        rehearsal.run()
        return rehearsal


@pytest.mark.parametrize("shape", ["8.6", "11"])
def test_a_whole_call_builds_and_times_what_its_seconds_allow(script, tmp_path, prepared, shape):
    done = rehearse(script, tmp_path, prepared, shape)
    rows = done.kept["rows"]
    assert done.now <= BUDGET_S + 100
    ours = [row for row in rows if row["network"] == "fp32" and row["timed"] != "under load"]
    loaded = [row for row in rows if row["timed"] == "under load"]
    assert {(row["network"], row["callers"], row["batch"]) for row in loaded} == {
        ("fp32", callers, batch) for callers in (1, 2, 4) for batch in (1, 8)
    }
    assert all(row["clips_per_s"] == row["batch"] * row["callers"] / 2 and row["cuda_graph"] for row in loaded)
    assert {(row["batch"], row["scope"], row["timed"]) for row in ours} == {
        (batch, scope, how) for batch in (1, 8) for scope in ("compute", "with_copies") for how in ("alone", "in turn")
    }
    assert all(row["cuda_graph"] and row["tactic_sources"] for row in ours)
    assert all(row["device_samples_ms"] for row in ours if row["scope"] == "compute")
    rival = [row for row in rows if row["network"] == "original.fp32"]
    assert rival
    assert all(not row["cuda_graph"] and "not recorded" in row["notes"][0] for row in rival)
    assert {row["batch"] for row in rows if row["network"] == "fp32@8"} == {8}
    reasons = {item["name"]: item["reason"] for item in done.kept["absent"]}
    assert "was ended after 100 s" in reasons["slow.fp32, level 1"]
    assert any("no time left" in reason for reason in reasons.values())
    engines = [engine for engine in done.kept["engines"] if "precision" in engine]
    assert all(engine["precision"]["layers"] for engine in engines)  # of rivals as well
    assert {engine["part"] for engine in engines} >= {"rgb_backbone", "pose_backbone", "head", "original.fp32.onnx"}


def test_wherever_a_call_is_cut_what_it_had_is_kept(script, tmp_path, prepared):
    whole = rehearse(script, tmp_path, prepared)
    seeded = random.Random(0)
    cuts = sorted({1, 2, whole.events, *(seeded.randint(3, whole.events) for _ in range(5))})
    for cut in cuts:
        found = rehearse(script, tmp_path, prepared, cut=cut)
        built = [
            engine
            for engine in found.kept["engines"]
            if engine.get("part") in ("rgb_backbone", "pose_backbone", "head")
        ]
        assert len(built) == found.finished_builds, cut
        assert found.kept["rows"] == found.evidence.rows, cut
        groups = {
            (row["timed"], row["level"], row["batch"], row["network"] * (row["timed"] == "alone"), row.get("callers"))
            for row in found.kept["rows"]
        }
        assert len(groups) >= found.finished_groups, cut


def test_the_forms_of_the_shift_are_timed_as_graphs_of_several_runs(script, tmp_path, prepared):
    folder = tmp_path / "shift"
    folder.mkdir()
    for form in ("slices", "taps"):
        shutil.copy(prepared / "deploy" / "head.onnx", folder / f"rgb.layer1.{form}.onnx")
    kept, cuda = [], FakeCuda()
    tensorrt = TensorRT(Module(SHAPES["8.6"], cuda), Flavour.TENSORRT, lambda severity, text: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "_STAGE_S", 0.0)
        patch.setattr(script, "_WARM_UP_S", 0.0)
        evidence = script.Evidence(
            prepared, cuda, tensorrt, lambda evidence: kept.append(len(evidence.rows)), tmp_path / "c"
        )
        evidence.shift_forms(folder, script.Budget(100))
    rows = {row["network"]: row for row in evidence.rows}
    assert set(rows) == {"shift, rgb.layer1.slices", "shift, rgb.layer1.taps"}
    for row in rows.values():
        assert row["repeats"] == script.REPEATS
        assert row["cuda_graph"]
        assert row["device_median_ms"] == 1.0  # the fake GPU counts pieces of work: ten in a graph, one a run
    assert kept[-1] == 2


def test_a_network_is_timed_behind_its_preprocessing_too(script, tmp_path, prepared):
    cuda = FakeCuda()
    tensorrt = TensorRT(Module(SHAPES["11"], cuda), Flavour.TENSORRT, lambda severity, text: None)
    evidence = script.Evidence(prepared, cuda, tensorrt, lambda evidence: None, tmp_path / "c")
    session = evidence._parts(script.Wanted.named("fp32+raw"), 1, 100.0)
    feeds = script._feeds(session, 2)
    assert {name: value.dtype.name for name, value in feeds.items()} == {
        "frames": "uint8", "keypoints": "float32", "keypoint_scores": "float32",
    }  # fmt: skip
    assert session.run(feeds)["scores"].shape == (2, 6)
    assert {engine["part"] for engine in evidence.engines} >= {"preprocess_rgb", "preprocess_pose"}


@pytest.mark.parametrize(
    ("name", "bundle", "file", "precision", "most"),
    [
        ("fp16", "deploy", "", "fp16", 8),
        ("int8@32", "deploy", "", "int8", 32),
        ("fp16+raw", "deploy", "", "fp16", 8),
        ("rgbposeconv3d:int8", "rgbposeconv3d", "", "int8", 8),
        ("original.fp16", "", "original.fp16", "fp16", 8),
    ],
)
def test_networks_are_named_by_bundle_file_precision_and_clips(script, name, bundle, file, precision, most):
    wanted = script.Wanted.named(name)
    assert (wanted.bundle, wanted.file, wanted.precision.value) == (bundle, file, precision)
    assert wanted.batches.maximum == most
