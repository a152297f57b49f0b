"""`x3ddeploy export` as its user meets it: what it writes, what it refuses, what survives an accident."""

import hashlib
import io
import json
import os
import resource
import shutil
import signal
import sys

import numpy as np
import pytest
import torch
from support.command import Forked
from support.documents import of_its_type
from support.faults.micro import options
from support.present import of_type

from x3ddeploy import atomic
from x3ddeploy.bundle import Bundle
from x3ddeploy.exporting.parts import build_graphs, serialize
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict, config_text
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.loading import load_network
from x3ddeploy.runtimes.registry import open_session

RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
GRAPHS = ["rgb_backbone", "pose_backbone", "head", "recognizer", "preprocess_rgb", "preprocess_pose"]


def clips(bundle, batch, seed=0):
    random = np.random.default_rng(seed)
    shapes = Bundle.open(bundle).contract.input_shapes(batch)
    return {name: random.random(shape, np.float32) for name, shape in shapes.items()}


def export(run, checkpoint, output, *options):
    process = run("export", checkpoint, "-o", output, *options)
    assert process.returncode == 0, process.stderr
    return output


def test_a_bundle_holds_what_its_manifest_says(exported):
    process, path = exported
    assert process.returncode == 0, process.stderr
    manifest = json.loads((path / "manifest.json").read_text())
    on_disk = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    for name, entry in manifest["files"].items():
        data = (path / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry["sha256"], entry["size_bytes"])
    assert {f"{name}.onnx" for name in GRAPHS} <= on_disk
    assert json.loads((path / "parity.json").read_text())["passed"]
    assert manifest["model"]["rgb_input"]["mean"] == [123.675, 116.28, 103.53]
    assert manifest["origins"]["rgb.fold_div"] == "checkpoint config"
    assert manifest["origins"]["rgb.stages"] == "weights"
    assert set(manifest["versions"]) >= {"x3ddeploy", "torch", "onnx", "onnxruntime"}


def test_results_go_to_stdout_and_progress_to_stderr(exported):
    process, _ = exported
    assert "Parity with PyTorch" in process.stdout
    assert "rgb.fold_div" in process.stdout
    assert "next: x3ddeploy verify" in process.stdout
    assert "comparing in onnxruntime" in process.stderr
    assert "comparing" not in process.stdout


CLASSES = ["sit", "stand", "wave", "clap", "fall", "walk"]


@pytest.fixture(scope="module")
def otherwise(run, tiny_network, tmp_path_factory):
    """A finished export of a checkpoint with labels, with options that the others' is without, and its bundle."""
    folder = tmp_path_factory.mktemp("otherwise")
    content = checkpoint_dict(tiny_network)
    content["meta"]["dataset_meta"] = {"classes": CLASSES}
    torch.save(content, folder / "named.pth")
    arguments = ("-o", folder / "b", "--fusion", "2:1", "--batch", 2, "--json")
    process = run("export", folder / "named.pth", *arguments)
    assert process.returncode == 0, process.stderr
    return process, folder / "b"


