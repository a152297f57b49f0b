"""A bundle that is not what it says is refused, whatever of it was altered and by whichever verb it is opened."""

import contextlib
import io
import json
import os
import shutil
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from support import schema_1
from support.parts import PARTS

import x3ddeploy
from x3ddeploy.bundle import Bundle, seal
from x3ddeploy.bundle.check import open_whole, problems_of
from x3ddeploy.bundle.golden import npy_bytes
from x3ddeploy.bundle.golden_check import unchecked
from x3ddeploy.bundle.limits import beyond_limits
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.errors import BundleError
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.spec import model_of, spec_of


@pytest.fixture
def copied(bundle, tmp_path):
    """A copy to be altered by replacing files: what is not replaced is the original's."""
    return shutil.copytree(bundle, tmp_path / "copy", copy_function=os.link)


def put(file, content):
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def say(path, change):
    """Alter the manifest alone."""
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    put(path / "manifest.json", json.dumps(manifest).encode())


def reseal(path):
    """What someone who alters files and the manifest with them would do."""
    manifest = Bundle.open(path).manifest
    (path / "manifest.json").unlink()
    seal(path, manifest)


def say_everywhere(path, spec, fusion=(1.0, 1.0)):
    """Alter the manifest, contract and all, and the metadata of every graph with it."""
    manifest = Bundle.open(path).manifest
    contract = two_stream_contract(spec, fusion, manifest.batch, {})
    said = {name: getattr(contract, name) for name in ("inputs", "outputs", "scores", "deployed")}
    for file in path.glob("*.onnx"):
        model = onnx.load(file)
        metadata = replace(PartMetadata.of(model), model=model_of(spec), fusion=fusion)
        put(file, metadata.stamped(model).SerializeToString())
    (path / "manifest.json").unlink()
    seal(path, replace(manifest, model=model_of(spec), **said))


def labelled(path, text):
    put(path / "labels.txt", text.encode())
    reseal(path)


def names(path):
    return [f"action {index}" for index in range(Bundle.open(path).contract.classes)]


def test_a_good_bundle_is_whole_with_labels_too(copied):
    assert problems_of(open_whole(copied)) == []
    labelled(copied, "\n".join(names(copied)) + "\n")
    assert open_whole(copied).labels() == names(copied)
    say(copied, lambda m: m["files"].pop("labels.txt"))
    assert problems_of(Bundle.open(copied)) == ["labels.txt: it is there, and the manifest does not name it"]


def rgb_step(manifest):
    return manifest["inputs"]["imgs"]["pipeline"][-1]["parameters"]


def pose_step(manifest):
    return manifest["inputs"]["heatmap_imgs"]["pipeline"][-1]["parameters"]


def made():
    entry: dict[str, Any] = {"calibration": None, "random_calibration": False, "float_layers": {}, "accuracy": None}
    return {**entry, "golden_error": {}}


