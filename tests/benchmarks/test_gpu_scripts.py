"""The GPU evidence is one command on a machine that nobody can try it on first: what can be run here is run here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GPU = ROOT / "benchmarks" / "gpu"
sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
from fake_machines import Machines  # noqa: E402 (found through the line above)

# Everything that x3ddeploy needs besides PyTorch and numpy.
NOT_THERE = "click,cv2,jinja2,mmaction,mmengine,msgspec,onnx,onnxruntime,rich"
TIMED_AT_ONCE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from host import Budget
import tensorrt_engines
from tensorrt_engines import Evidence, Precision
tensorrt_engines.NETWORKS = [name if "." in name else Precision(name) for name in sys.argv[3:]]
evidence = Evidence(Path(sys.argv[2]))
evidence.networks(Budget(500), 0)
evidence.shift_forms(Budget(500))
print(json.dumps({name: getattr(evidence, name) for name in ("engines", "rows", "absent", "failed")}))
"""


def start(command, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable, **variables}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    environment = Machines(folder)("bare", MISSING=NOT_THERE, OUTPUT=str(folder / "results"))
    process = start((GPU / "run.sh", "--device", "cpu", "--smoke"), **environment)
    assert process.returncode == 0, process.stderr
    return {path.stem: json.loads(path.read_text()) for path in (folder / "results" / "cpu").glob("*.json")}


def test_pytorch_and_numpy_are_enough_and_everything_is_timed(smoke):
    rows = smoke["torch_networks"]["rows"]
    networks = {"original", "lowered frames", "lowered clip", "rgbposeconv3d"}
    assert {(row["network"], row["execution"]) for row in rows} == {
        (network, execution) for network in networks for execution in ("eager", "channels_last")
    }
    assert {row["batch"] for row in rows} == {1, 2}
    assert all(row["median_ms"] > 0 and row["samples_ms"] for row in rows)
    assert smoke["torch_networks"]["absent"] == []
    rows = smoke["shift_variants"]["rows"]
    assert {row["form"] for row in rows} == {"slices", "split", "folded", "taps"}
    assert {row["precision"] for row in rows} == {"fp16", "fp32"}


def test_results_say_what_they_were_measured_on(smoke):
    for result in smoke.values():
        assert result["scope"] == "compute"
        assert {"gpu_before", "gpu_after", "machine", "device", "preset"} <= result.keys()
        assert result["versions"]["torch"]


def test_tensorrt_without_a_prepared_folder_is_a_usage_error(tmp_path):
    process = start((GPU / "run.sh", "--only", "tensorrt"), OUTPUT=str(tmp_path))
    assert process.returncode == 2
    assert "prepare.py" in process.stderr


def test_without_tensorrt_the_command_says_so_and_exits_4(tmp_path):
    environment = Machines(tmp_path)("no gpu", OUTPUT=str(tmp_path / "results"))
    process = start((GPU / "run.sh", "--only", "tensorrt", "--prepared", tmp_path), **environment)
    assert process.returncode == 4
    assert "no TensorRT evidence" in process.stderr
    assert not (tmp_path / "results").exists()


@pytest.fixture
def prepared(bundle, tmp_path):
    folder = tmp_path / "prepared"
    deploy = shutil.copytree(bundle, folder / "deploy")
    (folder / "plain").mkdir()
    (folder / "shift").mkdir()
    shutil.copy(deploy / "recognizer.onnx", folder / "plain" / "original.fp32.onnx")
    shutil.copy(deploy / "head.onnx", folder / "shift" / "rgb.layer1.slices.onnx")
    return folder


def evidence(networks, prepared, folder, **variables):
    environment = Machines(folder)("with tensorrt", FAKE_SHAPE="8.6", **variables)
    process = start((sys.executable, "-c", TIMED_AT_ONCE, GPU, prepared, *networks), **environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_engines_are_built_timed_and_what_fails_is_named(prepared, tmp_path):
    result = evidence(("int8", "fp32", "original.fp32", "rgbposeconv3d.fp16"), prepared, tmp_path)
    names = {(row["network"], row["scope"], row["batch"]) for row in result["rows"]}
    for network in ("parts, fp32", "plain, original.fp32"):
        assert {(network, scope, batch) for scope in ("compute", "with_copies") for batch in (1, 8)} <= names
    assert ("shift, rgb.layer1.slices", "compute", 1) in names
    reasons = {item["name"]: item["reason"] for item in result["absent"]}
    assert "no INT8 graphs" in reasons["parts, int8"]
    assert "rgbposeconv3d.fp16.onnx" in reasons["plain, rgbposeconv3d.fp16"]
    parts = [engine for engine in result["engines"] if engine.get("precision") == "fp32"]
    assert {engine["part"] for engine in parts} == {"rgb_backbone", "pose_backbone", "head"}
    assert all(engine["largest_relative_error"] < 1e-4 for engine in parts)
    assert result["failed"] == {}


def test_engines_that_fail_a_gate_are_timed_beside_the_gates_words(prepared, tmp_path):
    result = evidence(("fp32",), prepared, tmp_path, FAKE_FAULT="wrong")
    assert any("and PyTorch fail" in line for line in result["failed"]["fp32"])
    assert {row["network"] for row in result["rows"]} == {"parts, fp32", "shift, rgb.layer1.slices"}
    assert {engine.get("graph") for engine in result["engines"]} >= {"deploy/head.onnx", "deploy/rgb_backbone.onnx"}