def test_json_is_one_document(otherwise):
    report = of_its_type("export", otherwise[0].stdout)
    assert report["manifest"]["files"]
    assert all(row["difference"]["finite"] for row in report["parity"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_dynamic_batch_gives_each_clip_what_it_gets_alone(bundle, runtime):
    session = open_session(runtime, bundle / "recognizer.onnx")
    for batch in (1, 2, 5):
        inputs = clips(bundle, batch)
        together = session.run(inputs)
        for index in range(batch):
            alone = session.run({name: value[index : index + 1] for name, value in inputs.items()})
            for name, value in alone.items():
                np.testing.assert_allclose(together[name][index], value[0], atol=2e-5, err_msg=f"{name} of {batch}")


def test_a_fixed_batch_refuses_any_other_by_name(otherwise):
    _, path = otherwise
    session = open_session("onnxruntime", path / "recognizer.onnx")
    assert session.run(clips(path, 2))["scores"].shape == (2, 6)
    with pytest.raises(Exception, match=r"'imgs' has shape \(1, 3, 4, 32, 32\), and the graph takes \(2, 3, 4, 32"):
        session.run(clips(path, 1))


def test_swapped_missing_and_misshapen_inputs_are_refused_together(bundle):
    session = open_session("onnxruntime", bundle / "recognizer.onnx")
    inputs = clips(bundle, 1)
    with pytest.raises(Exception, match="do not fit") as error:
        session.run({"imgs": inputs["heatmap_imgs"], "frames": inputs["imgs"]})
    text = str(error.value)
    assert "'imgs' has shape" in text
    assert "missing input 'heatmap_imgs'" in text
    assert "unknown input 'frames'" in text


def test_the_order_of_frames_matters(bundle):
    """A bundle without its temporal shift would pass every check on still clips."""
    session = open_session("onnxruntime", bundle / "recognizer.onnx")
    inputs = clips(bundle, 1)
    reversed_clip = {name: np.ascontiguousarray(value[:, :, ::-1]) for name, value in inputs.items()}
    forward, backward = session.run(inputs), session.run(reversed_clip)
    assert np.abs(forward["rgb_logits"] - backward["rgb_logits"]).max() > 1e-3
    assert np.abs(forward["pose_logits"] - backward["pose_logits"]).max() > 1e-3


def test_fusion_weights_weigh_the_probabilities(otherwise):
    _, path = otherwise
    out = open_session("onnxruntime", path / "recognizer.onnx").run(clips(path, 2))
    softmax = {
        s: np.exp(out[f"{s}_logits"]) / np.exp(out[f"{s}_logits"]).sum(1, keepdims=True) for s in ("rgb", "pose")
    }
    np.testing.assert_allclose(out["scores"], (2 * softmax["rgb"] + softmax["pose"]) / 3, atol=1e-6)
    assert Bundle.open(path).contract.fusion == (2.0, 1.0)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_of_any_length_and_size_pass_parity(run, checkpoint, tmp_path, frames):
    options = ("--frames", frames, "--pose-frames", frames + 1, "--size", "24x40")
    path = export(run, checkpoint, tmp_path / "b", *options)
    manifest = Bundle.open(path).manifest
    assert manifest.tensors["recognizer"]["inputs"]["imgs"] == ["N", 3, frames, 24, 40]
    assert manifest.tensors["recognizer"]["inputs"]["heatmap_imgs"] == ["N", 17, frames + 1, 12, 20]
    assert manifest.origins["rgb_input.frames"] == "option"


@pytest.mark.openvino
def test_the_openvino_target_passes_its_own_parity_and_runs_elsewhere(run, checkpoint, tmp_path, bundle):
    path = export(run, checkpoint, tmp_path / "b", "--target", "openvino")
    inputs = clips(path, 3)
    expected = open_session("onnxruntime", bundle / "recognizer.onnx").run(inputs)
    for runtime in ("openvino", "onnxruntime"):
        actual = open_session(runtime, path / "recognizer.onnx").run(inputs)
        np.testing.assert_allclose(actual["rgb_logits"], expected["rgb_logits"], atol=1e-4)


def test_two_exports_are_byte_identical(exported_apart, bundle):
    process, path = exported_apart
    assert process.returncode == 0, process.stderr
    for name in GRAPHS:
        assert (path / f"{name}.onnx").read_bytes() == (bundle / f"{name}.onnx").read_bytes(), name


def test_half_precision_ddp_weights_give_the_same_network(run, tiny_network, bundle, tmp_path):
    state = {
        f"module.{key}": value.half() if value.is_floating_point() else value
        for key, value in tiny_network.state_dict().items()
    }
    torch.save({"meta": {"cfg": config_text(tiny_network.spec)}, "state_dict": state}, tmp_path / "half.pth")
    path = export(run, tmp_path / "half.pth", tmp_path / "b")
    inputs = clips(path, 1)
    full, half = (open_session("onnxruntime", at / "recognizer.onnx").run(inputs) for at in (bundle, path))
    assert 0 < np.abs(full["rgb_logits"] - half["rgb_logits"]).max() < 0.05


def test_labels_in_the_checkpoint_become_labels_txt(otherwise):
    assert Bundle.open(otherwise[1]).labels() == CLASSES


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--fusion", "1"), 2, "is not of the form 2:1"),
        (("--fusion", "0:0"), 2, "one is over 0"),
        (("--fusion", "nan:1"), 2, "weights are 0 or from"),
        (("--size", "224"), 2, "is not of the form 224x224"),
        (("--frames", "0"), 2, "--frames"),
        (("--target", "tpu"), 2, "tpu"),
        (("--verify-tol", "0"), 2, "--verify-tol"),
        (("--config", "nut60"), 1, "nut60"),
        (("--labels", "missing.txt"), 2, "missing.txt"),
    ],
)
def test_a_wrong_request_gets_one_clear_error(run, checkpoint, tmp_path, options, code, said):
    process = run("export", checkpoint, "-o", tmp_path / "b", *options)
    assert process.returncode == code
    assert said in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "b").exists()


def test_a_missing_checkpoint_is_named(run, tmp_path):
    process = run("export", tmp_path / "nothing.pth")
    assert process.returncode == 1
    assert "nothing.pth does not exist" in process.stderr


def test_a_failed_gate_exits_with_3_names_the_block_and_writes_nothing(run, checkpoint, tmp_path):
    process = run("export", checkpoint, "-o", tmp_path / "b", "--verify-tol", "1e-12")
    assert process.returncode == 3
    assert "first diverging block: rgb_backbone/" in process.stderr
    assert "from its own float64" in process.stderr
    assert list(tmp_path.iterdir()) == []


