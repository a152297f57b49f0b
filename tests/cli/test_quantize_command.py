"""`x3ddeploy quantize` as a user meets it: what it makes, what it refuses, what it leaves behind."""

import json
import shutil

import numpy as np
import onnx
import pytest
from support import quantizing
from support.documents import of_its_type
from support.present import present

import x3ddeploy
from x3ddeploy.bundle import Bundle
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.errors import UsageError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.parity.metrics import compare
from x3ddeploy.runtimes.registry import open_session

SPEC = PRESETS["tiny"]
CLIPS = 24
PARTS = ("rgb_backbone", "pose_backbone", "head", "recognizer")


@pytest.fixture(scope="module")
def labelled(bundle, tmp_path_factory):
    """A folder of clips, each labelled as the float32 network classifies it: its accuracy is 100 %."""
    folder = tmp_path_factory.mktemp("clips")
    session = open_session("onnxruntime", bundle / "recognizer.onnx")
    for index in range(CLIPS):
        clip = batch_inputs(clip_inputs(SPEC), 1, seed=100 + index)
        label = int(session.run(clip)["scores"].argmax())
        arrays = {name: value[0] for name, value in clip.items()}
        np.savez(folder / f"clip{index:02}.npz", label=np.int64(label), **arrays)
    return folder


@pytest.fixture
def fresh(bundle, tmp_path):
    """A bundle that a test may change."""
    path = tmp_path / "deploy"
    shutil.copytree(bundle, path)
    return path


@pytest.fixture(scope="module")
def quantized(bundle, labelled, run, tmp_path_factory):
    """The finished process, with its JSON, and the bundle."""
    path = tmp_path_factory.mktemp("quantized") / "deploy"
    shutil.copytree(bundle, path)
    with quantizing.whole():
        process = run("quantize", path, "--calib", labelled, "--max-drop", "40", "--json")
    assert process.returncode == 0, process.stderr
    return of_its_type("quantize", process.stdout), path


def contents(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_every_part_is_there_in_both_precisions_and_sealed(quantized):
    _, path = quantized
    bundle = Bundle.open(path)
    assert bundle.altered_files() == []
    assert set(bundle.manifest.precisions) == {"fp16", "int8"}
    for precision in ("fp16", "int8"):
        of_its_type("precision-report", (path / precision / "report.json").read_text())
        for part in PARTS:
            model = onnx.load(bundle.part_path(part, precision))
            onnx.checker.check_model(model, full_check=True)
            assert {prop.key: prop.value for prop in model.metadata_props}["x3ddeploy.precision"] == precision
    operators = {node.op_type for node in onnx.load(path / "int8" / "rgb_backbone.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Cast"} <= operators


def test_the_parts_compute_what_the_fused_graph_computes(quantized):
    _, path = quantized
    bundle, clip = Bundle.open(path), batch_inputs(clip_inputs(SPEC), 2, seed=7)
    sessions = {part: open_session("onnxruntime", bundle.part_path(part, "int8")) for part in PARTS}
    features = sessions["rgb_backbone"].run({"imgs": clip["imgs"]})
    features |= sessions["pose_backbone"].run({"heatmap_imgs": clip["heatmap_imgs"]})
    parts, whole = sessions["head"].run(features), sessions["recognizer"].run(clip)
    for name, value in whole.items():
        assert compare(value, parts[name]).relative < 0.03  # half-typed tensors round between them


def test_the_report_says_what_was_lost_and_why(quantized):
    report, _ = quantized
    fp16, int8 = report["precisions"]
    assert (fp16["precision"], int8["precision"]) == ("fp16", "int8")
    assert any("sum over many terms" in reason for reason in fp16["float_layers"].values())
    assert int8["accuracy"]["fused"]["top1_before"] == 100
    assert 0 < int8["accuracy"]["rgb"]["agreement"] <= 1
    names = {entry["unit"]["name"] for entry in int8["sensitivities"]}
    assert {"rgb_backbone/layer1.0", "pose_backbone/conv5", "rgb: pointwise", "pose: classifier"} <= names
    assert not int8["random"]
    timed = {(timing["runtime"], timing["precision"]) for timing in report["verdict"]["timings"]}
    assert {("onnxruntime", name) for name in ("fp32", "fp16", "int8")} <= timed
    assert len(report["verdict"]["sentences"]) == len([pair for pair in timed if pair[1] != "fp32"])


def test_the_cache_is_for_people_and_knows_where_it_came_from(quantized):
    _, path = quantized
    manifest = Bundle.open(path).manifest
    cache = json.loads((path / manifest.precisions["int8"].calibration).read_text())
    assert cache["key"]["graph_sha256"] == manifest.files["recognizer.onnx"].sha256
    assert cache["key"]["method"] == "mse"
    assert len(cache["key"]["clips"]) == CLIPS // 2
    assert cache["tensors"]["heatmap_imgs" if "heatmap_imgs" in cache["tensors"] else "head/rgb/pool"]
    assert [file.name for file in (path / "calib").iterdir()] == [
        present(manifest.precisions["int8"].calibration).removeprefix("calib/")
    ]


def test_verify_checks_the_lower_precisions_too(quantized, run):
    _, path = quantized
    process = run("verify", path, "--runtime", "onnxruntime")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "int8: recognizer -> scores" in process.stdout


def test_verify_finds_a_wrong_scale(quantized, run, tmp_path):
    """A sealed bundle whose INT8 graph is wrong: files are as the manifest says, and the numbers are not."""
    from dataclasses import replace

    from onnx import numpy_helper

    from x3ddeploy.bundle import seal

    path = tmp_path / "deploy"
    shutil.copytree(quantized[1], path)
    file = path / "int8" / "rgb_backbone.onnx"
    model = onnx.load(file)
    scale = next(t for t in model.graph.initializer if t.name.startswith("rgb_backbone/layer2.1/Relu/scale"))
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float16(8), scale.name))
    file.write_bytes(model.SerializeToString())
    manifest = Bundle.open(path).manifest
    (path / "manifest.json").unlink()
    seal(path, replace(manifest, files={}))
    process = run("verify", path, "--runtime", "onnxruntime")
    assert process.returncode == 3
    assert "QuantizeLinear has not the scale of" in process.stderr


