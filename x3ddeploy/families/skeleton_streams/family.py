"""Networks on features of one skeleton as a family; its bundles are made of several checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from x3ddeploy.contract import Contract
from x3ddeploy.errors import UsageError
from x3ddeploy.families.base import LoweredPart, Trained, Wishes
from x3ddeploy.families.mmaction.model import BACKBONE, HEAD, values_of
from x3ddeploy.families.skeleton_streams.model import STREAMS, joined_contract, stream_of
from x3ddeploy.families.stgcn.family import STGCN
from x3ddeploy.terms import Target

if TYPE_CHECKING:
    from torch import Tensor

    from x3ddeploy.families.mmaction.network import MMActionNetwork
    from x3ddeploy.families.network import Network


class SkeletonStreamsFamily:
    """See `x3ddeploy.families.base.Family`."""

    name: ClassVar[str] = "skeleton_streams"
    title: ClassVar[str] = "Fused streams of ST-GCN, ST-GCN++, 2s-AGCN"
    presets: Collection[str] = ()
    prefixes: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[tuple[str, ...]] = ()

    def claims(self, keys: Collection[str], config: Mapping[str, Any] | None) -> bool:
        return False  # no checkpoint holds several of them

    def load(self, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None, wishes: Wishes) -> Trained:
        raise AssertionError("claims none")

    def join(self, members: Mapping[str, Trained], fusion: tuple[float, ...] | None) -> Trained:
        """Several networks as the streams of one.

        Args:
            members: name of a checkpoint -> its network.
            fusion: weights in the order of the checkpoints; None weighs them alike.

        Raises:
            UsageError: two are of one stream, they are not fed alike, or there are not as many weights.
        """
        from x3ddeploy.families.skeleton_streams.network import Streams

        networks: dict[str, MMActionNetwork] = {}
        origins: dict[str, str] = {}
        notes: list[str] = []
        named: dict[str, str] = {}
        for name, trained in members.items():
            network: Any = trained.network
            stream = stream_of(network.contract(), name)
            if stream in networks:
                raise UsageError(
                    f"{named[stream]} and {name} are both of the stream {stream}",
                    hint=f"give one of each: {', '.join(STREAMS.values())}",
                )
            networks[stream], named[stream] = network, name
            origins |= {f"{stream}.{key}": f"{origin} of {name}" for key, origin in trained.origins.items()}
            notes += (f"{stream}: {note}" for note in trained.notes)
        joined = Streams(self.name, fusion or (1.0,) * len(networks), networks).eval()
        return Trained(joined, origins, tuple(notes))

    def contract(self, model: Mapping[str, Any], fusion: tuple[float, ...], batch: int | None) -> Contract:
        return joined_contract(self.name, model, fusion, batch)

    def require(self) -> None:
        STGCN.require()

    def build(self, model: Mapping[str, Any], fusion: tuple[float, ...]) -> Network:
        return self._network(model, fusion, {})

    def lower(self, network: Network, target: Target) -> dict[str, LoweredPart]:
        from x3ddeploy.families.skeleton_streams.network import Streams

        assert isinstance(network, Streams)
        lowered = {}
        for stream in network.model["streams"]:
            member = network.member(stream)
            form = network.piece(f"{stream}_{BACKBONE}")
            for rewrite in STGCN.rewrites(BACKBONE, member, target):
                form = rewrite.apply(form)
            blocks = tuple(f"{stream}.{BACKBONE}.{name}" for name in STGCN.blocks(member.get_submodule(BACKBONE)))
            lowered[f"{stream}_{BACKBONE}"] = LoweredPart(form, blocks, path="")
        head = network.piece(HEAD)
        for rewrite in STGCN.rewrites(HEAD, member, target):
            head = rewrite.apply(head)
        return {**lowered, HEAD: LoweredPart(head, path="")}

    def restore(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        return self._network(model, fusion, weights)

    def values(self, model: Mapping[str, Any]) -> dict[str, str]:
        return {
            f"{stream}.{key}": value
            for stream, member in model["streams"].items()
            for key, value in values_of(member).items()
        }

    def _network(self, model: Mapping[str, Any], fusion: tuple[float, ...], weights: Mapping[str, Tensor]) -> Network:
        from x3ddeploy.families.skeleton_streams.network import Streams

        members: dict[str, Any] = {}
        for stream, member in model["streams"].items():
            own = {name.removeprefix(f"{stream}."): value for name, value in weights.items()
                   if name.startswith(f"{stream}.")}  # fmt: skip
            members[stream] = STGCN.restore(member, (1.0,), own)
        return Streams(self.name, fusion, members).eval()


STREAMS_FAMILY = SkeletonStreamsFamily()