SAID = {
    "mean": (lambda m: rgb_step(m).update(mean=[0, 0, 0]), "inputs.imgs"),
    "std": (lambda m: rgb_step(m).update(std=[1, 1, 1]), "inputs.imgs"),
    "sigma": (lambda m: pose_step(m).update(sigma=0.7), "inputs.heatmap_imgs"),
    "mean of the model": (lambda m: m["model"]["rgb_input"].update(mean=[0, 0, 0]), "rgb_input.mean"),
    "fold_div": (lambda m: m["model"]["rgb"].update(fold_div=4), "rgb.fold_div"),
    "average": (lambda m: m["outputs"]["rgb_logits"].update(average="score"), "outputs.rgb_logits"),
    "average_clips": (lambda m: m["model"]["head"].update(average_clips="score"), "average_clips"),
    "fusion": (lambda m: m["scores"]["fused"]["weights"].update(rgb_logits=2), "its fusion"),
    "negative fusion": (lambda m: m["scores"]["fused"]["weights"].update(rgb_logits=-1), "negative"),
    "no fusion": (lambda m: m["scores"]["fused"].update(weights={"rgb_logits": 0}), "all zero"),
    "another deployed score": (lambda m: m.update(deployed="rgb"), "deployed score"),
    "another family": (lambda m: m.update(family="two_stream_x3d", model={}), "none of the family"),
    "a billion classes": (lambda m: m["model"]["head"].update(classes=10**9), "classes"),
    "one class more": (lambda m: m["model"]["head"].update(classes=m["model"]["head"]["classes"] + 1), "head.classes"),
    "batch": (lambda m: m["inputs"]["imgs"].update(shape=[2, *m["inputs"]["imgs"]["shape"][1:]]), "clips"),
    "opset": (lambda m: m.update(opset=16), "opset"),
    "IR": (lambda m: m.update(ir_version=9), "IR"),
    "target": (lambda m: m.update(target="openvino"), "its target"),
    "source": (lambda m: m["source"].update(sha256="0" * 64), "source_sha256"),
    "shape": (lambda m: m["outputs"]["rgb_feat"].update(shape=["N", 1000]), "head.onnx: inputs"),
    "an input": (lambda m: m["parts"]["rgb_backbone"].update(inputs=["heatmap_imgs"]), "rgb_backbone.onnx: inputs"),
    "a part of no network": (lambda m: m["parts"].update(tail=m["parts"]["head"]), "tail.onnx: missing"),
    "a part less": (lambda m: m["parts"].pop("head"), "parts.head"),
    "a block of no graph": (
        lambda m: m["parts"]["rgb_backbone"].update(blocks=[{"name": "layer9", "tensor": "layer9/Relu"}]),
        "block layer9",
    ),
    "a block of another name": (
        lambda m: m["parts"]["rgb_backbone"]["blocks"][0].update(name="layer9"),
        "rgb_backbone.onnx: its blocks",
    ),
    "no blocks": (lambda m: m["parts"]["rgb_backbone"].pop("blocks"), "rgb_backbone.onnx: its blocks"),
    "a graph that nothing names": (
        lambda m: m["preprocessing"].pop("preprocess_rgb"),
        "preprocess_rgb.onnx: nothing in the manifest says what it is",
    ),
    "preprocessing that is not there": (
        lambda m: m["preprocessing"].update(front={"inputs": {}, "outputs": ["imgs"]}),
        "front.onnx: missing",
    ),
    "a file less": (lambda m: m["files"].pop("recognizer.onnx"), "recognizer.onnx: missing"),
    "golden less": (lambda m: m["files"].pop("golden/frames.npy"), "golden/frames.npy: missing"),
    "a rounding less": (lambda m: m["rounding"].popitem(), "rounding: it is not of the graphs' outputs"),
    "a rounding more": (lambda m: m["rounding"].update(tail=0.1), "rounding: it is not of the graphs' outputs: tail"),
    "a rounding that was not measured": (lambda m: m["rounding"].update({"head -> scores": 1e-4}), "parity.json"),
    "a negative rounding": (lambda m: m["rounding"].update({"head -> scores": -1}), "rounding: head -> scores -1"),
    "a rounding of all": (lambda m: m["rounding"].update({"head -> scores": 1e6}), "rounding: head -> scores 1e+06"),
    "INT8 without a calibration": (lambda m: m["precisions"].update(int8=made()), "its calibration is None"),
    "a precision that is not there": (lambda m: m["precisions"].update(fp16=made()), "fp16/head.onnx: missing"),
}


@pytest.mark.parametrize("said", SAID)
def test_a_manifest_that_its_files_contradict_is_refused(copied, said):
    change, problem = SAID[said]
    say(copied, change)
    with pytest.raises(BundleError) as error:
        open_whole(copied)
    assert problem in str(error.value)


MEASURED = {
    "random": (lambda m: m["precisions"]["int8"].update(random_calibration=False), "precisions.int8.random"),
    "float layers": (lambda m: m["precisions"]["fp16"]["float_layers"].popitem(), "precisions.fp16.float_layers"),
    "an error": (lambda m: m["precisions"]["int8"]["golden_error"].update({"head -> scores": 0}), "golden_error"),
    "an accuracy": (lambda m: m["precisions"]["int8"]["accuracy"]["fused"].update(agreement=0.5), "int8.accuracy"),
    "no accuracy": (lambda m: m["precisions"]["int8"].update(accuracy=None), "int8.accuracy"),
    "a score less": (lambda m: m["precisions"]["int8"]["accuracy"].popitem(), "int8.accuracy"),
    "a figure less": (lambda m: m["precisions"]["int8"]["accuracy"]["fused"].popitem(), "missing required field"),
    "a rounding": (lambda m: m["precisions"]["int8"]["rounding"]["head -> scores"].update(rms=1), "int8.rounding"),
    "a report less": (lambda m: m["files"].pop("int8/report.json"), "int8/report.json: missing"),
    "parity.json less": (lambda m: m["files"].pop("parity.json"), "parity.json: missing"),
    "no rounding": (lambda m: m.pop("rounding"), "rounding: it is not that of parity.json"),
    "golden less": (lambda m: m["files"].pop("golden/int8/scores.npy"), "golden/int8/scores.npy: missing"),
}


