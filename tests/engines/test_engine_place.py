"""Engines are loaded where they fit and nowhere else; the error says what they were built on and how to rebuild."""

import json
import shutil
from dataclasses import replace

import msgspec
import pytest
from support.batches import fixed_to

from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.check import problems_of
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour, HardwareCompatibility
from x3ddeploy.engines.shapes import parse_shapes, profile_from
from x3ddeploy.errors import BundleError, UsageError, X3DDeployError
from x3ddeploy.tensorrt.place import Host, engine_path, misfit, plan_name
from x3ddeploy.terms import Precision

FP16 = Precision.FP16
OPTIONS = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 8))
ENTRY = EngineEntry("head", "", "10.16.1.11", "NVIDIA H200", ("9.0",), "580.1", OPTIONS)
HOST = Host("NVIDIA H200", "9.0", "580.1", Flavour.TENSORRT, "10.16.1.11")


def with_options(**changes):
    return replace(ENTRY, options=replace(OPTIONS, **changes))


def test_names_tell_gpu_architecture_and_version():
    assert plan_name(ENTRY) == "engines/nvidia-h200-sm90-trt10.16.1.11/head.fp32.plan"
    rtx = EngineEntry("head", "", "1.7.1", None, ("8.9", "12.0"), None, replace(OPTIONS, flavour=Flavour.RTX))
    assert plan_name(rtx) == "engines/any-sm89-sm120-trtrtx1.7.1/head.fp32.plan"


@pytest.mark.parametrize(
    ("entry", "host", "problem"),
    [
        (ENTRY, HOST, ""),
        (ENTRY, replace(HOST, version="11.4.0"), "built with TensorRT 10.16.1.11, and 11.4.0 is installed"),
        (with_options(version_compatible=True), replace(HOST, version="11.4.0"), ""),
        (with_options(version_compatible=True), replace(HOST, version="12.0.0"), "and 12.0.0 is installed"),
        (with_options(version_compatible=True), replace(HOST, version="10.9.0"), "and 10.9.0 is installed"),
        (
            replace(with_options(version_compatible=True), version="8.6.0"),
            replace(HOST, version="11.4.0"),
            "built with TensorRT 8.6.0, and 11.4.0 is installed",
        ),
        (replace(with_options(version_compatible=True), version="8.6.0"), replace(HOST, version="10.16.1"), ""),
        (
            ENTRY,
            replace(HOST, gpu="NVIDIA L4", compute_capability="8.9"),
            "built for compute capability 9.0 on NVIDIA H200",
        ),
        (ENTRY, replace(HOST, gpu=None, compute_capability=None), "there is no GPU"),
        (ENTRY, replace(HOST, flavour=Flavour.RTX), "and this is TensorRT-RTX"),
        (
            with_options(hardware_compatibility=HardwareCompatibility.AMPERE_PLUS),
            replace(HOST, compute_capability="12.0"),
            "",
        ),
        (
            with_options(hardware_compatibility=HardwareCompatibility.AMPERE_PLUS),
            replace(HOST, gpu="NVIDIA T4", compute_capability="7.5"),
            "this is NVIDIA T4 of compute capability 7.5",
        ),
    ],
)
def test_an_engine_fits_or_says_why_not(entry, host, problem):
    found = misfit(entry, host)
    assert problem in found
    assert bool(found) == bool(problem)


@pytest.fixture
def filled(bundle, tmp_path):
    """A bundle with an engine of its head, and the engine's name."""
    path = shutil.copytree(bundle, tmp_path / "filled")
    entry = replace(ENTRY, graph_sha256=Bundle.open(path).manifest.files["head.onnx"].sha256)
    opened = add_engine(path, plan_name(entry), entry, b"a plan", json.dumps({}).encode())
    return opened, plan_name(entry)


def of_recognizer(opened):
    return replace(ENTRY, part="recognizer", graph_sha256=opened.manifest.files["recognizer.onnx"].sha256)


def test_an_engine_that_fits_is_read(filled):
    assert engine_path(filled[0], "head", Precision.FP32, HOST).read_bytes() == b"a plan"


def test_the_manifest_has_engine_and_report_and_still_holds(filled):
    opened, name = filled
    again = Bundle.open(opened.path)
    assert again.manifest.engines[name].gpu == "NVIDIA H200"
    assert {name, name.replace(".plan", ".json")} <= set(again.manifest.files)
    assert again.altered_files() == []


