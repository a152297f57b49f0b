"""No figure of a benchmark says more than was measured: unlike clips, a busy machine, a graph that is its own judge."""

import json
import os
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import msgspec
import numpy as np
import pytest
from support.documents import bench_row

from x3ddeploy.benchmarking.document import BenchReport, BenchRow
from x3ddeploy.benchmarking.report import headlines
from x3ddeploy.benchmarking.view import busy, headline_text
from x3ddeploy.benchmarking.workbench import Setting, Workbench
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.families import baseline_named
from x3ddeploy.timing import busy_machine

SIZE, FRAMES = (1, 3, 16, 64, 64), (1, 3, 8, 64, 64)


def of_a_quiet_machine(*rows, rounds=30):
    """What of a report a headline's words depend on."""
    machine = SimpleNamespace(cpu_of_others=0.0, load_average=[], cores=2)
    return cast(BenchReport, SimpleNamespace(machine=machine, rounds=rounds, competitors=rows))


def row(name, milliseconds, shape=SIZE, scope="compute", work_of=None, **others):
    of = {"network": name, "runtime": "onnxruntime", "is_ours": name.endswith("onnxruntime/fp32"), **others}
    shapes = {"imgs": list(shape)}
    return msgspec.convert(
        bench_row(name, [milliseconds] * 5, shapes=shapes, scope=scope, work_of=work_of or name, **of), BenchRow
    )


def test_alike_networks_are_compared_a_clip_and_unlike_ones_a_multiply_add():
    rows = [row("onnxruntime/fp32", 10.0), row("torch/eager", 40.0), row("rgbposeconv3d/onnxruntime", 50.0, FRAMES)]
    work = {"onnxruntime/fp32": 2e9, "rgbposeconv3d/onnxruntime": 2e10}
    torch, baseline = headlines(rows, work)
    assert (torch.per, torch.times_as_fast.median, torch.unlike) == ("clip", 4.0, [])
    assert headline_text(of_a_quiet_machine(), torch).startswith(
        "onnxruntime/fp32 is 4.00 times as fast as torch/eager"
    )
    assert baseline.per == "multiply-add"
    assert baseline.times_as_fast.median == pytest.approx(0.5)
    assert baseline.times_the_work == pytest.approx(10)
    assert "is 0.50 times as fast a multiply-add as rgbposeconv3d/onnxruntime" in headline_text(
        of_a_quiet_machine(), baseline
    )
    assert "16 frames of 64 x 64 against 8 frames of 64 x 64" in headline_text(of_a_quiet_machine(), baseline)


@pytest.mark.parametrize(
    ("quartiles", "told"),
    [
        ((1.9, 2.0, 2.1), "is 2.00 times as fast"),
        ((1.5, 2.0, 2.6), "is 1.5 to 2.6 times as fast"),
        ((0.98, 1.01, 1.03), "is 0.98 to 1.03 times as fast"),
        ((1.0, 1.0, 1.0), "is 1.00 times as fast"),
    ],
)
def test_quartiles_that_are_far_apart_or_about_one_stand_in_the_place_of_a_median(quartiles, told):
    (entry,) = headlines([row("onnxruntime/fp32", 10.0), row("torch/eager", 20.0)], {})
    lower, median, upper = quartiles
    spread = replace(entry.times_as_fast, median=median, lower_quartile=lower, upper_quartile=upper)
    assert told in headline_text(of_a_quiet_machine(), msgspec.structs.replace(entry, times_as_fast=spread))


def test_a_figure_of_few_rounds_is_marked_as_such_in_its_headline():
    few, many = row("onnxruntime/fp32", 10.0, window_cv=None), row("torch/eager", 20.0)
    (entry,) = headlines([few, many], {})
    assert "(5 rounds)" in headline_text(of_a_quiet_machine(few, rounds=5), entry)
    assert "rounds)" not in headline_text(of_a_quiet_machine(many), entry)


def test_a_gpu_beside_a_cpu_makes_no_headline():
    ours, theirs = row("tensorrt/fp32", 1.0, is_ours=True, device="a GPU"), row("plain/tensorrt", 2.0, device="a GPU")
    on_cpu = [row("onnxruntime/fp32", 10.0), row("torch/eager", 40.0), row("plain/openvino", 30.0)]
    assert [entry.slower for entry in headlines([ours, theirs, *on_cpu], {})] == ["plain/tensorrt"]


def test_a_runtimes_own_converter_makes_a_headline_as_a_plain_export_does():
    rows = [row(name, time) for name, time in (("onnxruntime/fp32", 10.0), ("plain/openvino", 30.0))]
    faster = headlines([*rows, row("converted/openvino", 5.0)], {})
    assert [(entry.slower, entry.times_as_fast.median) for entry in faster] == [
        ("plain/openvino", pytest.approx(3)),
        ("converted/openvino", pytest.approx(0.5)),
    ]


