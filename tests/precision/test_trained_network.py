"""INT8 of a small network trained on synthetic actions, judged on people whom it never saw."""

import json

import numpy as np
import pytest
import torch
from support import quantizing
from support.shared import once
from support.trained_network import CLASSES, CONTRACT, data_set, kept_network, trained_network

from x3ddeploy.bundle import Bundle
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.sources import open_source
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict
from x3ddeploy.runtimes.registry import open_session


@pytest.fixture(scope="module")
def actions(tmp_path_factory):
    """Fewer clips than it was trained on; as many people, and the same one is for judging."""
    return once(tmp_path_factory, "actions", lambda folder: str(data_set(folder / "synth", 24)))[0] / "synth"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The checkpoint of a network that is far better than chance: what follows measures something."""
    path = tmp_path_factory.mktemp("trained") / "trained.pth"
    torch.save(checkpoint_dict(kept_network()), path)
    return path


@pytest.fixture(scope="module", params=["tensorrt", pytest.param("openvino", marks=pytest.mark.openvino)])
def quantized(request, trained, actions, run, tmp_path_factory):
    """The network's INT8 bundle of a target, and what `quantize` reported."""
    path = tmp_path_factory.mktemp("quantized") / "deploy"
    assert run("export", trained, "-o", path, "--target", request.param, "--verify-tol", "1e-4").returncode == 0
    with quantizing.with_sensitivities():
        process = run("quantize", path, "--int8", "--calib", actions, "--calib-clips", "60", "--json")
    assert process.returncode == 0, process.stderr
    return path, json.loads(process.stdout)["precisions"][0]


def test_int8_keeps_the_accuracy_of_both_streams_on_people_never_seen(quantized):
    _, made = quantized
    for name, entry in made["accuracy"].items():
        assert entry["top1_before"] > 3 * 100 / CLASSES, name  # it did learn
        assert entry["top1_before"] - entry["top1_after"] <= 0.5, (name, entry)
        assert entry["agreement"] >= 0.95
    blocks = {entry["unit"]["name"] for entry in made["sensitivities"] if "backbone/" in entry["unit"]["name"]}
    given_up = [name for name in made["float_layers"] if name in blocks]
    assert len(given_up) <= len(blocks) // 4, given_up  # most of it is INT8


@pytest.mark.openvino
@pytest.mark.parametrize("quantized", ["openvino"], indirect=True)
def test_both_runtimes_agree_on_int8(quantized, actions):
    path, _ = quantized
    source = open_source(actions, CONTRACT, "xsub_val")
    file = Bundle.open(path).part_path("recognizer", "int8")
    sessions = [open_session(runtime, file) for runtime in ("onnxruntime", "openvino")]
    clips = list(iterate_clips(source))
    for name in ("rgb_logits", "pose_logits", "scores"):
        classes = [[int(session.run(clip.inputs)[name].argmax()) for clip in clips] for session in sessions]
        agreeing = sum(first == second for first, second in zip(*classes, strict=True)) / len(clips)
        assert agreeing >= 0.95, name


def right_answers(network, clips, order):
    right = 0
    for clip in clips:
        inputs = {name: torch.from_numpy(value[:, :, order(value.shape[2])]) for name, value in clip.inputs.items()}
        with torch.inference_mode():
            right += int(network(**inputs)["scores"].argmax()) == clip.label
    return right


def test_frames_in_random_order_tell_less(actions):
    """Without the temporal shift the network would see the same in any order."""
    clips = list(iterate_clips(open_source(actions, CONTRACT, "xsub_val")))
    ordered = right_answers(kept_network(), clips, np.arange)
    assert ordered > 0.75 * len(clips)
    assert ordered - right_answers(kept_network(), clips, np.random.default_rng(0).permutation) >= 0.06 * len(clips)


@pytest.mark.families
def test_training_gives_such_a_network(tmp_path):
    data = data_set(tmp_path / "synth", 48)
    clips = list(iterate_clips(open_source(data, CONTRACT, "xsub_val")))
    assert right_answers(trained_network(data), clips, np.arange) > 0.75 * len(clips)
