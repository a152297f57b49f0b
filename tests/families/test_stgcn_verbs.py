"""A network of skeletons goes through every verb; what eval says is what MMAction2's own test loop says."""

import importlib
import importlib.util
import json

import numpy as np
import pytest
import torch
from support.command import done, told
from support.recognizers import save
from support.skeletons import CLASSES, write
from support.small_recognizers import STGCNPP, stgcn

from x3ddeploy.mmaction_compat import import_everything

pytest.importorskip("mmaction")


@pytest.fixture(scope="module")
def config():
    config = stgcn(STGCNPP)
    config["model"]["cls_head"]["init_cfg"] = None
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("skeletons")
    torch.manual_seed(0)
    save(folder / "best.pth", config)
    content = torch.load(folder / "best.pth")
    content["state_dict"]["cls_head.fc.weight"].normal_(0, 4)  # as a network that was trained, it decides
    torch.save(content, folder / "best.pth")
    write(folder / "a.pkl", train=range(10), val=range(10, 22))
    return folder


@pytest.fixture(scope="module")
def deployed(folder, run):
    """Exported and quantized."""
    done(
        run,
        ("export", folder / "best.pth", "-o", folder / "deploy"),
        ("quantize", folder / "deploy", "--fp16", "--int8", "--calib", folder / "a.pkl", "--max-drop", "100"),
    )
    return folder / "deploy"


def of_mmaction(folder, config):
    """What MMAction2's recognizer, pipeline and metric say of the split, one video after the other."""
    import_everything()
    registry = importlib.import_module("mmaction.registry")
    collate = importlib.import_module("mmengine.dataset").pseudo_collate
    with importlib.import_module("mmengine.registry").DefaultScope.overwrite_default_scope("mmaction"):
        model = registry.MODELS.build(config["model"]).eval()
        dataset = registry.DATASETS.build(
            {
                "type": "PoseDataset",
                "ann_file": str(folder / "a.pkl"),
                "pipeline": config["test_pipeline"],
                "split": "val",
                "test_mode": True,
            }
        )
    model.load_state_dict(torch.load(folder / "best.pth")["state_dict"])
    metric = registry.METRICS.build({"type": "AccMetric", "metric_list": ("top_k_accuracy", "mean_class_accuracy")})
    with torch.inference_mode():
        for index in range(len(dataset)):
            samples = model.test_step(collate([dataset[index]]))
            metric.process(None, [sample.to_dict() for sample in samples])
    return metric.compute_metrics(metric.results), np.stack([result["pred"] for result in metric.results])


def test_eval_says_what_mmactions_own_test_loop_says(run, deployed, folder, config):
    report = json.loads(told(run, "eval", deployed, "--data", folder / "a.pkl", "--split", "val"))
    expected, scores = of_mmaction(folder, config)
    assert (report["videos"], report["num_clips"], report["average_clips"]) == (12, 2, "prob")
    for result in report["results"]:
        if result["precision"] == "fp32":
            said = result["scores"]["classes"]
            assert said["top1"] == expected["top1"]
            assert said["mean_class"] == pytest.approx(expected["mean1"], abs=1e-12)
    predicted = told(run, "predict", "c15", "--keypoints", folder / "a.pkl", "--bundle", deployed, "--top-k", "5",
                     "--num-clips", "2")  # fmt: skip
    given = {found["class"]: found["score"] for found in json.loads(predicted)["classes"]}
    np.testing.assert_allclose([given[label] for label in range(CLASSES)], scores[5], atol=1e-5)


def test_verify_holds_every_part_in_every_precision(run, deployed):
    report = json.loads(told(run, "verify", deployed))
    assert report["passed"]
    names = {check["name"] for check in report["checks"]}
    assert {"backbone -> feat", "fp16: backbone -> feat", "int8: head -> logits", "int8: recognizer -> scores"} <= names


def test_bench_times_it_beside_pytorch(run, deployed, folder):
    names = {"onnxruntime/fp32", "torch/eager"}
    options = ("--scope", "compute", "--threads", "1", "--seconds", "0.1", "-o", folder / "bench")
    report = json.loads(told(run, "bench", deployed, *(f"--only={name}" for name in names), *options))
    assert {row["name"] for row in report["competitors"]} == names


def test_triton_serves_its_parts(run, deployed, folder):
    process = run("triton", deployed, "-o", folder / "models")
    assert process.returncode == 0, process.stderr
    assert any("keypoint" in path.read_text() for path in (folder / "models").rglob("config.pbtxt"))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
@pytest.mark.parametrize("precision", [(), ("--fp16",), ("--int8",)], ids=["fp32", "fp16", "int8"])
def test_tensorrt_rtx_builds_an_engine(run, deployed, precision):
    report = json.loads(
        told(run, "build-trt", deployed, "--rtx", "--compute-capability", "8.9", "--parts", "recognizer", *precision)
    )
    assert [made["entry"]["part"] for made in report["engines"]] == ["recognizer"]
