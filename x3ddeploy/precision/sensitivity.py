"""How much each block and each kind of layer costs in accuracy, one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from x3ddeploy.precision.accuracy import STREAMS, Agreement, agreement
from x3ddeploy.precision.sites import Site
from x3ddeploy.precision.trials import Trials


@dataclass(frozen=True)
class Unit:
    """Layers that are quantized together or not at all.

    Attributes:
        name: a block ('rgb_backbone/layer2.0') or a stream and a kind ('pose: depthwise').
        sites: names of its layers.
        multiply_adds: of one clip.
    """

    name: str
    stream: str
    sites: frozenset[str]
    multiply_adds: int


@dataclass(frozen=True)
class Sensitivity:
    """What quantizing one unit alone does to the logits of its stream."""

    unit: Unit
    agreement: Agreement

    @property
    def cost(self) -> float:
        """Divergence a multiply-add that INT8 saves: what to give up first."""
        return self.agreement.kl / max(self.unit.multiply_adds, 1)


def units_by_block(sites: Iterable[Site], work: dict[str, int]) -> list[Unit]:
    """One unit a block, in the graph's order."""
    return _grouped(((site.block, site) for site in sites), work)


def units_by_kind(sites: Iterable[Site], work: dict[str, int]) -> list[Unit]:
    """One unit a stream and kind of layer."""
    return _grouped(((f"{site.stream}: {site.role.value}", site) for site in sites), work)


def measure_sensitivity(trials: Trials, units: Iterable[Unit]) -> list[Sensitivity]:
    """Each unit quantized alone, everything else float."""
    return [
        Sensitivity(unit, agreement(trials.reference(unit.stream), trials.logits(unit.stream, unit.sites)))
        for unit in units
    ]


def _grouped(named: Iterable[tuple[str, Site]], work: dict[str, int]) -> list[Unit]:
    groups: dict[str, list[Site]] = {}
    for name, site in named:
        groups.setdefault(name, []).append(site)
    return [
        Unit(name, sites[0].stream, frozenset(site.node for site in sites), sum(work[site.node] for site in sites))
        for name, sites in sorted(groups.items(), key=lambda item: STREAMS.index(item[1][0].stream))
    ]
