"""`x3ddeploy bench` on a tiny bundle: what it writes and what it says of those who could not take part."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from x3ddeploy.bench import competitors, rgbposeconv3d
from x3ddeploy.bundle import Bundle
from x3ddeploy.errors import GateError, MissingRequirementError


def test_a_report_holds_machine_shapes_samples_and_ratios(run, bundle, tmp_path):
    process = run("bench", bundle, "--skip", "rgbposeconv3d", "--seconds", 0, "-o", tmp_path / "bench.json")
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    assert (report["schema_version"], report["scope"], report["batch"], report["rounds"]) == (1, "compute", 1, 5)
    assert {"cpu", "cores", "os", "python"} <= set(report["machine"])
    rows = {row["name"]: row for row in report["competitors"]}
    assert {"torch", "onnxruntime", "onnxruntime/rgb_backbone"} <= set(rows)
    assert rows["onnxruntime"]["ratio"]["median"] == 1
    assert rows["onnxruntime/rgb_backbone"]["shapes"] == {"imgs": [1, 3, 4, 32, 32]}
    for row in rows.values():
        assert len(row["samples_ms"]) == 5
        assert row["min_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["precision"] == "fp32"
        assert row["version"]
    assert "scope compute, batch 1, fp32" in process.stdout
    assert "loading" in process.stderr


def test_json_goes_to_stdout_and_only_takes_a_group(run, bundle, tmp_path):
    process = run(
        "bench", bundle, "--only", "onnxruntime", "--batch", 2, "--seconds", 0, "--json", "-o", tmp_path / "b.json"
    )
    report = json.loads(process.stdout)
    names = [row["name"] for row in report["competitors"]]
    assert names == ["onnxruntime", "onnxruntime/rgb_backbone", "onnxruntime/pose_backbone"]
    assert report["competitors"][0]["shapes"]["imgs"][0] == 2


def test_an_unknown_name_is_a_usage_error_that_lists_the_names(run, bundle):
    process = run("bench", bundle, "--only", "onnxruntme")
    assert process.returncode == 2
    assert "rgbposeconv3d/torch" in process.stderr


def test_who_is_missing_is_listed_with_the_reason(bundle, monkeypatch):
    def missing(classes):
        raise MissingRequirementError("MMAction2 is not installed", hint="pip install 'x3ddeploy[mmaction]'")

    monkeypatch.setattr(rgbposeconv3d, "build", missing)
    ready, absent = competitors.prepare(
        Bundle.open(bundle), ["torch", "rgbposeconv3d/torch", "rgbposeconv3d/onnxruntime"], 1, 1, lambda text: None
    )
    assert [entry.name for entry in ready] == ["torch"]
    assert [entry.name for entry in absent] == ["rgbposeconv3d/torch", "rgbposeconv3d/onnxruntime"]
    assert "pip install" in absent[0].reason


def test_ctrl_c_keeps_what_was_measured(bundle, tmp_path):
    command = [sys.executable, "-m", "x3ddeploy", "bench", str(bundle), "--only", "onnxruntime", "--seconds", "60"]
    output = tmp_path / "bench.json"
    process = subprocess.Popen([*command, "-o", str(output)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "timing" in line:
            break
    time.sleep(2)
    os.kill(process.pid, signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "interrupted" in stdout
    report = json.loads(output.read_text())
    assert report["interrupted"]
    assert report["rounds"] > 0


def test_the_baseline_is_mmaction2s_own_network():
    pytest.importorskip("mmaction")
    network = rgbposeconv3d.build(classes=60)
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(36.1e6, rel=0.01)
    small = torch.rand(1, 3, 4, 64, 64), torch.rand(1, 17, 16, 16, 16)
    with torch.inference_mode():
        rgb, pose = network(*small)
    assert rgb.shape == pose.shape == (1, 60)
    assert torch.isfinite(rgb).all()


def test_an_export_of_the_baseline_that_computes_something_else_is_not_timed():
    logits = torch.ones(1, 4), torch.ones(1, 4)
    rgbposeconv3d.check(logits, {"rgb": logits[0].numpy(), "pose": logits[1].numpy()})
    with pytest.raises(GateError, match="pose"):
        rgbposeconv3d.check(logits, {"rgb": logits[0].numpy(), "pose": logits[1].numpy() + 0.1})
