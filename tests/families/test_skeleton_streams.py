"""Joint, bone and motion networks as one bundle: each stream computes what its own network does, fused by weights."""

import json

import numpy as np
import pytest
import torch
from support.command import done, told
from support.recognizers import save
from support.skeletons import write
from support.small_recognizers import STGCN, STGCNPP, stgcn

from x3ddeploy.data.sources import open_source
from x3ddeploy.errors import UsageError
from x3ddeploy.families.base import Wishes
from x3ddeploy.loading import load_network, load_streams

pytest.importorskip("mmaction")

FEATS = ("j", "b", "jm", "bm")
STREAMS = ["joint", "bone", "joint_motion", "bone_motion"]
FUSION = (2.0, 2.0, 1.0, 1.0)


def config_of_stream(feature, **changed):
    config = stgcn(STGCNPP)
    config["test_pipeline"][1]["feats"] = [feature]
    config["test_pipeline"][2].update(changed)
    return config


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    return [save(folder / f"{feature}.pth", config_of_stream(feature), seed=seed) for seed, feature in enumerate(FEATS)]


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "a.pkl", train=range(4), val=range(4, 10))


@pytest.fixture(scope="module")
def deployed(checkpoints, annotations, tmp_path_factory, run):
    folder = tmp_path_factory.mktemp("bundle") / "deploy"
    done(
        run,
        ("export", *checkpoints, "--fusion", "2:2:1:1", "-o", folder),
        ("quantize", folder, "--int8", "--calib", annotations, "--max-drop", "100"),
    )
    return folder


def test_each_stream_is_its_own_network(checkpoints, annotations):
    joined = load_streams(checkpoints, Wishes(fusion=FUSION)).network
    contract = joined.contract()
    assert contract.inputs["keypoint"].clip_shape == (2, 8, 17, 12)
    assert list(contract.logits) == STREAMS
    assert [part for part in contract.parts if part.endswith("_backbone")] == [f"{name}_backbone" for name in STREAMS]
    clip = open_source(annotations, contract, "val").load(3).inputs["keypoint"]
    with torch.inference_mode():
        given = joined(keypoint=torch.from_numpy(clip))
    fused = 0
    for path, name, weight in zip(checkpoints, STREAMS, FUSION, strict=True):
        alone = load_network(path).network
        own = open_source(annotations, alone.contract(), "val").load(3).inputs["keypoint"]
        with torch.inference_mode():
            expected = alone(keypoint=torch.from_numpy(own))
        torch.testing.assert_close(given[f"{name}_logits"], expected["logits"], rtol=0, atol=0)
        fused = fused + weight / sum(FUSION) * expected["scores"]
    torch.testing.assert_close(given["scores"], fused)


def test_one_bundle_goes_through_the_verbs(run, deployed, annotations):
    assert json.loads(told(run, "verify", deployed, "--runtime", "torch", "--runtime", "onnxruntime"))["passed"]
    report = json.loads(told(run, "eval", deployed, "--data", annotations, "--split", "val"))
    assert report["deployed"] == "fused"
    assert all(list(result["scores"]) == [*STREAMS, "fused"] for result in report["results"])
    assert {result["precision"] for result in report["results"]} == {"fp32", "int8"}
    line = json.loads(told(run, "predict", "c2", "--keypoints", annotations, "--bundle", deployed, "--top-k", "5"))
    shares = np.array(FUSION) / sum(FUSION)
    by_class = [{entry["class"]: entry["score"] for entry in line[name]} for name in (*STREAMS, "fused")]
    expected = [sum(share * of[label] for share, of in zip(shares, by_class, strict=False)) for label in range(5)]
    np.testing.assert_allclose([by_class[-1][label] for label in range(5)], expected, atol=1e-6)
    manifest = json.loads((deployed / "manifest.json").read_text())
    assert manifest["source"]["name"] == "j.pth + b.pth + jm.pth + bm.pth"
    assert sum(note.startswith("made of ") for note in manifest["notes"]) == 4


@pytest.mark.families
def test_bench_times_the_streams_as_one_network(run, deployed, tmp_path):
    names = {"onnxruntime/fp32", "onnxruntime/int8", "torch/eager"}
    options = ("--scope", "compute", "--scope", "pipeline", "--seconds", "0.2", "-o", tmp_path / "bench")
    report = json.loads(told(run, "bench", deployed, *(f"--only={name}" for name in names), *options))
    assert {row["name"] for row in report["competitors"]} == names
    assert report["absent"] == []


@pytest.mark.families
@pytest.mark.parametrize("precision", ["--fp16", "--int8"])
def test_tensorrt_rtx_builds_each_stream_and_what_fuses_them(run, deployed, precision):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (pip install 'x3ddeploy[tensorrt-rtx]')")
    report = json.loads(told(run, "build-trt", deployed, "--rtx", "--compute-capability", "8.9", precision))
    parts = json.loads((deployed / "manifest.json").read_text())["parts"]
    assert {made["entry"]["part"] for made in report["engines"]} == set(parts)
    assert sum(part.endswith("_backbone") for part in parts) == len(STREAMS)


def test_what_makes_no_one_network_is_refused(tmp_path, checkpoints, checkpoint):
    def refused(*paths, fusion=None):
        with pytest.raises(UsageError) as caught:
            load_streams(paths, Wishes(fusion=fusion))
        return str(caught.value)

    joint, bone, *_ = checkpoints
    assert "given twice" in refused(joint, joint)
    again = save(tmp_path / "again.pth", config_of_stream("j"), seed=9)
    assert "j.pth and again.pth are both of the stream joint" in refused(joint, again)
    assert "given 3 weights, and there are 2 streams" in refused(joint, bone, fusion=(1.0, 1.0, 1.0))
    assert "make no one network" in refused(joint, checkpoint)
    shorter = save(tmp_path / "short.pth", config_of_stream("b", clip_len=6))
    assert "differ in their test pipelines: UniformSampleFrames" in refused(joint, shorter)
    both = config_of_stream("b")
    both["test_pipeline"][1]["feats"] = ["j", "b"]
    both["model"]["backbone"]["in_channels"] = 6
    assert "takes the features j, b" in refused(joint, save(tmp_path / "both.pth", both))
    space = stgcn(STGCN)
    space["test_pipeline"][1]["feats"] = ["b"]
    assert "differ in the steps of their test pipelines" in refused(joint, save(tmp_path / "space.pth", space))
    few = config_of_stream("b")
    few["model"]["cls_head"]["num_classes"] = 4
    assert "differ in their classes" in refused(joint, save(tmp_path / "few.pth", few))
