"""PoseC3D, whose clips are drawn from keypoints alone, goes through every verb; eval says what MMAction2 says."""

import copy
import importlib.util
import json
import pickle
import sys

import numpy as np
import pytest
from support.command import done, told
from support.recognizers import modules_of, save, state_dict_of
from support.small_recognizers import posec3d

pytest.importorskip("mmaction")
CLASSES, VIDEOS = 5, 12


@pytest.fixture(scope="module")
def config():
    return posec3d()


@pytest.fixture(scope="module")
def deployed(config, tmp_path_factory, run):
    """Exported and quantized."""
    folder = tmp_path_factory.mktemp("posec3d")
    save(folder / "best.pth", config)
    done(
        run,
        ("export", folder / "best.pth", "-o", folder / "deploy"),
        ("quantize", folder / "deploy", "--fp16", "--int8", "--calib-random", "--calib-clips", 4),
    )
    return folder / "deploy"


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    """Skeletons that sway, as MMAction2's PoseDataset reads them."""
    random = np.random.default_rng(0)
    entries = []
    for index in range(VIDEOS):
        frames, persons = 20 + index, 1 + index % 2
        centre = random.uniform(0.3, 0.7, (persons, 1, 1, 2)) * (160, 120)
        keypoint = centre + random.normal(0, 12, (persons, 1, 17, 2)) + random.normal(0, 3, (persons, frames, 17, 2))
        entries.append(
            {"frame_dir": f"video{index}", "label": index % CLASSES, "img_shape": (120, 160),
             "original_shape": (120, 160), "total_frames": frames, "keypoint": keypoint.astype(np.float16),
             "keypoint_score": random.uniform(0.3, 1, (persons, frames, 17)).astype(np.float16)}
        )  # fmt: skip
    path = tmp_path_factory.mktemp("annotations") / "val.pkl"
    names = [entry["frame_dir"] for entry in entries]
    path.write_bytes(pickle.dumps({"split": {"xsub_val": names}, "annotations": entries}))
    return path


def report_of_mmaction(config, annotations, folder):
    """What MMEngine's test loop reports for the same network and the same annotations."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    from x3ddeploy.mmaction_compat import import_everything

    import_everything()
    loader = {
        "batch_size": 1,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {"type": "PoseDataset", "ann_file": str(annotations), "split": "xsub_val",
                    "pipeline": config["test_pipeline"], "test_mode": True},
    }  # fmt: skip
    runner = Runner(
        copy.deepcopy(config["model"]),
        str(folder),
        test_dataloader=loader,
        test_evaluator={"type": "AccMetric"},
        test_cfg={"type": "TestLoop"},
        default_scope="mmaction",
        log_level="ERROR",
        cfg=Config({}),
    )
    runner.model.load_state_dict(state_dict_of(modules_of(config)))
    return runner.test()


def test_inspect_names_the_family_its_parts_and_its_views(run, deployed):
    manifest = json.loads(told(run, "inspect", deployed))["manifest"]
    assert (manifest["family"], list(manifest["parts"])) == ("posec3d", ["backbone", "head", "recognizer"])
    assert manifest["inputs"]["heatmap_imgs"]["views"] == {"clips": 2, "crops": 1, "flip": True}


def test_verify_holds_every_part_in_every_precision(run, deployed):
    report = json.loads(told(run, "verify", deployed, "--per-block"))
    names = {check["name"] for check in report["checks"]}
    assert report["passed"]
    assert {"backbone -> feat", "fp16: head -> logits", "int8: recognizer -> scores"} <= names
    assert any("backbone/layer3.0" in name for name in names)


def test_eval_says_what_mmactions_own_test_loop_says(run, config, deployed, annotations, tmp_path):
    expected = report_of_mmaction(config, annotations, tmp_path)
    words = ("--precision", "fp32", "-o", tmp_path / "report")
    report = json.loads(told(run, "eval", deployed, "--data", annotations, *words))
    assert report["views"] == {"count": 4, "clips": 2, "crops": 1, "flip": True}
    first = report["results"][0]
    assert (first["runtime"], report["videos"]) == ("torch", VIDEOS)
    for result in report["results"]:
        scores = result["scores"]["classes"]
        found = {"acc/top1": scores["top1"], "acc/top5": scores["top5"], "acc/mean1": scores["mean_class"]}
        assert found == pytest.approx(expected, abs=1e-9)


def test_a_bundle_is_run_without_mmaction(run, deployed, annotations, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "mmaction"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mmaction", None)
    report = json.loads(told(run, "eval", deployed, "--data", annotations, "-o", tmp_path, "--limit", 2))
    assert [line for line in report["left_out"] if line.startswith("torch: MMAction2 cannot be imported")]
    assert report["reference"].startswith("onnxruntime")
    assert json.loads(told(run, "verify", deployed))["passed"]
    process = run("verify", deployed, "--runtime", "torch")
    assert process.returncode == 4
    assert "x3ddeploy[mmaction]" in process.stderr


def test_predict_takes_keypoints_alone(run, deployed, tmp_path):
    random = np.random.default_rng(1)
    entry = {"frame_dir": "a", "total_frames": 16, "img_shape": (120, 160),
             "keypoint": np.asarray(random.normal((80, 60), 12, (1, 16, 17, 2)), np.float32),
             "keypoint_score": np.ones((1, 16, 17), np.float32)}  # fmt: skip
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(entry))
    line = json.loads(told(run, "predict", tmp_path / "a.pkl", "--bundle", deployed, "--precision", "fp16"))
    assert line["label"] in {f"class {label}" for label in range(CLASSES)}


def test_bench_times_it_beside_pytorch(run, deployed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where the plain export is kept
    only = [f"--only={name}" for name in ("onnxruntime/fp32", "onnxruntime/int8", "torch/eager", "plain/onnxruntime")]
    arguments = ("bench", deployed, *only, "--scope", "compute", "--threads", "1", "--seconds", "0.1", "-o", tmp_path)
    report = json.loads(told(run, *arguments))
    assert len(report["competitors"]) == len(only)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_tensorrt_rtx_builds_an_engine_of_every_part(run, deployed):
    report = json.loads(told(run, "build-trt", deployed, "--rtx", "--compute-capability", "8.9", "--int8"))
    assert [made["entry"]["part"] for made in report["engines"]] == ["backbone", "head", "recognizer"]


def test_triton_serves_every_part(run, deployed, tmp_path):
    process = run("triton", deployed, "-o", tmp_path / "models")
    assert process.returncode == 0, process.stderr
    assert any("heatmap_imgs" in path.read_text() for path in (tmp_path / "models").rglob("config.pbtxt"))