def test_a_new_export_does_not_lose_them_unasked(quantized, checkpoint, run):
    _, path = quantized
    before = contents(path)
    process = run("export", checkpoint, "-o", path)
    assert process.returncode == 1
    assert "int8/" in process.stderr
    assert contents(path) == before


def test_a_second_quantization_replaces_the_first_and_changes_no_byte(quantized, labelled, run, tmp_path):
    path = tmp_path / "deploy"
    shutil.copytree(quantized[1], path)
    before = {name: data for name, data in contents(path).items() if name.endswith(".onnx")}
    with quantizing.with_sensitivities():
        process = run("quantize", path, "--calib", labelled, "--max-drop", "40")
    assert process.returncode == 0, process.stderr
    assert "ranges are those of" in process.stderr
    assert {name: data for name, data in contents(path).items() if name.endswith(".onnx")} == before


def test_without_clips_int8_is_refused_with_the_way_out(fresh, run):
    before = contents(fresh)
    process = run("quantize", fresh)
    assert process.returncode == 2
    assert "--calib" in process.stderr
    assert "--calib-random" in process.stderr
    assert contents(fresh) == before


def test_what_is_said_of_clips_that_nobody_gave_is_refused(fresh):
    with pytest.raises(UsageError, match="--videos, --max-drop: no clips are given"):
        x3ddeploy.quantize(fresh, precisions=["fp16"], videos="videos", max_drop=1)
    with pytest.raises(UsageError, match="--eval-split"):
        x3ddeploy.quantize(fresh, calib_random=True, eval_split="xsub_val")


def test_half_precision_needs_no_clips(fresh, run):
    process = run("quantize", fresh, "--fp16")
    assert process.returncode == 0, process.stderr
    assert "NOT measured" in process.stdout
    assert set(Bundle.open(fresh).manifest.precisions) == {"fp16"}


def test_made_up_clips_are_marked_everywhere(fresh, run):
    process = run("quantize", fresh, "--int8", "--calib-random", "--calib-clips", "4")
    assert process.returncode == 0, process.stderr
    assert "MADE-UP" in process.stdout
    assert "NOT known" in process.stderr
    made = Bundle.open(fresh).manifest.precisions["int8"]
    assert made.random_calibration
    assert made.accuracy is None


