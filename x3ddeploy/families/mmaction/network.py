"""A recognizer of MMAction2's as a network of ours: its own modules, called as its recognizer calls them in testing.

Their names in the state_dict stay: backbone, neck, cls_head. The neck belongs to the part `backbone`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from x3ddeploy.contract import WHOLE, Activation, Contract
from x3ddeploy.families.mmaction.model import BACKBONE, HEAD, SCORES, contract_of
from x3ddeploy.families.network import Network
from x3ddeploy.graphs.write import scope
from x3ddeploy.lowering.rewrite import Operation

Features = tuple[Tensor, ...]


class Backbone(nn.Module):
    """Backbone and neck: the network's inputs in the contract's order to its features, clips first.

    Args:
        modules: 'backbone' and, where there is one, 'neck'.
        recognizer: class that says how they are called.
        names: names of the features.
    """

    def __init__(self, modules: Mapping[str, nn.Module], recognizer: str, names: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = modules["backbone"]
        self.neck = modules.get("neck")
        self.names, self.flat = names, recognizer == "Recognizer2D"
        self.to_frames, self.to_clips = Operation(torch.reshape), Operation(torch.reshape)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        features = self.features(*inputs)
        return dict(zip(self.names, features, strict=True))

    def features(self, *inputs: Tensor) -> Features:
        """The features, without their names."""
        if not self.flat:
            return _several(self._through_neck(self.backbone(*inputs)))
        (clip,) = inputs
        frames = self.to_frames(clip, (-1, *clip.shape[2:]))
        found = _several(self.backbone(frames))  # of as many frames, or, pooled, of fewer
        clips = tuple(self.to_clips(value, (-1, value.shape[0] // clip.shape[0], *value.shape[1:])) for value in found)
        if self.neck is None:
            return clips
        return tuple(value.squeeze(2) for value in _several(self._through_neck([c.transpose(1, 2) for c in clips])))

    def _through_neck(self, features: Any) -> Any:
        return features if self.neck is None else self.neck(features)[0]


class Head(nn.Module):
    """The head: features in the contract's order to logits by name, and the deployed scores.

    Args:
        module: 'cls_head'.
        recognizer: class that says how it is called.
        logits: names of the logits.
        activation: activation of the scores.
        shares: name of logits -> its share of the deployed score, adding up to one.
        fcn_test: whether the head is asked for it.
        neck: whether the features come from a neck.
    """

    def __init__(
        self,
        module: nn.Module,
        recognizer: str,
        logits: tuple[str, ...],
        activation: Activation,
        shares: Mapping[str, float],
        *,
        fcn_test: bool,
        neck: bool,
    ) -> None:
        super().__init__()
        self.cls_head = module
        self.flat, self.neck = recognizer == "Recognizer2D", neck
        self.logits, self.shares, self.fcn_test = logits, dict(shares), fcn_test
        self.to_segments = Operation(torch.reshape)
        function = torch.softmax if activation is Activation.SOFTMAX else _sigmoid
        self.probabilities = nn.ModuleList(Operation(function) for _ in shares)

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        given = self.classified(features)
        found = tuple(given.values()) if isinstance(given, dict) else (given,)
        logits = dict(zip(self.logits, found, strict=True))
        parts = [
            cast(Tensor, probability(logits[name], 1))
            for name, probability in zip(self.shares, self.probabilities, strict=True)
        ]
        if len(parts) == 1:
            return {**logits, SCORES: parts[0]}
        weighted = [part * share for part, share in zip(parts, self.shares.values(), strict=True)]
        return {**logits, SCORES: sum(weighted[1:], weighted[0])}

    def classified(self, features: Features) -> Any:
        """What the head itself gives: logits, or a dictionary of them."""
        more: dict[str, Any] = {"fcn_test": True} if self.fcn_test else {}
        if not self.flat:
            return self.cls_head(features[0] if len(features) == 1 else features, **more)
        segments = 1 if self.neck else features[0].shape[1]
        frames = features if self.neck else tuple(self.to_segments(x, (-1, *x.shape[2:])) for x in features)
        return self.cls_head(frames[0] if len(frames) == 1 else frames, num_segs=segments, **more)


class MMActionNetwork(Network):
    """See `Network`. `model` is what `x3ddeploy.families.mmaction.model` describes."""

    def __init__(
        self,
        family: str,
        model: Mapping[str, Any],
        fusion: tuple[float, ...],
        modules: Mapping[str, nn.Module],
        blocks: Callable[[nn.Module], dict[str, nn.Module]],
    ) -> None:
        super().__init__()
        self.family = family  # type: ignore[misc]
        self.fusion, self._model = fusion, dict(model)
        self._blocks = blocks
        described = contract_of(family, model, fusion, None)
        for name, module in modules.items():
            self.add_module(name, module)
        shares = described.scores[described.deployed].shares()
        recognizer = str(model["recognizer"])
        # Not registered: the modules' names in the state_dict are those of the checkpoint.
        parts: dict[str, nn.Module] = {
            BACKBONE: Backbone(modules, recognizer, tuple(model["features"])),
            HEAD: Head(
                modules["cls_head"],
                recognizer,
                tuple(model["logits"]),
                Activation(model["activation"]),
                shares,
                fcn_test=bool(model["fcn_test"]),
                neck="neck" in modules,
            ),
        }
        self._parts = parts

    @property
    def model(self) -> dict[str, Any]:
        return self._model

    def contract(self, batch: int | None = None) -> Contract:
        return contract_of(self.family, self._model, self.fusion, batch)

    def piece(self, name: str) -> nn.Module:
        """The module of a part; its submodules have the names that they have in the network."""
        return self._parts[name]

    def part(self, name: str) -> Callable[..., dict[str, Tensor]]:
        if name == WHOLE:
            return lambda *inputs: self.piece(HEAD)(*self.piece(BACKBONE)(*inputs).values())
        return self.piece(name)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        features = self.piece(BACKBONE)(*(inputs[name] for name in self._model["inputs"]))
        return {**features, **self.piece(HEAD)(*features.values())}

    def blocks(self, part: str) -> dict[str, nn.Module]:
        if part != BACKBONE:
            return {}
        found = self._blocks(self.get_submodule("backbone"))
        return {scope(f"backbone.{name}"): module for name, module in found.items()}


def _sigmoid(values: Tensor, _: int) -> Tensor:
    return torch.sigmoid(values)


def _several(features: Any) -> Features:
    return tuple(features) if isinstance(features, (list, tuple)) else (features,)
