"""TSM stands for the networks of frames alone: a checkpoint of MMAction2's through the verbs, views and all.

Parity, INT8 and engines of the other configs: tests that `make families` runs.
"""

import json

import pytest
from support.command import done, told
from support.own_test_loop import listed_videos, scored_by_mmaction
from support.recognizers import save
from support.small_recognizers import tsm

from x3ddeploy.bundle import Bundle
from x3ddeploy.calibration.choice import choose_clips
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.mmaction_compat import import_everything

pytest.importorskip("mmaction")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, run):
    """Exported and quantized."""
    folder = tmp_path_factory.mktemp("tsm")
    save(folder / "best_acc_top1_epoch_50.pth", tsm())
    done(
        run,
        ("export", folder / "best_acc_top1_epoch_50.pth", "-o", folder / "deploy", "--preprocess"),
        ("quantize", folder / "deploy", "--int8", "--calib-random", "--calib-clips", 2),
    )
    return folder / "deploy"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return listed_videos(tmp_path_factory.mktemp("videos"))


def test_inspect_names_the_steps_of_its_test_pipeline(run, deployed):
    manifest = json.loads(told(run, "inspect", deployed))["manifest"]
    value = manifest["inputs"]["imgs"]
    assert (manifest["family"], value["shape"]) == ("tsm", ["N", 4, 3, 32, 32])
    assert [step["type"] for step in value["pipeline"]] == [
        "SampleFrames", "Resize", "ThreeCrop", "FormatShape", "Normalize"
    ]  # fmt: skip
    assert value["views"] == {"clips": 2, "crops": 3, "flip": False}


def test_verify_holds_every_part(run, deployed):
    report = json.loads(told(run, "verify", deployed))
    names = {check["name"] for check in report["checks"]}
    assert report["passed"]
    assert {"backbone -> feat", "head -> logits", "recognizer -> scores", "int8: recognizer -> scores"} <= names


def test_eval_reports_what_mmactions_test_loop_reports(run, deployed, videos):
    pytest.importorskip("decord")
    import_everything()
    _, expected = scored_by_mmaction(tsm(), videos)
    words = ("--runtime", "onnxruntime", "--precision", "fp32", "-o", videos / "report")
    report = json.loads(told(run, "eval", deployed, "--data", videos / "val.txt", *words))
    assert report["views"] == {"count": 6, "clips": 2, "crops": 3, "flip": False}
    assert (report["average_clips"], report["videos"]) == ("prob", 7)
    assert [result["runtime"] for result in report["results"]] == ["torch", "onnxruntime"]
    for result in report["results"]:
        figures = result["scores"]["classes"]
        assert {key: figures[key] for key in expected} == expected


def test_predict_takes_a_video_alone(run, deployed, videos):
    line = json.loads(told(run, "predict", videos / "3.mp4", "--bundle", deployed, "--precision", "int8"))
    assert line["label"] in {f"class {label}" for label in range(5)}
    process = run("predict", videos / "3.mp4", "--bundle", deployed, "--num-clips", 3)
    assert process.returncode == 2
    assert "4 frames from all over the video, so there are not 3 clips of it" in process.stderr


def test_quantize_takes_one_view_of_each_video(deployed, videos):
    contract = Bundle.open(deployed).contract
    sets = choose_clips(Recipe(data=str(videos / "val.txt"), clips=3), contract)
    assert sets.evaluation is not None
    for clips, count in ((sets.calibration, 3), (sets.evaluation, 4)):
        assert [clip.inputs["imgs"].shape for clip in clips.load()] == [(1, 4, 3, 32, 32)] * count


def test_triton_serves_its_parts_and_its_preprocessing(run, deployed, tmp_path):
    process = run("triton", deployed, "-o", tmp_path / "repository")
    assert process.returncode == 0, process.stderr
    models = {path.parent.name for path in (tmp_path / "repository").glob("*/config.pbtxt")}
    assert any("backbone" in name for name in models)
    assert any("preprocess" in name for name in models)
