"""Interleaved timing: every competitor once a round, so that a shared machine's drift meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

WINDOWS = 3
SMALLEST_WINDOW = 5
# A shared machine's medians of five runs scatter by about this much while nothing changes.
LARGEST_CV = 0.02


def window_cv(samples_ms: list[float]) -> float | None:
    """Coefficient of variation (standard deviation over mean) of the medians of the last WINDOWS windows.

    The windows share the later half of the samples, each of at least SMALLEST_WINDOW; None where there are too few.
    """
    size = max(SMALLEST_WINDOW, len(samples_ms) // (2 * WINDOWS))
    if len(samples_ms) < WINDOWS * size:
        return None
    medians = np.median(np.reshape(samples_ms[-WINDOWS * size :], (WINDOWS, size)), axis=1)
    return float(medians.std() / medians.mean()) if medians.mean() > 0 else 0.0


def is_stable(samples_ms: list[float]) -> bool:
    """Whether the windows' medians agree within LARGEST_CV."""
    cv = window_cv(samples_ms)
    return cv is not None and cv <= LARGEST_CV


WARM_UP_RUNS = 2
MIN_ROUNDS = 5
# However calm the first rounds are, this share of the budget is spent: a boosted clock falls within seconds.
LEAST_SHARE = 0.25


@dataclass
class Measurement:
    """Raw samples, in rounds.

    Attributes:
        samples_ms: competitor -> one wall-clock time in milliseconds a round, in the rounds' order.
        device_ms: what the device itself counted, of those whose runs tell it: without the host's part.
        interrupted: the user ended it early; what was measured until then is kept.
    """

    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    device_ms: dict[str, list[float]] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def rounds(self) -> int:
        """Complete rounds."""
        return min((len(samples) for samples in self.samples_ms.values()), default=0)


@dataclass(frozen=True)
class Statistics:
    """Latencies of one competitor over complete rounds; with fewer than a hundred, p99 is close to the maximum."""

    median_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float


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
    *,
    is_stable: Callable[[list[float]], bool] = lambda samples_ms: False,
    min_rounds: int = MIN_ROUNDS,
    warm_up: int = WARM_UP_RUNS,
    warm_up_s: float = 0.0,
) -> Measurement:
    """Run all competitors in turn until all are stable or the time is used up, each round in an order of its own.

    Who ran before tells on a run of few milliseconds: its threads wait actively for more work for a while. Orders are
    drawn by chance, from one seed, so that everybody follows everybody.

    Args:
        competitors: name to what is timed; a run that gives a float tells the milliseconds that its device counted.
        seconds: budget of the counted rounds; at least `min_rounds` are made whatever they take.
        on_round: receives the share of the budget that is used up, after each round.
        clock: seconds; a test gives its own.
        is_stable: whether a competitor's samples need no more of them; all have to agree, and LEAST_SHARE of the
            budget has to be used, for the measurement to end before its time. Without it, the budget is used up.
        min_rounds: fewest rounds.
        warm_up: runs of each that are not counted.
        warm_up_s: seconds that they take at least, in turn; a GPU's clock rises from idle within half a second.

    Returns:
        Complete rounds only. Ctrl-C ends the measurement and keeps them.
    """
    result = Measurement({name: [] for name in competitors})
    names, draw = list(competitors), np.random.default_rng(0)
    try:
        start, turns = clock(), 0
        while turns < warm_up or clock() - start < warm_up_s:
            for run in competitors.values():
                run()
            turns += 1
        start = clock()
        while result.rounds < min_rounds or clock() - start < seconds:
            if (
                result.rounds >= min_rounds
                and clock() - start >= LEAST_SHARE * seconds
                and all(map(is_stable, result.samples_ms.values()))
            ):
                break
            times, on_device = {}, {}
            for index in draw.permutation(len(names)):
                name = names[index]
                begin = clock()
                told = competitors[name]()
                times[name] = (clock() - begin) * 1e3
                if isinstance(told, float):
                    on_device[name] = told
            for name, value in times.items():
                result.samples_ms[name].append(value)
            for name, value in on_device.items():
                result.device_ms.setdefault(name, []).append(value)
            on_round(min(1.0, result.rounds / min_rounds, (clock() - start) / max(seconds, 1e-9)))
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def statistics(samples_ms: list[float]) -> Statistics:
    """Percentiles by linear interpolation, mean and minimum."""
    values = np.array(samples_ms)
    lower, median, upper, p90, p95, p99 = (float(value) for value in np.percentile(values, (25, 50, 75, 90, 95, 99)))
    return Statistics(
        median_ms=median,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=float(values.mean()),
        min_ms=float(values.min()),
        lower_quartile_ms=lower,
        upper_quartile_ms=upper,
    )


def ratio(samples_ms: list[float], reference_ms: list[float]) -> Ratio:
    """Round by round against the reference; over 1 is slower than it."""
    values = np.array(samples_ms) / np.array(reference_ms)
    lower, median, upper = np.percentile(values, (25, 50, 75))
    return Ratio(float(median), float(lower), float(upper))
