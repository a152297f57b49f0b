"""Bundles that were made before schema 2 open, are checked and are written on as they are."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from support import schema_1

from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.errors import BundleError
from x3ddeploy.terms import Precision


@pytest.fixture
def old(bundle, tmp_path):
    path = shutil.copytree(bundle, tmp_path / "old", copy_function=os.link)
    schema_1.rewrite(path)
    return path


def alter(path, change):
    document = json.loads((path / "manifest.json").read_text())
    change(document)
    (path / "manifest.json").write_text(json.dumps(document))


def test_says_what_the_same_bundle_says_today(bundle, old):
    assert json.loads((old / "manifest.json").read_text())["schema_version"] == 1
    manifest = Bundle.open(bundle).manifest
    parts = {name: replace(part, blocks=()) for name, part in manifest.parts.items()}  # which it did not know
    opened = open_whole(old).manifest
    assert opened == replace(manifest, parts=parts, files=opened.files)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.pop("fusion"), "missing required field `fusion`"),
        (lambda m: m.update(batch="many"), "Expected `int | null`"),
        (lambda m: m.update(fusion=[0, 0]), "all zero"),
        (lambda m: m.update(fusion=[-1, 2]), "negative"),
        (lambda m: m["spec"]["rgb"].update(fold_div=None), "Expected `int`"),
        (lambda m: m["spec"]["rgb_input"].update(frames=0), "invalid model specification"),
        (lambda m: m["spec"]["head"].update(classes=10**9), "1000000000"),
        (lambda m: m["tensors"].update({"../x": {"inputs": {}, "outputs": {}}}), "'../x' is no name for a file"),
    ],
)
def test_what_cannot_be_is_refused(old, change, problem):
    alter(old, change)
    with pytest.raises(BundleError, match="not a valid manifest") as error:
        Bundle.open(old)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m["spec"]["rgb_input"].update(mean=[0, 0, 0]), "rgb_input.mean"),
        (lambda m: m.update(fusion=[1, 2]), "its fusion"),
    ],
)
def test_what_its_graphs_contradict_is_refused(old, change, problem):
    alter(old, change)
    with pytest.raises(BundleError) as error:
        open_whole(old)
    assert problem in str(error.value)


def test_a_change_writes_it_in_todays_schema(old, bundle):
    graph = Bundle.open(old).manifest.files["head.onnx"].sha256
    options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 1))
    entry = EngineEntry("head", graph, "10.1", None, ("9.0",), None, options)
    add_engine(old, "engines/x/head.fp32.plan", entry, b"plan", b"{}")
    assert json.loads((old / "manifest.json").read_text())["schema_version"] == 2
    assert open_whole(old).contract.scores == Bundle.open(bundle).contract.scores