@pytest.mark.parametrize(
    ("scope", "work"), [("pipeline", {"onnxruntime/fp32": 2e9, "rgbposeconv3d/torch": 2e10}), ("compute", {})]
)
def test_unlike_networks_make_no_headline_where_their_work_is_not_what_is_timed_or_not_known(scope, work):
    rows = [row("onnxruntime/fp32", 10.0, scope=scope), row("rgbposeconv3d/torch", 50.0, FRAMES, scope)]
    assert headlines(rows, work) == []


@pytest.mark.parametrize(
    ("share", "load", "told"),
    [(0.05, [9.0], ""), (0.5, [0.0], "busy machine"), (None, [9.0, 2.0], "busy machine"), (None, [2.0, 2.0], "")],
)
def test_a_machine_is_busy_where_others_compute_and_else_by_its_load(share, load, told):
    report = SimpleNamespace(machine=SimpleNamespace(cpu_of_others=share, load_average=load, cores=2))
    assert busy(cast(BenchReport, report)) == told


def test_what_this_process_computes_is_not_of_others(monkeypatch, tmp_path):
    stat, own = tmp_path / "stat", [0.0]
    ticks = os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr(busy_machine, "_PROCESSORS", stat)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(os, "times", lambda: (own[0], 0.0, 0.0, 0.0, 0.0))
    now = iter((100.0, 110.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    stat.write_text("cpu 9 9 9 9\ncpu0 0 0 0 500 3 0 0 0 0 0\ncpu1 0 0 0 500 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\n")
    with busy_machine.cpu_of_others() as found:
        # Ten seconds of two cores: this process computed in eight, others in four, one second of them stolen.
        first, second = f"cpu0 {8 * ticks} 0 0 900 3 0 0 0", f"cpu1 {2 * ticks} 0 {ticks} 900 0 0 0 {ticks}"
        stat.write_text(f"{first}\n{second}\ncpu2 {9 * ticks} 0 0 0 0 0 0 0\n")
        own[0] = 8.0
    assert found.share == pytest.approx(0.2)


def test_a_system_that_does_not_tell_leaves_it_open(monkeypatch, tmp_path):
    monkeypatch.setattr(busy_machine, "_PROCESSORS", tmp_path / "missing")
    with busy_machine.cpu_of_others() as found:
        pass
    assert found.share is None


def test_the_reference_is_what_pytorch_gave_at_export_and_not_the_graph_under_test(bundle):
    bench = Workbench(open_whole(bundle), Setting(batch=3, threads=1), lambda text: None)
    golden = np.load(bundle / "golden" / "scores.npy")
    assert bench.expected.shape == (3, golden.shape[1])
    np.testing.assert_array_equal(bench.expected, np.repeat(golden, 3, axis=0))
    assert {name: clip.shape[0] for name, clip in bench.inputs.items()} == {"imgs": 3, "heatmap_imgs": 3}
    assert "network" not in vars(bench)


def test_the_baseline_gets_clips_of_the_bundles_size(bundle):
    inputs = open_whole(bundle).contract.inputs
    height, width = inputs["imgs"].clip_shape[-2:]
    given = baseline_named("rgbposeconv3d").inputs(2, inputs)
    assert given["imgs"].shape == (2, 3, 8, height, width)
    assert given["heatmap_imgs"].shape == (2, 17, 32, height // 4, width // 4)


def test_bundles_are_compared_in_one_run_each_under_its_name(run, bundle, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        shutil.copytree(bundle, path)
    options = ("--only", "onnxruntime/fp32", "--only", "torch/eager", "--seconds", "0.2")
    process = run("bench", *paths, *options)
    assert process.returncode == 2
    assert "-o" in process.stderr
    (tmp_path / "compared").mkdir()
    process = run("bench", *paths, *options, "-o", tmp_path / "compared")
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "compared" / "bench.json").read_text())
    assert [entry["name"] for entry in report["bundles"]] == ["one", "two"]
    assert {row["name"] for row in report["competitors"]} == {"one:onnxruntime/fp32", "two:onnxruntime/fp32"}
    assert report["reference"] == "one:onnxruntime/fp32"
    assert (report["parts"], report["throughput"], report["profiles"]) == ([], [], {})
    (headline,) = report["headlines"]
    assert {headline["faster"], headline["slower"]} == {"one:onnxruntime/fp32", "two:onnxruntime/fp32"}
    assert headline["per"] == "clip"
    assert "two:onnxruntime/fp32" in (tmp_path / "compared" / "report.html").read_text()


def test_one_bundle_named_twice_is_refused(run, bundle, tmp_path):
    process = run("bench", bundle, bundle / ".", "-o", tmp_path)
    assert process.returncode == 2
    assert "named twice" in process.stderr


def test_a_scope_that_is_asked_for_is_all_that_is_timed(run, bundle, tmp_path):
    options = ("--only", "onnxruntime/fp32", "--scope", "compute", "--seconds", "0.2", "-o", tmp_path)
    process = run("bench", bundle, *options)
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    assert {row["scope"] for row in report["competitors"]} == {"compute"}
    assert (report["parts"], report["throughput"], report["profiles"], report["video"]) == ([], [], {}, None)
    assert report["competitors"][0]["floor_ms"]["total_ms"] > 0
    assert 0 <= report["machine"]["cpu_of_others"] <= 1
