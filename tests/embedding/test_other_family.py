"""A bundle of a family with one input and a part more: in Triton and in C++ without an edit there."""

import json
import subprocess

import numpy as np
import onnxruntime
import pytest
import torch
from support.toy import ToyFamily, toy

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.check import open_whole, problems_of
from x3ddeploy.embedding.triton import TritonOptions, write_repository
from x3ddeploy.families import FAMILIES, register


@pytest.fixture(scope="module")
def toy_bundle(tmp_path_factory, run):
    register(ToyFamily())
    folder = tmp_path_factory.mktemp("toy")
    torch.save(toy(5).state_dict(), folder / "toy.pth")
    process = run("export", folder / "toy.pth", "-o", folder / "deploy", "--preprocess")
    assert process.returncode == 0, process.stderr
    yield folder / "deploy"
    del FAMILIES["toy"]


def test_is_whole_and_says_its_parts(toy_bundle):
    bundle = open_whole(toy_bundle)
    assert bundle.contract.waves == (("backbone",), ("neck",), ("head",))
    assert [block.name for block in bundle.contract.parts["backbone"].blocks] == ["backbone/conv"]
    assert bundle.manifest.preprocessing.keys() == {"preprocess"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m["model"].update(classes=6), "its model is not the manifest's: classes 5, not 6"),
        (lambda m: m["inputs"]["imgs"]["pipeline"][-1]["parameters"].update(mean=[9.0, 0.0, 0.0]), "manifest's mean"),
        (lambda m: m["outputs"]["mixed"].update(shape=["N", 1, 4, 8, 8]), "head.onnx: inputs are mixed N x 6"),
        (lambda m: m["scores"]["classes"]["weights"].update(logits=2), "its fusion"),
    ],
)
def test_what_its_files_contradict_is_found(toy_bundle, tmp_path, change, problem):
    (tmp_path / "copy").mkdir()
    for file in toy_bundle.rglob("*"):
        if file.is_file() and file.name != "manifest.json":
            (tmp_path / "copy" / file.relative_to(toy_bundle)).parent.mkdir(exist_ok=True)
            (tmp_path / "copy" / file.relative_to(toy_bundle)).hardlink_to(file)
    manifest = json.loads((toy_bundle / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "copy" / "manifest.json").write_text(json.dumps(manifest))
    assert problem in "\n".join(problems_of(Bundle.open(tmp_path / "copy")))


def test_triton_serves_its_parts_in_their_order(toy_bundle, tmp_path):
    names = write_repository(Bundle.open(toy_bundle), tmp_path / "out", TritonOptions(name="toy"))
    assert names == ["toy_backbone", "toy_neck", "toy_head", "toy_preprocess", "toy_tensors", "toy"]
    values = {"frames": np.load(toy_bundle / "golden" / "frames.npy")}
    for name in ("toy_preprocess", "toy_backbone", "toy_neck", "toy_head"):
        session = onnxruntime.InferenceSession(tmp_path / "out" / name / "1" / "model.onnx")
        inputs = {value.name: values[value.name] for value in session.get_inputs()}
        names = [value.name for value in session.get_outputs()]
        values |= dict(zip(names, session.run(names, inputs), strict=True))
    np.testing.assert_allclose(values["scores"], np.load(toy_bundle / "golden" / "scores.npy"), atol=1e-5)
    ensemble = (tmp_path / "out" / "toy" / "config.pbtxt").read_text()
    for line in ('model_name: "toy_neck"', 'key: "mixed"', 'name: "frames"', 'name: "logits"', 'name: "scores"'):
        assert line in ensemble


@pytest.mark.openvino
def test_the_command_line_in_cpp_takes_it(cli, toy_bundle, tmp_path):
    def printed(*arguments):
        process = subprocess.run([cli, toy_bundle, *arguments, "--json"], capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    report = printed("--self-test")
    assert report["passed"]
    assert {"logits", "scores", "imgs"} <= report.keys()
    golden = np.load(toy_bundle / "golden" / "scores.npy")[0]
    np.testing.assert_allclose(printed(toy_bundle / "golden", "--cropped")["scores"], golden, atol=1e-5)
    frames = np.random.default_rng(0).integers(0, 256, (11, 20, 30, 3), dtype=np.uint8)
    np.savez(tmp_path / "clip.npz", frames=frames)
    assert sum(printed(tmp_path / "clip.npz", "--clips", "2")["scores"]) == pytest.approx(1, abs=1e-5)
    assert set(printed("--bench", "--seconds", "0")["scopes"]) == {"compute", "pipeline"}
