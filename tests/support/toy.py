"""A family of another shape than the first: one input of frames, and a part between backbone and head."""

from collections.abc import Collection

import torch
from torch import nn

from x3ddeploy.contract import (
    BATCH_AXIS,
    WHOLE,
    Activation,
    Average,
    Contract,
    Input,
    InputKind,
    Output,
    OutputKind,
    Part,
    Score,
    Transform,
)
from x3ddeploy.families.base import LoweredPart, Trained
from x3ddeploy.families.network import Network

FRAMES, SIZE, WIDTH = 4, 8, 6


class Toy(Network):
    family = "toy"

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = nn.Sequential()
        self.backbone.add_module("conv", nn.Conv3d(3, WIDTH, (1, 3, 3), padding=(0, 1, 1)))
        self.backbone.add_module("relu", nn.ReLU())
        self.neck = nn.Conv3d(WIDTH, WIDTH, (3, 1, 1), padding=(1, 0, 0))
        self.head = ToyHead(classes)

    @property
    def model(self):
        return {"classes": self.classes}

    def contract(self, batch=None):
        leading = batch or BATCH_AXIS
        clip = (leading, WIDTH, FRAMES, SIZE, SIZE)
        pipeline = (
            Transform("UniformSampleFrames", {"clip_len": FRAMES}),
            Transform("Resize", {"scale": [SIZE, SIZE], "keep_ratio": False}),
            Transform("Normalize", {"mean": [0.0, 0.0, 0.0], "std": [255.0, 255.0, 255.0]}),
        )
        given = ("logits", "scores")
        return Contract(
            family="toy",
            inputs={"imgs": Input(InputKind.FRAMES, (leading, 3, FRAMES, SIZE, SIZE), pipeline)},
            parts={
                "backbone": Part(("imgs",), ("feat",)),
                "neck": Part(("feat",), ("mixed",)),
                "head": Part(("mixed",), given),
                WHOLE: Part(("imgs",), given),
            },
            outputs={
                "feat": Output(OutputKind.FEATURES, clip),
                "mixed": Output(OutputKind.FEATURES, clip),
                "logits": Output(OutputKind.LOGITS, (leading, self.classes), Activation.SOFTMAX, Average.PROB),
                "scores": Output(OutputKind.SCORES, (leading, self.classes), None, Average.PROB),
            },
            scores={"classes": Score({"logits": 1.0})},
            deployed="classes",
        )

    def part(self, name):
        if name == WHOLE:
            return lambda imgs: self.head(self.neck(self.backbone(imgs)))
        output = {"backbone": "feat", "neck": "mixed"}.get(name)
        module = self.get_submodule(name)
        return (lambda x: {output: module(x)}) if output else module

    def blocks(self, part):
        return {"backbone/conv": self.backbone.conv} if part == "backbone" else {}

    def forward(self, imgs):
        feat = self.backbone(imgs)
        mixed = self.neck(feat)
        return {"feat": feat, "mixed": mixed, **self.head(mixed)}


class ToyHead(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, x):
        logits = self.fc(x.mean((2, 3, 4)))
        return {"logits": logits, "scores": logits.softmax(1)}


class ToyFamily:
    name, title = "toy", "toy"
    presets: Collection[str] = ()
    prefixes = ("backbone.", "neck.", "head.")
    training = ()

    def claims(self, keys, config):
        return "neck.weight" in keys

    def load(self, weights, config, wishes):
        network = self.build({"classes": len(weights["head.fc.bias"])}, (1.0,))
        network.load_state_dict(weights)
        return Trained(network, {"classes": "weights"}, ())

    def contract(self, model, fusion, batch):
        return Toy(model["classes"]).contract(batch)

    def build(self, model, fusion):
        return Toy(model["classes"]).eval()

    def require(self):
        pass

    def lower(self, network, target):
        blocks = {"backbone": ("conv",)}
        pieces = network.contract().pieces
        return {part: LoweredPart(network.get_submodule(part), blocks.get(part, ())) for part in pieces}

    def restore(self, model, fusion, weights):
        network = self.build(model, fusion)
        network.load_state_dict({name: weights.get(name, value) for name, value in network.state_dict().items()})
        return network

    def values(self, model):
        return {name: str(value) for name, value in model.items()}


def toy(classes=5):
    torch.manual_seed(0)
    return Toy(classes).eval()
