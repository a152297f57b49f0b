"""`x3ddeploy inspect` tells what a file is, and `x3ddeploy` itself behaves."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command import Forked
from support.documents import of_its_type

from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.cli.main import VERBS
from x3ddeploy.terms import Precision


def inspected(run, path, *options):
    process = run("inspect", path, "--json", *options)
    report = of_its_type(f"inspect-{json.loads(process.stdout)['kind']}", process.stdout)
    assert process.returncode == (1 if report.get("problems") else 0), process.stderr
    return report


def test_a_checkpoint(run, checkpoint):
    report = inspected(run, checkpoint)
    assert report["kind"] == "checkpoint"
    assert (report["family"], report["values"]["head.kind"]) == ("two_stream_x3d", "prototype")
    assert report["origins"]["pose.fold_div"] == "checkpoint config"
    assert set(report["parameters"]) == {"rgb_backbone", "pose_backbone", "cls_head"}
    text = run("inspect", checkpoint).stdout
    assert "pose.fold_div" in text
    assert "checkpoint config" in text


@pytest.mark.parametrize(
    "part", ["rgb_backbone", "pose_backbone", "head", "recognizer", "preprocess_rgb", "preprocess_pose"]
)
def test_each_onnx_part(run, bundle, part):
    report = inspected(run, bundle / f"{part}.onnx")
    assert (report["kind"], report["opset"], report["ir_version"]) == ("onnx", {"ai.onnx": 17}, 8)
    assert report["metadata"]["part"] == part
    assert report["problems"] == []
    assert report["multiply_adds"] is not None
    assert part in run("inspect", bundle / f"{part}.onnx").stdout


def test_a_bundle_lists_its_files_and_what_was_altered(run, bundle):
    assert inspected(run, bundle)["problems"] == []
    text = run("inspect", bundle).stdout
    assert "rgb_backbone.onnx" in text
    assert "batch dynamic" in text


def test_annotations(run, tmp_path):
    entries = [
        {
            "frame_dir": f"clip{label}",
            "label": label,
            "img_shape": (48, 64),
            "total_frames": 5 + label,
            "keypoint": np.ones((1 + label, 5 + label, 17, 2), np.float32),
        }
        for label in range(3)
    ]
    path = tmp_path / "a set.pkl"
    path.write_bytes(pickle.dumps({"split": {"train": ["clip0", "clip1"]}, "annotations": entries}))
    report = inspected(run, path)
    assert (report["kind"], report["samples"], report["classes"]) == ("annotations", 3, 3)
    assert (report["joints"], report["coordinates"], report["persons"], report["frames"]) == ([17], [2], 3, [5, 7])
    assert report["splits"] == {"train": 2}
    text = run("inspect", path).stdout
    assert "17 joints in pixels" in text
    assert f"x3ddeploy data check '{path}'" in text


def test_an_old_checkpoint_of_pickles_is_no_annotations(run, checkpoint, tmp_path):
    path = tmp_path / "old.pkl"
    content = torch.load(checkpoint, weights_only=False)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert inspected(run, path)["kind"] == "checkpoint"


@pytest.fixture
def with_engine(bundle, tmp_path):
    """A bundle with an engine in it, and the engine's name there."""
    path, name = shutil.copytree(bundle, tmp_path / "deploy.v2"), "engines/any-sm90-trt10.1/head.fp32.plan"
    options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 4))
    graph = Bundle.open(path).manifest.files["head.onnx"].sha256
    add_engine(path, name, EngineEntry("head", graph, "10.1", None, ("9.0",), None, options), b"plan", b"{}")
    return path, name


def test_an_engine_is_what_its_bundle_says(run, with_engine, tmp_path):
    path, name = with_engine
    report = inspected(run, path / name)
    assert (report["kind"], report["engine"]["part"], report["problems"]) == ("engine", "head", [])
    assert "head in fp32, tensorrt 10.1" in run("inspect", path / name).stdout
    (path / name).write_bytes(b"nalp")
    assert inspected(run, path / name)["problems"] == ["its sha256 differs"]
    alone = shutil.copy(path / name, tmp_path / "alone.plan")
    report = inspected(run, alone)
    assert report["engine"] is None
    assert "lies in no bundle" in run("inspect", alone).stdout


