"""Interleaved timing: every competitor once a round, so that a shared machine's drift meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

WARM_UP_RUNS = 2
MIN_ROUNDS = 5


@dataclass
class Measurement:
    """Raw samples, in rounds.

    Attributes:
        samples_ms: competitor -> one wall-clock time in milliseconds a round, in the rounds' order.
        interrupted: the user ended it early; what was measured until then is kept.
    """

    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def rounds(self) -> int:
        """Complete rounds."""
        return min((len(samples) for samples in self.samples_ms.values()), default=0)


@dataclass(frozen=True)
class Statistics:
    """Of one competitor, over its complete rounds."""

    median_ms: float
    p90_ms: float
    mean_ms: float
    min_ms: float


@dataclass(frozen=True)
class Ratio:
    """Time of a competitor over the reference's time in the same round: median and quartiles of these ratios."""

    median: float
    lower_quartile: float
    upper_quartile: float


def measure(
    competitors: Mapping[str, Callable[[], object]],
    seconds: float,
    on_round: Callable[[float], None] = lambda share: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """Run all competitors in turn until the time is used up, each round starting with another one.

    Args:
        competitors: name to what is timed.
        seconds: budget of the counted rounds; at least MIN_ROUNDS are made whatever they take.
        on_round: told the share of the budget that is used up, after each round.
        clock: seconds; a test gives its own.

    Returns:
        Complete rounds only. Ctrl-C ends the measurement and keeps them.
    """
    result = Measurement({name: [] for name in competitors})
    names = list(competitors)
    try:
        for _ in range(WARM_UP_RUNS):
            for run in competitors.values():
                run()
        start = clock()
        while result.rounds < MIN_ROUNDS or clock() - start < seconds:
            offset = result.rounds % len(names)
            times = {}
            for name in names[offset:] + names[:offset]:
                begin = clock()
                competitors[name]()
                times[name] = (clock() - begin) * 1e3
            for name, value in times.items():
                result.samples_ms[name].append(value)
            on_round(min(1.0, result.rounds / MIN_ROUNDS, (clock() - start) / max(seconds, 1e-9)))
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def statistics(samples_ms: list[float]) -> Statistics:
    """Median, 90th percentile (linear interpolation), mean and minimum."""
    values = np.array(samples_ms)
    return Statistics(
        median_ms=float(np.median(values)),
        p90_ms=float(np.percentile(values, 90)),
        mean_ms=float(values.mean()),
        min_ms=float(values.min()),
    )


def ratio(samples_ms: list[float], reference_ms: list[float]) -> Ratio:
    """Round by round against the reference; over 1 is slower than it."""
    values = np.array(samples_ms) / np.array(reference_ms)
    lower, median, upper = np.percentile(values, (25, 50, 75))
    return Ratio(float(median), float(lower), float(upper))
