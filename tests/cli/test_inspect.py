"""`x3ddeploy inspect` tells what a file is, and `x3ddeploy` itself behaves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.documents import of_its_type

from x3ddeploy.cli.main import VERBS


def inspected(run, path, *options):
    process = run("inspect", path, "--json", *options)
    assert process.returncode == 0, process.stderr
    return of_its_type(f"inspect-{json.loads(process.stdout)['kind']}", process.stdout)


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


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"hello", 2),
        ("a.onnx", b"not protobuf", 1),
        ("a.pth", b"not a pickle", 1),
        ("a.pth", b"PK\x03\x04", 1),
    ],
)
def test_nonsense_gets_one_clear_error(run, tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    process = run("inspect", tmp_path / name)
    assert process.returncode == code, process.stderr
    assert name in process.stderr
    assert "Traceback" not in process.stderr


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
def test_a_full_disk_behind_stdout_is_one_error():
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "x3ddeploy", "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert process.returncode == 1
    assert process.stderr.strip().endswith("cannot write or read standard output: No space left on device")
    assert "Traceback" not in process.stderr
