"""A family of another shape goes through every verb that takes a network, and no verb knows of it.

Triton and C++ have theirs in tests/embedding. `pose` takes pose models; `synth`, `data` and `doctor` take no network;
`train` takes what MMEngine's registries build.
"""

import importlib.util
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support import quantizing
from support.command import done, told
from support.toy import ToyFamily, toy

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.data.video import count_frames
from x3ddeploy.families import FAMILIES, register

FRAMES, SIZE, CLASSES = 12, 32, 5


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, run):
    """Exported and quantized."""
    register(ToyFamily())
    folder = tmp_path_factory.mktemp("toy")
    torch.save(toy(CLASSES).state_dict(), folder / "toy.pth")
    with quantizing.whole():
        done(
            run,
            ("export", folder / "toy.pth", "-o", folder / "deploy"),
            ("quantize", folder / "deploy", "--fp16", "--int8", "--calib-random", "--calib-clips", 8),
        )
    yield folder / "deploy"
    del FAMILIES["toy"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """One a class, and their list as MMAction2's VideoDataset has it."""
    folder = tmp_path_factory.mktemp("videos")
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        write_video(folder / f"{label}.mp4", random.integers(0, 255, (FRAMES, SIZE, SIZE, 3)).astype(np.uint8))
    (folder / "val.txt").write_text("".join(f"{label}.mp4 {label}\n" for label in range(CLASSES)))
    return folder


def test_inspect_names_its_parts(run, deployed):
    manifest = json.loads(told(run, "inspect", deployed))["manifest"]
    assert list(manifest["parts"]) == ["backbone", "neck", "head", "recognizer"]
    assert manifest["family"] == "toy"


def test_inspect_knows_its_checkpoint_and_its_graphs(run, deployed):
    checkpoint = json.loads(told(run, "inspect", deployed.parent / "toy.pth"))
    graph = json.loads(told(run, "inspect", deployed / "neck.onnx"))
    assert (checkpoint["family"], checkpoint["classes"]) == ("toy", CLASSES)
    assert graph["metadata"]["part"] == "neck"


def test_verify_holds_every_part_in_every_precision(run, deployed):
    report = json.loads(told(run, "verify", deployed))
    names = {check["name"] for check in report["checks"]}
    assert report["passed"]
    assert {"neck -> mixed", "fp16: neck -> mixed", "int8: neck -> mixed", "int8: recognizer -> scores"} <= names


def test_what_is_the_stem_of_a_part_is_quantized_as_what_it_is_in_the_whole(deployed):
    for part in ("neck", "recognizer"):
        model = onnx.load(Bundle.open(deployed).part_path(part, "int8"))
        dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
        (conv,) = [node for node in model.graph.node if node.op_type == "Conv" and node.name.startswith("neck")]
        assert conv.input[1] in dequantized


def test_eval_reports_its_one_score(run, deployed, videos):
    report = json.loads(told(run, "eval", deployed, "--data", videos / "val.txt", "-o", videos / "report"))
    assert report["videos"] == CLASSES
    assert report["deployed"] == "classes"
    assert {(result["runtime"], result["precision"]) for result in report["results"]} >= {
        ("torch", "fp32"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
    }
    for result in report["results"]:
        assert list(result["scores"]) == ["classes"]


def test_predict_needs_no_keypoints(run, deployed, videos):
    line = json.loads(told(run, "predict", videos / "3.mp4", "--bundle", deployed, "--precision", "fp16"))
    assert line["label"] in {f"class {label}" for label in range(CLASSES)}
    assert sum(entry["score"] for entry in line["classes"]) <= 1 + 1e-6


def test_bench_times_it_beside_pytorch(run, deployed, videos):
    only = [f"--only={name}" for name in ("onnxruntime/fp32", "onnxruntime/int8", "torch/eager")]
    words = ("--scope", "compute", "--threads", "1", "--seconds", "0.1", "-o", videos / "bench")
    report = json.loads(told(run, "bench", deployed, *only, *words))
    assert {row["name"] for row in report["competitors"]} == {"onnxruntime/fp32", "onnxruntime/int8", "torch/eager"}
    assert all(row["network"].startswith(ToyFamily.title) for row in report["competitors"])
    times = videos / "bench" / "bench.json"
    compared = json.loads(told(run, "bench", "--compare", times, times))
    assert {change["verdict"] for change in compared["changes"]} == {"same"}


def test_a_folder_that_fills_is_answered_video_by_video(deployed, videos, tmp_path):
    for label in range(2):
        os.utime(shutil.copy(videos / f"{label}.mp4", tmp_path), (label, label))
    with x3ddeploy.open(deployed, precision="int8") as recognizer:
        answers = recognizer.stream(tmp_path, window_s=0.2, stride_s=0.2)
        found = [next(answers) for _ in range(5)]
    assert [(Path(answer.prediction.video).name, answer.prediction.window.start) for answer in found] == [
        *(("0.mp4", start) for start in range(0, FRAMES, 3)),
        ("1.mp4", 0),
    ]


def test_explain_shows_the_frames_where_its_label_was_seen(run, deployed, videos, tmp_path):
    drawn = ("--frames", 2, 10, "-o", tmp_path / "why.mp4")
    report = json.loads(told(run, "explain", videos / "3.mp4", "--bundle", deployed, *drawn))
    assert report["joints"] is None
    assert all(2 <= frame["frame"] < 10 for frame in report["frames"])
    assert sum(frame["share"] for frame in report["frames"]) == pytest.approx(1)
    assert count_frames(tmp_path / "why.mp4") == 8


def test_it_is_packed_with_every_part_for_a_target_without_python(run, deployed, tmp_path):
    told(run, "bundle", deployed, "--pack", tmp_path / "toy.tar")
    with tarfile.open(tmp_path / "toy.tar") as archive:
        names = archive.getnames()
    graphs = {f"toy/deploy/{folder}neck.onnx" for folder in ("", "fp16/", "int8/")}
    assert {"toy/self_test.sh", "toy/deploy/golden/mixed.npy", *graphs} < set(names)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_tensorrt_rtx_builds_an_engine_of_every_part(run, deployed):
    report = json.loads(told(run, "build-trt", deployed, "--rtx", "--compute-capability", "8.9", "--fp16"))
    assert [made["entry"]["part"] for made in report["engines"]] == ["backbone", "neck", "head", "recognizer"]