def test_exporting_again_replaces_a_bundle_but_never_what_was_built_from_it(run, checkpoint, bundle, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "b")
    (path / "bench.json").write_text("{}")  # a report on the graphs that are being replaced
    export(run, checkpoint, path, "--batch", 1)
    assert Bundle.open(path).manifest.batch == 1
    assert not (path / "bench.json").exists()
    (path / "engines").mkdir()
    (path / "engines" / "rgb.plan").write_bytes(b"hours of work")
    process = run("export", checkpoint, "-o", path)
    assert process.returncode == 1
    assert "engines/rgb.plan" in process.stderr
    assert (path / "engines" / "rgb.plan").read_bytes() == b"hours of work"
    assert Bundle.open(path).manifest.batch == 1
    export(run, checkpoint, path, "--overwrite")
    assert Bundle.open(path).manifest.batch is None


def test_foreign_directories_and_files_are_left_alone(run, checkpoint, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    process = run("export", checkpoint, "-o", tmp_path / "photos", "--overwrite")
    assert process.returncode == 1
    assert "is not a bundle" in process.stderr
    assert run("export", checkpoint, "-o", tmp_path / "photos" / "cat.jpg").returncode == 2
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"


def test_a_read_only_place_gets_one_clear_error(run, checkpoint):
    """/sys takes no directories, not even from root."""
    process = run("export", checkpoint, "-o", "/sys/x3ddeploy/bundle")
    assert process.returncode == 1
    assert "cannot write" in process.stderr
    assert "write elsewhere with -o" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_full_disk_gets_one_clear_error_and_leaves_nothing(checkpoint, tmp_path):
    """A limit on file size stands in for the disk: write() fails in the middle of a file, in the real code path."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = Forked("export", checkpoint, "-o", tmp_path / "b", stdout=os.devnull, prepare=limit)
    told = process.stderr.read()
    assert process.wait() == 1, told
    assert "File too large" in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def _kill_me(*_):
    os.kill(os.getpid(), signal.SIGKILL)


class _Watched(io.StringIO):
    def write(self, text):
        if "comparing in onnxruntime: clips, batch 3" in text:
            _kill_me()
        return len(text)


def _while_it_compares():
    sys.stderr = _Watched()


def _while_it_writes():
    atomic.sync_tree = _kill_me


@pytest.mark.parametrize(("moment", "left"), [(_while_it_compares, 0), (_while_it_writes, 1)])
def test_a_killed_export_leaves_no_bundle_and_the_next_one_sweeps_up(run, checkpoint, tmp_path, moment, left):
    target = tmp_path / "b"
    process = Forked("export", checkpoint, "-o", target, stdout=os.devnull, prepare=moment)
    told = process.stderr.read()
    assert process.wait() == -signal.SIGKILL, told
    assert not target.exists()
    assert len(list(tmp_path.glob(".b.*.partial"))) == left
    export(run, checkpoint, target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_the_real_layout_reproduces_its_golden_outputs(real_layout):
    """Features, logits and coarse logits of the original network, to 1e-4 of their range."""
    loaded = load_network(real_layout / "checkpoint.pth")
    golden, spec = np.load(real_layout / "golden.npz"), of_type(TwoStreamX3D, loaded.network).spec
    mean, std = (np.array(v, np.float32)[None, :, None, None, None] for v in (spec.rgb_input.mean, spec.rgb_input.std))
    inputs = {"imgs": (golden["frames_u8"] - mean) / std, "heatmap_imgs": golden["keypoint_heatmaps"]}
    graphs = build_graphs(loaded.network, loaded.source, options("tensorrt"))
    used = ("recognizer", "rgb_backbone", "pose_backbone")
    sessions = {name: open_session("onnxruntime", serialize(graphs[name])) for name in used}
    outputs = sessions["recognizer"].run(inputs)
    for stream, name in (("rgb", "imgs"), ("pose", "heatmap_imgs")):
        features = sessions[f"{stream}_backbone"].run({name: inputs[name]})[f"{stream}_feat"]
        assert relative(features.mean((3, 4)), golden[f"{stream}_feat_mean"]) < 1e-5
        assert relative(features[:1, ::16], golden[f"{stream}_feat_sample"]) < 1e-5
        assert relative(outputs[f"{stream}_logits"], golden[f"score_{stream}"]) < 1e-4
        assert relative(outputs[f"{stream}_coarse_logits"], golden[f"score_{stream}_coarse"]) < 1e-4


@pytest.mark.families
def test_the_real_layout_passes_its_gate_without_options(run, real_layout, tmp_path):
    path = export(run, real_layout / "checkpoint.pth", tmp_path / "b")
    assert json.loads((path / "parity.json").read_text())["passed"]


def relative(actual, expected):
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()
