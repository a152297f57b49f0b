"""`x3ddeploy bench` on a tiny bundle: what it writes, and how it ends."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.documents import of_its_type
from support.present import present

from x3ddeploy.benchmarking import run as bench_run
from x3ddeploy.benchmarking.competitors import prepare
from x3ddeploy.benchmarking.loaders import load
from x3ddeploy.cli.bench import command
from x3ddeploy.errors import GateError
from x3ddeploy.runtimes.base import FallbackError


@pytest.fixture(scope="module")
def measured(run, bundle, tmp_path_factory):
    """One run without what has to be exported first: the finished process and its folder."""
    folder = tmp_path_factory.mktemp("bench")
    skipped = [word for name in ("rgbposeconv3d", "plain", "saved", "converted") for word in ("--skip", name)]
    process = run("bench", bundle, *skipped, "--seconds", 0.2, "--threads", 1, "-o", folder)
    assert process.returncode == 0, process.stderr
    return process, folder


@pytest.fixture(scope="module")
def report(measured):
    return of_its_type("bench", (measured[1] / "bench.json").read_text())


def test_every_row_has_raw_samples_shapes_versions_and_a_scope(report):
    assert report["schema_version"] == 3
    assert {"cpu", "cores", "os", "python", "load_average"} <= set(report["machine"])
    rows = {(row["name"], row["scope"]): row for row in report["competitors"]}
    assert {("torch/eager", "compute"), ("onnxruntime/fp32", "compute"), ("onnxruntime/fp32", "pipeline")} <= set(rows)
    assert ("torch/eager", "pipeline") not in rows
    for row in rows.values():
        assert len(row["samples_ms"]) == report["rounds"] >= 5
        assert row["min_ms"] <= row["median_ms"] <= row["p90_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["version"]
        assert row["shapes"]["imgs"] == [1, 3, 4, 32, 32]


def test_the_reference_is_one_and_others_are_measured_by_it(report):
    rows = {row["name"]: row for row in report["competitors"] if row["scope"] == "compute"}
    assert report["reference"] == "onnxruntime/fp32"
    assert rows["onnxruntime/fp32"]["ratio"]["median"] == 1
    assert rows["torch/eager"]["ratio"]["median"] > 0
    assert rows["torch/eager"]["unlike"] == []


def test_ceilings_work_profiles_parts_and_throughput_are_there(report):
    (ceilings,) = report["ceilings"]
    assert ceilings["device"] == "cpu"
    assert ceilings["gemm_flops"]["fp32"] > 1e8
    work = report["work"]["onnxruntime/fp32"]
    assert work["multiply_adds"] == sum(kind["multiply_adds"] for kind in work["by_kind"].values())
    floor = next(row for row in report["competitors"] if row["name"] == "onnxruntime/fp32")["floor_ms"]
    assert floor["arithmetic_ms"] == pytest.approx(2e3 * work["multiply_adds"] / ceilings["gemm_flops"]["fp32"])
    streams = {block["stream"] for block in report["profiles"]["onnxruntime/fp32"]}
    assert streams >= {"rgb_backbone", "pose_backbone", "head"}
    assert {part["name"] for part in report["parts"]} >= {"preparation/decode", "onnxruntime/rgb_backbone"}
    assert {(entry["name"], entry["batch"]) for entry in report["throughput"]} >= {("onnxruntime/fp32", 1)}


def test_who_was_left_out_is_told_with_the_command_that_would_help(measured, report):
    absent = {entry["name"]: entry["reason"] for entry in report["absent"]}
    assert re.search(r"`x3ddeploy quantize \S+ --int8`", absent["onnxruntime/int8"])
    assert "--all" in absent["torch/compile"]
    assert "not measured: torch/compile" in measured[0].stdout


def test_the_pages_are_written_beside_the_samples(measured, report):
    html, markdown = ((measured[1] / name).read_text() for name in ("report.html", "report.md"))
    for row in report["competitors"]:
        assert row["name"] in html
        assert row["name"] in markdown
    assert "report.html" in measured[0].stdout


def test_the_table_names_scope_batch_threads_and_processor(measured, report):
    assert f"scope compute, batch 1, {report['threads']} threads of {report['machine']['cpu']}" in measured[0].stdout
    assert "exporting" not in measured[0].stderr
    assert "onnxruntime/fp32: loaded" in measured[0].stderr


def test_one_scope_of_one_competitor_at_another_batch_as_json(run, bundle, tmp_path):
    arguments = ("--only", "onnxruntime/fp32", "--scope", "compute", "--batch", 2, "--seconds", 0, "--json")
    process = run("bench", bundle, *arguments, "-o", tmp_path)
    (row,) = json.loads(process.stdout)["competitors"]
    assert (row["name"], row["scope"], row["shapes"]["imgs"][0]) == ("onnxruntime/fp32", "compute", 2)
    assert json.loads((tmp_path / "bench.json").read_text())["batch"] == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--only", "onnxruntme"), "rgbposeconv3d/torch"), (("-o", "bench.json"), "give a folder")],
    ids=["unknown name", "a file as the folder"],
)
def test_a_request_that_makes_no_sense_is_refused_before_anything_is_loaded(run, bundle, arguments, told):
    process = run("bench", bundle, *arguments)
    assert process.returncode == 2
    assert told in process.stderr


def test_nobody_to_time_says_what_is_missing(run, bundle):
    process = run("bench", bundle, "--only", "onnxruntime/int8")
    assert process.returncode == 4
    assert re.search(r"`x3ddeploy quantize \S+ --int8`", process.stderr)


def test_a_fallback_is_an_error_and_the_others_are_still_written(bundle, tmp_path, monkeypatch):
    def falls_back(bench, name):
        if name == "openvino/fp32":
            raise FallbackError("it fell back to the CPU")
        return load(bench, name)

    monkeypatch.setattr(bench_run, "prepare", functools.partial(prepare, load_one=falls_back))
    options = ["--only", "onnxruntime/fp32", "--only", "openvino/fp32", "--scope", "compute", "--seconds", "0"]
    result = CliRunner().invoke(command, [str(bundle), *options, "-o", str(tmp_path)])
    assert isinstance(result.exception, GateError)
    assert "openvino/fp32: it fell back" in str(result.exception)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in written["competitors"]] == ["onnxruntime/fp32"]


def cpu_seconds(process):
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ctrl_c_keeps_what_was_measured(bundle, tmp_path):
    arguments = ["--only", "onnxruntime/fp32", "--scope", "compute", "--threads", "1", "--seconds", "600"]
    command_line = [sys.executable, "-m", "x3ddeploy", "bench", str(bundle), *arguments, "-o", str(tmp_path)]
    process = subprocess.Popen(
        command_line,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # where the tests themselves ignore Ctrl-C
    )
    for line in present(process.stderr):
        if "timing" in line:
            break
    before = cpu_seconds(process.pid)
    while cpu_seconds(process.pid) < before + 0.3:  # some rounds, however slow this machine is
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "interrupted" in stdout
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["interrupted"]
    assert written["rounds"] > 0
    assert written["throughput"] == []
