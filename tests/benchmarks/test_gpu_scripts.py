"""The GPU evidence is one command on a machine that nobody can try it on first: what can be run here is run here."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_machines import Machines

ROOT = Path(__file__).parent.parent.parent
GPU = ROOT / "benchmarks" / "gpu"

# Everything that x3ddeploy needs besides PyTorch and numpy.
NOT_THERE = "click,cv2,jinja2,mmaction,mmengine,msgspec,onnx,onnxruntime,rich"


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
        assert {"gpu_before", "machine", "device", "preset"} <= result.keys()
        assert result["versions"]["torch"]
        assert all("gpu_load" in row and "device_samples_ms" in row for row in result["rows"])


def test_tensorrt_without_a_prepared_folder_is_a_usage_error(tmp_path):
    process = start((GPU / "run.sh", "--call", "2"), OUTPUT=str(tmp_path))
    assert process.returncode == 2
    assert "prepare.py" in process.stderr


def test_without_tensorrt_the_command_says_so_and_exits_4(tmp_path):
    environment = Machines(tmp_path)("no gpu", OUTPUT=str(tmp_path / "results"))
    process = start((GPU / "run.sh", "--call", "3", "--prepared", tmp_path), **environment)
    assert process.returncode == 4
    assert "no TensorRT evidence" in process.stderr
    assert not (tmp_path / "results").exists()


def test_plain_exports_are_made_where_pytorch_is_all_there_is(tmp_path):
    """So that hundreds of megabytes need not travel."""
    environment = Machines(tmp_path)("bare", MISSING=f"{NOT_THERE},onnxscript")
    words = (tmp_path / "prepared", "--preset", "tiny", "--only", "plain", "--precision", "fp16")
    process = start((sys.executable, GPU / "prepare.py", *words), **environment)
    assert process.returncode == 0, process.stderr
    names = sorted(path.name for path in (tmp_path / "prepared" / "plain").iterdir())
    assert names == ["original.fp16.onnx", "rgbposeconv3d.fp16.onnx"]


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.syspath_prepend(str(GPU))
    return importlib.import_module("calls")


@pytest.fixture
def planned(calls, monkeypatch, capsys):
    def plan(*arguments):
        monkeypatch.setattr(sys, "argv", ["calls.py", "--plan", *map(str, arguments)])
        return calls.main(), capsys.readouterr().out

    return plan


@pytest.fixture
def prepared(tmp_path):
    for name, size in (("deploy", 40_000_000), ("shift", 1_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(size))
    return tmp_path


def test_the_plan_says_what_travels_and_how_long_it_takes(planned, prepared):
    code, text = planned("--prepared", prepared, "--limit-mb", 30)
    assert code == 0, text
    assert "call 1: PyTorch alone" in text
    assert "deploy 40.0 MB" in text
    assert "2 times at most 30 MB" in text
    assert "in all 3 calls" in text
    assert "tensorrt_engines.py" in text


def test_the_plan_names_what_is_missing_or_does_not_fit(planned, prepared):
    code, text = planned()
    assert code == 3
    assert "deploy is not there" in text
    code, text = planned("--prepared", prepared, "--limit-s", 100)
    assert code == 3
    assert "tensorrt_engines.py gets" in text
    code, text = planned("--prepared", prepared, "--limit-s", 600, "--budget-s", 900)
    assert code == 3
    assert "--limit-s 300 makes them fit" in text
    assert planned("--prepared", prepared, "--limit-s", 300, "--budget-s", 900)[0] == 0
    moving = ("--prepared", prepared, "--budget-s", 900, "--transfer-s", 20)  # three transfers
    code, text = planned(*moving, "--limit-s", 300)
    assert code == 3
    assert "--limit-s 280 makes them fit" in text
    assert planned(*moving, "--limit-s", 280)[0] == 0


@pytest.mark.parametrize("kit", [None, Path("kit")])
@pytest.mark.parametrize("limit_s", [300, 600])
def test_every_call_ends_within_its_limit_and_uses_it(calls, kit, limit_s):
    for call in calls.CALLS:
        seconds = calls.seconds_of(calls.steps_of(call, kit), limit_s)
        assert limit_s * 0.9 - calls._SPARE_S <= sum(seconds.values()) <= limit_s - calls._SPARE_S + 1e-9
        assert all(seconds[step] <= step.most_s for step in seconds)


def test_a_step_that_does_not_end_is_ended_with_its_children(calls, monkeypatch):
    monkeypatch.setattr(calls, "_GRACE_S", 0.5)
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    assert calls._ended([sys.executable, "-c", stubborn], 0.2) < 0
