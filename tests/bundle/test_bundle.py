"""Opening a bundle: a foreign, damaged or hostile one is refused by name."""

import json
import shutil
import time

import pytest

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle import opened as module
from x3ddeploy.errors import BundleError
from x3ddeploy.files import sha256_of


def changed(bundle, tmp_path, change):
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_a_good_bundle_opens_with_its_parts(bundle):
    opened = Bundle.open(bundle)
    assert opened.part_path("head") == bundle / "head.onnx"
    assert opened.altered_files() == []
    assert opened.labels() is None


def test_a_file_that_rests_is_hashed_once_and_one_that_was_written_since_again(bundle, tmp_path, monkeypatch):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    hashed = []

    def counted(path):
        hashed.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(module, "sha256_of", counted)
    opened = Bundle.open(copy)
    assert opened.alteration("head.onnx") == opened.alteration("head.onnx") == ""
    assert len(hashed) == 2  # written a moment ago: the clock may not tell another writing from it
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert opened.alteration("head.onnx") == opened.alteration("head.onnx") == ""
    assert len(hashed) == 3
    content = (copy / "head.onnx").read_bytes()
    (copy / "head.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert opened.alteration("head.onnx") == "its sha256 differs"


def test_a_part_that_is_not_there_is_named(bundle):
    with pytest.raises(BundleError, match=r"has no int8/head.onnx"):
        Bundle.open(bundle).part_path("head", "int8")


def test_a_directory_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"holds no manifest.json"):
        Bundle.open(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        Bundle.open(tmp_path / "none")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version": 1}', b"{" * 100_000])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(BundleError, match="not a valid manifest"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "C:\\x", "..\\x", ""])
def test_paths_that_lead_outside_are_refused(bundle, tmp_path, name):
    path = changed(bundle, tmp_path, lambda m: m["files"].update({name: {"sha256": "0", "size_bytes": 1}}))
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["inputs"]["imgs"]["shape"].__setitem__(0, "many"),
        lambda m: m["inputs"]["imgs"].update(kind="smells"),
        lambda m: m["inputs"]["imgs"].update(dtype="float16"),
        lambda m: m["inputs"]["heatmap_imgs"].update(keypoint_order="any"),
        lambda m: m["inputs"].update({"../imgs": m["inputs"]["imgs"]}),
        lambda m: m["inputs"]["imgs"]["pipeline"][-1]["parameters"].update(std=[1, 0, 1]),
        lambda m: m["inputs"]["imgs"]["pipeline"][-1]["parameters"].update(mean=[1, 1]),
        lambda m: m["inputs"]["heatmap_imgs"]["pipeline"][-1]["parameters"].update(sigma=-1),
        lambda m: m["files"].update(x=3),
        lambda m: m.pop("model"),
        lambda m: m.update(deployed="none"),
        lambda m: m["parts"]["head"]["inputs"].append("sound"),
        lambda m: m["parts"].pop("recognizer"),
        lambda m: m["parts"].update({"\x1b[2J": m["parts"]["head"]}),
        lambda m: m["preprocessing"].update(head={"inputs": {}, "outputs": []}),
        lambda m: m["preprocessing"].update(front={"inputs": {}, "outputs": ["scores"]}),
    ],
)
def test_values_of_the_wrong_kind_are_refused(bundle, tmp_path, change):
    with pytest.raises(BundleError, match="not a valid manifest"):
        Bundle.open(changed(bundle, tmp_path, change))


def test_a_newer_schema_is_refused_before_it_is_understood(bundle, tmp_path):
    path = changed(bundle, tmp_path, lambda m: m.update(schema_version=3, parts="unheard of"))
    with pytest.raises(BundleError, match="schema version 3"):
        Bundle.open(path)
