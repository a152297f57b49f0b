"""Each single fault of a finished bundle is found by `x3ddeploy verify`, whatever the manifest's sha256 say."""

import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.faults.editing import edited
from support.faults.float_graphs import EVERY_FORM, FRAMES
from support.faults.golden_data import EDITS, OUTPUT_EDITS
from support.faults.scales import LOST_BIASES, SCALES, WEIGHTS

from x3ddeploy import verification as verify
from x3ddeploy.bundle import MANIFEST, Bundle, seal
from x3ddeploy.bundle.metadata import PartMetadata
from x3ddeploy.bundle.paths import golden_folder, graph_name
from x3ddeploy.calibration.cache import Calibration
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.files import read_json
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer
from x3ddeploy.runtimes.choice import choose
from x3ddeploy.verification import verify_bundle

PRECISIONS = ("fp32", "fp16", "int8")
LEAKS = {
    name: {**FRAMES, **EVERY_FORM}[name]
    for name in (
        "shift: frames of neighbouring clips meet",
        "squeeze: mean over all clips of the batch",
        "head: the first clip's features for all",
        "scores: softmax over the clips",
    )
}
FLOAT32 = {
    name: {**FRAMES, **EVERY_FORM}[name]
    for name in (
        "shift: directions exchanged",
        "shift: two frames instead of one",
        "squeeze: mean of the first frame",
        "input: one frame late",
        "weights of one channel 1 % larger",
        "swish: ReLU instead",
        "residual missing",
        "head: coarse logits exchanged",
        "scores: one stream alone",
    )
}
GRAPHS = {
    **{f"fp32: {name}": ("fp32", *fault) for name, fault in {**FLOAT32, **LEAKS}.items()},
    **{f"fp16: {name}": ("fp16", *fault) for name, fault in {**LOST_BIASES, **WEIGHTS, **LEAKS}.items()},
    **{f"int8: {name}": ("int8", *fault) for name, fault in {**LOST_BIASES, **WEIGHTS, **SCALES, **LEAKS}.items()},
}
GOLDEN: dict[str, tuple[str, str, Callable[[np.ndarray], np.ndarray]]] = {
    f"{precision}: {name}": (precision, *fault)
    for precision in PRECISIONS
    for name, fault in (EDITS if precision == "fp32" else OUTPUT_EDITS).items()
}


@pytest.fixture
def copy(deployed, tmp_path):
    return shutil.copytree(deployed.path, tmp_path / "deploy")


def verdict(path, precision):
    """Verify the float32 graphs, or those of one lower precision, sealed as they are now; raises what a user sees."""
    manifest = Bundle.open(path).manifest
    (path / MANIFEST).unlink()
    manifest = seal(path, manifest)
    left_out = {name for name in manifest.precisions if name != precision}
    precisions = {name: made for name, made in manifest.precisions.items() if name not in left_out}
    files = {name: entry for name, entry in manifest.files.items() if left_out.isdisjoint(name.split("/"))}
    opened = Bundle(path, replace(manifest, precisions=precisions, files=files))
    verify_bundle(opened, choose(opened, ["onnxruntime"]), False, None, lambda text: None).raise_for_failures()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_right_bundle_passes(copy, precision):
    verdict(copy, precision)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_fault_of_a_graph_is_found(copy, name):
    precision, part, edit = GRAPHS[name]
    for each in (part, "recognizer"):
        file = copy / graph_name(each, precision)
        right = file.read_bytes()
        file.write_bytes(edited(onnx.load(file), edit).SerializeToString())
        with pytest.raises(GateError):
            verdict(copy, precision)
        file.write_bytes(right)


def test_a_layer_that_stayed_float_without_a_word_is_found(copy):
    bundle = Bundle.open(copy)
    calibration: Calibration = read_json(copy / bundle.manifest.precisions["int8"].calibration, Calibration)
    quantizer = Quantizer(target_named(bundle.manifest.target), calibration.ranges())
    sites = {site.node for site in quantizer.eligible(onnx.load(bundle.part_path("recognizer")))}
    for part in ("rgb_backbone", "recognizer"):
        graph = onnx.load(bundle.part_path(part))
        fewer = quantizer.quantize(graph, sites - {"rgb_backbone/layer1.0/conv1/Conv"})
        stamped = replace(PartMetadata.of(graph), precision="int8").stamped(fewer)
        (copy / graph_name(part, "int8")).write_bytes(stamped.SerializeToString())
    with pytest.raises(GateError, match="not quantized, and the manifest does not say so"):
        verdict(copy, "int8")


# What squeeze-and-excitation does to one block of this network is less than INT8's rounding: reading finds that leak.
RUNNING_LEAKS = [
    (precision, name)
    for precision in PRECISIONS
    for name in LEAKS
    if (precision, name) != ("int8", "squeeze: mean over all clips of the batch")
]


@pytest.mark.parametrize(("precision", "name"), RUNNING_LEAKS)
def test_a_leak_between_clips_is_found_by_running_alone(copy, precision, name, monkeypatch):
    """It does not change the golden clip where that is the only one, and graphs are not read against float32's."""
    monkeypatch.setattr(verify, "require_stored_faithful", lambda *arguments: None)
    part, edit = LEAKS[name]
    file = copy / graph_name(part, precision)
    file.write_bytes(edited(onnx.load(file), edit).SerializeToString())
    with pytest.raises(GateError, match="among others"):
        verdict(copy, precision)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_fault_of_golden_data_is_found(copy, name):
    precision, tensor, edit = GOLDEN[name]
    file = copy / golden_folder(precision) / f"{tensor}.npy"
    np.save(file, edit(np.load(file)))
    with pytest.raises((GateError, BundleError)):
        verdict(copy, precision)


def test_a_precision_of_an_older_version_is_skipped_with_the_whole_command_that_makes_it_anew(deployed):
    manifest = deployed.manifest
    made = {name: replace(entry, rounding={}) for name, entry in manifest.precisions.items()}
    newer = ("golden/fp16", "golden/int8", "fp16/report.json", "int8/report.json")
    files = {name: entry for name, entry in manifest.files.items() if not name.startswith(newer)}
    opened = Bundle(deployed.path, replace(manifest, precisions=made, files=files))
    skipped = verify_bundle(opened, choose(opened, ["onnxruntime"]), False, None, lambda text: None).skipped
    for name in ("fp16", "int8"):
        (note,) = [line for line in skipped if "older version" in line and f"--{name}" in line]
        assert f"`x3ddeploy quantize {deployed.path} --{name}` makes it anew" in note