def test_what_the_manifest_says_of_an_engine_is_what_its_report_says(filled):
    opened, name = filled
    entry = opened.manifest.engines[name]
    path = add_engine(opened.path, name, entry, b"a plan", msgspec.json.encode({"entry": entry})).path
    assert problems_of(Bundle.open(path)) == []
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["engines"][name]["compute_capabilities"] = ["8.9"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = problems_of(Bundle.open(path))
    assert problem.startswith(f"engines.{name}: it is not that of")


def test_engines_added_from_an_old_manifest_are_all_kept(filled):
    """Two builds into one bundle: each read the manifest before the other wrote it."""
    opened, name = filled
    other = of_recognizer(opened)
    add_engine(opened.path, plan_name(other), other, b"another", b"{}")
    assert set(Bundle.open(opened.path).manifest.engines) == {name, plan_name(other)}


def test_an_engine_is_replaced_by_a_new_one_of_its_name(filled):
    opened, name = filled
    entry = replace(opened.manifest.engines[name], driver="590")
    again = add_engine(opened.path, name, entry, b"a newer plan", b"{}")
    assert again.manifest.engines[name].driver == "590"
    assert Bundle.open(opened.path).altered_files() == []


def test_a_failed_write_leaves_what_was_there(filled, monkeypatch):
    opened, _ = filled
    before = (opened.path / "manifest.json").read_bytes()

    def refuse(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("x3ddeploy.bundle.store.write_bytes", refuse)
    other = of_recognizer(opened)
    with pytest.raises(X3DDeployError, match="No space left"):
        add_engine(opened.path, plan_name(other), other, b"another", b"{}")
    assert (opened.path / "manifest.json").read_bytes() == before
    assert engine_path(Bundle.open(opened.path), "head", Precision.FP32, HOST).read_bytes() == b"a plan"


def test_another_version_is_refused_with_the_command_that_rebuilds(filled):
    with pytest.raises(BundleError, match="fits this machine") as error:
        engine_path(filled[0], "head", Precision.FP32, replace(HOST, version="11.4.0"))
    assert "built with TensorRT 10.16.1.11, and 11.4.0 is installed" in error.value.details[0]
    assert f"x3ddeploy build-trt {filled[0].path}" in error.value.hint


def test_an_altered_engine_is_refused(filled):
    opened, name = filled
    (opened.path / name).write_bytes(b"b plan")
    with pytest.raises(BundleError) as error:
        engine_path(opened, "head", Precision.FP32, HOST)
    assert "its sha256 differs" in error.value.details[0]


def test_an_engine_of_an_older_graph_is_refused(filled):
    opened, name = filled
    stale = replace(opened.manifest.engines[name], graph_sha256="0" * 64)
    manifest = replace(opened.manifest, engines={name: stale})
    with pytest.raises(BundleError) as error:
        engine_path(Bundle(opened.path, manifest), "head", Precision.FP32, HOST)
    assert "built from another head.onnx" in error.value.details[0]


def test_an_engine_that_was_never_built_names_the_command(filled):
    with pytest.raises(BundleError, match="has no fp16 engine of head") as error:
        engine_path(filled[0], "head", FP16, HOST)
    assert error.value.hint.endswith("--fp16")


def test_an_export_over_engines_says_what_would_be_lost(filled, run, checkpoint):
    process = run("export", checkpoint, "-o", filled[0].path)
    assert process.returncode == 1
    assert filled[1] in process.stderr


# --- profiles --------------------------------------------------------------------------------------------------------


def batches(bundle, minimum="", optimum="", maximum=""):
    shapes = [parse_shapes(text) if text else {} for text in (minimum, optimum, maximum)]
    return profile_from(Bundle.open(bundle).manifest, *shapes).batches


def test_profiles_are_read_as_trtexec_reads_them(bundle):
    assert batches(bundle) == Batches(1, 1, 8)
    assert batches(bundle, maximum="imgs:32x3x4x32x32,heatmap_imgs:32x17x6x16x16") == Batches(1, 1, 32)
    assert batches(bundle, "imgs:2x3x4x32x32", "imgs:4x3x4x32x32", "imgs:4x3x4x32x32") == Batches(2, 4, 4)
    assert batches(bundle, minimum="imgs:16x3x4x32x32") == Batches(16, 16, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imgs=1x3", "not of the form"),
        ("imgs:1x3x", "not of the form"),
        ("clip:1x3x4x32x32", "no graph has an input 'clip'"),
        ("imgs:1x3x8x32x32", "fixed at export"),
        ("imgs:1x3x4x32x32,heatmap_imgs:2x17x6x16x16", "all inputs share N"),
        ("imgs:0x3x4x32x32", "not of the form"),
    ],
)
def test_shapes_that_make_no_profile_are_refused(bundle, text, message):
    with pytest.raises(UsageError, match=message):
        batches(bundle, maximum=text)


def test_a_minimum_over_the_maximum_is_refused(bundle):
    with pytest.raises(UsageError, match="9 to 8"):
        batches(bundle, minimum="imgs:9x3x4x32x32", maximum="imgs:8x3x4x32x32")


def test_a_fixed_batch_takes_no_other(bundle):
    opened = Bundle.open(bundle)
    manifest = fixed_to(opened, 2).manifest
    assert profile_from(manifest, {}, {}, {}).batches == Batches(2, 2, 2)
    with pytest.raises(UsageError, match="2 clips at a time"):
        profile_from(manifest, {}, {}, {"imgs": (4, 3, 4, 32, 32)})


def test_persons_are_asked_for_as_clips_are(bundle):
    manifest = Bundle.open(bundle).manifest
    assert profile_from(manifest, {}, {}, {}).persons == Batches(1, 2, 16)
    crowd = profile_from(manifest, {}, {}, parse_shapes("keypoints:4x32x6x17x2,keypoint_scores:4x32x6x17x1"))
    assert (crowd.batches, crowd.persons) == (Batches(1, 1, 4), Batches(1, 2, 32))
    assert profile_from(manifest, {}, {}, parse_shapes("keypoints:4x1x6x17x2")).persons == Batches(1, 1, 1)
    with pytest.raises(UsageError, match="ask for 2, 3 persons at once"):
        profile_from(manifest, {}, {}, parse_shapes("keypoints:4x2x6x17x2,keypoint_scores:4x3x6x17x1"))
