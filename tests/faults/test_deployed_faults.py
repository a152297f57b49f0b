"""Each single fault of a finished bundle is found by `x3ddeploy verify`, whatever the manifest's sha256 say."""

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.faults.editing import edited
from support.faults.float_graphs import EVERY_FORM, FRAMES
from support.faults.golden_data import EDITS, OUTPUT_EDITS
from support.faults.scales import LOST_BIASES, SCALES, WEIGHTS

from x3ddeploy.bundle import MANIFEST, Bundle, seal
from x3ddeploy.bundle.paths import golden_folder, graph_name
from x3ddeploy.errors import BundleError, GateError
from x3ddeploy.parity.verify import verify_bundle
from x3ddeploy.runtimes.registry import choose

PRECISIONS = ("fp32", "fp16", "int8")
# The golden clip is one clip: what mixes the clips of a batch is for the export's parity (test_float32_faults.py).
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
    **{f"fp32: {name}": ("fp32", *fault) for name, fault in FLOAT32.items()},
    **{f"fp16: {name}": ("fp16", *fault) for name, fault in {**LOST_BIASES, **WEIGHTS}.items()},
    **{f"int8: {name}": ("int8", *fault) for name, fault in {**LOST_BIASES, **WEIGHTS, **SCALES}.items()},
}
GOLDEN = {
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
    kept = {name: made for name, made in manifest.precisions.items() if name == precision}
    opened = Bundle(path, replace(manifest, precisions=kept))
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


@pytest.mark.parametrize("name", GOLDEN)
def test_a_fault_of_golden_data_is_found(copy, name):
    precision, tensor, edit = GOLDEN[name]
    file = copy / golden_folder(precision) / f"{tensor}.npy"
    np.save(file, edit(np.load(file)))
    with pytest.raises((GateError, BundleError)):
        verdict(copy, precision)