@pytest.fixture(scope="module")
def judged(quantized, tmp_path_factory):
    """As if there had been labelled clips."""
    path = shutil.copytree(quantized, tmp_path_factory.mktemp("judged") / "deploy", copy_function=os.link)
    accuracy = {"fused": {"agreement": 1.0, "top1_before": 50.0, "top1_after": 50.0}}
    report = json.loads((path / "int8" / "report.json").read_text())
    put(path / "int8" / "report.json", json.dumps({**report, "accuracy": accuracy}).encode())
    say(path, lambda m: m["precisions"]["int8"].update(accuracy=accuracy))
    reseal(path)
    assert problems_of(Bundle.open(path)) == []
    return path


@pytest.mark.parametrize("said", MEASURED)
def test_what_was_measured_of_a_precision_is_what_was_written_down_then(judged, tmp_path, said):
    copied = shutil.copytree(judged, tmp_path / "copy", copy_function=os.link)
    change, problem = MEASURED[said]
    say(copied, change)
    with pytest.raises(BundleError) as error:
        open_whole(copied)
    assert problem in str(error.value)


def test_a_rounding_is_at_most_ten_times_the_range(bundle):
    manifest = Bundle.open(bundle).manifest
    for rounding, problems in ((10.0, 0), (10.1, 1)):
        assert len(beyond_limits(replace(manifest, rounding={"head -> scores": rounding}))) == problems


def test_a_manifest_that_says_a_thing_twice_is_refused(copied):
    text = (copied / "manifest.json").read_bytes()
    put(copied / "manifest.json", text.replace(b'"opset":', b'"opset": 16, "opset":', 1))
    with pytest.raises(BundleError, match="the key 'opset' stands twice in an object"):
        Bundle.open(copied)


def test_a_seed_may_be_any_of_32_bits(bundle):
    manifest = Bundle.open(bundle).manifest
    for seed, problems in ((2**32 - 1, 0), (2**32 + 1, 1)):
        steps = [{"type": "UniformSampleFrames", "parameters": {"seed": seed}}]
        model = {**manifest.model, "inputs": {"heatmap_imgs": {"pipeline": steps}}}
        assert len(beyond_limits(replace(manifest, model=model))) == problems


def older(path):
    """Without what older versions did not write: rounding, and the raw golden clip where there was no --preprocess."""
    schema_1.rewrite(path)
    manifest = json.loads((path / "manifest.json").read_text())
    for part in ("preprocess_rgb", "preprocess_pose"):
        del manifest["tensors"][part], manifest["files"][f"{part}.onnx"]
        (path / f"{part}.onnx").unlink()
    for name in ("frames", "keypoints", "keypoint_scores"):
        del manifest["files"][f"golden/{name}.npy"]
        (path / "golden" / f"{name}.npy").unlink()
    del manifest["rounding"]
    parity = json.loads((path / "parity.json").read_text()) | {"tolerance": 1e-5}
    del parity["rounding"]
    put(path / "parity.json", json.dumps(parity).encode())
    put(path / "manifest.json", json.dumps(manifest).encode())
    reseal(path)


def test_a_bundle_of_an_older_version_is_read_and_what_is_not_checked_is_said(copied, run):
    assert unchecked(open_whole(copied)) == []
    older(copied)
    process = run("verify", copied, "--runtime", "onnxruntime")
    assert process.returncode == 0, process.stderr
    assert "not verified: golden: the preprocessing of its clip" in process.stdout
    assert "not checked: golden: the preprocessing of its clip" in run("inspect", copied).stdout
    say(copied, lambda m: m["scores"]["fused"]["weights"].update(pose_logits=2))
    with pytest.raises(BundleError, match="its fusion"):
        open_whole(copied)


