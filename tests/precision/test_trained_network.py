"""INT8 of a small network trained on synthetic actions, judged on people whom it never saw."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from x3ddeploy.bundle import Bundle
from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.sources import open_source
from x3ddeploy.data.synth import SynthOptions, generate
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.demo import checkpoint_dict
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.loading import load_network
from x3ddeploy.runtimes.registry import open_session

CLASSES = 12
EPOCHS, BATCH = 12, 16
SPEC = replace(PRESETS["tiny"], head=replace(PRESETS["tiny"].head, classes=CLASSES, coarse_classes=0, prototype_dim=0))
CONTRACT = two_stream_contract(SPEC, (1, 1), None, {})


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "synth"
    generate(path, SynthOptions(seed=3, size=(48, 48), frames=12, clips_per_class=48, subjects=6), lambda *_: None)
    return path


def as_images(conv, clips):
    """What a convolution of one frame gives, frame by frame: PyTorch computes it, and its gradient, faster so."""
    batch, channels, frames, *size = clips.shape
    images = clips.transpose(1, 2).reshape(batch * frames, channels, *size)
    made = F.conv2d(images, conv.weight[:, :, 0], conv.bias, conv.stride[1:], conv.padding[1:], groups=conv.groups)
    return made.unflatten(0, (batch, frames)).transpose(1, 2)


@pytest.fixture(scope="module")
def trained(data_set, tmp_path_factory):
    """The checkpoint of a network that is far better than chance: what follows measures something."""
    source = open_source(data_set, CONTRACT, "xsub_train")
    clips = list(iterate_clips(source))
    inputs = {
        name: torch.from_numpy(np.concatenate([clip.inputs[name] for clip in clips])) for name in SPEC.input_shapes()
    }
    labels = torch.tensor([clip.label for clip in clips])
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Conv3d, "forward", as_images)
        torch.manual_seed(0)
        network = TwoStreamX3D(SPEC).train().to(memory_format=torch.channels_last_3d)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out")
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.02)
        steps = len(labels) // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * steps)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(labels))[: steps * BATCH].split(BATCH):
                outputs = network(**{name: value[chosen] for name, value in inputs.items()})
                loss = sum(F.cross_entropy(outputs[f"{stream}_logits"], labels[chosen]) for stream in ("rgb", "pose"))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    path = tmp_path_factory.mktemp("trained") / "trained.pth"
    torch.save(checkpoint_dict(network.eval()), path)
    return path


@pytest.fixture(scope="module", params=["tensorrt", pytest.param("openvino", marks=pytest.mark.openvino)])
def quantized(request, trained, data_set, run, tmp_path_factory):
    """The network's INT8 bundle of a target, and what `quantize` reported."""
    path = tmp_path_factory.mktemp("quantized") / "deploy"
    assert run("export", trained, "-o", path, "--target", request.param, "--verify-tol", "1e-4").returncode == 0
    process = run("quantize", path, "--int8", "--calib", data_set, "--calib-clips", "60", "--json")
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
def test_both_runtimes_agree_on_int8(quantized, data_set):
    path, _ = quantized
    source = open_source(data_set, CONTRACT, "xsub_val")
    file = Bundle.open(path).part_path("recognizer", "int8")
    sessions = [open_session(runtime, file) for runtime in ("onnxruntime", "openvino")]
    clips = list(iterate_clips(source))
    for name in ("rgb_logits", "pose_logits", "scores"):
        classes = [[int(session.run(clip.inputs)[name].argmax()) for clip in clips] for session in sessions]
        agreeing = sum(first == second for first, second in zip(*classes, strict=True)) / len(clips)
        assert agreeing >= 0.95, name


def test_frames_in_random_order_tell_less(trained, data_set):
    """Without the temporal shift the network would see the same in any order."""
    network = load_network(trained).network.eval()
    clips = list(iterate_clips(open_source(data_set, CONTRACT, "xsub_val")))
    generator = np.random.default_rng(0)
    right = {"in order": 0, "shuffled": 0}
    for clip in clips:
        inputs = {name: torch.from_numpy(value) for name, value in clip.inputs.items()}
        shuffled = {name: value[:, :, generator.permutation(value.shape[2])] for name, value in inputs.items()}
        for order, feeds in (("in order", inputs), ("shuffled", shuffled)):
            with torch.inference_mode():
                right[order] += int(network(**feeds)["scores"].argmax()) == clip.label
    assert right["in order"] > 0.75 * len(clips)
    assert right["in order"] - right["shuffled"] >= 0.06 * len(clips)
