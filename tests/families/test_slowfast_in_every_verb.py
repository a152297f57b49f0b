"""SlowFast, whose parts hand two tensors on and whose pathways join, stands for the 3-D networks in the verbs."""

import importlib.util
import json

import onnx
import pytest
from support.command import done, told
from support.own_test_loop import listed_videos, scored_by_mmaction
from support.recognizers import save
from support.small_3d import CLASSES, small

from x3ddeploy.bundle import Bundle
from x3ddeploy.mmaction_compat import import_everything

pytest.importorskip("mmaction")


@pytest.fixture(scope="module")
def config():
    return small("slowfast", clips=2, crops="ThreeCrop")


@pytest.fixture(scope="module")
def deployed(config, tmp_path_factory, run):
    """Exported and quantized."""
    folder = tmp_path_factory.mktemp("slowfast")
    save(folder / "best.pth", config)
    done(
        run,
        ("export", folder / "best.pth", "-o", folder / "deploy"),
        ("quantize", folder / "deploy", "--fp16", "--int8", "--calib-random", "--calib-clips", 4),
    )
    return folder / "deploy"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return listed_videos(tmp_path_factory.mktemp("videos"))


def test_inspect_names_both_features(run, deployed):
    manifest = json.loads(told(run, "inspect", deployed))["manifest"]
    assert manifest["parts"]["head"]["inputs"] == ["slow_feat", "fast_feat"]
    assert manifest["inputs"]["imgs"]["views"] == {"clips": 2, "crops": 3, "flip": False}


def test_verify_holds_every_part_in_every_runtime_and_precision(run, deployed):
    report = json.loads(told(run, "verify", deployed, "--per-block"))
    names = {check["name"] for check in report["checks"]}
    assert report["passed"]
    assert {"backbone -> slow_feat", "fp16: backbone -> fast_feat", "int8: recognizer -> scores"} <= names
    assert any("slow_path/layer4.0" in name for name in names)


def test_int8_takes_all_but_the_stems_and_what_reads_both_pathways(deployed):
    model = onnx.load(Bundle.open(deployed).part_path("backbone", "int8"))
    dequantized = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    layers = {node.name: node.input[0] in dequantized for node in model.graph.node if node.op_type == "Conv"}
    left = {name.removeprefix("backbone/").removesuffix("/conv/Conv") for name, taken in layers.items() if not taken}
    joined = {f"slow_path/layer{i}.0/{layer}" for i in range(1, 5) for layer in ("conv1", "downsample")}
    assert left == {"slow_path/conv1", "fast_path/conv1"} | joined


def test_eval_reports_what_mmactions_test_loop_reports(run, config, deployed, videos):
    pytest.importorskip("decord")
    import_everything()
    _, expected = scored_by_mmaction(config, videos)
    words = ("--runtime", "onnxruntime", "--precision", "fp32", "-o", videos / "report")
    report = json.loads(told(run, "eval", deployed, "--data", videos / "val.txt", *words))
    assert report["views"] == {"count": 6, "clips": 2, "crops": 3, "flip": False}
    assert [result["runtime"] for result in report["results"]] == ["torch", "onnxruntime"]
    for result in report["results"]:
        figures = result["scores"]["classes"]
        assert {key: figures[key] for key in expected} == expected


def test_predict_takes_a_video_alone(run, deployed, videos):
    line = json.loads(told(run, "predict", videos / "3.mp4", "--bundle", deployed, "--precision", "int8"))
    assert line["label"] in {f"class {label}" for label in range(CLASSES)}


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_tensorrt_rtx_builds_int8_engines(run, deployed):
    report = json.loads(told(run, "build-trt", deployed, "--rtx", "--compute-capability", "8.9", "--int8"))
    assert [made["entry"]["part"] for made in report["engines"]] == ["backbone", "head", "recognizer"]
