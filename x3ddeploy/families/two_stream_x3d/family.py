"""The two-stream X3D temporal-shift recognizer as a family: what the registry knows of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.contract import Contract
from x3ddeploy.errors import CheckpointError, UsageError
from x3ddeploy.families.base import LoweredPart, Trained, Wishes
from x3ddeploy.families.two_stream_x3d.contract import EQUAL_FUSION, FAMILY, two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.spec import ModelSpec, flat_values, spec_of
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from torch import Tensor

    from x3ddeploy.families.network import Network
    from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D


class TwoStreamX3DFamily:
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = FAMILY
    title: ClassVar[str] = "two-stream X3D"
    presets: Collection[str] = tuple(PRESETS)
    prefixes: ClassVar[tuple[str, ...]] = ("rgb_backbone.", "pose_backbone.", "cls_head.")
    training: ClassVar[tuple[str, ...]] = tuple(
        f"x3ddeploy.families.two_stream_x3d.training.{module}" for module in ("backbones", "head", "recognizer")
    )

    def claims(self, keys: Collection[str], config: Mapping[str, Any] | None) -> bool:
        return all(any(key.startswith(prefix) for key in keys) for prefix in self.prefixes)

    def load(self, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None, wishes: Wishes) -> Trained:
        from x3ddeploy.families.two_stream_x3d.checkpoint.resolve import read_override, resolve_spec

        override = read_override(wishes.config) if wishes.config else None
        resolved = resolve_spec(weights, config, override)
        spec, changed = with_wishes(resolved.spec, wishes)
        network = self._network(spec, wishes.fusion or EQUAL_FUSION)
        missing, unexpected = network.load_state_dict(resolved.state_dict, strict=False)
        lost = [key for key in missing if not key.endswith(".num_batches_tracked")] + unexpected
        if lost:
            raise CheckpointError("weights without a place in the network", details=lost)
        return Trained(network, {**resolved.origins, **dict.fromkeys(changed, "option")}, resolved.notes)

    def contract(self, model: Mapping[str, Any], fusion: tuple[float, ...], batch: int | None) -> Contract:
        return two_stream_contract(spec_of(model), of_both_streams(fusion), batch, {})

    def build(self, model: Mapping[str, Any], fusion: tuple[float, ...]) -> Network:
        return self._network(spec_of(model), fusion)

    def require(self) -> None:
        """Nothing: its classes are here."""

    def lower(self, network: Network, target: Target) -> dict[str, LoweredPart]:
        from x3ddeploy.families.two_stream_x3d.lowering.strategy import lower_parts
        from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D

        assert isinstance(network, TwoStreamX3D)
        return lower_parts(network, target)

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        from x3ddeploy.families.two_stream_x3d.restore import fill

        network = self._network(spec_of(model), fusion)
        fill(network, weights)
        return network

    def values(self, model: Mapping[str, Any]) -> dict[str, str]:
        spec = spec_of(model)
        return {**flat_values(spec), "head.kind": spec.head.kind.value}

    def _network(self, spec: ModelSpec, fusion: tuple[float, ...]) -> TwoStreamX3D:
        from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D

        return TwoStreamX3D(spec, of_both_streams(fusion)).eval()


def of_both_streams(fusion: tuple[float, ...]) -> tuple[float, float]:
    """One weight a stream. Raises UsageError where there are more or fewer."""
    if len(fusion) != 2:
        raise UsageError(
            f"the deployed score is given {len(fusion)} weights, and there are two streams", hint="give them as in 2:1"
        )
    return fusion[0], fusion[1]


def with_wishes(spec: ModelSpec, wishes: Wishes) -> tuple[ModelSpec, list[str]]:
    """The changed specification, and the dotted names of the values that were set."""
    rgb, pose, changed = spec.rgb_input, spec.pose_input, []
    if wishes.frames is not None:
        rgb = replace(rgb, frames=wishes.frames)
        changed.append("rgb_input.frames")
    if wishes.pose_frames is not None:
        pose = replace(pose, frames=wishes.pose_frames)
        changed.append("pose_input.frames")
    if wishes.size is not None:
        height, width = wishes.size
        rgb = replace(rgb, height=height, width=width)
        # GeneratePoseTarget rounds the scaled size to the nearest integer.
        heat_height, heat_width = (int(side * pose.scaling + 0.5) for side in wishes.size)
        pose = replace(pose, height=heat_height, width=heat_width)
        changed += ["rgb_input.height", "rgb_input.width", "pose_input.height", "pose_input.width"]
    return replace(spec, rgb_input=rgb, pose_input=pose), changed


TWO_STREAM_X3D = TwoStreamX3DFamily()
