"""A small network trained on synthetic actions: how, and its weights, which are kept beside.

`python tests/support/trained_network.py` trains it anew, in a minute.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from x3ddeploy.data.loader import iterate_clips
from x3ddeploy.data.sources import open_source
from x3ddeploy.data.synth import SynthOptions, generate
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D

WEIGHTS = Path(__file__).with_name("trained_network.npz")
CLASSES = 12
EPOCHS, BATCH = 12, 16
SPEC = replace(PRESETS["tiny"], head=replace(PRESETS["tiny"].head, classes=CLASSES, coarse_classes=0, prototype_dim=0))
CONTRACT = two_stream_contract(SPEC, (1, 1), None, {})


def data_set(path, clips_per_class):
    """Twelve actions of six people, one of whom is for judging."""
    options = SynthOptions(seed=3, size=(48, 48), frames=12, clips_per_class=clips_per_class, subjects=6)
    generate(path, options, lambda *_: None)
    return path


def kept_network():
    """The network with the weights that are kept."""
    network = TwoStreamX3D(SPEC)
    with np.load(WEIGHTS) as file:
        state = network.state_dict()
        network.load_state_dict({name: torch.from_numpy(file[name]).to(value.dtype) for name, value in state.items()})
    return network.eval()


def trained_network(data):
    """Trained on the training split of a data set."""
    clips = list(iterate_clips(open_source(data, CONTRACT, "xsub_train")))
    inputs = {
        name: torch.from_numpy(np.concatenate([clip.inputs[name] for clip in clips])) for name in SPEC.input_shapes()
    }
    labels = torch.tensor([clip.label for clip in clips])
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Conv3d, "forward", _as_images)
        torch.manual_seed(0)
        network = TwoStreamX3D(SPEC).train()
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # left out of PyTorch's stubs
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out")
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.02)
        steps = len(labels) // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * steps)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(labels))[: steps * BATCH].split(BATCH):
                outputs = network(**{name: value[chosen] for name, value in inputs.items()})
                of_rgb, of_pose = (F.cross_entropy(outputs[f"{s}_logits"], labels[chosen]) for s in ("rgb", "pose"))
                optimizer.zero_grad()
                (of_rgb + of_pose).backward()
                optimizer.step()
                schedule.step()
    return network.eval()


def _as_images(conv, clips):
    """What a convolution of one frame gives, frame by frame: PyTorch computes it, and its gradient, faster so."""
    batch, channels, frames, *size = clips.shape
    images = clips.transpose(1, 2).reshape(batch * frames, channels, *size)
    made = F.conv2d(images, conv.weight[:, :, 0], conv.bias, conv.stride[1:], conv.padding[1:], groups=conv.groups)
    return made.unflatten(0, (batch, frames)).transpose(1, 2)


def _keep():
    with tempfile.TemporaryDirectory() as folder:
        state = trained_network(data_set(Path(folder, "synth"), clips_per_class=48)).state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    np.savez_compressed(WEIGHTS, **{name: value.numpy() for name, value in halves.items()})


if __name__ == "__main__":
    sys.exit(_keep())
