"""Several recognizers as one network: one skeleton in, each on its own feature, their probabilities fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from x3ddeploy.contract import WHOLE, Activation, Contract
from x3ddeploy.families.mmaction.model import BACKBONE, HEAD, SCORES
from x3ddeploy.families.mmaction.network import MMActionNetwork
from x3ddeploy.families.network import Network
from x3ddeploy.families.skeleton_streams.model import channels_of, joined_contract
from x3ddeploy.graphs.write import scope
from x3ddeploy.lowering.rewrite import Operation


class StreamBackbone(nn.Module):
    """The backbone of one stream on its channels of the skeleton."""

    def __init__(self, stream: str, backbone: nn.Module, channels: tuple[int, int]) -> None:
        super().__init__()
        self.stream, self.channels = stream, channels
        self.add_module(stream, backbone)
        self.add_module(f"{stream}_channels", Operation(_channels))

    def forward(self, keypoint: Tensor) -> dict[str, Tensor]:
        own = self.get_submodule(f"{self.stream}_channels")(keypoint, *self.channels)
        (feature,) = self.get_submodule(self.stream)(own).values()
        return {f"{self.stream}_feat": feature}


class FusedHead(nn.Module):
    """The heads of all streams, and the mean of their probabilities by the streams' shares."""

    def __init__(self, heads: Mapping[str, nn.Module], activation: Activation, shares: Mapping[str, float]) -> None:
        super().__init__()
        for stream, head in heads.items():
            self.add_module(stream, head)
        self.shares = dict(shares)
        function = torch.softmax if activation is Activation.SOFTMAX else _sigmoid
        self.probabilities = nn.ModuleDict({stream: Operation(function) for stream in heads})

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        logits, fused = {}, []
        for (stream, share), feature in zip(self.shares.items(), features, strict=True):
            head: Any = self.get_submodule(stream)
            logits[f"{stream}_logits"] = value = head.classified((feature,))
            fused.append(self.probabilities[stream](value, 1) * share)
        return {**logits, SCORES: cast(Tensor, sum(fused[1:], fused[0]))}


class Streams(Network):
    """See `Network`. `model` is what `x3ddeploy.families.skeleton_streams.model` describes."""

    def __init__(self, family: str, fusion: tuple[float, ...], members: Mapping[str, MMActionNetwork]) -> None:
        super().__init__()
        self.family = family  # type: ignore[misc]
        self.fusion = fusion
        self._model = {"streams": {stream: member.model for stream, member in members.items()}}
        contract = joined_contract(family, self._model, fusion, None)
        for stream, member in members.items():
            self.add_module(stream, member)
        shares = contract.scores[contract.deployed].shares()
        activation = contract.outputs[next(iter(shares))].activation
        assert activation is not None
        # Not registered: the modules' names are those that the streams give them.
        parts: dict[str, nn.Module] = {
            f"{stream}_{BACKBONE}": StreamBackbone(stream, members[stream].piece(BACKBONE), places)
            for stream, places in channels_of(self._model).items()
        }
        heads = {stream: member.piece(HEAD) for stream, member in members.items()}
        parts[HEAD] = FusedHead(heads, activation, {stream: shares[f"{stream}_logits"] for stream in members})
        self._parts = parts

    @property
    def model(self) -> dict[str, Any]:
        return self._model

    def contract(self, batch: int | None = None) -> Contract:
        return joined_contract(self.family, self._model, self.fusion, batch)

    def piece(self, name: str) -> nn.Module:
        """The module of a part; its submodules have the names that they have in the network."""
        return self._parts[name]

    def member(self, stream: str) -> MMActionNetwork:
        """The network of one stream."""
        return cast(MMActionNetwork, self.get_submodule(stream))

    def part(self, name: str) -> Callable[..., dict[str, Tensor]]:
        return self.whole if name == WHOLE else self.piece(name)

    def whole(self, keypoint: Tensor) -> dict[str, Tensor]:
        """What the whole network gives but its features."""
        features = self._features(keypoint)
        return cast("dict[str, Tensor]", self.piece(HEAD)(*features.values()))

    def forward(self, keypoint: Tensor) -> dict[str, Tensor]:
        features = self._features(keypoint)
        return {**features, **self.piece(HEAD)(*features.values())}

    def blocks(self, part: str) -> dict[str, nn.Module]:
        stream = part.removesuffix(f"_{BACKBONE}")
        if part == stream:
            return {}
        return {scope(f"{stream}.{name}"): module for name, module in self.member(stream).blocks(BACKBONE).items()}

    def _features(self, keypoint: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = {}
        for name, part in self._parts.items():
            if name != HEAD:
                features |= part(keypoint)
        return features


def _channels(keypoint: Tensor, start: int, end: int) -> Tensor:
    return keypoint[..., start:end]


def _sigmoid(values: Tensor, _: int) -> Tensor:
    return torch.sigmoid(values)