def test_a_raw_golden_clip_in_part_is_refused_in_an_older_bundle_too(copied):
    frames = (copied / "golden" / "frames.npy").read_bytes()
    older(copied)
    put(copied / "golden" / "frames.npy", frames)
    reseal(copied)
    with pytest.raises(BundleError, match=r"golden/keypoints\.npy: missing"):
        open_whole(copied)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_to_be_there_and_be_itself(copied, part):
    put(copied / f"{part}.onnx", (copied / f"{'head' if part != 'head' else 'recognizer'}.onnx").read_bytes())
    reseal(copied)
    with pytest.raises(BundleError, match=rf"{part}\.onnx: its part is not"):
        open_whole(copied)
    (copied / f"{part}.onnx").unlink()
    reseal(copied)
    with pytest.raises(BundleError, match=rf"{part}\.onnx: missing"):
        open_whole(copied)


def test_what_manifest_and_graphs_both_say_is_held_against_the_golden_clip(copied):
    manifest = Bundle.open(copied).manifest
    spec = spec_of(manifest.model)
    say_everywhere(copied, replace(spec, rgb_input=replace(spec.rgb_input, mean=(0.0, 0.0, 0.0))))
    with pytest.raises(BundleError, match="manifest's mean and std"):
        open_whole(copied)
    sharper = replace(spec, pose_input=replace(spec.pose_input, sigma=spec.pose_input.sigma * 1.05))
    say_everywhere(copied, sharper)
    with pytest.raises(BundleError, match="manifest's sigma and scaling"):
        open_whole(copied)
    say_everywhere(copied, spec, (1.0, 1.2))
    with pytest.raises(BundleError, match="in the manifest's weights"):
        open_whole(copied)
    say_everywhere(copied, spec)
    assert problems_of(open_whole(copied)) == []


@pytest.mark.parametrize(
    ("alter", "problem"),
    [
        (lambda lines: [*lines, "one too many"], "names, and the network has"),
        (lambda lines: lines[1:], "names, and the network has"),
        (lambda lines: ["a\nb", *lines[1:]], "names, and the network has"),
        *((lambda lines, char=char: [f"a{char}b", *lines[1:]], "no class name") for char in "\r\x1b\x85\u2028\u202e\0"),
        (lambda lines: ["", *lines[1:]], "no class name"),
    ],
)
def test_labels_are_one_a_class_and_one_a_line(copied, alter, problem):
    labelled(copied, "\n".join(alter(names(copied))) + "\n")
    with pytest.raises(BundleError, match=problem) as error:
        open_whole(copied)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("golden/imgs.npy", b"", "cannot read"),
        ("golden/scores.npy", npy_bytes(np.full((1, 6), np.nan, np.float32)), "not finite"),
        ("golden/scores.npy", npy_bytes(np.zeros((1, 3, 3), np.float32)), "1 x 3 x 3"),
        ("golden/imgs.npy", npy_bytes(np.zeros((1, 2), np.complex64)), "<c8"),
        ("golden/frames.npy", npy_bytes(np.zeros((1, 2), np.uint8)), "frames"),
        ("head.onnx", b"", "head.onnx"),
        ("head.onnx", b"\xff" * 100, "not a valid ONNX file"),
    ],
)
def test_files_that_are_whole_by_hash_and_broken_inside_are_refused(copied, name, content, problem):
    put(copied / name, content)
    reseal(copied)
    with pytest.raises(BundleError) as error:
        open_whole(copied)
    assert problem in str(error.value)


@pytest.mark.parametrize(("moved", "whole"), [(0.99e-4, True), (1.01e-4, False), (np.nan, False)])
def test_golden_scores_may_be_rounded_as_another_machine_rounds_and_no_further(copied, moved, whole):
    scores = np.load(copied / "golden/scores.npy")
    scores[0, 0] += moved
    put(copied / "golden/scores.npy", npy_bytes(scores))
    reseal(copied)
    assert (problems_of(Bundle.open(copied)) == []) == whole