def test_layers_stay_half_until_the_budget_holds(fresh, labelled, run, tmp_path):
    """Clips that calibrate are all but dark: their ranges cut off what the judging clips hold in the first layers."""
    folder = tmp_path / "dark"
    shutil.copytree(labelled, folder)
    files = sorted(folder.glob("*.npz"))
    labels = [int(np.load(file)["label"]) for file in files]
    for index in balanced_choice(labels, CLIPS // 2, 0):
        arrays = dict(np.load(files[index]))
        np.savez(files[index], **{k: v if k == "label" else v * np.float32(1e-3) for k, v in arrays.items()})
    with quantizing.with_sensitivities():
        process = run("quantize", fresh, "--int8", "--calib", folder, "--max-drop", "0")
    assert process.returncode == 0, process.stderr
    made = Bundle.open(fresh).manifest.precisions["int8"]
    assert made.float_layers
    assert all("top-1 falls" in reason or "keep their class" in reason for reason in made.float_layers.values())
    for entry in present(made.accuracy).values():
        assert entry.agreement >= 0.95
        assert present(entry.top1_after) >= present(entry.top1_before)
    kept = {name for name in made.float_layers if "backbone" in name}
    nodes = onnx.load(fresh / "int8" / "recognizer.onnx").graph.node
    for node in nodes:
        if node.op_type == "Conv" and node.name.rpartition("/conv")[0] in kept:
            assert not any("Linear" in name for name in node.input), node.name
    assert run("verify", fresh, "--runtime", "onnxruntime").returncode == 0


def test_a_foreign_cache_is_refused(quantized, fresh, labelled, run):
    _, other = quantized
    cache = next((other / "calib").glob("*.json"))
    process = run("quantize", fresh, "--int8", "--calib", labelled, "--method", "max", "--calib-cache", cache)
    assert process.returncode == 1
    assert "method" in process.stderr
    assert Bundle.open(fresh).manifest.precisions == {}


def test_opset_17_leaves_the_rest_float32_for_tensorrt_8(fresh, run):
    process = run("quantize", fresh, "--int8", "--calib-random", "--calib-clips", "4", "--opset", "17")
    assert process.returncode == 0, process.stderr
    model = onnx.load(fresh / "int8" / "recognizer.onnx")
    assert model.opset_import[0].version == 17
    assert "Cast" not in {node.op_type for node in model.graph.node}


@pytest.mark.openvino
def test_bfloat16_for_tensorrt_is_made_and_checked(fresh, run):
    with quantizing.whole():
        process = run("quantize", fresh, "--bf16")
    assert process.returncode == 0, process.stderr
    assert "bf16 in onnxruntime" in process.stdout  # not timed there, with the reason
    assert onnx.load(fresh / "bf16" / "head.onnx").opset_import[0].version == 22


def test_an_altered_bundle_is_refused(fresh, run):
    with (fresh / "recognizer.onnx").open("ab") as file:
        file.write(b"\0")
    process = run("quantize", fresh, "--fp16")
    assert process.returncode == 1
    assert "recognizer.onnx" in process.stderr


@pytest.mark.openvino
def test_bfloat16_is_judged_where_it_is_computed_and_verified_there(fresh, run):
    process = run("quantize", fresh, "--bf16", "--runtime", "openvino", "--json")
    assert process.returncode == 0, process.stderr
    verified = run("verify", fresh, "--precision", "bf16", "--json")
    assert verified.returncode == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert {check["runtime"] for check in found["checks"]} == {"openvino"}
    assert any("onnxruntime bf16" in line for line in found["skipped"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--fp16", "--runtime", "torch"), 2, "float32 only"),
        (("--bf16", "--runtime", "onnxruntime"), 2, "do not compute in bf16"),
        (("--fp16", "--runtime", "onnxruntime", "--device", "cuda"), 4, "CUDAExecutionProvider"),
    ],
)
def test_a_runtime_that_cannot_judge_is_refused_before_anything_is_made(fresh, run, arguments, code, message):
    before = contents(fresh)
    process = run("quantize", fresh, *arguments)
    assert process.returncode == code, process.stderr
    assert message in process.stderr
    assert contents(fresh) == before
