"""`x3ddeploy verify`: a bundle that was altered, or computes something else here, does not pass."""

import json
import shutil
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.documents import of_its_type

from x3ddeploy.bundle import Bundle, seal
from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.runtimes.choice import choose
from x3ddeploy.runtimes.registry import RUNTIMES, graph_runtimes
from x3ddeploy.verification import verify_bundle


@pytest.fixture
def copied(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def reseal(path):
    """What someone who alters a file and the manifest with it would do."""
    manifest = Bundle.open(path).manifest
    (path / "manifest.json").unlink()
    seal(path, manifest)


def test_a_good_bundle_passes_in_every_runtime(run, bundle):
    process = run("verify", bundle, "--json")
    assert process.returncode == 0, process.stderr
    report = of_its_type("verify", process.stdout)
    assert report["passed"]
    assert report["runtimes"] == ["torch", *graph_runtimes()]
    names = {check["name"] for check in report["checks"] if check["runtime"] == "onnxruntime"}
    assert {
        "rgb_backbone -> rgb_feat",
        "head -> scores",
        "recognizer -> scores",
        "preprocess_pose -> heatmap_imgs",
    } <= names
    torch_names = {check["name"] for check in report["checks"] if check["runtime"] == "torch"}
    assert "recognizer -> scores" in torch_names
    assert any("preprocess_rgb" in line for line in report["skipped"])


def test_per_block_lists_stem_blocks_and_conv5(run, bundle):
    process = run("verify", bundle, "--runtime", "onnxruntime", "--per-block")
    assert process.returncode == 0, process.stderr
    for block in ("rgb_backbone/conv1_s", "rgb_backbone/layer2.2", "pose_backbone/layer1.0", "pose_backbone/conv5"):
        assert block in process.stdout


def test_the_table_keeps_a_row_on_a_line(run, bundle):
    process = run("verify", bundle, "--runtime", "torch")
    row = next(line for line in process.stdout.splitlines() if "recognizer -> scores" in line)
    assert row.rstrip().endswith("ok")


@pytest.mark.parametrize("damage", ["alter", "truncate", "remove"])
def test_an_altered_file_is_named_before_anything_runs(run, copied, damage):
    file = copied / "head.onnx"
    data = file.read_bytes()
    file.unlink()
    if damage != "remove":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage == "alter" else data[:100])
    process = run("verify", copied)
    assert process.returncode == 1
    assert "head.onnx" in process.stderr
    assert "running" not in process.stderr


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_a_changed_weight_under_a_fresh_manifest_is_caught_by_the_golden_outputs(copied, run, runtime):
    file = copied / "pose_backbone.onnx"
    model = onnx.load(file)
    weight = next(t for t in model.graph.initializer if t.name == "pose_backbone.layer2.0.conv3.bias")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(0.2), weight.name))
    onnx.save(model, file)
    reseal(copied)
    process = run("verify", copied, "--runtime", runtime)
    assert process.returncode == 3
    assert "pose_backbone -> pose_feat" in process.stderr
    assert "rgb_backbone -> rgb_feat" not in process.stderr


def test_a_missing_golden_tensor_is_named(run, copied):
    (copied / "golden" / "imgs.npy").unlink()
    reseal(copied)
    process = run("verify", copied)
    assert process.returncode == 1
    assert "imgs" in process.stderr


def test_golden_files_are_read_without_pickle(run, copied):
    np.save(copied / "golden" / "imgs.npy", np.array([{"a": 1}], object), allow_pickle=True)
    reseal(copied)
    process = run("verify", copied)
    assert process.returncode == 1
    assert "imgs.npy" in process.stderr
    assert "Traceback" not in process.stderr


def test_an_unknown_runtime_is_a_usage_error(run, bundle):
    process = run("verify", bundle, "--runtime", "tensorflow")
    assert process.returncode == 2
    assert "torch, onnxruntime, openvino" in process.stderr


def test_a_runtime_that_is_not_installed_says_what_to_install(bundle, monkeypatch):
    monkeypatch.setitem(RUNTIMES, "openvino", replace(RUNTIMES["openvino"], package="not_installed_anywhere"))
    opened = Bundle.open(bundle)
    with pytest.raises(MissingRequirementError, match="openvino") as error:
        choose(opened, ("openvino",))
    assert error.value.exit_code == 4
    report = verify_bundle(opened, choose(opened), False, None, lambda text: None)
    assert report.runtimes == ("torch", "onnxruntime")
    assert any(line.startswith("openvino: ") and "is not installed" in line for line in report.skipped)


def test_no_bundle_is_a_clear_error(run, tmp_path):
    process = run("verify", tmp_path / "none")
    assert process.returncode == 1
    assert "x3ddeploy export" in process.stderr


def test_the_manifest_survives_a_round_trip(bundle):
    manifest = Bundle.open(bundle).manifest
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=type(manifest)) == manifest


def test_one_precision_of_one_runtime_is_verified_alone(run, bundle):
    process = run("verify", bundle, "--runtime", "onnxruntime", "--device", "cpu", "--precision", "fp32", "--json")
    assert process.returncode == 0, process.stderr
    assert {check["runtime"] for check in json.loads(process.stdout)["checks"]} == {"onnxruntime"}


def test_a_precision_that_a_named_runtime_cannot_compute_is_a_usage_error(run, bundle):
    process = run("verify", bundle, "--runtime", "onnxruntime", "--precision", "bf16")
    assert process.returncode == 2
    assert "do not compute in bf16" in process.stderr


@pytest.mark.parametrize(("runtime", "device"), [("onnxruntime", "cuda"), ("tensorrt", None)])
def test_a_device_that_is_not_here_is_exit_code_4(run, bundle, runtime, device):
    process = run("verify", bundle, "--runtime", runtime, *(("--device", device) if device else ()))
    assert process.returncode == 4, process.stderr
    assert "running" not in process.stderr