def test_a_golden_file_that_speaks_of_more_than_it_holds_costs_no_memory(copied):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 99999999999), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    put(copied / "golden/imgs.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64)
    reseal(copied)
    with pytest.raises(BundleError, match=r"cannot read .*imgs\.npy"):
        open_whole(copied)


def test_weights_in_another_file_are_refused(copied):
    model = onnx.load(copied / "head.onnx")
    weight = model.graph.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    put(copied / "head.onnx", model.SerializeToString())
    reseal(copied)
    with pytest.raises(BundleError, match="reads weights from another file"):
        open_whole(copied)


VERBS = {
    "verify": (),
    "bench": ("--seconds", "0.1"),
    "eval": ("--data", "."),
    "quantize": ("--fp16",),
    "triton": ("-o", "out"),
    "bundle": ("--pack", "out.tar"),
    "inspect": (),
}


def test_the_manifest_is_read_back_as_it_was(bundle):
    manifest = Bundle.open(bundle).manifest
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=type(manifest)) == manifest


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_a_bundle_that_is_not_what_it_says(copied, run, verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    say(copied, lambda m: m["model"]["rgb_input"].update(mean=[0, 0, 0]))
    process = run(verb, copied, *VERBS[verb])
    assert "rgb_input.mean" in process.stderr + process.stdout
    assert process.returncode == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["copy"]


def test_predict_refuses_it_too(copied, run):
    say(copied, lambda m: m["model"]["rgb_input"].update(mean=[0, 0, 0]))
    process = run("predict", "--bundle", copied, "video.mp4")
    assert process.returncode == 1
    assert "rgb_input.mean" in process.stderr


def test_engines_are_not_built_of_it(copied):
    say(copied, lambda m: m["model"]["rgb_input"].update(mean=[0, 0, 0]))
    with pytest.raises(BundleError, match=r"rgb_input\.mean"):
        x3ddeploy.build_trt(copied)  # whether there is a GPU or not: the bundle is looked at first


def test_an_array_is_stored_rows_first_in_whatever_order_a_runtime_gave_it():
    """The C++ reader takes no other, and a pooled feature of PyTorch's can have its columns first."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    stored = npy_bytes(array)
    assert b"'fortran_order': False" in stored
    np.testing.assert_array_equal(np.load(io.BytesIO(stored)), array)
    assert np.load(io.BytesIO(npy_bytes(np.float32(1)))).shape == ()


# What is told to people and decides nothing.
FREE_TEXT = ("versions", "notes", "origins", "source.name", "source.epoch")
# Held as a whole to what every graph says of itself.
_WHOLE = "model."


def fields(document, place=""):
    """Every place in a JSON document: what holds it, its key and its name."""
    for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
        where = f"{place}.{key}".lstrip(".")
        if not where.startswith((*FREE_TEXT, _WHOLE)):
            yield document, key, where
            if isinstance(value, dict | list):
                yield from fields(value, where)


def another(value):
    """One that could stand there as well."""
    known = {"prob": "score", "softmax": "sigmoid", "coco17": "dataset", "frames": "heatmaps", "tensorrt": "openvino"}
    match value:
        case bool():
            return not value
        case int() | float():
            return value * 2 or 1
        case str():
            return known.get(value) or ("0" * 64 if len(value) == 64 else f"{value}x")
    return "score"


@pytest.fixture
def passes(copied, monkeypatch):
    """Function: whether a manifest that says something else than the bundle's own is taken for whole."""
    graphs = {content: onnx.load_from_string(content) for content in (f.read_bytes() for f in copied.glob("*.onnx"))}
    monkeypatch.setattr(onnx, "load_from_string", graphs.__getitem__)
    good = Bundle.open(copied).manifest

    def asked(manifest):
        put(copied / "manifest.json", json.dumps(manifest).encode())
        with contextlib.suppress(BundleError):
            opened = Bundle.open(copied)
            return opened.manifest != good and not problems_of(opened)

    return asked


def test_no_value_of_a_manifest_can_be_another(copied, passes):
    """Whatever is added to the manifest is checked as well, or has to be named above as free text."""
    manifest = json.loads((copied / "manifest.json").read_text())
    passed, tried = [], 0
    for holder, key, where in fields(manifest):
        if isinstance(holder[key], dict | list):
            continue
        before, holder[key] = holder[key], another(holder[key])
        if passes(manifest):
            passed.append(where)
        holder[key], tried = before, tried + 1
    assert passed == []
    assert tried > 150


def test_no_field_of_a_manifest_can_be_missing(copied, passes):
    """But those whose default is what they said."""
    manifest = json.loads((copied / "manifest.json").read_text())
    passed, tried = [], 0
    for holder, key, where in fields(manifest):
        if isinstance(holder, list):
            continue
        before = dict(holder)
        del holder[key]
        if passes(manifest):
            passed.append(where)
        holder.clear()
        holder.update(before)
        tried += 1
    assert passed == []
    assert tried > 200
