"""`x3ddeploy export --int8 --calib DATA --trt`: three verbs at once, asked for all that they need before the first."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from support.documents import of_its_type

from x3ddeploy.api import one_step
from x3ddeploy.api.one_step import OneStep
from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.errors import GateError, MissingRequirementError
from x3ddeploy.exporting.export import Exported
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.parity.gates import Float32Gate
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.tensorrt.place import Host


@pytest.fixture(scope="module")
def clips(bundle, tmp_path_factory):
    """Ten clips, labelled as the float32 network classifies them."""
    folder = tmp_path_factory.mktemp("data") / "clips.v2"
    folder.mkdir()
    session = open_session("onnxruntime", bundle / "recognizer.onnx")
    for index in range(10):
        clip = batch_inputs(clip_inputs(PRESETS["tiny"]), 1, seed=300 + index)
        label = int(session.run(clip)["scores"].argmax())
        np.savez(folder / f"clip{index}.npz", label=label, **{name: value[0] for name, value in clip.items()})
    return folder


@pytest.fixture
def exports(monkeypatch, bundle, tiny_network):
    """Exports that would be made; each gives the bundle of this run's fixtures instead, which saves seconds."""
    asked = []

    def export_bundle(loaded, output, options, progress):
        asked.append(output)
        return Exported(tiny_network, Bundle.open(bundle), [], Float32Gate({}, None))

    monkeypatch.setattr("x3ddeploy.api.export.export_bundle", export_bundle)
    return asked


def test_one_command_exports_and_quantizes(run, checkpoint, clips, tmp_path):
    path = tmp_path / "deploy.v2"
    process = run("export", checkpoint, "-o", path, "--int8", "--calib", clips, "--target", "onnxruntime")
    assert process.returncode == 0, process.stderr
    assert "Parity with PyTorch's float64" in process.stdout
    assert "int8 against fp32, on the judging clips" in process.stdout
    assert process.stdout.splitlines()[-1] == f"next: x3ddeploy bench {path}"
    assert process.stdout.count("next:") == 1
    made = Bundle.open(path)
    assert made.altered_files() == []
    assert set(made.manifest.precisions) == {"int8"}
    assert made.manifest.precisions["int8"].accuracy is not None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--int8"], 2, "INT8 needs clips"),
        (["--calib-random"], 2, "give --int8, too"),
        (["--int8", "--calib-random", "--calib", "clips"], 2, "does not go with --calib"),
        (["--fp16", "--calib", "nowhere"], 2, "there is no nowhere"),
        (["--bf16", "--target", "onnxruntime"], 2, "no bfloat16 form"),
        (["--trt", "--target", "openvino"], 2, "these are for openvino"),
    ],
)
def test_what_the_options_need_is_asked_before_the_export(run, checkpoint, exports, monkeypatch, words, code, said):
    monkeypatch.setattr(one_step, "find_host", lambda *_: Host("GPU", "9.0", None, Flavour.TENSORRT, "10.1"))
    process = run("export", checkpoint, *words)
    assert process.returncode == code, process.stderr
    assert said in process.stderr
    assert exports == []


def test_without_a_gpu_nothing_is_begun(run, exports, monkeypatch):
    def find_host(flavour, capabilities):
        raise MissingRequirementError(f"{flavour.title} needs the GPU that the engines are for")

    monkeypatch.setattr(one_step, "find_host", find_host)
    process = run("export", "not even read.pth", "--rtx")
    assert process.returncode == 4
    assert "TensorRT-RTX needs the GPU" in process.stderr
    assert exports == []


@pytest.mark.parametrize("failing", ["quantize", "build_trt"])
def test_a_step_that_fails_says_that_the_bundle_stays(run, checkpoint, bundle, exports, monkeypatch, failing):
    def gate(*_, **__):
        raise GateError("INT8 costs too much")

    monkeypatch.setattr(one_step, "find_host", lambda *_: Host("GPU", "9.0", None, Flavour.TENSORRT, "10.1"))
    monkeypatch.setattr(one_step, failing, gate)
    words = ["--trt"] if failing == "build_trt" else ["--trt", "--int8", "--calib-random"]
    process = run("export", checkpoint, *words)
    assert process.returncode == 3
    assert f"{bundle} is exported and verified, and stays" in process.stderr
    verb = "build-trt" if failing == "build_trt" else "quantize"
    assert f"x3ddeploy {verb} {bundle}" in process.stderr
    assert "error: INT8 costs too much" in process.stderr
    assert f"{bundle}:" in process.stdout  # what was done is told as ever
    assert "next:" not in process.stdout


@pytest.mark.parametrize(("strongly_typed", "opset"), [(True, 19), (False, 17)])
def test_engines_are_built_of_each_precision_that_was_made(monkeypatch, strongly_typed, opset):
    host = Host("GPU", "9.0", None, Flavour.TENSORRT, "8.6", strongly_typed)
    calls = []
    monkeypatch.setattr(one_step, "find_host", lambda *_: host)
    monkeypatch.setattr(one_step, "quantize", lambda bundle, **words: calls.append(words))
    monkeypatch.setattr(one_step, "build_trt", lambda bundle, **words: calls.append(words))
    further = OneStep(["fp16", "int8"], "data", flavour=Flavour.TENSORRT)
    further.quantize("deploy")
    further.build("deploy")
    quantized, *built = calls
    assert quantized["opset"] == opset
    assert [words["precision"] for words in built] == ["fp16", "int8"]
    assert not any(words["rtx"] for words in built)
    assert [words["precision"] for words in engines_of(OneStep(flavour=Flavour.RTX), calls)] == ["fp32"]
    assert calls[-1]["rtx"]


def engines_of(further, calls):
    before = len(calls)
    assert further.quantize("deploy") is None
    further.build("deploy")
    return calls[before:]


def test_json_is_one_document_of_all_steps(run, checkpoint, exports, monkeypatch):
    done = SimpleNamespace(document=lambda: {"done": True})
    monkeypatch.setattr(one_step, "find_host", lambda *_: Host("GPU", "9.0", None, Flavour.TENSORRT, "10.1"))
    monkeypatch.setattr(one_step, "quantize", lambda *_, **__: done)
    monkeypatch.setattr(one_step, "build_trt", lambda *_, **__: done)
    process = run("export", checkpoint, "--fp16", "--trt", "--json")
    document = json.loads(process.stdout)
    assert (document["quantized"], document["engines"]) == ({"done": True}, [{"done": True}])
    assert {"bundle", "manifest", "parity"} < set(document)
    monkeypatch.setattr(one_step, "quantize", lambda *_, **__: SimpleNamespace(document=lambda: None))
    of_its_type("export-one-step", run("export", checkpoint, "--fp16", "--json").stdout)
    of_its_type("export", run("export", checkpoint, "--json").stdout)