def test_an_engine_of_a_graph_that_was_replaced_is_stale(run, with_engine):
    path, name = with_engine
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["engines"][name]["graph_sha256"] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert "another graph by now" in inspected(run, path / name)["problems"][0]


def test_a_folder_of_a_bundle(run, with_engine):
    path, name = with_engine
    report = inspected(run, path / "golden")
    assert (report["kind"], report["folder"], report["problems"]) == ("folder", "golden", [])
    assert "golden/scores.npy" in report["files"]
    report = inspected(run, path / "engines")
    assert list(report["engines"]) == [name]
    (path / "golden" / "scores.npy").unlink()
    text = run("inspect", path / "golden").stdout
    assert "problem: golden/scores.npy: missing" in text
    (path / "mine").mkdir()
    assert run("inspect", path / "mine").returncode == 2


def test_a_folder_of_a_precision_says_how_it_was_made(run, bundle, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "deploy")
    manifest = json.loads((path / "manifest.json").read_text())
    for name in ("int8/head.onnx", "calib/a.json"):
        (path / name).parent.mkdir()
        shutil.copy(path / "head.onnx", path / name)
        manifest["files"][name] = manifest["files"]["head.onnx"]
    accuracy = {"fused": {"top1_before": 90.0, "top1_after": 89.5, "agreement": 0.98}}
    manifest["precisions"]["int8"] = {
        "calibration": "calib/a.json", "random_calibration": True, "float_layers": {"stem": "why"},
        "accuracy": accuracy, "golden_error": {},
    }  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert inspected(run, path / "int8")["precision"]["accuracy"] == accuracy
    text = run("inspect", ".", cwd=path / "int8").stdout
    assert "MADE-UP" in text
    assert "top-1 90.00 % -> 89.50 %, 98.0% keep" in text


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"hello", 2),
        ("a.onnx", b"not protobuf", 1),
        ("a.pth", b"not a pickle", 1),
        ("a.pth", b"PK\x03\x04", 1),
        ("a.pkl", b"\x80\x04}.", 1),
        ("a.pkl", b"hello", 1),
    ],
)
def test_nonsense_gets_one_clear_error(run, tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    process = run("inspect", tmp_path / name)
    assert process.returncode == code, process.stderr
    assert name in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("option", [("--config", "tiny"), ("--trust-checkpoint",)])
def test_what_is_for_checkpoints_is_refused_for_a_bundle(run, bundle, option):
    process = run("inspect", bundle, *option)
    assert process.returncode == 2
    assert "is no checkpoint" in process.stderr


def test_nothing_there(run, tmp_path):
    assert run("inspect", tmp_path / "none").returncode == 2
    assert run("inspect", tmp_path).returncode == 2


def test_help_imports_nothing_heavy():
    """`x3ddeploy --help` is what one types first: it must not wait for torch."""
    script = (
        "import sys\nfrom x3ddeploy.cli.main import run\nsys.argv = ['x3ddeploy', '--help']\n"
        "try:\n    run()\nexcept SystemExit as end:\n    code = end.code\n"
        "print(code, sorted({'torch', 'onnx', 'numpy', 'onnxruntime', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stderr.strip() == "0 []"
    assert all(verb in process.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(run, verb):
    process = run(*{"data": ("data", "check")}.get(verb, (verb,)), "--help")
    assert process.returncode == 0
    assert "--json" in process.stdout


def test_an_unknown_verb_is_a_usage_error(run):
    process = run("exprot")
    assert process.returncode == 2
    assert "exprot" in process.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_one_error(bundle):
    process = Forked("inspect", bundle, stdout="/dev/full")
    told = process.stderr.read()
    assert process.wait() == 1
    assert told.strip().endswith("cannot write or read standard output: No space left on device")
    assert "Traceback" not in told
