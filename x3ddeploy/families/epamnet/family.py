"""EPAM-Net as a family: what the two-stream network is, and the attention."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.checkpoint.config import CHECKPOINT_CONFIG
from x3ddeploy.contract import Contract
from x3ddeploy.errors import CheckpointError
from x3ddeploy.families.base import LoweredPart, Trained, Wishes
from x3ddeploy.families.epamnet.config import as_two_stream
from x3ddeploy.families.two_stream_x3d.contract import EQUAL_FUSION
from x3ddeploy.families.two_stream_x3d.family import TwoStreamX3DFamily, of_both_streams, with_wishes
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec, spec_of
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from torch import Tensor

    from x3ddeploy.families.epamnet.network import EPAMNet
    from x3ddeploy.families.network import Network

_INSIDE = "backbone."
_ATTENTION = "attention_module."


class EPAMNetFamily(TwoStreamX3DFamily):
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "epamnet"
    title: ClassVar[str] = "EPAM-Net"
    prefixes: ClassVar[tuple[str, ...]] = (
        *(f"{_INSIDE}{name}." for name in ("rgb_backbone", "pose_backbone", "attention_module")),
        "cls_head.",
    )
    training: ClassVar[tuple[str, ...]] = ("x3ddeploy.families.epamnet.training",)

    def claims(self, keys: Collection[str], config: Mapping[str, Any] | None) -> bool:
        return all(any(key.startswith(prefix) for key in keys) for prefix in self.prefixes)

    def load(self, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None, wishes: Wishes) -> Trained:
        from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import read_override, resolve_spec

        inner = {name.removeprefix(_INSIDE): value for name, value in weights.items()}
        attention = {name: value for name, value in inner.items() if name.startswith(_ATTENTION)}
        override = read_override(wishes.config) if wishes.config else None
        if override is not None and not isinstance(override.source, ModelSpec):
            override = replace(override, source=as_two_stream(override.source, override.origin))
        resolved = resolve_spec(
            {name: value for name, value in inner.items() if name not in attention},
            None if config is None else as_two_stream(config, CHECKPOINT_CONFIG),
            override,
        )
        spec, changed = with_wishes(resolved.spec, wishes)
        network = self._network(spec, wishes.fusion or EQUAL_FUSION)
        try:
            missing, unexpected = network.load_state_dict({**resolved.state_dict, **attention}, strict=False)
        except RuntimeError as error:
            raise CheckpointError("the attention's weights are of another shape", details=[str(error)]) from error
        lost = [key for key in missing if not key.endswith(".num_batches_tracked")] + unexpected
        if lost:
            raise CheckpointError("weights without a place in the network, or places without weights", details=lost)
        return Trained(network, {**resolved.origins, **dict.fromkeys(changed, "option")}, resolved.notes)

    def contract(self, model: Mapping[str, Any], fusion: tuple[float, ...], batch: int | None) -> Contract:
        from x3ddeploy.families.epamnet.network import epam_contract

        return epam_contract(spec_of(model), of_both_streams(fusion), batch)

    def lower(self, network: Network, target: Target) -> dict[str, LoweredPart]:
        lowered = super().lower(network, target)
        attention = LoweredPart(network.get_submodule("attention_module"), path="attention_module")
        return {name: lowered.get(name, attention) for name in network.contract().pieces}

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        from x3ddeploy.families.mmaction.restore import fill

        own = {name: value for name, value in weights.items() if name.startswith(_ATTENTION)}
        network = super().restore(model, fusion, {name: value for name, value in weights.items() if name not in own})
        fill(network, own)
        return network

    def _network(self, spec: ModelSpec, fusion: tuple[float, ...]) -> EPAMNet:
        from x3ddeploy.families.epamnet.network import EPAMNet

        return EPAMNet(spec, of_both_streams(fusion)).eval()


EPAMNET = EPAMNetFamily()
