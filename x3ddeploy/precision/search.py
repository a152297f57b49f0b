"""What stays float: what blocks and kinds of layers cost in accuracy, and the cheapest set of blocks to give up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from x3ddeploy.contract import Contract
from x3ddeploy.errors import GateError
from x3ddeploy.precision.accuracy import Agreement, Labels, StreamAccuracy, accuracies, agreement
from x3ddeploy.precision.sites import Site
from x3ddeploy.precision.streams import streams_of
from x3ddeploy.precision.trials import Trials
from x3ddeploy.progress import Step


@dataclass(frozen=True)
class Unit:
    """Layers that are quantized together or not at all.

    Attributes:
        name: a block ('backbone/layer2.0'), or a stream and a kind of layer ('joint: depthwise').
        stream: the first one that the layers lead to; its logits are what is measured.
        sites: names of its layers.
        multiply_adds: arithmetic of one clip.
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


@dataclass(frozen=True)
class Gate:
    """What has to hold.

    Attributes:
        labels: class of each clip, or None.
        names: names of the clips.
        contract: contract of the network; says what is scored.
        max_drop: percentage points of top-1, for each score.
    """

    labels: Labels
    names: Sequence[str]
    contract: Contract
    max_drop: float


@dataclass(frozen=True)
class SearchResult:
    """The outcome.

    Attributes:
        kept: blocks that stay float, each with the reason.
        sites: names of the layers that are quantized.
        accuracy: accuracy of each score, by name.
        steps: what was tried, one line each.
    """

    kept: dict[str, str]
    sites: frozenset[str]
    accuracy: dict[str, StreamAccuracy]
    steps: tuple[str, ...]


def search(trials: Trials, sensitivities: Sequence[Sensitivity], gate: Gate, progress: Step) -> SearchResult:
    """Quantize everything, then give up the block that diverges most for the work it saves, until the gate holds.

    Each step measures all of the clips again. At the end every given-up block is tried once more, the most expensive
    first: what the gate no longer asks for is quantized after all.

    Raises:
        GateError: the gate does not hold while anything is quantized.
    """
    return _Search(trials, sensitivities, gate, progress).run()


class _Search:
    def __init__(self, trials: Trials, sensitivities: Sequence[Sensitivity], gate: Gate, progress: Step) -> None:
        self._trials, self._gate, self._progress = trials, gate, progress
        self._ordered = sorted(sensitivities, key=lambda entry: entry.cost, reverse=True)
        self._kept: list[Sensitivity] = []
        self._steps: list[str] = []
        self._streams = streams_of(gate.contract)

    def run(self) -> SearchResult:
        accuracy = self._measure(self._kept, "everything quantized")
        reasons: dict[str, str] = {}
        while problems := self._problems(accuracy):
            entry = self._next(accuracy)
            if entry is None or len(self._kept) + 1 == len(self._ordered):
                raise GateError(
                    "INT8 cannot keep within the accuracy budget",
                    details=[text for texts in problems.values() for text in texts],
                    hint="calibrate with more clips or another --method, raise --max-drop, or deploy --fp16",
                )
            self._kept.append(entry)
            name = entry.unit.name
            reasons[name] = f"{'; '.join(problems[next(iter(problems))])} (alone: KL {entry.agreement.kl:.1e})"
            accuracy = self._measure(self._kept, f"{name} stays float")
        for entry in sorted(self._kept, key=lambda kept: kept.unit.multiply_adds, reverse=True)[:-1]:
            fewer = [kept for kept in self._kept if kept is not entry]
            retried = self._measure(fewer, f"{entry.unit.name} quantized after all")
            if not self._problems(retried):
                self._kept, accuracy = fewer, retried
                del reasons[entry.unit.name]
        return SearchResult(reasons, self._sites(self._kept), accuracy, tuple(self._steps))

    def _problems(self, accuracy: dict[str, StreamAccuracy]) -> dict[str, list[str]]:
        found = {name: entry.failures(name, self._gate.max_drop) for name, entry in accuracy.items()}
        return {name: texts for name, texts in found.items() if texts}

    def _next(self, accuracy: dict[str, StreamAccuracy]) -> Sensitivity | None:
        """The next block to give up: of a stream that fails, or, where only a fusion does, of any in it."""
        failing = self._problems(accuracy)
        fused = {tensor for name in failing for tensor in self._gate.contract.scores[name].weights}
        streams = self._streams.keys() & failing.keys() or {
            stream for stream, tensor in self._streams.items() if tensor in fused
        }
        left = (entry for entry in self._ordered if entry not in self._kept)
        return next((entry for entry in left if streams & {entry.unit.stream, *entry.unit.others}), None)

    def _sites(self, kept: Sequence[Sensitivity]) -> frozenset[str]:
        floats = frozenset[str]().union(*(entry.unit.sites for entry in kept))
        return frozenset[str]().union(*(entry.unit.sites for entry in self._ordered)) - floats

    def _measure(self, kept: Sequence[Sensitivity], what: str) -> dict[str, StreamAccuracy]:
        sites = self._sites(kept)
        before = {stream: self._trials.reference(stream) for stream in self._streams}
        after = {stream: self._trials.logits(stream, sites) for stream in self._streams}
        gate = self._gate
        accuracy = accuracies(before, after, gate.labels, gate.names, gate.contract)
        step = f"{what}: " + ", ".join(
            f"{name} {_top1(entry)}, {entry.agreement:.1%} agree" for name, entry in accuracy.items()
        )
        self._steps.append(step)
        self._progress(step)
        return accuracy


def _top1(accuracy: StreamAccuracy) -> str:
    if accuracy.top1_before is None:
        return "unlabelled"
    return f"{accuracy.top1_before:.2f} -> {accuracy.top1_after:.2f} %"
