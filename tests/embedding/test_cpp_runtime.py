"""The C++ runtime beside Python: the same tensors, the same scores, the same words where something is wrong."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import schema_1
from support.cpp_programs import damage_manifest, start
from support.cpp_project import HAS_ONNXRUNTIME

from x3ddeploy.bundle import Bundle, EngineEntry
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour, HardwareCompatibility
from x3ddeploy.bundle.store import BundleUpdate, update
from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.errors import BundleError
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.files import sha256_of
from x3ddeploy.modalities.sampling import uniform_indices
from x3ddeploy.runtimes.registry import open_session
from x3ddeploy.tensorrt.place import Host, engine_path, plan_name
from x3ddeploy.terms import Precision

TINY = PRESETS["tiny"]
# Two builds of the same kernels may order a sum differently; a wrong weight or channel is far beyond this.
TOLERANCE = 1e-4


def scores_of(cli, *arguments):
    process = start(cli, *arguments, "--json")
    assert process.returncode == 0, process.stderr.decode()
    return np.array(json.loads(process.stdout)["scores"])


def in_python(bundle, inputs):
    session = open_session("openvino", bundle / "recognizer.onnx", threads=1)
    return session.run({name: inputs[name] for name in ("imgs", "heatmap_imgs")})


def golden(bundle):
    return {file.stem: np.load(file) for file in (bundle / "golden").glob("*.npy")}


def raw_video(random, frames, pose_frames, height, width, persons=2):
    """Noise, and persons that move about; lost joints are (0, 0) or NaN."""
    centre = random.uniform(0.3, 0.7, (persons, 1, 17, 2))
    spread = random.normal(0, 0.12, (persons, pose_frames, 17, 2))
    keypoints = ((centre + spread) * [width, height]).astype(np.float32)
    keypoints[random.random(keypoints.shape[:3]) < 0.1] = 0
    keypoints[0, 0, 3] = np.nan
    return {
        "frames": random.integers(0, 256, (frames, height, width, 3), dtype=np.uint8),
        "keypoints": keypoints,
        "keypoint_scores": random.uniform(0, 1, (persons, pose_frames, 17)).astype(np.float32),
    }


def prepared_in_python(video, clips):
    frames, keypoints = video["frames"], video["keypoints"]
    annotation = Annotation("clip", 0, frames.shape[1:3], keypoints.shape[1], keypoints, video["keypoint_scores"])
    indices = {
        "imgs": uniform_indices(len(frames), TINY.rgb_input.frames, clips),
        "heatmap_imgs": uniform_indices(keypoints.shape[1], TINY.pose_input.frames, clips),
    }
    return prepare_clips(frames.__getitem__, annotation, clip_inputs(TINY), indices)


# The bundle's own check on the machine that it is for.
def test_self_test_passes_and_fails_where_the_golden_output_differs(cli, bundle, tmp_path):
    process = start(cli, bundle, "--self-test")
    assert process.returncode == 0, process.stderr.decode()
    assert b"heatmap_imgs" in process.stdout
    copy = shutil.copytree(bundle, tmp_path / "copy")
    scores = np.load(copy / "golden" / "scores.npy")
    np.save(copy / "golden" / "scores.npy", scores + np.float32(1e-3))
    assert start(cli, copy, "--self-test").returncode == 3


@pytest.mark.openvino
def test_scores_of_ready_tensors_are_pythons(cli, bundle, tmp_path):
    golden_clip = golden(bundle)
    clip = tmp_path / "ready.npz"
    np.savez(clip, imgs=golden_clip["imgs"], heatmap_imgs=golden_clip["heatmap_imgs"])
    expected = in_python(bundle, golden_clip)["scores"][0]
    np.testing.assert_allclose(scores_of(cli, bundle, clip, "--runtime", "openvino"), expected, atol=TOLERANCE)
    np.testing.assert_allclose(scores_of(cli, bundle, clip), golden_clip["scores"][0], atol=TOLERANCE)
    cropped = scores_of(cli, bundle, bundle / "golden", "--cropped")
    np.testing.assert_allclose(cropped, golden_clip["scores"][0], atol=TOLERANCE)


@pytest.mark.openvino
def test_scores_of_a_raw_video_are_pythons(cli, bundle, tmp_path):
    pytest.importorskip("cv2")
    video = raw_video(np.random.default_rng(3), frames=11, pose_frames=23, height=70, width=50)
    np.savez(tmp_path / "video.npz", **video)
    expected = in_python(bundle, prepared_in_python(video, clips=3))["scores"].mean(0)
    actual = scores_of(cli, bundle, tmp_path / "video.npz", "--clips", 3)
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)
    # The same frames as a decoder writes them.
    (tmp_path / "video.rgb").write_bytes(video["frames"].tobytes())
    np.savez(tmp_path / "points.npz", keypoints=video["keypoints"], keypoint_scores=video["keypoint_scores"])
    raw = ("--frames", tmp_path / "video.rgb", "--size", "50x70", "--clips", 3)
    np.testing.assert_allclose(scores_of(cli, bundle, tmp_path / "points.npz", *raw), actual, atol=1e-7)


@pytest.mark.openvino
def test_fusion_weights_are_those_of_the_formula(cli, bundle):
    outputs = in_python(bundle, golden(bundle))
    exponents = [np.exp(outputs[f"{stream}_logits"][0].astype(np.float64)) for stream in ("rgb", "pose")]
    rgb, pose = (values / values.sum() for values in exponents)
    actual = scores_of(cli, bundle, bundle / "golden", "--cropped", "--fusion", "2:1")
    np.testing.assert_allclose(actual, (2 * rgb + pose) / 3, atol=TOLERANCE)


# Its headers are not in its wheel: `make test` gets them.
needs_onnxruntime = pytest.mark.skipif(not HAS_ONNXRUNTIME, reason="ONNX Runtime's headers are not there")


@needs_onnxruntime
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_onnx_runtime_passes_the_self_test(cli, quantized, precision):
    process = start(cli, quantized, "--self-test", "--runtime", "onnxruntime", "--precision", precision, "--json")
    assert process.returncode == 0, process.stderr.decode()
    assert json.loads(process.stdout)["runtime"].startswith("onnxruntime 1.")


@needs_onnxruntime
def test_onnx_runtime_gives_its_own_scores_of_a_raw_video(cli, bundle, tmp_path):
    pytest.importorskip("cv2")
    video = raw_video(np.random.default_rng(3), frames=11, pose_frames=23, height=70, width=50)
    np.savez(tmp_path / "video.npz", **video)
    session = open_session("onnxruntime", bundle / "recognizer.onnx", threads=1)
    expected = session.run(prepared_in_python(video, clips=3))["scores"].mean(0)
    command = (tmp_path / "video.npz", "--clips", 3, "--runtime", "onnxruntime")
    np.testing.assert_allclose(scores_of(cli, bundle, *command), expected, atol=TOLERANCE)
    process = start(cli, bundle, bundle / "golden", "--runtime", "onnxruntime", "--precision", "bf16")
    assert process.returncode == 4
    assert b"no bfloat16" in process.stderr


# A bundle that takes 2 clips at a time: three clips are two runs, and the filling counts for nothing.
@pytest.mark.openvino
def test_a_fixed_number_of_clips_is_no_limit_to_a_video(cli, bundle, checkpoint, run, tmp_path):
    pytest.importorskip("cv2")
    fixed = tmp_path / "fixed"
    process = run("export", checkpoint, "-o", fixed, "--batch", 2)
    assert process.returncode == 0, process.stderr
    np.savez(tmp_path / "video.npz", **raw_video(np.random.default_rng(5), 30, 30, height=70, width=50))
    expected = scores_of(cli, bundle, tmp_path / "video.npz", "--clips", 3)
    actual = scores_of(cli, fixed, tmp_path / "video.npz", "--clips", 3)
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)
    assert start(cli, fixed, "--self-test").returncode == 0
    assert start(cli, fixed, "--bench", "--seconds", 0).returncode == 0


# Crops that reach out of the frame, shrink and grow it; videos shorter and longer than a clip.
@pytest.mark.parametrize("case", range(8))
def test_prepared_tensors_are_pythons(cpp_build, bundle, tmp_path, case):
    pytest.importorskip("cv2")
    random = np.random.default_rng(case)
    frames, poses, height, width = map(int, random.integers((1, 1, 20, 20), (30, 40, 160, 200)))
    video = raw_video(random, frames, poses, height, width, persons=1 + case % 2)
    clips = 1 + case % 3
    np.savez(tmp_path / "video.npz", **video)
    program = cpp_build / "tests" / "x3ddeploy_prepare"
    process = start(program, bundle / "manifest.json", tmp_path / "video.npz", clips)
    assert process.returncode == 0, process.stderr.decode()
    expected = prepared_in_python(video, clips)
    actual = np.frombuffer(process.stdout, np.float32)
    imgs = expected["imgs"]
    np.testing.assert_allclose(actual[: imgs.size], imgs.ravel(), atol=TOLERANCE)
    np.testing.assert_allclose(actual[imgs.size :], expected["heatmap_imgs"].ravel(), atol=TOLERANCE)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no directory": shutil.rmtree,
    "no manifest": lambda bundle: (bundle / "manifest.json").unlink(),
    "newer schema": lambda bundle: damage_manifest(bundle, lambda m: m.update(schema_version=3)),
    "cut off": lambda bundle: (bundle / "manifest.json").write_bytes(b'{"schema_version": 1'),
    "missing field": lambda bundle: damage_manifest(bundle, lambda m: m.pop("deployed")),
    "wrong type": lambda bundle: damage_manifest(bundle, lambda m: m["inputs"]["imgs"].update(dtype=3)),
    "outside": lambda bundle: damage_manifest(
        bundle, lambda m: m["files"].update({"../x": {"sha256": "0" * 64, "size_bytes": 1}})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused_in_pythons_words(cli, bundle, tmp_path, damage):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    DAMAGES[damage](copy)
    with pytest.raises(BundleError) as error:
        Bundle.open(copy)
    process = start(cli, copy, "--self-test")
    assert (process.returncode, process.stderr.decode()) == (1, f"error: {error.value}\n")


@pytest.mark.openvino
def test_a_bundle_of_schema_1_runs(cli, bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    schema_1.rewrite(copy)
    assert start(cli, copy, "--self-test").returncode == 0
    np.testing.assert_array_equal(scores_of(cli, copy, copy / "golden"), scores_of(cli, bundle, bundle / "golden"))


@pytest.mark.openvino
def test_an_update_that_is_not_everywhere_in_place_is_the_bundle(cli, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy" / ".next")
    shutil.copytree(bundle / "golden", tmp_path / "copy" / "golden")
    np.save(tmp_path / "copy" / "golden" / "scores.npy", np.zeros((1, 2), np.float32))
    assert start(cli, tmp_path / "copy", "--self-test").returncode == 0


@pytest.mark.openvino
@pytest.mark.parametrize("damage", ["missing", "altered", "longer"])
def test_an_altered_graph_is_never_loaded(cli, bundle, tmp_path, damage):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    graph = copy / "recognizer.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    {
        "missing": graph.unlink,
        "altered": lambda: graph.write_bytes(content),
        "longer": lambda: graph.write_bytes(content + b"x"),
    }[damage]()
    process = start(cli, copy, "--self-test")
    assert process.returncode == 1
    assert Bundle.open(copy).altered_files()[0] in process.stderr.decode()


@pytest.mark.openvino
def test_a_graph_that_is_none_is_an_error_and_no_crash(cli, bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "recognizer.onnx").write_bytes(b"no graph")
    entry = {"sha256": sha256_of(copy / "recognizer.onnx"), "size_bytes": 8}
    damage_manifest(copy, lambda m: m["files"].update({"recognizer.onnx": entry}))
    process = start(cli, copy, "--self-test")
    assert process.returncode == 1
    assert process.stderr.startswith((b"error:", b"note:"))


@pytest.mark.openvino
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_scores_of_a_lower_precision_are_pythons(cli, quantized, precision):
    clip = golden(quantized)
    session = open_session("openvino", quantized / precision / "recognizer.onnx", threads=1)
    expected = session.run({name: clip[name] for name in ("imgs", "heatmap_imgs")})["scores"][0]
    actual = scores_of(cli, quantized, quantized / "golden", "--cropped", "--precision", precision, "--threads", 1)
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)
    assert np.abs(actual - clip["scores"][0]).max() > 1e-6, "these are the float32 graph's scores"
    assert start(cli, quantized, "--self-test", "--precision", precision).returncode == 0


def test_a_missing_precision_is_told_in_pythons_words(cli, bundle):
    with pytest.raises(BundleError) as error:
        Bundle.open(bundle).part_path("recognizer", "int8")
    process = start(cli, bundle, "--self-test", "--precision", "int8", "--runtime", "openvino")
    assert (process.returncode, process.stderr.decode()) == (1, f"error: {error.value}\n")


ENGINES: dict[str, dict[str, Any]] = {
    "fits": {},
    "another version": {"version": "8.6.0"},
    "another version, compatible": {"version": "10.9.0.1", "version_compatible": True},
    "another GPU": {"capability": "8.0"},
    "another GPU, compatible": {"capability": "8.0", "hardware_compatibility": HardwareCompatibility.AMPERE_PLUS},
    "built without a GPU": {"flavour": Flavour.RTX, "version": "1.7.1.116", "gpu": None, "capability": "8.9"},
    "another graph": {"sha256": "0" * 64},
    "another precision": {"precision": Precision.INT8},
}


# What a GPU would be needed for is only asked here: the rules and their words are the same on both sides.
@pytest.mark.parametrize("case", ENGINES)
def test_an_engine_fits_where_python_says_so_and_for_its_reasons(cpp_build, bundle, tmp_path, case):
    built: dict[str, Any] = {
        "version": "10.13.2.6",
        "gpu": "NVIDIA A100",
        "capability": "9.0",
        "sha256": None,
        **ENGINES[case],
    }
    version, gpu, capability, sha256 = (built.pop(name) for name in ("version", "gpu", "capability", "sha256"))
    copy = shutil.copytree(bundle, tmp_path / "copy")
    sha256 = sha256 or Bundle.open(copy).manifest.files["head.onnx"].sha256
    options: dict[str, Any] = {
        "flavour": Flavour.TENSORRT, "precision": Precision.FP32, "batches": Batches(1, 1, 8), **built
    }  # fmt: skip
    entry = EngineEntry("head", sha256, version, gpu, (capability,), None, BuildOptions(**options))
    name = plan_name(entry)
    contents = {name: b"plan", f"{name.removesuffix('.plan')}.json": b"{}"}
    opened = update(copy, lambda manifest: BundleUpdate(replace(manifest, engines={name: entry}), contents))
    host = Host("NVIDIA H200", "9.0", None, Flavour.TENSORRT, "10.13.2.6")
    try:
        assert engine_path(opened, "head", Precision.FP32, host).read_bytes() == b"plan"
        expected = name
    except BundleError as error:
        expected = str(error)
    process = start(cpp_build / "tests" / "x3ddeploy_fit", copy, "head", "fp32", host.gpu, "9.0", host.version)
    assert process.stdout.decode() == f"{expected}\n"


def test_a_runtime_that_is_not_built_in_is_told(cli, bundle):
    process = start(cli, bundle, "--self-test", "--runtime", "tensorrt")
    assert process.returncode == 4
    assert b"built without tensorrt" in process.stderr


def test_clips_that_do_not_fit_are_errors(cli, bundle, tmp_path):
    clip = golden(bundle)
    cases = {
        "short": {"imgs": clip["imgs"][:, :, :3], "heatmap_imgs": clip["heatmap_imgs"]},
        "half": {"imgs": clip["imgs"]},
        "joints": {
            "frames": clip["frames"][0],
            "keypoints": clip["keypoints"][0, :, :, :5],
            "keypoint_scores": clip["keypoint_scores"][0, :, :, :5, 0],
        },
    }
    expected = {"short": "'imgs' has shape (1, 3, 3, 32, 32), and the graph takes (N, 3, 4, 32, 32)"}
    expected |= {"half": "missing input 'heatmap_imgs'", "joints": "the video has 5 joints, and the network takes 17"}
    for name, arrays in cases.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        process = start(cli, bundle, tmp_path / f"{name}.npz")
        assert process.returncode == 1
        assert expected[name] in process.stderr.decode()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "short.npz").read_bytes()[:-40])
    np.savez_compressed(tmp_path / "compressed.npz", imgs=clip["imgs"])
    for name in ("cut", "compressed", "none"):
        process = start(cli, bundle, tmp_path / f"{name}.npz")
        assert process.returncode == 1
        assert "error: cannot read" in process.stderr.decode()


@pytest.mark.openvino
def test_where_nobody_is_there_is_no_label(cli, bundle, tmp_path):
    video = raw_video(np.random.default_rng(3), frames=11, pose_frames=23, height=70, width=50)
    np.savez(tmp_path / "nobody.npz", **{**video, "keypoints": np.zeros_like(video["keypoints"])})
    process = start(cli, bundle, tmp_path / "nobody.npz")
    assert (process.returncode, process.stdout) == (0, b"no person\n")
    record = json.loads(start(cli, bundle, tmp_path / "nobody.npz", "--json").stdout)
    assert (record["frames_with_persons"], record["top"]) == (0, [])
    shares = {**video, "keypoints": video["keypoints"] / np.array((50, 70), np.float32)}
    np.savez(tmp_path / "shares.npz", **shares)
    process = start(cli, bundle, tmp_path / "shares.npz")
    assert process.returncode == 1
    assert b"shares of the picture" in process.stderr


def test_bench_names_its_scopes(cli, bundle):
    process = start(cli, bundle, "--bench", "--seconds", 0, "--batch", 2, "--threads", 1, "--callers", 3, "--json")
    assert process.returncode == 0, process.stderr.decode()
    report = json.loads(process.stdout)
    assert report["callers"]["threads"] == 3
    assert min(report["callers"].values()) > 0
    assert set(report["scopes"]) == {"compute", "pipeline"}
    assert all(scope["min_ms"] <= scope["median_ms"] <= scope["p99_ms"] for scope in report["scopes"].values())
    video = ("--scope", "video", "--size", "90x70", "--clips", 3)
    process = start(cli, bundle, "--bench", "--seconds", 0, *video, "--json")
    ((name, scope),) = json.loads(process.stdout)["scopes"].items()
    assert name == "video"
    assert min(scope["prepare_median_ms"], scope["runtime_median_ms"]) > 0
    assert start(cli, bundle, "--bench", "--scope", "video").returncode == 2
