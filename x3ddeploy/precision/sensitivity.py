"""How much each block and each kind of layer costs in accuracy, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from x3ddeploy.precision.accuracy import Agreement, agreement
from x3ddeploy.precision.sites import Site
from x3ddeploy.precision.trials import Trials


@dataclass(frozen=True)
class Unit:
    """Layers that are quantized together or not at all.

    Attributes:
        name: a block ('backbone/layer2.0'), or a stream and a kind of layer ('joint: depthwise').
        stream: the first one that the layers lead to; its logits are what is measured.
        sites: names of its layers.
        multiply_adds: of one clip.
        others: further streams that they lead to.
    """

    name: str
    stream: str
    sites: frozenset[str]
    multiply_adds: int
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """What quantizing one unit alone does to the logits of its stream."""

    unit: Unit
    agreement: Agreement

    @property
    def cost(self) -> float:
        """Divergence a multiply-add that INT8 saves: what to give up first."""
        return self.agreement.kl / max(self.unit.multiply_adds, 1)


@dataclass(frozen=True)
class Layers:
    """The layers that may be quantized, and what is known of each.

    Attributes:
        work: name of a layer -> multiply-adds of one clip.
        streams: name of a node -> the streams that it leads to.
    """

    sites: tuple[Site, ...]
    work: Mapping[str, int]
    streams: Mapping[str, tuple[str, ...]]

    def by_block(self) -> list[Unit]:
        """One unit a block, in the graph's order, stream by stream."""
        return self._grouped((site.block, site) for site in self.sites)

    def by_kind(self) -> list[Unit]:
        """One unit a stream and kind of layer."""
        return self._grouped((f"{', '.join(self.streams[site.node])}: {site.role.value}", site) for site in self.sites)

    def _grouped(self, named: Iterable[tuple[str, Site]]) -> list[Unit]:
        groups: dict[str, list[Site]] = {}
        for name, site in named:
            groups.setdefault(name, []).append(site)
        order = list(dict.fromkeys(stream for streams in self.streams.values() for stream in streams))
        units = [self._unit(name, sites) for name, sites in groups.items()]
        return sorted(units, key=lambda unit: order.index(unit.stream))

    def _unit(self, name: str, sites: list[Site]) -> Unit:
        nodes = frozenset(site.node for site in sites)
        streams = tuple(dict.fromkeys(stream for site in sites for stream in self.streams[site.node]))
        return Unit(name, streams[0], nodes, sum(self.work[node] for node in nodes), streams[1:])


def measure_sensitivity(trials: Trials, units: Iterable[Unit]) -> list[Sensitivity]:
    """Each unit quantized alone, everything else float."""
    return [
        Sensitivity(unit, agreement(trials.reference(unit.stream), trials.logits(unit.stream, unit.sites)))
        for unit in units
    ]
